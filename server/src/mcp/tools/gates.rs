//! Gates: `run_gates` and `waive_gate`, and how `get_ticket` shows them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::attempt::Attempt;
use crate::domain::attempt::AttemptState;
use crate::domain::checks::Gate;
use crate::domain::checks::Stages;
use crate::domain::id::TicketId;
use crate::domain::text;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::service::id;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::store::Waiver;
use crate::wire::gate::CopiedView;
use crate::wire::gate::GateView;
use crate::wire::gate::WaivedView;
use crate::wire::ticket::TicketView;

/// How long the reason of a waiver may be, in characters.
const REASON_CHARS: usize = 1000;

pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            "run_gates",
            "Run a ticket's gates",
            Effect::Adds,
            "Runs the gates of a ticket that is on hold, at its accepted commit. If its stage was completed and all gates \
             pass, the ticket moves on; otherwise it goes back on hold. Returns at once, with the ticket; get_ticket shows \
             what the gates found, and gate_passed and gate_failed tell of it.",
            run,
        ),
        Tool::new(
            "waive_gate",
            "Let a ticket pass a gate",
            Effect::Settles,
            "Lets a ticket pass one of its gates, whatever the gate finds; who did it and why is recorded. If the ticket is \
             on hold for its gates and no other one is red, it moves on. Use it for a failure that is not this ticket's to \
             fix. Returns the ticket.",
            waive,
        ),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Run {
    /// The ticket's id, such as T-42.
    ticket_id: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Waive {
    /// The ticket's id, such as T-42.
    ticket_id: String,
    /// The name of the gate.
    gate: String,
    /// Why this ticket may pass it.
    reason: String,
}

async fn run(service: Service, given: Run) -> Result<TicketView> {
    let ticket = id("ticket_id", &given.ticket_id)?;
    Ok(service.store.run_gates(ticket, service.now()).await?.into())
}

async fn waive(service: Service, given: Waive) -> Result<TicketView> {
    let ticket = id("ticket_id", &given.ticket_id)?;
    let reason = text::required("reason", &given.reason)?;
    let reason = text::shortened(reason.trim(), REASON_CHARS);
    Ok(service.store.waive_gate(ticket, given.gate, reason, service.now()).await?.into())
}

/// The gates of a ticket with this plan, each with what it found last.
pub(super) async fn of_ticket(
    service: &Service,
    ticket: TicketId,
    plan: &[String],
) -> Result<Vec<GateView>> {
    let gates = service.store.checks_of(ticket).await?.gates;
    if gates.is_empty() {
        return Ok(Vec::new());
    }
    let attempts = service.store.gates_of(ticket).await?;
    let waivers = service.store.waivers(ticket).await?;
    let one = |gate: Gate| {
        let idle = idle(&gate, plan);
        let view = view(gate, &attempts, &waivers);
        if view.attempt_id.is_some() { view } else { GateView { note: idle, ..view } }
    };
    Ok(gates.into_iter().map(one).collect())
}

/// Why a gate never runs for a ticket: a wrong name among its stages would otherwise look as if all were well.
fn idle(gate: &Gate, plan: &[String]) -> Option<String> {
    let Stages::Named(named) = &gate.stages else { return None };
    if named.iter().any(|name| plan.contains(name)) {
        return None;
    }
    if named.is_empty() {
        return Some("It runs after no stage; it runs only when somebody asks.".to_owned());
    }
    Some(format!(
        "It never runs here: it is for {}, and this ticket's plan has no such stage.",
        named.join(", ")
    ))
}

/// What was copied into the ticket's worktree.
pub(super) async fn copied(service: &Service, ticket: TicketId) -> Result<Option<CopiedView>> {
    let kept = service.store.kept_checks(ticket).await?;
    Ok(kept.and_then(|kept| kept.copied).map(|copied| CopiedView {
        files: copied.files,
        bytes: copied.bytes,
        left: copied.left,
    }))
}

/// The seconds from the start of an attempt's command to its end, once it has ended.
fn took(attempt: &Attempt) -> Option<f64> {
    let AttemptState::Ended(ended) = &attempt.state else { return None };
    let millis = ended.at.millis().saturating_sub(attempt.started_at?.millis());
    Some(Duration::from_millis(u64::try_from(millis).ok()?).as_secs_f64())
}

/// `attempts` are those of the ticket, newest first.
fn view(gate: Gate, attempts: &[Attempt], waivers: &[Waiver]) -> GateView {
    let last = attempts.iter().find_map(|attempt| {
        let check = attempt.check.as_ref()?;
        (check.gate.as_ref() == Some(&gate.name) && !check.is_base).then_some((attempt, check))
    });
    let waived = waivers.iter().find(|waiver| waiver.gate == gate.name);
    let verdict = last.and_then(|(_, check)| check.verdict);
    let is_red = verdict.is_some_and(|verdict| !verdict.passes());
    GateView {
        verdict: verdict.map(|verdict| verdict.name().to_owned()),
        commit: last.and_then(|(_, check)| check.commit.clone()),
        attempt_id: last.map(|(attempt, _)| attempt.id.to_string()),
        wall_seconds: last.and_then(|(attempt, _)| took(attempt)),
        peak_memory_bytes: last.and_then(|(attempt, _)| attempt.spent.peak_memory_bytes),
        note: last.and_then(|(_, check)| check.note.clone()),
        output: last.filter(|_| is_red).map(|(_, check)| check.tail.clone()),
        waived: waived.map(|waiver| WaivedView {
            reason: waiver.reason.clone(),
            author: waiver.author.clone(),
            at: waiver.at.to_string(),
        }),
        gate: gate.name,
        command: gate.command,
    }
}
