//! The claim of a worker of checks: the setup or the gate that is next in its project becomes an attempt.
//!
//! Idempotent on the pull's id, like [`super::claim`].

use sqlx::SqliteConnection;

use super::cleanup;

use crate::domain::attempt::Attempt;
use crate::domain::attempt::AttemptState;
use crate::domain::checks::Checks;
use crate::domain::checks::Gate;
use crate::domain::gates::kind::AttemptKind;
use crate::domain::gates::kind::Phase;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::project::Project;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerState;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;
use crate::store::rows::attempt;
use crate::store::rows::checking;
use crate::store::rows::checking::Checking;
use crate::store::rows::checks;
use crate::store::rows::ports;
use crate::store::rows::project;
use crate::store::rows::ticket;
use crate::store::rows::worker;

const POINTS: faults::Points = faults::points!("server.check_claim");

/// What a pull of a worker of checks results in.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckClaim {
    Granted(Box<GrantedCheck>),
    Nothing,
    /// What was next is for another kind of worker since its settings changed.
    Changed,
    /// This worker gets no more work.
    Leave,
}

/// A committed attempt of setup or gate, and everything that its grant is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantedCheck {
    pub attempt: Attempt,
    pub ticket: Ticket,
    pub project: Project,
    pub checks: Checks,
    /// The first of the ticket's ports.
    pub first_port: Option<i64>,
}

/// What an attempt is to run.
pub(crate) struct Job<'c> {
    pub(crate) kind: AttemptKind,
    pub(crate) gate: Option<&'c Gate>,
    pub(crate) commands: Vec<Vec<String>>,
    pub(crate) timeout_seconds: i64,
    pub(crate) commit: Option<String>,
    pub(crate) is_base: bool,
    /// Whether it runs in a worker that has a network.
    pub(crate) has_network: bool,
}

impl Store {
    /// Claims the next setup or gate of the worker's project.
    pub async fn claim_check(
        &self,
        worker: WorkerId,
        pull_id: &str,
        now: Timestamp,
    ) -> Result<CheckClaim> {
        let (pull, rules) = (pull_id.to_owned(), self.rules());
        self.writer
            .at(POINTS)
            .write_raising_if(
                move |connection| Box::pin(claim(connection, worker, pull, rules, now)),
                |claimed| matches!(claimed, CheckClaim::Granted(_) | CheckClaim::Changed),
            )
            .await
    }

    /// Whether a claim by this worker of checks could be granted now.
    pub async fn has_checks(&self, worker: &Worker, now: Timestamp) -> Result<bool> {
        let mut connection = self.readers.acquire().await?;
        Ok(next(&mut connection, worker, now).await?.is_some()
            || (worker.has_network
                && cleanup::next(&mut connection, worker.project, now).await?.is_some()))
    }
}

async fn claim(
    connection: &mut SqliteConnection,
    id: WorkerId,
    pull: String,
    rules: Rules,
    now: Timestamp,
) -> Result<CheckClaim> {
    let found = worker::load(connection, id).await?;
    let repeated: Option<i64> =
        sqlx::query_scalar("SELECT attempt_id FROM attempt WHERE pull_id = ?1")
            .bind(&pull)
            .fetch_optional(&mut *connection)
            .await?;
    if let Some(repeated) = repeated {
        return again(connection, id, AttemptId::from_key(repeated)).await;
    }
    if found.state != WorkerState::Idle {
        return Ok(CheckClaim::Leave);
    }
    let running: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM attempt WHERE state <> 'ended' AND kind <> 'agent'",
    )
    .fetch_one(&mut *connection)
    .await?;
    if running >= rules.max_gates {
        return Ok(CheckClaim::Nothing);
    }
    let Some(due) = next(connection, &found, now).await? else {
        if !found.has_network {
            return Ok(CheckClaim::Nothing);
        }
        return clean_up(connection, &found, &pull, now).await;
    };
    let Some(checking) = checking::find(connection, due).await? else {
        return Ok(CheckClaim::Nothing);
    };
    let ticket = ticket::load(connection, due).await?;
    let settings = checks::of_ticket(connection, due).await?;
    let Some(job) = job(&checking, &ticket, &settings) else { return Ok(CheckClaim::Nothing) };
    if job.has_network != found.has_network {
        correct(connection, &checking, &settings).await?;
        return Ok(CheckClaim::Changed);
    }
    let attempt = insert(connection, &ticket, id, &pull, &job, now).await?;
    sqlx::query("UPDATE checking SET step = 'running' WHERE ticket_id = ?1 AND step = 'due'")
        .bind(due.key())
        .execute(&mut *connection)
        .await?;
    if let Some(gate) = job.gate.filter(|_| job.is_base) {
        sqlx::query(
            "UPDATE gate_base SET attempt_id = ?3 WHERE commit_id = ?1 AND command = ?2 AND ticket_id = ?4 AND ran IS NULL",
        )
        .bind(job.commit.as_deref().unwrap_or_default())
        .bind(base_key(gate, &settings))
        .bind(attempt.key())
        .bind(due.key())
        .execute(&mut *connection)
        .await?;
    }
    busy(connection, id).await?;
    granted(connection, attempt).await
}

