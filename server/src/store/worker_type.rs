//! Worker types.

use serde_json::Value;
use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::Store;
use super::error::Result;
use super::error::StoreError;
use super::event;
use super::hold;
use super::page::Listed;
use super::page::Page;
use super::project;
use super::put_off;
use super::row;
use super::row::Place;
use super::ticket;
use super::worker;
use crate::domain::attempt::StopMode;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::outcome::Failure;
use crate::domain::refusal::Refusal;
use crate::domain::text::Name;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::domain::worker_type::Pause;
use crate::domain::worker_type::WorkerType;
use crate::domain::worker_type::WorkerTypeChange;
use crate::domain::worker_type::WorkerTypeSettings;

#[derive(FromRow)]
struct WorkerTypeRow {
    worker_type_id: i64,
    project_id: i64,
    project: String,
    name: String,
    description: String,
    system_prompt: String,
    model: Option<String>,
    permission_mode: String,
    allowed_tools: String,
    disallowed_tools: String,
    max_workers: i64,
    timeout_seconds: i64,
    stall_seconds: Option<i64>,
    max_attempts: i64,
    max_budget_usd: Option<f64>,
    auto_spawn: bool,
    max_turns: Option<i64>,
    may_create_tickets: bool,
    mcp_servers: String,
    claude_settings: String,
    paused_at: Option<i64>,
    pause_reason: Option<String>,
    paused_by_hand: bool,
    pause_cause: Option<String>,
    pause_until: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<WorkerTypeRow> for WorkerType {
    type Error = StoreError;

    fn try_from(row: WorkerTypeRow) -> std::result::Result<Self, StoreError> {
        let place = Place { table: "worker_type", key: row.worker_type_id };
        let pause = match (row.paused_at, row.pause_reason) {
            (Some(since), Some(reason)) => Some(Pause {
                since: row::time(since),
                reason,
                by_hand: row.paused_by_hand,
                passing: put_off::passing(place, row.pause_cause.as_deref(), row.pause_until)?,
            }),
            (None, _) => None,
            (Some(_), None) => return Err(place.bad("pause_reason", "NULL")),
        };
        Ok(Self {
            project: ProjectKey(row.project_id),
            project_name: row::name(row.project),
            name: row::name(row.name),
            settings: WorkerTypeSettings {
                description: row.description,
                system_prompt: row.system_prompt,
                model: row.model,
                permission_mode: row.permission_mode,
                allowed_tools: place.list(&row.allowed_tools, "allowed_tools")?,
                disallowed_tools: place.list(&row.disallowed_tools, "disallowed_tools")?,
                max_workers: row.max_workers,
                timeout_seconds: row.timeout_seconds,
                stall_seconds: row.stall_seconds,
                max_attempts: row.max_attempts,
                max_budget_usd: row.max_budget_usd,
                auto_spawn: row.auto_spawn,
                max_turns: row.max_turns,
                may_create_tickets: row.may_create_tickets,
                mcp_servers: place.object(&row.mcp_servers, "mcp_servers")?,
                claude_settings: place.object(&row.claude_settings, "claude_settings")?,
            },
            pause,
            created_at: row::time(row.created_at),
            updated_at: row::time(row.updated_at),
        })
    }
}

macro_rules! select {
    () => {
        "SELECT t.worker_type_id, t.project_id, p.name AS project, t.name, t.description, t.system_prompt, t.model,
                t.permission_mode, t.allowed_tools, t.disallowed_tools, t.max_workers, t.timeout_seconds,
                t.stall_seconds, t.max_attempts, t.max_budget_usd, t.auto_spawn, t.max_turns, t.may_create_tickets,
                t.mcp_servers, t.claude_settings, t.paused_at, t.pause_reason, t.paused_by_hand, t.pause_cause,
                t.pause_until, t.created_at, t.updated_at
           FROM worker_type t
           JOIN project p ON p.project_id = t.project_id "
    };
}

/// The worker type of that name, or `None` when its project has none.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    name: &str,
) -> Result<Option<WorkerType>> {
    let row: Option<WorkerTypeRow> =
        sqlx::query_as(concat!(select!(), "WHERE t.project_id = ?1 AND t.name = ?2"))
            .bind(project.0)
            .bind(name)
            .fetch_optional(connection)
            .await?;
    Ok(row.map(WorkerType::try_from).transpose()?)
}

/// The worker type of that name; a refusal names those there are.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    project: &str,
    name: &str,
) -> Result<WorkerType> {
    let key = project::load(connection, project).await?.key;
    if let Some(found) = find(connection, key, name).await? {
        return Ok(found);
    }
    let known = names(connection, key).await?;
    let (project, worker_type) = (project.to_owned(), name.to_owned());
    Err(Refusal::UnknownWorkerType { project, worker_type, known }.into())
}

pub(super) async fn names(
    connection: &mut SqliteConnection,
    project: ProjectKey,
) -> Result<Vec<String>> {
    let sql = "SELECT name FROM worker_type WHERE project_id = ?1 ORDER BY worker_type_id LIMIT 50";
    Ok(sqlx::query_scalar(sql).bind(project.0).fetch_all(connection).await?)
}

/// Name and description of the worker types of a project, for those who plan with them.
pub(super) async fn described(
    connection: &mut SqliteConnection,
    project: ProjectKey,
) -> Result<Vec<(String, String)>> {
    let sql = "SELECT name, description FROM worker_type WHERE project_id = ?1 ORDER BY worker_type_id LIMIT 200";
    Ok(sqlx::query_as(sql).bind(project.0).fetch_all(connection).await?)
}

