//! Moving a ticket after a stage: what [`crate::domain::pipeline`] decided, as rows.

use sqlx::SqliteConnection;

use super::check_begin;
use super::close;
use super::create_planned;
use super::hold;
use super::land;
use super::say;
use crate::domain::event::EventKind;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::outcome::StageOutcome;
use crate::domain::outcome::StageResult;
use crate::domain::pipeline;
use crate::domain::pipeline::Move;
use crate::domain::pipeline::Place;
use crate::domain::pipeline::Policy;
use crate::domain::refusal::Refusal;
use crate::domain::summary;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::checking;
use crate::store::rows::event;
use crate::store::rows::event::By;
use crate::store::rows::protection;
use crate::store::rows::protection::Protection;
use crate::store::rows::ticket;
use crate::store::rows::worker_type;

const COMPLETE: faults::Points = faults::points!("server.complete_stage");

/// Stores the report of a completed stage and moves the ticket, all in the caller's transaction.
pub(crate) async fn stage_done(
    connection: &mut SqliteConnection,
    found: &Ticket,
    by: By,
    result: &StageResult,
    to: Move,
    now: Timestamp,
) -> Result<()> {
    say::report(connection, found, by, result, now).await?;
    done(connection, found, by, result, to, now).await
}

/// Moves the ticket after a stage whose report is stored.
pub(crate) async fn done(
    connection: &mut SqliteConnection,
    found: &Ticket,
    by: By,
    result: &StageResult,
    to: Move,
    now: Timestamp,
) -> Result<()> {
    let kind = match &to {
        Move::SendBack { .. } => EventKind::TicketSentBack,
        Move::Advance { .. }
        | Move::Close
        | Move::Hold(_)
        | Move::Requeue { .. }
        | Move::Retry { .. } => EventKind::TicketStageCompleted,
    };
    let summary = summary::stage_completed(found, &to);
    // A stage that asks a question is not completed; the hold says everything.
    if matches!(result.outcome, StageOutcome::Completed) || matches!(to, Move::SendBack { .. }) {
        event::append(connection, by.sign(event::about(found, kind, summary)), now).await?;
    }
    if let By::Attempt(attempt, worker) = by {
        // Before the move: a ticket that waits for this very ticket is unblocked by its close like any other.
        create_planned::create(connection, found, (attempt, worker), &result.tickets, now).await?;
    }
    apply(connection, found, by, to, now).await
}

/// Stores the move of a ticket. The caller knows that the ticket is open and still where `found` says.
pub(crate) async fn apply(
    connection: &mut SqliteConnection,
    found: &Ticket,
    by: By,
    to: Move,
    now: Timestamp,
) -> Result<()> {
    match to {
        Move::Close => {
            if let Protection::Undecided(why) = protection::of_ticket(connection, found.id).await? {
                return hold::at_its_stage(connection, found, by, &why, now).await;
            }
            if land::begin_landing(connection, found.id, now).await? {
                return Ok(());
            }
            close::finish(connection, found, Resolution::Completed, now).await
        }
        Move::Advance { stage_index } => enter(connection, found, stage_index, 0, now).await,
        Move::SendBack { stage_index } => enter(connection, found, stage_index, 1, now).await,
        Move::Requeue { .. } => {
            let waiting = Waiting { state: "queued", not_before: None, deferred: false };
            set_waiting(connection, found, waiting, now).await
        }
        Move::Retry { not_before, deferred, .. } => {
            let waiting =
                Waiting { state: "scheduled", not_before: Some(not_before.millis()), deferred };
            set_waiting(connection, found, waiting, now).await
        }
        Move::Hold(why) => hold::at_its_stage(connection, found, by, &why, now).await,
    }
}

/// Puts the ticket into the queue of another stage and begins to count its attempts anew.
async fn enter(
    connection: &mut SqliteConnection,
    found: &Ticket,
    stage_index: usize,
    laps: i64,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE ticket
            SET state = 'queued', begun = 1, stage_index = ?2, current_stage = ?3, attempts_used = 0, deferrals = 0, strikes = 0,
                rework_laps = rework_laps + ?4, gate_failures = 0, gate_message = NULL, gate_fingerprint = NULL, hold_reason = NULL, hold_kind = NULL, held_at = NULL, not_before = NULL, resume_session_id = NULL,
                resume_worker_id = NULL, resume_asks_outcome = 0, updated_at = ?5
          WHERE ticket_id = ?1 AND state <> 'closed'",
    )
    .bind(found.id.key())
    .bind(i64::try_from(stage_index).unwrap_or(0))
    .bind(found.plan.stage(stage_index).as_str())
    .bind(laps)
    .bind(now.millis())
    .execute(&mut *connection)
    .await?;
    sqlx::query("UPDATE worktree SET stage_commit = head_commit WHERE ticket_id = ?1")
        .bind(found.id.key())
        .execute(&mut *connection)
        .await?;
    let stage = found.plan.stage(stage_index);
    if worker_type::find(connection, found.project, stage.as_str()).await?.is_none() {
        // It would wait for a worker that cannot be started.
        let moved = ticket::load(connection, found.id).await?;
        let why = Hold::without_worker_type(stage);
        hold::hold(connection, &moved, &why, now).await?;
    }
    Ok(())
}

