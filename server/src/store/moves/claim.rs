//! The claim: one ticket of a worker's queue becomes an attempt of that worker.
//!
//! Idempotent on the shim's pull id. A shim that never saw the answer repeats its pull and gets the same attempt, so a
//! crash between the commit and the reply starts nothing twice and loses nothing.

use sqlx::FromRow as _;
use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::ask_outcome;
use super::hold;
use super::prepare;
use super::put_off;
use super::seek;
use super::seek::Claiming;
use super::seek::Seeker;
use super::turn;
use crate::domain::attempt::Attempt;
use crate::domain::attempt::AttemptState;
use crate::domain::checks::kept;
use crate::domain::comment::Comment;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::limits::Funds;
use crate::domain::outcome::Failure;
use crate::domain::project::Project;
use crate::domain::prompt::Ready;
use crate::domain::refusal::Refusal;
use crate::domain::summary;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerState;
use crate::domain::worker_type::Pause;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;
use crate::store::money::accounts;
use crate::store::money::limits;
use crate::store::rows::attempt;
use crate::store::rows::checks;
use crate::store::rows::comment;
use crate::store::rows::event;
use crate::store::rows::ports;
use crate::store::rows::project;
use crate::store::rows::ticket;
use crate::store::rows::worker_type;

const POINTS: faults::Points = faults::points!("server.claim");

/// What a pull results in.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    Granted(Box<Granted>),
    /// No ticket waits in the worker's queue, or the queue is paused.
    Nothing,
    /// This worker gets no more work: it was asked to stop, or its queue is gone.
    Leave,
}

/// A committed attempt, and everything that its grant is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Granted {
    pub attempt: Attempt,
    pub ticket: Ticket,
    pub project: Project,
    pub settings: WorkerTypeSettings,
    pub comments: Vec<Comment>,
    /// What went wrong in the last charged attempt of this stage, if that is why the stage runs again.
    pub last_failure: Option<String>,
    /// Name and description of the worker types that a plan may name, if the stage may create tickets.
    pub worker_types: Vec<(String, String)>,
    /// How its directory was made ready, and which gates await it.
    pub ready: Ready,
}

impl Store {
    /// Claims the best ticket of the worker's queue: the one that it is to resume, else by priority, then age (see
    /// [`super::turn`]).
    ///
    /// `session` becomes the claude session of a fresh attempt.
    pub async fn claim(
        &self,
        worker: WorkerId,
        pull_id: &str,
        session: String,
        now: Timestamp,
    ) -> Result<Claim> {
        self.claim_but(worker, pull_id, session, &[], now).await
    }

    /// Like [`Store::claim`], without waiting for the worktrees of tickets that are `passed_over`.
    pub async fn claim_but(
        &self,
        worker: WorkerId,
        pull_id: &str,
        session: String,
        passed_over: &[TicketId],
        now: Timestamp,
    ) -> Result<Claim> {
        let (id, passed_over) = (pull_id.to_owned(), passed_over.to_vec());
        let question = {
            let pull = id.clone();
            Box::new(move |sql: &mut QueryBuilder<Sqlite>| seek::push_claiming(sql, worker, &pull))
        };
        let pull = Pull { worker, id, session, passed_over };
        let rules = self.rules();
        let claimed = self
            .writer
            .at(POINTS)
            .ask_then_write(
                Some(question),
                move |connection, found| Box::pin(claim(connection, found, pull, rules, now)),
                Claimed::changed_anything,
            )
            .await?;
        Ok(claimed.into())
    }

    /// Whether a claim by this worker could be granted now. Cheap, and may be wrong a moment later.
    pub async fn has_work(&self, worker: &Worker, passed_over: &[TicketId]) -> Result<bool> {
        let mut connection = self.readers.acquire().await?;
        let mut sql = seek::select_open(worker.id);
        let open: Option<Seeker> = sql.build_query_as().fetch_optional(&mut *connection).await?;
        Ok(match open {
            Some(seeker) if !seeker.is_paused => {
                turn::next(&mut connection, &seeker, passed_over).await?.is_some()
            }
            Some(_) | None => false,
        })
    }
}

/// What a shim asks for.
struct Pull {
    worker: WorkerId,
    /// The number that its shim gave the pull; a repeated number is the same pull.
    id: String,
    /// The claude session of a fresh attempt.
    session: String,
    /// Tickets for whose worktrees the claim does not wait.
    passed_over: Vec<TicketId>,
}

/// A [`Claim`], and whether the search for it changed anything.
enum Claimed {
    Granted(Box<Granted>),
    /// No ticket may begin, and some were put on hold while that was found out.
    Held,
    Nothing,
    Leave,
}