/// A project's gates may be set while rounds are under way. The gate that is next is due again, as the settings are now.
async fn correct(
    connection: &mut SqliteConnection,
    checking: &Checking,
    settings: &Checks,
) -> Result<()> {
    let Some(next) = checking.next() else { return Ok(()) };
    let Some(gate) = settings.gate(&next.gate) else { return Ok(()) };
    sqlx::query(
        "UPDATE checking_gate SET has_network = ?3, base_set_up = (base_set_up = 1 OR ?4)
          WHERE ticket_id = ?1 AND position = ?2",
    )
    .bind(checking.ticket.key())
    .bind(next.position)
    .bind(gate.network)
    .bind(settings.worktree.setup.is_empty())
    .execute(connection)
    .await?;
    Ok(())
}

/// The same for the cleanup that is next. Open tickets go first.
async fn clean_up(
    connection: &mut SqliteConnection,
    worker: &Worker,
    pull: &str,
    now: Timestamp,
) -> Result<CheckClaim> {
    let Some(due) = cleanup::next(connection, worker.project, now).await? else {
        return Ok(CheckClaim::Nothing);
    };
    let ticket = ticket::load(connection, due).await?;
    let settings = checks::of_ticket(connection, due).await?;
    let job = cleanup_job(&settings);
    let attempt = insert(connection, &ticket, worker.id, pull, &job, now).await?;
    cleanup::granted(connection, due, attempt).await?;
    busy(connection, worker.id).await?;
    granted(connection, attempt).await
}

fn cleanup_job(settings: &Checks) -> Job<'_> {
    Job {
        kind: AttemptKind::Cleanup,
        gate: None,
        commands: settings.worktree.cleanup.clone(),
        timeout_seconds: settings.worktree.setup_timeout_seconds,
        commit: None,
        is_base: false,
        has_network: true,
    }
}

async fn busy(connection: &mut SqliteConnection, worker: WorkerId) -> Result<()> {
    sqlx::query("UPDATE worker SET state = 'busy' WHERE state = 'idle' AND worker_id = ?1")
        .bind(worker.key())
        .execute(connection)
        .await?;
    Ok(())
}

/// The ticket of a worker's project whose checks are next: by priority, then by how long they have waited.
async fn next(
    connection: &mut SqliteConnection,
    worker: &Worker,
    now: Timestamp,
) -> Result<Option<TicketId>> {
    let next: Option<i64> = sqlx::query_scalar(
        "SELECT c.ticket_id
           FROM checking_due c
          CROSS JOIN ticket t ON t.ticket_id = c.ticket_id
          WHERE c.not_before <= ?2 AND c.has_network = ?3 AND t.state = 'running' AND t.project_id = ?1
            AND NOT EXISTS (SELECT 1 FROM pause s WHERE s.project_id IN (0, ?1) AND s.cause = 'coordinator')
          ORDER BY t.priority DESC, c.since, c.ticket_id
          LIMIT 1",
    )
    .bind(worker.project.0)
    .bind(now.millis())
    .bind(worker.has_network)
    .fetch_optional(connection)
    .await?;
    Ok(next.map(TicketId::from_key))
}

