//! What a ticket's wait depends on, read with the ticket: one statement sees one moment, and a queue of a hundred
//! tickets costs as much as one ticket.

use serde::Deserialize;
use sqlx::FromRow;

use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::limits;
use crate::domain::limits::Funds;
use crate::domain::ticket::LiveAttempt;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::waiting::Brakes;
use crate::domain::waiting::CheckWait;
use crate::domain::waiting::QueueSurroundings;
use crate::domain::waiting::Surroundings;
use crate::domain::worker_type::Pause;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::db::row::Place;
use crate::store::db::store::Rules;
use crate::store::money::accounts;
use crate::store::money::accounts::AccountsRow;
use crate::store::money::accounts::FamilyRow;
use crate::store::rows::pause;
use crate::store::rows::pause::PauseRow;
use crate::store::rows::worker_type;

/// The columns of the view `ticket_surroundings` beside those of a ticket, and of [`accounts::push_today`].
#[derive(FromRow)]
pub(crate) struct SurroundingsRow {
    open_dependencies: Option<String>,
    live: Option<String>,
    checks: Option<String>,
    /// Only where it is asked for, see [`LANDS_AFTER`].
    #[sqlx(default)]
    lands_after: Option<i64>,
    failed: Option<String>,
    typed_stages: Option<String>,
    pauses: Option<String>,
    queue: Option<String>,
    per_attempt: Option<f64>,
    per_ticket: Option<f64>,
    #[sqlx(flatten)]
    family: FamilyRow,
    #[sqlx(flatten)]
    above: AccountsRow,
}

/// The column of a statement over `ticket_surroundings t`: of a ticket that waits for others to land, the one in front of it.
pub(crate) const LANDS_AFTER: &str = "
    (SELECT o.ticket_id
       FROM worktree o
      CROSS JOIN ticket u ON u.ticket_id = o.ticket_id
      WHERE t.landing = 1 AND t.state = 'running' AND o.landing = 1 AND u.state = 'running'
        AND o.repository = t.repository AND o.base_branch IS t.base_branch
        AND (COALESCE(o.landing_since, 0), o.ticket_id)
          < ((SELECT COALESCE(k.landing_since, 0) FROM worktree k WHERE k.ticket_id = t.ticket_id), t.ticket_id)
      ORDER BY o.landing_since DESC, o.ticket_id DESC LIMIT 1) AS lands_after";

#[derive(Deserialize)]
struct Live {
    attempt: i64,
    worker: i64,
    granted_at: i64,
    #[serde(deserialize_with = "row::flag")]
    suspect: bool,
    trouble: Option<String>,
    kind: String,
    gate: Option<String>,
    #[serde(deserialize_with = "row::flag")]
    is_base: bool,
}

#[derive(Deserialize)]
struct Checks {
    phase: String,
    step: String,
    gate: Option<String>,
    #[serde(deserialize_with = "row::flag")]
    has_network: bool,
    #[serde(deserialize_with = "row::flag")]
    paused: bool,
    running: i64,
}

#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Queue {
    paused_at: Option<i64>,
    pause_reason: Option<String>,
    #[serde(deserialize_with = "row::flag")]
    paused_by_hand: bool,
    pause_cause: Option<String>,
    pause_until: Option<i64>,
    #[serde(deserialize_with = "row::flag")]
    auto_spawn: bool,
    max_workers: i64,
    project_max_workers: Option<i64>,
    workers: i64,
    free_workers: i64,
    idle_workers: i64,
    project_workers: i64,
    server_workers: i64,
    busy: Vec<(i64, i64)>,
    ahead: i64,
    #[serde(deserialize_with = "row::flag")]
    directory_taken: bool,
    #[serde(deserialize_with = "row::flag")]
    unprepared: bool,
}

