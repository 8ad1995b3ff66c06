//! Creating, changing and deleting a worker type.

use sqlx::SqliteConnection;

use super::hold;
use super::pause_queue;
use super::stop;
use crate::domain::attempt::StopMode;
use crate::domain::hold::Hold;
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
use crate::store::db::store::Store;
use crate::store::rows::project;
use crate::store::rows::ticket;
use crate::store::rows::worker;
use crate::store::rows::worker_type;
use crate::store::rows::worker_type_settings;

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
        // Tickets may wait for a type that was deleted and is created again.
        self.writer
            .write(move |connection| Box::pin(create(connection, project, name, settings, now)))
            .await
    }

    /// Changes a worker type, and resumes its queue if it was paused: a caller that changes the type has seen why.
    ///
    /// Settings that stay as they are are read in the same transaction, so of two changes at the same time, neither
    /// undoes the other.
    pub async fn update_worker_type(
        &self,
        project: &str,
        name: &str,
        change: WorkerTypeChange,
        now: Timestamp,
    ) -> Result<WorkerType> {
        let (project, name) = (project.to_owned(), name.to_owned());
        self.writer
            .write(move |connection| Box::pin(update(connection, project, name, change, now)))
            .await
    }

    /// Deletes a worker type. With `force` the open tickets whose plan names it go on hold and its workers are asked to
    /// cancel; without `force`, such tickets make the call refuse.
    pub async fn delete_worker_type(
        &self,
        project: &str,
        name: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<WorkerType> {
        let (project, name) = (project.to_owned(), name.to_owned());
        self.writer
            .write(move |connection| Box::pin(delete(connection, project, name, force, now)))
            .await
    }
}

async fn create(
    connection: &mut SqliteConnection,
    project: String,
    name: Name,
    settings: WorkerTypeSettings,
    now: Timestamp,
) -> Result<WorkerType> {
    let key = project::load(connection, &project).await?.key;
    let created = worker_type_settings::insert(key, name.clone(), settings, now)
        .execute(&mut *connection)
        .await?;
    if created.rows_affected() == 0 {
        let worker_type = name.into_string();
        return Err(Refusal::WorkerTypeExists { project, worker_type }.into());
    }
    worker_type::load(connection, &project, name.as_str()).await
}

async fn update(
    connection: &mut SqliteConnection,
    project: String,
    name: String,
    change: WorkerTypeChange,
    now: Timestamp,
) -> Result<WorkerType> {
    let found = worker_type::load(connection, &project, &name).await?;
    let settings = change.on(found.settings);
    settings.check()?;
    worker_type_settings::update(found.project, found.name.clone(), settings, now)
        .execute(&mut *connection)
        .await?;
    pause_queue::resume_fixed(connection, found.project, &found.name, found.pause.as_ref(), now)
        .await?;
    worker_type::load(connection, &project, &name).await
}

async fn delete(
    connection: &mut SqliteConnection,
    project: String,
    name: String,
    force: bool,
    now: Timestamp,
) -> Result<WorkerType> {
    let found = worker_type::load(connection, &project, &name).await?;
    let tickets = naming(connection, found.project, &name).await?;
    if !force && !tickets.is_empty() {
        return Err(Refusal::WorkerTypeInUse { worker_type: name, tickets }.into());
    }
    for id in tickets {
        let ticket = ticket::load(connection, id).await?;
        let why = Hold::worker_type_deleted(&name);
        match ticket.state {
            // Its worker is asked to cancel below, and the end of its attempt puts it on hold.
            TicketState::Running | TicketState::OnHold(_) | TicketState::Closed { .. } => {}
            TicketState::Blocked | TicketState::Scheduled { .. } | TicketState::Queued => {
                hold::hold(connection, &ticket, &why, now).await?;
            }
        }
    }
    for worker in worker::live(connection, found.project, Some(&name)).await? {
        stop::request_stop(connection, worker.id, StopMode::Cancel, now).await?;
    }
    sqlx::query("DELETE FROM worker_type WHERE project_id = ?1 AND name = ?2")
        .bind(found.project.0)
        .bind(&name)
        .execute(connection)
        .await?;
    Ok(found)
}

/// Open tickets whose plan names the type, whatever stage they are at.
async fn naming(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    name: &str,
) -> Result<Vec<TicketId>> {
    let keys: Vec<i64> = sqlx::query_scalar(
        "SELECT t.ticket_id FROM ticket t
          WHERE t.project_id = ?1 AND t.state IN ('blocked', 'scheduled', 'queued', 'running', 'on_hold')
            AND EXISTS (SELECT 1 FROM ticket_stage s WHERE s.ticket_id = t.ticket_id AND s.worker_type = ?2)
          ORDER BY t.ticket_id",
    )
    .bind(project.0)
    .bind(name)
    .fetch_all(connection)
    .await?;
    Ok(keys.into_iter().map(TicketId::from_key).collect())
}
