//! Sends a ticket that is on hold back to its queue.

use sqlx::SqliteConnection;

use crate::domain::event::EventKind;
use crate::domain::hold::HoldKind;
use crate::domain::id::TicketId;
use crate::domain::refusal::Refusal;
use crate::domain::summary;
use crate::domain::ticket::Plan;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::comment;
use crate::store::rows::comment::NewComment;
use crate::store::rows::event;
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
        self.writer
            .at(RESUME)
            .write(move |connection| Box::pin(resume(connection, id, stage, comment, now)))
            .await
    }
}

async fn resume(
    connection: &mut SqliteConnection,
    id: TicketId,
    stage: Option<String>,
    comment: Option<String>,
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
    let blocked = !ticket::open_dependencies(connection, id).await?.is_empty();
    sqlx::query(
        "UPDATE ticket
            SET state = ?2, hold_reason = NULL, hold_kind = NULL, held_at = NULL, stage_index = ?3, current_stage = ?4, attempts_used = 0,
                deferrals = 0, strikes = 0, resume_session_id = CASE WHEN ?6 THEN resume_session_id END,
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
    .execute(&mut *connection)
    .await?;
    let resumed = ticket::load(connection, id).await?;
    let summary = summary::ticket_resumed(&resumed);
    event::append(connection, event::about(&resumed, EventKind::TicketResumed, summary), now)
        .await?;
    Ok(resumed)
}