impl SurroundingsRow {
    /// The surroundings of the ticket whose row this is part of.
    pub(crate) fn of(self, ticket: &Ticket, rules: Rules) -> Result<Surroundings, StoreError> {
        let place = Place { table: "ticket", key: ticket.id.key() };
        let open: Vec<(i64, String)> =
            place.json(self.open_dependencies.as_deref(), "open_dependencies")?.unwrap_or_default();
        let live: Option<Live> = place.json(self.live.as_deref(), "live")?;
        let checks: Option<Checks> = place.json(self.checks.as_deref(), "checks")?;
        let checks = checks.map(|checks| {
            Ok::<_, StoreError>(CheckWait {
                phase: place.named(&checks.phase, "phase")?,
                step: place.named(&checks.step, "step")?,
                gate: checks.gate,
                has_network: checks.has_network,
                is_paused: checks.paused,
                has_room: checks.running < rules.max_gates,
            })
        });
        let failed: Option<(i64, Option<String>)> = place.json(self.failed.as_deref(), "failed")?;
        let typed: Option<Vec<String>> =
            place.json(self.typed_stages.as_deref(), "typed_stages")?;
        let pauses: Vec<PauseRow> =
            place.json(self.pauses.as_deref(), "pauses")?.unwrap_or_default();
        let queue: Option<Queue> = place.json(self.queue.as_deref(), "queue")?;
        let failed = match failed {
            Some((id, Some(failure))) => {
                let failure = place.named(&failure, "failure")?;
                Some((AttemptId::from_key(id), failure))
            }
            Some((_, None)) | None => None,
        };
        let known = |state: &str| TicketState::NAMES.into_iter().find(|name| *name == state);
        let mut accounts = self.above.accounts();
        accounts.extend(accounts::of_ticket(
            ticket.max_budget_usd,
            self.per_ticket,
            ticket.cost_usd + ticket.assumed_usd,
        ));
        accounts.extend(self.family.account().map(|(_, account)| account));
        let reserved = match limits::funds(self.per_attempt, &accounts) {
            Funds::Reserved(limit) if queue.is_some() => Some(limit),
            Funds::Reserved(_) | Funds::Granted(_) | Funds::Spent(_) => None,
        };
        Ok(Surroundings {
            open_dependencies: open
                .into_iter()
                .map(|(key, state)| (TicketId::from_key(key), known(&state).unwrap_or("open")))
                .collect(),
            live: live
                .map(|live| {
                    Ok::<_, StoreError>(LiveAttempt {
                        attempt: AttemptId::from_key(live.attempt),
                        worker: WorkerId::from_key(live.worker),
                        granted_at: row::time(live.granted_at),
                        suspect: live.suspect,
                        trouble: live.trouble,
                        kind: place.named(&live.kind, "kind")?,
                        gate: live.gate,
                        is_base: live.is_base,
                    })
                })
                .transpose()?,
            lands_after: self.lands_after.map(TicketId::from_key),
            checks: checks.transpose()?,
            failed,
            without_type: typed
                .filter(|typed| !typed.iter().any(|name| name == ticket.current_stage().as_str()))
                .map(|typed| {
                    let stages = ticket.plan.stages().iter();
                    stages.filter(|s| typed.iter().any(|t| t == s.as_str())).cloned().collect()
                }),
            pauses: if queue.is_some() { pause::in_order(pauses)? } else { Vec::new() },
            queue: queue.map(|queue| around(queue, rules, place)).transpose()?,
            reserved,
            brakes: Brakes::default(),
            git: None,
        })
    }
}

fn around(queue: Queue, rules: Rules, place: Place) -> Result<QueueSurroundings, StoreError> {
    let passing = worker_type::passing(place, queue.pause_cause.as_deref(), queue.pause_until)?;
    let pause = queue.paused_at.map(|since| Pause {
        since: row::time(since),
        reason: queue.pause_reason.unwrap_or_default(),
        by_hand: queue.paused_by_hand,
        passing,
    });
    let busy = |(worker, ticket)| (WorkerId::from_key(worker), TicketId::from_key(ticket));
    Ok(QueueSurroundings {
        pause,
        auto_spawn: queue.auto_spawn,
        workers: queue.workers,
        free_workers: queue.free_workers,
        idle_workers: queue.idle_workers,
        project_workers: queue.project_workers,
        server_workers: queue.server_workers,
        max_workers: queue.max_workers,
        project_max_workers: queue.project_max_workers,
        server_max_workers: rules.max_workers,
        busy: queue.busy.into_iter().map(busy).collect(),
        ahead: queue.ahead,
        directory_taken: queue.directory_taken,
        unprepared: queue.unprepared,
    })
}