impl Claimed {
    fn changed_anything(&self) -> bool {
        match self {
            Self::Granted(_) | Self::Held => true,
            Self::Nothing | Self::Leave => false,
        }
    }
}

impl From<Claimed> for Claim {
    fn from(claimed: Claimed) -> Self {
        match claimed {
            Claimed::Granted(granted) => Self::Granted(granted),
            Claimed::Held | Claimed::Nothing => Self::Nothing,
            Claimed::Leave => Self::Leave,
        }
    }
}

async fn claim(
    connection: &mut SqliteConnection,
    found: Vec<SqliteRow>,
    pull: Pull,
    rules: Rules,
    now: Timestamp,
) -> Result<Claimed> {
    let worker = pull.worker;
    let Some(found) = found.first() else {
        return Err(Refusal::UnknownWorker { worker }.into());
    };
    let mut found = Claiming::from_row(found)?;
    if let Some(id) = found.repeated {
        return again(connection, worker, AttemptId::from_key(id)).await;
    }
    let seeker = &found.seeker;
    if found.state != WorkerState::Idle.name() {
        return Ok(Claimed::Leave);
    }
    let Some(kind) = worker_type::find(connection, seeker.project(), &seeker.worker_type).await?
    else {
        return Ok(Claimed::Leave);
    };
    if seeker.is_paused || kind.pause.as_ref().is_some_and(Pause::holds_tickets) {
        return Ok(Claimed::Nothing);
    }
    if found.is_crowded(&kind.settings, rules) {
        return Ok(Claimed::Leave);
    }
    let seeker = &mut found.seeker;
    let mut nothing = Claimed::Nothing;
    let (best, budget) = loop {
        let Some(best) = turn::next(connection, seeker, &pull.passed_over).await? else {
            return Ok(nothing);
        };
        if let Some(why) = limits::exhausted(connection, best).await? {
            let ticket = ticket::load(connection, best).await?;
            hold::hold(connection, &ticket, &Hold::new(HoldKind::Limit, why), now).await?;
            nothing = Claimed::Held;
            seeker.forget(best);
            continue;
        }
        let per_attempt = kind.settings.max_budget_usd;
        match accounts::funds(connection, best, per_attempt, rules, now).await? {
            Funds::Granted(budget) => break (best, budget),
            // A limit above the ticket is spent, or all of it is set aside; the dispatcher reports that.
            Funds::Reserved(_) | Funds::Spent(_) => return Ok(nothing),
        }
    };
    let ticket = ticket::load(connection, best).await?;
    // A ticket with a worktree has got its ports with it.
    let count = if ticket.work.is_none() {
        checks::of_ticket(connection, best).await?.worktree.ports
    } else {
        0
    };
    if !ports::take(connection, best, count, &[]).await? {
        hold::hold(connection, &ticket, &kept::without_ports(count), now).await?;
        return Ok(Claimed::Held);
    }
    let resume = ticket.resume.as_ref().map(|hint| hint.claude_session_id.clone());
    let asks_outcome = ticket.resume.as_ref().is_some_and(|hint| hint.asks_outcome);
    let resumed = resume.is_some();
    let stage = ticket.current_stage();
    // There is no other writer meanwhile.
    let attempt = AttemptId::from_key(found.highest + 1);
    put_off::tried(connection, &kind, rules, now).await?;
    let mut sql = QueryBuilder::<Sqlite>::new(
        "INSERT INTO attempt (attempt_id, ticket_id, stage_index, stage, worker_id, pull_id, state, claude_session_id,
                resumed, may_create_tickets, timeout_seconds, granted_at, asks_outcome, budget_usd, budget_of, model)
         VALUES (",
    );
    sql.separated(", ")
        .push_bind(attempt.key())
        .push_bind(best.key())
        .push_bind(i64::try_from(ticket.stage_index).unwrap_or(0))
        .push_bind(stage.as_str())
        .push_bind(worker.key())
        .push_bind(pull.id.as_str())
        .push("'granted'")
        .push_bind(resume.unwrap_or(pull.session))
        .push_bind(resumed)
        .push_bind(kind.settings.may_create_tickets)
        .push_bind(kind.settings.timeout_seconds)
        .push_bind(now.millis())
        .push_bind(asks_outcome)
        .push_bind(budget.map(|(usd, _)| usd))
        .push_bind(budget.map(|(_, of)| of.name()))
        .push_bind(kind.settings.model.as_deref().unwrap_or_default());
    sql.push("); ");
    prepare::push_occupy(&mut sql, best);
    sql.push(
        "; UPDATE ticket
              SET state = 'running', begun = 1, resume_session_id = NULL, resume_worker_id = NULL,
                  resume_asks_outcome = 0, updated_at = ",
    );
    sql.push_bind(now.millis())
        .push(" WHERE state = 'queued' AND ticket_id = ")
        .push_bind(best.key());
    sql.push("; UPDATE worker SET state = 'busy' WHERE state = 'idle' AND worker_id = ");
    sql.push_bind(worker.key()).push("; ");
    let summary = summary::stage_started(worker, &ticket, attempt);
    let event = event::about(&ticket, EventKind::TicketStageStarted, summary);
    let event = NewEvent { attempt: Some(attempt), worker: Some(worker), ..event };
    event::push(&mut sql, event, now);
    sql.build().execute(&mut *connection).await?;
    granted(connection, attempt, kind.settings).await
}

