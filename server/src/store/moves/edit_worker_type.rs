//! Creating, changing and deleting a worker type.

use serde_json::Value;
use sqlx::SqliteConnection;

use super::hold;
use super::pause_queue;
use super::stop;
use crate::domain::attempt::StopMode;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::refusal::Refusal;
use crate::domain::text::Name;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::domain::worker_type::WorkerType;
use crate::domain::worker_type::WorkerTypeChange;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::store::db::error::Result;
use crate::store::db::row;
use crate::store::db::store::Store;
use crate::store::rows::project;
use crate::store::rows::ticket;
use crate::store::rows::worker;
use crate::store::rows::worker_type;

impl Store {
    pub async fn create_worker_type(
        &self,
        project: &str,
        name: Name,
        settings: WorkerTypeSettings,
        now: Timestamp,
    ) -> Result<WorkerType> {
        settings.check()?;
        let project = project.to_owned();
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let key = project::load(connection, &project).await?.key;
                        let created = sqlx::query(
                            "INSERT INTO worker_type (project_id, name, description, system_prompt, model,
                                    permission_mode, allowed_tools, disallowed_tools, max_workers, timeout_seconds,
                                    stall_seconds, max_attempts, max_budget_usd, auto_spawn, may_create_tickets,
                                    mcp_servers, claude_settings, created_at, updated_at, max_turns)
                             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
                                     ?18, ?19)
                             ON CONFLICT (project_id, name) DO NOTHING",
                        )
                        .bind(key.0)
                        .bind(name.as_str())
                        .bind(settings.description)
                        .bind(settings.system_prompt)
                        .bind(settings.model)
                        .bind(settings.permission_mode)
                        .bind(row::json_list(&settings.allowed_tools))
                        .bind(row::json_list(&settings.disallowed_tools))
                        .bind(settings.max_workers)
                        .bind(settings.timeout_seconds)
                        .bind(settings.stall_seconds)
                        .bind(settings.max_attempts)
                        .bind(settings.max_budget_usd)
                        .bind(settings.auto_spawn)
                        .bind(settings.may_create_tickets)
                        .bind(Value::Object(settings.mcp_servers).to_string())
                        .bind(Value::Object(settings.claude_settings).to_string())
                        .bind(now.millis())
                        .bind(settings.max_turns)
                        .execute(&mut *connection)
                        .await?;
                        if created.rows_affected() == 0 {
                            let worker_type = name.into_string();
                            return Err(Refusal::WorkerTypeExists { project, worker_type }.into());
                        }
                        worker_type::load(connection, &project, name.as_str()).await
                    })
                },
                // Tickets may wait for a type that was deleted and is made again.
                /* raises level */
                true,
            )
            .await
    }

    /// Changes a worker type, and lets its queue go on if it was paused: who changes the type has seen why.
    ///
    /// What is left as it is is read in the same transaction, so of two changes at once none undoes the other.
    pub async fn update_worker_type(
        &self,
        project: &str,
        name: &str,
        change: WorkerTypeChange,
        now: Timestamp,
    ) -> Result<WorkerType> {
        let (project, name) = (project.to_owned(), name.to_owned());
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let found = worker_type::load(connection, &project, &name).await?;
                        let settings = change.on(found.settings);
                        settings.check()?;
                        sqlx::query(
                            "UPDATE worker_type
                                SET description = ?3, system_prompt = ?4, model = ?5, permission_mode = ?6,
                                    allowed_tools = ?7, disallowed_tools = ?8, max_workers = ?9,
                                    timeout_seconds = ?10, stall_seconds = ?11, max_attempts = ?12,
                                    max_budget_usd = ?13, auto_spawn = ?14, may_create_tickets = ?15, mcp_servers = ?16,
                                    claude_settings = ?17, updated_at = ?18, max_turns = ?19
                              WHERE project_id = ?1 AND name = ?2",
                        )
                        .bind(found.project.0)
                        .bind(&name)
                        .bind(settings.description)
                        .bind(settings.system_prompt)
                        .bind(settings.model)
                        .bind(settings.permission_mode)
                        .bind(row::json_list(&settings.allowed_tools))
                        .bind(row::json_list(&settings.disallowed_tools))
                        .bind(settings.max_workers)
                        .bind(settings.timeout_seconds)
                        .bind(settings.stall_seconds)
                        .bind(settings.max_attempts)
                        .bind(settings.max_budget_usd)
                        .bind(settings.auto_spawn)
                        .bind(settings.may_create_tickets)
                        .bind(Value::Object(settings.mcp_servers).to_string())
                        .bind(Value::Object(settings.claude_settings).to_string())
                        .bind(now.millis())
                        .bind(settings.max_turns)
                        .execute(&mut *connection)
                        .await?;
                        pause_queue::mended(connection, found.project, &found.name, found.pause.as_ref(), now)
                            .await?;
                        worker_type::load(connection, &project, &name).await
                    })
                },
                /* raises level */ true,
            )
            .await
    }

    /// Deletes a worker type. With `force` the open tickets whose plan names it go on hold and its workers are told to
    /// cancel; without it such tickets refuse.
    pub async fn delete_worker_type(
        &self,
        project: &str,
        name: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<WorkerType> {
        let (project, name) = (project.to_owned(), name.to_owned());
        self.writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let found = worker_type::load(connection, &project, &name).await?;
                        let tickets = naming(connection, found.project, &name).await?;
                        if !force && !tickets.is_empty() {
                            return Err(
                                Refusal::WorkerTypeInUse { worker_type: name, tickets }.into()
                            );
                        }
                        for id in tickets {
                            let ticket = ticket::load(connection, id).await?;
                            let reason =
                                format!("its plan names the worker type {name}, which was deleted");
                            match ticket.state {
                                // Its worker is told below, and the end of its attempt puts it on hold.
                                TicketState::Running
                                | TicketState::OnHold { .. }
                                | TicketState::Closed { .. } => {}
                                TicketState::Blocked
                                | TicketState::Scheduled { .. }
                                | TicketState::Queued => {
                                    hold::hold(connection, &ticket, &reason, now).await?;
                                }
                            }
                        }
                        for worker in worker::live(connection, found.project, Some(&name)).await? {
                            stop::request_stop(connection, worker.id, StopMode::Cancel, now)
                                .await?;
                        }
                        sqlx::query("DELETE FROM worker_type WHERE project_id = ?1 AND name = ?2")
                            .bind(found.project.0)
                            .bind(&name)
                            .execute(connection)
                            .await?;
                        Ok(found)
                    })
                },
                /* raises level */ true,
            )
            .await
    }
}

/// Open tickets whose plan names the type, in whatever stage they are.
async fn naming(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    name: &str,
) -> Result<Vec<TicketId>> {
    let keys: Vec<i64> = sqlx::query_scalar(
        "SELECT t.ticket_id FROM ticket t
          WHERE t.project_id = ?1 AND t.state <> 'closed'
            AND EXISTS (SELECT 1 FROM ticket_stage s WHERE s.ticket_id = t.ticket_id AND s.worker_type = ?2)
          ORDER BY t.ticket_id",
    )
    .bind(project.0)
    .bind(name)
    .fetch_all(connection)
    .await?;
    Ok(keys.into_iter().map(TicketId::from_key).collect())
}