/// What is to be run next for a ticket.
pub(crate) fn job<'c>(
    checking: &Checking,
    ticket: &Ticket,
    settings: &'c Checks,
) -> Option<Job<'c>> {
    if checking.phase == Phase::Setup {
        return Some(Job {
            kind: AttemptKind::Setup,
            gate: None,
            commands: settings.worktree.setup.clone(),
            timeout_seconds: settings.worktree.setup_timeout_seconds,
            commit: ticket.work.as_ref().map(|work| work.head.commit.clone()),
            is_base: false,
            has_network: true,
        });
    }
    let next = checking.next()?;
    let gate = settings.gate(&next.gate)?;
    if next.on_base && !next.base_set_up && !settings.worktree.setup.is_empty() {
        return Some(Job {
            kind: AttemptKind::Setup,
            gate: None,
            commands: settings.worktree.setup.clone(),
            timeout_seconds: settings.worktree.setup_timeout_seconds,
            commit: Some(base_commit(checking, ticket)?),
            is_base: true,
            has_network: true,
        });
    }
    let commit =
        if next.on_base { Some(base_commit(checking, ticket)?) } else { checking.commit.clone() };
    Some(Job {
        kind: AttemptKind::Gate,
        gate: Some(gate),
        commands: vec![gate.command.clone()],
        timeout_seconds: gate.timeout_seconds,
        commit,
        is_base: next.on_base,
        has_network: gate.network,
    })
}

/// The commit with which a ticket's gates are compared: what it began from or, before it is merged, what it would be
/// merged into.
pub(crate) fn base_commit(checking: &Checking, ticket: &Ticket) -> Option<String> {
    let begun = || ticket.work.as_ref().map(|work| work.base_commit.clone());
    checking.onto.clone().or_else(begun)
}

/// The key under which the run of a gate on a base commit is kept: what was run there, after which setup, and with what.
pub(crate) fn base_key(gate: &Gate, settings: &Checks) -> String {
    let mut commands = settings.worktree.setup.clone();
    commands.push(gate.command.clone());
    let (env, directory) = (&gate.env, &gate.directory);
    if gate.network {
        return serde_json::json!([commands, env, directory]).to_string();
    }
    // What failed for lack of a network says nothing about a run that has one, and the other way round.
    serde_json::json!([commands, env, directory, {"network": false}]).to_string()
}

async fn insert(
    connection: &mut SqliteConnection,
    ticket: &Ticket,
    worker: WorkerId,
    pull: &str,
    job: &Job<'_>,
    now: Timestamp,
) -> Result<AttemptId> {
    let is_cleanup = job.kind == AttemptKind::Cleanup;
    let kind = if is_cleanup { AttemptKind::Setup } else { job.kind };
    let key: i64 = sqlx::query_scalar(
        "INSERT INTO attempt (ticket_id, stage_index, stage, worker_id, pull_id, state, claude_session_id,
                timeout_seconds, granted_at, kind, gate, commands, commit_id, is_base, is_cleanup, assumed_usd)
         VALUES (?1, ?2, ?3, ?4, ?5, 'granted', '', ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0)
         RETURNING attempt_id",
    )
    .bind(ticket.id.key())
    .bind(i64::try_from(ticket.stage_index).unwrap_or(0))
    .bind(ticket.current_stage().as_str())
    .bind(worker.key())
    .bind(pull)
    .bind(job.timeout_seconds)
    .bind(now.millis())
    .bind(kind.name())
    .bind(job.gate.map(|gate| gate.name.as_str()))
    .bind(serde_json::json!(job.commands).to_string())
    .bind(job.commit.as_deref())
    .bind(job.is_base)
    .bind(is_cleanup)
    .fetch_one(connection)
    .await?;
    Ok(AttemptId::from_key(key))
}

/// The same pull a second time.
async fn again(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    id: AttemptId,
) -> Result<CheckClaim> {
    match attempt::find(connection, id).await?.filter(|found| found.worker == worker) {
        Some(found) => match found.state {
            AttemptState::Ended(_) => Ok(CheckClaim::Nothing),
            AttemptState::Granted | AttemptState::Running => granted(connection, id).await,
        },
        None => Ok(CheckClaim::Leave),
    }
}

async fn granted(connection: &mut SqliteConnection, id: AttemptId) -> Result<CheckClaim> {
    let Some(attempt) = attempt::find(connection, id).await? else {
        return Ok(CheckClaim::Nothing);
    };
    let ticket = ticket::load(connection, attempt.ticket).await?;
    let project = project::load_key(connection, ticket.project).await?;
    let checks = checks::of_ticket(connection, ticket.id).await?;
    let first_port = match attempt.kind {
        AttemptKind::Cleanup => ports::of_closed(connection, ticket.id).await?,
        AttemptKind::Agent | AttemptKind::Setup | AttemptKind::Gate => {
            ports::of_ticket(connection, ticket.id).await?.map(|(first, _)| first)
        }
    };
    let granted = GrantedCheck { attempt, ticket, project, checks, first_port };
    Ok(CheckClaim::Granted(Box::new(granted)))
}
