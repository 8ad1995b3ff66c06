//! Letting a ticket pass a gate, and running its gates because somebody asks.

use sqlx::SqliteConnection;

use super::check_begin;
use crate::domain::comment::COORDINATOR;
use crate::domain::gates::kind::Phase;
use crate::domain::gates::kind::Step;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::id::TicketId;
use crate::domain::refusal::Refusal;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::checking;
use crate::store::rows::checking::NewChecking;
use crate::store::rows::checks;
use crate::store::rows::ticket;
use crate::store::rows::waiver;
use crate::store::rows::waiver::Waiver;

const WAIVED: faults::Points = faults::points!("server.waive");

const ASKED: faults::Points = faults::points!("server.run_gates");

impl Store {
    /// Lets a ticket pass a gate, whatever the gate finds. If the ticket is on hold for its gates and none of the red
    /// ones is left, its checks continue.
    pub async fn waive_gate(
        &self,
        id: TicketId,
        gate: String,
        reason: String,
        now: Timestamp,
    ) -> Result<Ticket> {
        self.writer
            .at(WAIVED)
            .write(move |connection| Box::pin(waive(connection, id, gate, reason, now)))
            .await
    }

    /// Runs the gates of a ticket that is on hold. If a result of its stage waits and all of them pass, the ticket moves
    /// on; otherwise it goes back on hold.
    pub async fn run_gates(&self, id: TicketId, now: Timestamp) -> Result<Ticket> {
        self.writer.at(ASKED).write(move |connection| Box::pin(run(connection, id, now))).await
    }

    /// The gates that a ticket may pass whatever they find.
    pub async fn waivers(&self, id: TicketId) -> Result<Vec<Waiver>> {
        waiver::of_ticket(&mut *self.readers.acquire().await?, id).await
    }
}

async fn waive(
    connection: &mut SqliteConnection,
    id: TicketId,
    gate: String,
    reason: String,
    now: Timestamp,
) -> Result<Ticket> {
    let found = ticket::load(connection, id).await?;
    if let TicketState::Closed { resolution, .. } = found.state {
        return Err(Refusal::TicketClosed { ticket: id, resolution }.into());
    }
    let settings = checks::of_ticket(connection, id).await?;
    if settings.gate(&gate).is_none() {
        let known = settings.gates.iter().map(|gate| gate.name.clone()).collect();
        return Err(Refusal::UnknownGate { ticket: id, given: gate, known }.into());
    }
    sqlx::query(
        "INSERT INTO gate_waiver (ticket_id, gate, reason, author, waived_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (ticket_id, gate) DO UPDATE SET reason = excluded.reason, waived_at = excluded.waived_at",
    )
    .bind(id.key())
    .bind(&gate)
    .bind(&reason)
    .bind(COORDINATOR)
    .bind(now.millis())
    .execute(&mut *connection)
    .await?;
    let waived = waiver::of_ticket(connection, id).await?;
    let is_waived = |gate: &str| waived.iter().any(|waiver| waiver.gate == gate);
    if let Some(checking) = checking::find(connection, id).await?
        && checking.step == Step::Held
        && let TicketState::OnHold(Hold { kind: HoldKind::Gate, .. }) = found.state
    {
        let is_red = checking.gates.iter().any(|gate| {
            gate.verdict.is_none_or(|verdict| !verdict.passes()) && !is_waived(&gate.gate)
        });
        if !is_red {
            check_begin::again(connection, &found, &checking, now).await?;
        }
    }
    ticket::load(connection, id).await
}

async fn run(connection: &mut SqliteConnection, id: TicketId, now: Timestamp) -> Result<Ticket> {
    let found = ticket::load(connection, id).await?;
    let hold = match &found.state {
        TicketState::OnHold(hold) => hold.clone(),
        TicketState::Closed { resolution, .. } => {
            return Err(Refusal::TicketClosed { ticket: id, resolution: *resolution }.into());
        }
        TicketState::Blocked
        | TicketState::Scheduled { .. }
        | TicketState::Queued
        | TicketState::Running => {
            return Err(Refusal::TicketNotOnHold { ticket: id, state: found.state.name() }.into());
        }
    };
    let settings = checks::of_ticket(connection, id).await?;
    if settings.gates.is_empty() || found.work.as_ref().is_some_and(|work| work.removed) {
        return Err(Refusal::NoGates { ticket: id }.into());
    }
    let before = checking::find(connection, id).await?;
    let before = before.filter(|before| before.phase != Phase::Setup);
    if let Some(landing) = before.as_ref().filter(|before| before.phase == Phase::Landing) {
        check_begin::again(connection, &found, landing, now).await?;
        return ticket::load(connection, id).await;
    }
    check_begin::run(connection, id, now).await?;
    let new = NewChecking {
        phase: Phase::Asked,
        step: Step::Plan,
        commit: None,
        onto: None,
        attempt: before.as_ref().and_then(|before| before.attempt),
        result: before.as_ref().and_then(|before| before.result.as_ref()),
        hold: Some(&hold),
    };
    checking::begin(connection, id, new, now).await?;
    ticket::load(connection, id).await
}