/// Stops a queue from being granted or launched until somebody lets it go on, and says so once. What it waited for by
/// itself is nothing beside that.
pub(super) async fn pause(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    name: &Name,
    reason: &str,
    now: Timestamp,
) -> Result<()> {
    let paused = sqlx::query(
        "UPDATE worker_type
            SET paused_at = ?3, pause_reason = ?4, pause_cause = NULL, pause_until = NULL, pause_tries = 0
          WHERE project_id = ?1 AND name = ?2 AND (paused_at IS NULL OR pause_cause IS NOT NULL)",
    )
    .bind(project.0)
    .bind(name.as_str())
    .bind(now.millis())
    .bind(reason)
    .execute(&mut *connection)
    .await?;
    if paused.rows_affected() == 0 {
        return Ok(());
    }
    let summary = format!("The queue {name} is paused: {reason}.");
    let event = NewEvent::new(EventKind::QueuePaused, project, summary);
    event::append(connection, NewEvent { stage: Some(name.clone()), ..event }, now).await
}

/// Pauses a queue because somebody asked for it. One that a failure paused keeps that reason until it is resumed.
pub(super) async fn pause_by_hand(
    connection: &mut SqliteConnection,
    found: &WorkerType,
    reason: &str,
    now: Timestamp,
) -> Result<()> {
    pause(connection, found.project, &found.name, reason, now).await?;
    sqlx::query(
        "UPDATE worker_type
            SET pause_reason = CASE paused_by_hand WHEN 1 THEN ?3 ELSE pause_reason END, paused_by_hand = 1
          WHERE project_id = ?1 AND name = ?2 AND paused_at IS NOT NULL",
    )
    .bind(found.project.0)
    .bind(found.name.as_str())
    .bind(reason)
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets a queue go on that a failure paused: its cause is said to be mended. What was paused by hand stays so.
pub(super) async fn mended(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    name: &Name,
    pause: Option<&Pause>,
    now: Timestamp,
) -> Result<()> {
    if pause.is_some_and(|pause| pause.by_hand) {
        return Ok(());
    }
    unpause(connection, project, name, now).await
}

/// Lets a paused queue go on; does nothing to one that is not paused.
pub(super) async fn unpause(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    name: &Name,
    now: Timestamp,
) -> Result<()> {
    let resumed = sqlx::query(
        "UPDATE worker_type
            SET paused_at = NULL, pause_reason = NULL, paused_by_hand = 0, pause_cause = NULL, pause_until = NULL,
                pause_tries = 0
          WHERE project_id = ?1 AND name = ?2 AND paused_at IS NOT NULL",
    )
    .bind(project.0)
    .bind(name.as_str())
    .execute(&mut *connection)
    .await?;
    if resumed.rows_affected() == 0 {
        return Ok(());
    }
    let pausing = Failure::ALL.iter().filter(|failure| failure.holds_others());
    let pausing: Vec<&str> = pausing.map(|failure| failure.name()).collect();
    // Who says that the cause is mended wants to see it work, and not when the wait after the failure is over.
    sqlx::query(
        "UPDATE ticket SET state = 'queued', not_before = NULL, updated_at = ?3
          WHERE project_id = ?1 AND current_stage = ?2 AND state = 'scheduled'
            AND (SELECT a.failure FROM attempt a WHERE a.ticket_id = ticket.ticket_id
                  ORDER BY a.attempt_id DESC LIMIT 1) IN (SELECT value FROM json_each(?4))",
    )
    .bind(project.0)
    .bind(name.as_str())
    .bind(now.millis())
    .bind(row::json_list(&pausing))
    .execute(&mut *connection)
    .await?;
    let event =
        NewEvent::new(EventKind::QueueResumed, project, format!("The queue {name} goes on."));
    event::append(connection, NewEvent { stage: Some(name.clone()), ..event }, now).await
}

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
                        load(connection, &project, name.as_str()).await
                    })
                },
                // Tickets may wait for a type that was deleted and is made again.
                /* raises level */
                true,
            )
            .await
    }

    pub async fn worker_type(&self, project: &str, name: &str) -> Result<WorkerType> {
        load(&mut *self.readers.acquire().await?, project, name).await
    }

    pub async fn worker_types(&self, project: &str, page: Page) -> Result<Listed<WorkerType>> {
        let mut snapshot = self.readers.begin().await?;
        let key = project::load(&mut snapshot, project).await?.key;
        let rows: Vec<WorkerTypeRow> = sqlx::query_as(concat!(
            select!(),
            "WHERE t.project_id = ?1 AND t.worker_type_id > ?2 ORDER BY t.worker_type_id LIMIT ?3"
        ))
        .bind(key.0)
        .bind(page.after_key())
        .bind(page.fetch())
        .fetch_all(&mut *snapshot)
        .await?;
        let listed = page.cut(rows, |row| row.worker_type_id);
        let items: std::result::Result<_, StoreError> =
            listed.items.into_iter().map(WorkerType::try_from).collect();
        Ok(Listed { items: items?, keys: listed.keys, next: listed.next })
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
                        let found = load(connection, &project, &name).await?;
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
                        mended(connection, found.project, &found.name, found.pause.as_ref(), now)
                            .await?;
                        load(connection, &project, &name).await
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
                        let found = load(connection, &project, &name).await?;
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
                            worker::request_stop(connection, worker.id, StopMode::Cancel, now)
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
