//! Sends a ticket that is on hold back to its queue.

use sqlx::SqliteConnection;

use super::check_begin;
use super::complete;
use crate::domain::checks::Kept;
use crate::domain::event::EventKind;
use crate::domain::gates::kind::Phase;
use crate::domain::gates::kind::Step;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::id::TicketId;
use crate::domain::pipeline::Move;
use crate::domain::refusal::Refusal;
use crate::domain::summary;
use crate::domain::ticket::Plan;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::checking;
use crate::store::rows::checking::Checking;
use crate::store::rows::checks;
use crate::store::rows::comment;
use crate::store::rows::comment::NewComment;
use crate::store::rows::event;
use crate::store::rows::event::By;
use crate::store::rows::protection;
use crate::store::rows::ticket;
use crate::store::rows::worker_type;

const RESUME: faults::Points = faults::points!("server.resume_ticket");

/// The stage at which a ticket resumes: the named one nearest before or at the current one, else the next after it.
fn resume_at(plan: &Plan, at: usize, stage: &str) -> Option<usize> {
    plan.earlier(stage, at + 1)
        .or_else(|| plan.stages().iter().position(|name| name.as_str() == stage))
}

/// Whether a comment was given that says nothing.
fn is_blank(comment: Option<&str>) -> bool {
    comment.is_some_and(|comment| comment.trim().is_empty())
}

impl Store {
    /// Sends a ticket that is on hold back to its queue and begins to count its attempts anew.
    pub async fn resume_ticket(
        &self,
        id: TicketId,
        stage: Option<String>,
        comment: Option<String>,
        now: Timestamp,
    ) -> Result<Ticket> {
        self.resume_ticket_with(id, stage, comment, None, now).await
    }

    /// The same, with what the file in the project's directory says by now, for a ticket that was held for it.
    pub async fn resume_ticket_with(
        &self,
        id: TicketId,
        stage: Option<String>,
        comment: Option<String>,
        file: Option<Kept>,
        now: Timestamp,
    ) -> Result<Ticket> {
        self.writer
            .at(RESUME)
            .write(move |connection| Box::pin(resume(connection, id, stage, comment, file, now)))
            .await
    }
}

async fn resume(
    connection: &mut SqliteConnection,
    id: TicketId,
    stage: Option<String>,
    comment: Option<String>,
    file: Option<Kept>,
    now: Timestamp,
) -> Result<Ticket> {
    let found = ticket::load(connection, id).await?;
    match found.state {
        TicketState::OnHold(hold)
            if hold.kind == HoldKind::Question && is_blank(comment.as_deref()) =>
        {
            let allowed = "an answer, or left out to continue without one";
            return Err(Refusal::invalid("comment", "", allowed).into());
        }
        TicketState::OnHold(_) => {}
        TicketState::Closed { resolution, .. } => {
            return Err(Refusal::TicketClosed { ticket: id, resolution }.into());
        }
        TicketState::Blocked
        | TicketState::Scheduled { .. }
        | TicketState::Queued
        | TicketState::Running => {
            return Err(Refusal::TicketNotOnHold { ticket: id, state: found.state.name() }.into());
        }
    }
    let named = stage.is_some();
    if let TicketState::OnHold(why) = &found.state
        && why.kind == HoldKind::Decision
        && !named
    {
        return agree(connection, &found, comment, now).await;
    }
    let at = match stage {
        None => found.stage_index,
        Some(stage) => resume_at(&found.plan, found.stage_index, &stage).ok_or_else(|| {
            let plan = found.plan.stages().iter().map(|s| s.as_str().to_owned()).collect();
            Refusal::NotInPlan { ticket: id, given: stage, plan }
        })?,
    };
    // A stage that a limit cut off continues in its session; a stage that the call names begins anew.
    let goes_on = !named && found.resume.is_some();
    let next = found.plan.stage(at).as_str();
    if worker_type::find(connection, found.project, next).await?.is_none() {
        let known = worker_type::names(connection, found.project).await?;
        let (project, worker_type) = (found.project_name.into_string(), next.to_owned());
        return Err(Refusal::UnknownWorkerType { project, worker_type, known }.into());
    }
    if let Some(content) = comment.filter(|content| !is_blank(Some(content))) {
        comment::insert(connection, NewComment::coordinator(id, &content), now).await?;
    }
    if let Some(kept) = file {
        checks::keep(connection, id, &kept).await?;
    }
    let checking = checking::find(connection, id).await?;
    if let Some(checking) = checking.filter(|checking| !named && goes_on_with(&found, checking)) {
        check_begin::again(connection, &found, &checking, now).await?;
        return resumed(connection, id, now).await;
    }
    checking::end(connection, id).await?;
    let blocked = !ticket::open_dependencies(connection, id).await?.is_empty();
    sqlx::query(
        "UPDATE ticket
            SET state = ?2, hold_reason = NULL, hold_kind = NULL, held_at = NULL, stage_index = ?3, current_stage = ?4, attempts_used = 0,
                deferrals = 0, strikes = 0, gate_failures = 0, gate_fingerprint = NULL,
                gate_message = CASE WHEN ?7 THEN gate_message END, resume_session_id = CASE WHEN ?6 THEN resume_session_id END,
                resume_worker_id = CASE WHEN ?6 THEN resume_worker_id END,
                resume_asks_outcome = CASE WHEN ?6 THEN resume_asks_outcome ELSE 0 END, updated_at = ?5
          WHERE ticket_id = ?1 AND state = 'on_hold'",
    )
    .bind(id.key())
    .bind(if blocked { "blocked" } else { "queued" })
    .bind(i64::try_from(at).unwrap_or(0))
    .bind(found.plan.stage(at).as_str())
    .bind(now.millis())
    .bind(goes_on)
    .bind(!named)
    .execute(&mut *connection)
    .await?;
    resumed(connection, id, now).await
}

/// Whether the checks of a ticket were only stopped, so that they continue. After a red gate it is the agent that does.
fn goes_on_with(found: &Ticket, checking: &Checking) -> bool {
    let is_red = matches!(&found.state, TicketState::OnHold(Hold { kind: HoldKind::Gate, .. }));
    let is_held = checking.step == Step::Held && !is_red;
    is_held && (checking.result.is_some() || checking.phase == Phase::Landing)
}

async fn resumed(
    connection: &mut SqliteConnection,
    id: TicketId,
    now: Timestamp,
) -> Result<Ticket> {
    let resumed = ticket::load(connection, id).await?;
    let summary = summary::ticket_resumed(&resumed);
    event::append(connection, event::about(&resumed, EventKind::TicketResumed, summary), now)
        .await?;
    Ok(resumed)
}

/// Agrees to what a completed ticket changes: it lands, or closes.
async fn agree(
    connection: &mut SqliteConnection,
    found: &Ticket,
    comment: Option<String>,
    now: Timestamp,
) -> Result<Ticket> {
    if let Some(content) = comment.filter(|content| !is_blank(Some(content))) {
        comment::insert(connection, NewComment::coordinator(found.id, &content), now).await?;
    }
    protection::agree(connection, found.id, now).await?;
    let summary = summary::ticket_agreed(found.id);
    event::append(connection, event::about(found, EventKind::TicketResumed, summary), now).await?;
    // Its plan may have got more stages while it waited.
    let next = found.stage_index + 1;
    let to = if next < found.plan.stages().len() {
        Move::Advance { stage_index: next }
    } else {
        Move::Close
    };
    complete::apply(connection, found, By::Coordinator, to, now).await?;
    ticket::load(connection, found.id).await
}