struct Waiting {
    state: &'static str,
    not_before: Option<i64>,
    deferred: bool,
}

/// Leaves the ticket at its stage, in the queue or scheduled for it.
async fn set_waiting(
    connection: &mut SqliteConnection,
    found: &Ticket,
    to: Waiting,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE ticket
            SET state = ?2, hold_reason = NULL, hold_kind = NULL, held_at = NULL, not_before = ?3, deferrals = deferrals + ?4,
                resume_session_id = NULL, resume_worker_id = NULL, resume_asks_outcome = 0, updated_at = ?5
          WHERE ticket_id = ?1 AND state <> 'closed'",
    )
    .bind(found.id.key())
    .bind(to.state)
    .bind(to.not_before)
    .bind(i64::from(to.deferred))
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// The coordinator's own completion of a stage that no worker is running.
    pub async fn complete_stage(
        &self,
        id: TicketId,
        stage: &str,
        result: StageResult,
        now: Timestamp,
    ) -> Result<Ticket> {
        let stage = stage.to_owned();
        let policy = self.rules().policy;
        self.writer
            .at(COMPLETE)
            .write(move |connection| Box::pin(complete(connection, id, stage, result, policy, now)))
            .await
    }
}

async fn complete(
    connection: &mut SqliteConnection,
    id: TicketId,
    stage: String,
    result: StageResult,
    policy: Policy,
    now: Timestamp,
) -> Result<Ticket> {
    let found = ticket::load(connection, id).await?;
    if let TicketState::Closed { resolution, .. } = found.state {
        return Err(Refusal::TicketClosed { ticket: id, resolution }.into());
    }
    if found.current_stage().as_str() != stage {
        let current = found.current_stage().as_str().to_owned();
        return Err(Refusal::StageNotCurrent { ticket: id, given: stage, current }.into());
    }
    if let TicketState::Running = found.state {
        let live: Option<(i64, i64)> = sqlx::query_as(
            "SELECT attempt_id, worker_id FROM attempt WHERE ticket_id = ?1 AND state <> 'ended'",
        )
        .bind(id.key())
        .fetch_optional(&mut *connection)
        .await?;
        let Some((attempt, worker)) = live else {
            return Err(check_begin::busy(connection, id).await?.into());
        };
        let (attempt, worker) = (AttemptId::from_key(attempt), WorkerId::from_key(worker));
        return Err(Refusal::TicketRunning { ticket: id, attempt, worker }.into());
    }
    let by = ticket::open_dependencies(connection, id).await?;
    if let (TicketState::Blocked, false) = (&found.state, by.is_empty()) {
        let by = by.into_iter().map(|(ticket, _)| ticket).collect();
        return Err(Refusal::TicketBlocked { ticket: id, by }.into());
    }
    if let StageOutcome::Rework { stage: target } = &result.outcome {
        check_rework(&found, target.as_deref())?;
    }
    let place =
        Place { plan: &found.plan, stage_index: found.stage_index, rework_laps: found.rework_laps };
    let to = pipeline::after_stage(place, &result, &policy);
    let decides =
        matches!(&found.state, TicketState::OnHold(why) if why.kind == HoldKind::Decision);
    if decides && matches!(result.outcome, StageOutcome::Completed) {
        protection::agree(connection, id, now).await?;
    }
    if check_begin::stage(connection, &found, By::Coordinator, &result, &to, now).await? {
        return ticket::load(connection, id).await;
    }
    checking::end(connection, id).await?;
    stage_done(connection, &found, By::Coordinator, &result, to, now).await?;
    ticket::load(connection, id).await
}

/// The coordinator can correct a wrong stage at once, so the call is refused instead of the ticket put on hold.
fn check_rework(found: &Ticket, target: Option<&str>) -> std::result::Result<(), Refusal> {
    let known = match target {
        Some(stage) => found.plan.earlier(stage, found.stage_index).is_some(),
        None => found.stage_index > 0,
    };
    if known {
        return Ok(());
    }
    let mut earlier: Vec<String> = Vec::new();
    for stage in &found.plan.stages()[..found.stage_index] {
        if !earlier.iter().any(|name| name == stage.as_str()) {
            earlier.push(stage.as_str().to_owned());
        }
    }
    let given = target.unwrap_or("the stage before").to_owned();
    Err(Refusal::NotAnEarlierStage { ticket: found.id, given, earlier })
}
