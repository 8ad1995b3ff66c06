//! Starts workers that the coordinator asks for.

use sqlx::SqliteConnection;

use super::pause_queue;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::money::limits;
use crate::store::rows::worker;
use crate::store::rows::worker_type;

impl Store {
    /// Asks for workers of a type; the dispatcher launches them. Resumes the queue if it was paused: a caller
    /// that spawns a worker wants it to work.
    pub async fn request_workers(
        &self,
        project: &str,
        worker_type: &str,
        count: i64,
        now: Timestamp,
    ) -> Result<Vec<Worker>> {
        let (project, worker_type) = (project.to_owned(), worker_type.to_owned());
        let on_server = self.rules().max_workers;
        self.writer
            .write(move |connection| {
                Box::pin(request(connection, project, worker_type, count, on_server, now))
            })
            .await
    }
}

async fn request(
    connection: &mut SqliteConnection,
    project: String,
    worker_type: String,
    count: i64,
    on_server: i64,
    now: Timestamp,
) -> Result<Vec<Worker>> {
    let kind = worker_type::load(connection, &project, &worker_type).await?;
    let of_type = worker::live(connection, kind.project, Some(&worker_type)).await?.len();
    let of_type = i64::try_from(of_type).unwrap_or(i64::MAX);
    let max_workers = kind.settings.max_workers;
    if of_type.saturating_add(count) > max_workers {
        let refusal =
            Refusal::TooManyWorkers { worker_type, live: of_type, asked: count, max_workers };
        return Err(refusal.into());
    }
    let limits = limits::of_project(connection, kind.project).await?;
    let of_project = worker::live(connection, kind.project, None).await?.len();
    let of_project = i64::try_from(of_project).unwrap_or(i64::MAX);
    if let Some(most) = limits.max_workers
        && of_project.saturating_add(count) > most
    {
        let refusal = Refusal::TooManyWorkersInProject {
            project,
            live: of_project,
            asked: count,
            max_workers: most,
        };
        return Err(refusal.into());
    }
    let all = worker::live_count(connection).await?;
    if all.saturating_add(count) > on_server {
        let refusal =
            Refusal::TooManyWorkersOnServer { live: all, asked: count, max_workers: on_server };
        return Err(refusal.into());
    }
    let pause = kind.pause.as_ref();
    pause_queue::resume_fixed(connection, kind.project, &kind.name, pause, now).await?;
    let mut workers = Vec::new();
    for id in worker::insert(connection, kind.project, &worker_type, count, now).await? {
        workers.push(worker::load(connection, id).await?);
    }
    Ok(workers)
}
