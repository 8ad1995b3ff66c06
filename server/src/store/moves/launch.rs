//! Launches: the rows of workers between the decision to have one and its shim's hello.

use sqlx::SqliteConnection;

use super::put_off;
use super::stop;
use crate::domain::id::ProjectKey;
use crate::domain::id::WorkerId;
use crate::domain::stopping::Gone;
use crate::domain::text::Name;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerState;
use crate::domain::worker_type::PassingCause;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;
use crate::store::rows::worker;

const PLANNED: faults::Points = faults::points!("server.plan_launches");

const LAUNCHED: faults::Points = faults::points!("server.launched");

impl Store {
    /// Inserts workers of a queue for the dispatcher to launch by itself.
    pub async fn plan_launches(
        &self,
        project: ProjectKey,
        worker_type: &Name,
        count: i64,
        now: Timestamp,
    ) -> Result<Vec<WorkerId>> {
        let worker_type = worker_type.as_str().to_owned();
        self.writer
            .at(PLANNED)
            .quietly()
            .write(move |connection| Box::pin(plan(connection, project, worker_type, count, now)))
            .await
    }

    /// Inserts workers that run setups and gates of a project, for the dispatcher to launch: those that may use the
    /// network, or those that must not.
    pub async fn plan_check_workers(
        &self,
        project: ProjectKey,
        has_network: bool,
        count: i64,
        now: Timestamp,
    ) -> Result<Vec<WorkerId>> {
        self.writer
            .at(PLANNED)
            .quietly()
            .write(move |connection| {
                Box::pin(worker::insert_checks(connection, project, has_network, count, now))
            })
            .await
    }

    /// Commits that a shim is about to be started with this token. Returns whether it may be started: a row is launched
    /// once.
    pub async fn mark_launched(
        &self,
        id: WorkerId,
        token_hash: String,
        now: Timestamp,
    ) -> Result<bool> {
        self.writer
            .at(LAUNCHED)
            .quietly()
            .write(move |connection| Box::pin(mark(connection, id, token_hash, now)))
            .await
    }

    /// Ends a worker whose shim never said hello, and only such a worker: the launch may have failed or given up just
    /// after the shim connected, and a shim that connected may have an attempt. Returns whether the worker was ended.
    pub async fn worker_never_came(
        &self,
        id: WorkerId,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let reason = reason.to_owned();
        self.writer
            .at(stop::STOPPED)
            .write(move |connection| Box::pin(give_up_on(connection, id, reason, now)))
            .await
    }

    /// No shim connected for this row. Its queue waits for a while: the next launch may fail the same way. Returns
    /// whether the queue waits; a shim that said hello was started, whatever its launch reported.
    pub async fn launch_failed(
        &self,
        worker: &Worker,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let (worker, reason) = (worker.clone(), reason.to_owned());
        let rules = self.rules();
        self.writer
            .at(stop::STOPPED)
            .write(move |connection| {
                Box::pin(put_queue_off(connection, worker, reason, rules, now))
            })
            .await
    }
}

async fn plan(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    worker_type: String,
    count: i64,
    now: Timestamp,
) -> Result<Vec<WorkerId>> {
    worker::insert(connection, project, &worker_type, count, now).await
}

async fn mark(
    connection: &mut SqliteConnection,
    id: WorkerId,
    token_hash: String,
    now: Timestamp,
) -> Result<bool> {
    let marked = sqlx::query(
        "UPDATE worker SET launched_at = ?2, token_hash = ?3
          WHERE worker_id = ?1 AND state = 'launching' AND launched_at IS NULL",
    )
    .bind(id.key())
    .bind(now.millis())
    .bind(token_hash)
    .execute(connection)
    .await?;
    Ok(marked.rows_affected() > 0)
}

async fn give_up_on(
    connection: &mut SqliteConnection,
    id: WorkerId,
    reason: String,
    now: Timestamp,
) -> Result<bool> {
    never_came(connection, id, &reason, now).await
}

async fn put_queue_off(
    connection: &mut SqliteConnection,
    worker: Worker,
    reason: String,
    rules: Rules,
    now: Timestamp,
) -> Result<bool> {
    if !never_came(connection, worker.id, &reason, now).await? {
        return Ok(false);
    }
    let why = format!("{} {}", worker.id, reason.replacen("it ", "", 1));
    let queue = (worker.project, &worker.worker_type);
    put_off::put_off(connection, queue, PassingCause::Launch, &why, rules, now).await?;
    Ok(true)
}

/// Like [`stop::stopped`], unless its shim has said hello.
async fn never_came(
    connection: &mut SqliteConnection,
    id: WorkerId,
    reason: &str,
    now: Timestamp,
) -> Result<bool> {
    let worker = worker::load(connection, id).await?;
    if worker.pid.is_some() || worker.state == WorkerState::Stopped {
        return Ok(false);
    }
    stop::stopped(connection, id, Gone::Found(reason.to_owned()), now).await?;
    Ok(true)
}
