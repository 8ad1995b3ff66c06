//! Changes a ticket that is not closed: its texts, its priority, its limit, and the stages that have not begun.

use sqlx::SqliteConnection;

use super::create;
use crate::domain::event::EventKind;
use crate::domain::id::TicketId;
use crate::domain::refusal::Refusal;
use crate::domain::summary;
use crate::domain::text::Name;
use crate::domain::ticket::Plan;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketChange;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::row;
use crate::store::db::store::Store;
use crate::store::rows::event;
use crate::store::rows::project;
use crate::store::rows::ticket;
use crate::store::rows::worker_type;

impl Store {
    /// Changes a ticket in whatever open state it is in. A running attempt keeps what it was given; the next one gets
    /// the new texts.
    pub async fn update_ticket(
        &self,
        id: TicketId,
        change: TicketChange,
        now: Timestamp,
    ) -> Result<Ticket> {
        self.writer.write(move |connection| Box::pin(update(connection, id, change, now))).await
    }
}

async fn update(
    connection: &mut SqliteConnection,
    id: TicketId,
    change: TicketChange,
    now: Timestamp,
) -> Result<Ticket> {
    let found = ticket::load(connection, id).await?;
    if let TicketState::Closed { resolution, .. } = found.state {
        return Err(Refusal::TicketClosed { ticket: id, resolution }.into());
    }
    let mut changed = Vec::new();
    let mut note = |what: &'static str, differs: bool| {
        if differs {
            changed.push(what);
        }
    };
    note("title", change.title.as_ref().is_some_and(|title| *title != found.title));
    note("description", change.description.as_ref().is_some_and(|text| *text != found.description));
    note("priority", change.priority.is_some_and(|priority| priority != found.priority));
    note("execution_plan", change.plan.as_ref().is_some_and(|plan| *plan != found.plan));
    note(
        "max_budget_usd",
        change.max_budget_usd.is_some_and(|limit| limit != found.max_budget_usd),
    );
    if changed.is_empty() {
        return Ok(found);
    }
    if let Some(plan) = change.plan.filter(|plan| *plan != found.plan) {
        replan(connection, &found, &plan).await?;
    }
    let limit = change.max_budget_usd.unwrap_or(found.max_budget_usd);
    sqlx::query(
        "UPDATE ticket
            SET title = COALESCE(?2, title), planned_title = planned_title AND ?2 IS NULL,
                description = COALESCE(?3, description), planned_description = planned_description AND ?3 IS NULL,
                priority = COALESCE(?4, priority), max_budget_usd = ?5, updated_at = ?6
          WHERE ticket_id = ?1 AND state <> 'closed'",
    )
    .bind(id.key())
    .bind(change.title)
    .bind(change.description)
    .bind(change.priority.map(crate::domain::ticket::Priority::rank))
    .bind(limit)
    .bind(now.millis())
    .execute(&mut *connection)
    .await?;
    let updated = ticket::load(connection, id).await?;
    let summary = summary::ticket_changed(id, &changed);
    let event = event::about(&updated, EventKind::TicketUpdated, summary);
    event::append(connection, event, now).await?;
    Ok(updated)
}

/// Replaces the part of a plan that has not begun.
async fn replan(connection: &mut SqliteConnection, found: &Ticket, plan: &Plan) -> Result<()> {
    let tried: Option<i64> = sqlx::query_scalar(
        "SELECT 1 FROM attempt WHERE ticket_id = ?1 AND stage_index = ?2 LIMIT 1",
    )
    .bind(found.id.key())
    .bind(i64::try_from(found.stage_index).unwrap_or(0))
    .fetch_optional(&mut *connection)
    .await?;
    // A current stage that has not begun may still be replaced.
    let begun = found.stage_index + usize::from(tried.is_some());
    let fixed = &found.plan.stages()[..begun];
    if plan.stages().len() < begun.max(found.stage_index + 1) || plan.stages()[..begun] != *fixed {
        let names = |stages: &[Name]| stages.iter().map(Name::to_string).collect();
        return Err(Refusal::StagesBegun {
            ticket: found.id,
            begun: names(&found.plan.stages()[..begun.max(found.stage_index)]),
            given: names(plan.stages()),
        }
        .into());
    }
    if let Some(unknown) = create::unknown_stage(connection, found.project, plan).await? {
        let known = worker_type::names(connection, found.project).await?;
        let project = project::load_key(connection, found.project).await?.name.into_string();
        let worker_type = unknown.as_str().to_owned();
        return Err(Refusal::UnknownWorkerType { project, worker_type, known }.into());
    }
    sqlx::query("DELETE FROM ticket_stage WHERE ticket_id = ?1")
        .bind(found.id.key())
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO ticket_stage (ticket_id, stage_index, worker_type)
         SELECT ?1, key, value FROM json_each(?2)",
    )
    .bind(found.id.key())
    .bind(row::json_list(&plan.stages().iter().map(Name::as_str).collect::<Vec<_>>()))
    .execute(&mut *connection)
    .await?;
    // The copy from which queues are read.
    sqlx::query("UPDATE ticket SET current_stage = ?2 WHERE ticket_id = ?1")
        .bind(found.id.key())
        .bind(plan.stage(found.stage_index).as_str())
        .execute(connection)
        .await?;
    Ok(())
}
