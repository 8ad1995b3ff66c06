//! Stopping work and keeping it stopped: nothing new starts where it was stopped, and the tickets wait for somebody.

use sqlx::SqliteConnection;

use super::check_begin;
use super::hold;
use super::land;
use super::pause_scope;
use super::pause_scope::NewPause;
use super::stop;
use crate::domain::attempt::StopMode;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::pause::Cause;
use crate::domain::refusal::Refusal;
use crate::domain::stopping::StopWhat;
use crate::domain::stopping::StoppedWork;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerState;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::checking;
use crate::store::rows::event::By;
use crate::store::rows::project;
use crate::store::rows::ticket;
use crate::store::rows::worker;

const STOP_WORK: faults::Points = faults::points!("server.stop_work");

impl Store {
    /// Pauses what is meant, if it is more than one agent, and asks every agent in it to stop; its ticket goes on hold.
    /// Repeating it changes nothing more.
    pub async fn stop_work(
        &self,
        what: StopWhat,
        reason: String,
        now: Timestamp,
    ) -> Result<StoppedWork> {
        self.writer
            .at(STOP_WORK)
            .write(move |connection| Box::pin(stop_work(connection, what, reason, now)))
            .await
    }
}

async fn stop_work(
    connection: &mut SqliteConnection,
    what: StopWhat,
    reason: String,
    now: Timestamp,
) -> Result<StoppedWork> {
    match what {
        StopWhat::Ticket(id) => one_ticket(connection, id, &reason, now).await,
        StopWhat::Worker(id) => {
            let found = worker::load(connection, id).await?;
            if found.state == WorkerState::Stopped {
                return Err(Refusal::WorkerStopped { worker: id }.into());
            }
            all(connection, vec![found], now).await
        }
        StopWhat::Project(name) => {
            let key = project::load(connection, name.as_str()).await?.key;
            pause(connection, Some(key), &reason, now).await?;
            let workers = worker::live(connection, key, None).await?;
            all(connection, workers, now).await
        }
        StopWhat::Everything => {
            pause(connection, None, &reason, now).await?;
            let workers = worker::all_live(connection).await?;
            all(connection, workers, now).await
        }
    }
}

async fn pause(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
    reason: &str,
    now: Timestamp,
) -> Result<()> {
    let new = NewPause { project, cause: Cause::Coordinator, reason, until: None };
    pause_scope::set(connection, new, now).await
}

/// Asks workers to stop. What an agent completes before it hears of it is kept, and its ticket waits at the next stage.
async fn all(
    connection: &mut SqliteConnection,
    workers: Vec<Worker>,
    now: Timestamp,
) -> Result<StoppedWork> {
    let mut stopped = StoppedWork::default();
    for worker in workers {
        let mode = if worker.attempt.is_some() { StopMode::Cancel } else { StopMode::Interrupt };
        stop::request_stop(connection, worker.id, mode, now).await?;
        stopped.workers.push(worker.id);
        stopped.tickets.extend(worker.ticket);
    }
    Ok(stopped)
}

async fn one_ticket(
    connection: &mut SqliteConnection,
    id: TicketId,
    reason: &str,
    now: Timestamp,
) -> Result<StoppedWork> {
    let found = ticket::load(connection, id).await?;
    match found.state {
        TicketState::Closed { resolution, .. } => {
            Err(Refusal::TicketClosed { ticket: id, resolution }.into())
        }
        TicketState::OnHold { .. } => Ok(StoppedWork { tickets: vec![id], workers: Vec::new() }),
        TicketState::Blocked | TicketState::Scheduled { .. } | TicketState::Queued => {
            let why = Hold::new(HoldKind::Operator, reason);
            hold::hold(connection, &found, &why, now).await?;
            Ok(StoppedWork { tickets: vec![id], workers: Vec::new() })
        }
        TicketState::Running => {
            let workers = worker::live(connection, found.project, None).await?;
            let its = workers.into_iter().find(|worker| worker.ticket == Some(id));
            match its {
                Some(worker) => all(connection, vec![worker], now).await,
                None if checking::find(connection, id).await?.is_some() => {
                    let why = Hold::new(HoldKind::Operator, reason);
                    land::end(connection, id, None).await?;
                    check_begin::hold(connection, &found, By::Coordinator, &why, now).await?;
                    Ok(StoppedWork { tickets: vec![id], workers: Vec::new() })
                }
                // Its stages are completed, and no agent runs any more.
                None => Err(Refusal::TicketLanding { ticket: id }.into()),
            }
        }
    }
}