impl Claiming {
    /// Whether more workers are running than may: a lowered limit takes effect at once, for workers that pull more work.
    fn is_crowded(&self, settings: &WorkerTypeSettings, rules: Rules) -> bool {
        // With a limit of 0, no worker of the type is launched by itself, but one that was asked for by name still works.
        let full = |running: i64, most: i64| running >= most.max(1);
        full(self.running_of_type, settings.max_workers)
            || self.project_max_workers.is_some_and(|most| self.running_of_project >= most)
            || full(self.running, rules.max_workers)
    }
}

/// The same pull a second time.
async fn again(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    id: AttemptId,
) -> Result<Claimed> {
    let attempt = attempt::find(connection, id).await?;
    let Some(attempt) = attempt.filter(|a| a.worker == worker) else { return Ok(Claimed::Leave) };
    match attempt.state {
        // It ended before its shim ever saw it. The shim asks again with a new pull.
        AttemptState::Ended(_) => Ok(Claimed::Nothing),
        AttemptState::Granted | AttemptState::Running => {
            let ticket = ticket::load(connection, attempt.ticket).await?;
            let kind =
                worker_type::find(connection, ticket.project, attempt.stage.as_str()).await?;
            match kind {
                Some(kind) => granted(connection, id, kind.settings).await,
                None => Ok(Claimed::Leave),
            }
        }
    }
}

async fn granted(
    connection: &mut SqliteConnection,
    id: AttemptId,
    settings: WorkerTypeSettings,
) -> Result<Claimed> {
    let Some(attempt) = attempt::find(connection, id).await? else { return Ok(Claimed::Nothing) };
    let ticket = ticket::load(connection, attempt.ticket).await?;
    let project = project::load_key(connection, ticket.project).await?;
    let comments = comment::of_ticket(connection, ticket.id).await?;
    let last_failure = last_failure(connection, &ticket, &attempt).await?;
    // The row decides: a type that was changed since the grant would give another schema than the one that the result
    // is judged by.
    let settings =
        WorkerTypeSettings { may_create_tickets: attempt.may_create_tickets, ..settings };
    let worker_types = if settings.may_create_tickets {
        worker_type::described(connection, ticket.project).await?
    } else {
        Vec::new()
    };
    let ready = Ready {
        checks: checks::of_ticket(connection, ticket.id).await?,
        ports: ports::of_ticket(connection, ticket.id).await?,
        copied: checks::kept(connection, ticket.id).await?.and_then(|kept| kept.copied),
    };
    Ok(Claimed::Granted(Box::new(Granted {
        attempt,
        ticket,
        project,
        settings,
        comments,
        last_failure,
        worker_types,
        ready,
    })))
}

/// What the attempt must learn about the one before it.
async fn last_failure(
    connection: &mut SqliteConnection,
    ticket: &Ticket,
    granted: &Attempt,
) -> Result<Option<String>> {
    let told = |failure: &str, detail: &str| format!("{failure}: {detail}");
    if let Some(work) = ask_outcome::asked_about(connection, granted).await? {
        return Ok(Some(told(work.failure.name(), &work.detail)));
    }
    // A stage that was resumed has none left.
    if ticket.attempts_used == 0 {
        return Ok(None);
    }
    // An answer that was refused is closer to what is wanted than the end of the work that it is about.
    let last: Option<(String, String)> = sqlx::query_as(
        "SELECT failure, COALESCE(detail, '') FROM attempt
          WHERE ticket_id = ?1 AND stage_index = ?2 AND attempt_id < ?3
            AND (charged = 1 OR (asks_outcome = 1 AND failure = ?4))
          ORDER BY attempt_id DESC LIMIT 1",
    )
    .bind(ticket.id.key())
    .bind(i64::try_from(granted.stage_index).unwrap_or(0))
    .bind(granted.id.key())
    .bind(Failure::MalformedResult.name())
    .fetch_optional(connection)
    .await?;
    Ok(last.map(|(failure, detail)| told(&failure, &detail)))
}
