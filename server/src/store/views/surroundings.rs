//! What a ticket's wait depends on, read with the ticket: one statement sees one moment, and a queue of a hundred tickets
//! costs what one does.

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

/// The columns of [`SurroundingsRow`] beside those of a ticket `t` of the project `p` with the worktree `k`, and with
/// what [`joins`] adds. `?2` and `?3` are those of [`accounts::columns`].
///
/// What belongs to another state than the ticket's is not looked for.
macro_rules! columns {
    () => {
        concat!(
            "CASE t.state WHEN 'blocked' THEN
                 (SELECT json_group_array(json_array(d.depends_on_id, o.state) ORDER BY d.depends_on_id)
                    FROM ticket_dependency d JOIN ticket o ON o.ticket_id = d.depends_on_id
                   WHERE d.ticket_id = t.ticket_id AND o.state <> 'closed')
             END AS open_dependencies,
             CASE t.state WHEN 'running' THEN
                 (SELECT json_object('attempt', a.attempt_id, 'worker', a.worker_id, 'granted_at', a.granted_at,
                                     'suspect', a.suspect, 'trouble', a.trouble)
                    FROM attempt a WHERE a.ticket_id = t.ticket_id AND a.state <> 'ended')
             END AS live,
             CASE t.state WHEN 'scheduled' THEN
                 (SELECT json_array(a.attempt_id, a.failure)
                    FROM attempt a WHERE a.ticket_id = t.ticket_id ORDER BY a.attempt_id DESC LIMIT 1)
             END AS failed,
             CASE t.state WHEN 'on_hold' THEN
                 (SELECT json_group_array(DISTINCT n.name)
                    FROM ticket_stage s
                    JOIN worker_type n ON n.project_id = t.project_id AND n.name = s.worker_type
                   WHERE s.ticket_id = t.ticket_id)
             END AS typed_stages,
             CASE WHEN t.state IN ('queued', 'scheduled') THEN
                 (SELECT json_group_array(json_object('project_id', s.project_id, 'project', p.name, 'cause', s.cause,
                                                      'reason', s.reason, 'since', s.since, 'until_at', s.until_at))
                    FROM pause s WHERE s.project_id IN (0, t.project_id))
             END AS pauses,
             CASE WHEN y.worker_type_id IS NOT NULL THEN
                 json_object(
                     'paused_at', y.paused_at, 'pause_reason', y.pause_reason, 'paused_by_hand', y.paused_by_hand,
                     'pause_cause', y.pause_cause, 'pause_until', y.pause_until,
                     'auto_spawn', y.auto_spawn, 'max_workers', y.max_workers, 'project_max_workers', l.max_workers,
                     'workers', (SELECT COUNT(*) FROM worker w
                                  WHERE w.project_id = t.project_id AND w.worker_type = y.name AND w.state <> 'stopped'),
                     'free_workers', (SELECT COUNT(*) FROM worker w
                                       WHERE w.project_id = t.project_id AND w.worker_type = y.name
                                         AND w.state <> 'stopped' AND w.state IN ('launching', 'idle')),
                     'idle_workers', (SELECT COUNT(*) FROM worker w
                                       WHERE w.project_id = t.project_id AND w.worker_type = y.name
                                         AND w.state <> 'stopped' AND w.state = 'idle'),
                     'project_workers', (SELECT COUNT(*) FROM worker w
                                          WHERE w.project_id = t.project_id AND w.state <> 'stopped'),
                     'server_workers', (SELECT COUNT(*) FROM worker w WHERE w.state <> 'stopped'),
                     'busy', json((SELECT json_group_array(json_array(b.worker_id, b.ticket_id) ORDER BY b.worker_id)
                                     FROM (SELECT w.worker_id, a.ticket_id
                                             FROM worker w
                                             JOIN attempt a ON a.worker_id = w.worker_id AND a.state <> 'ended'
                                            WHERE w.project_id = t.project_id AND w.worker_type = y.name
                                              AND w.state <> 'stopped'
                                            ORDER BY w.worker_id
                                            LIMIT 5) b)),
                     -- Two ranges of an index; one condition with OR would read the whole queue.
                     'ahead', (SELECT COUNT(*) FROM ticket o
                                WHERE o.project_id = t.project_id AND o.current_stage = t.current_stage
                                  AND o.state = 'queued' AND o.priority > t.priority)
                            + CASE WHEN t.begun = 1 AND COALESCE(t.isolation, p.isolation) = 'shared' THEN
                                  (SELECT COUNT(*) FROM ticket o
                                    WHERE o.project_id = t.project_id AND o.current_stage = t.current_stage
                                      AND o.state = 'queued' AND o.begun = 1 AND o.priority = t.priority
                                      AND o.ticket_id < t.ticket_id)
                              ELSE
                                  (SELECT COUNT(*) FROM ticket o
                                    WHERE o.project_id = t.project_id AND o.current_stage = t.current_stage
                                      AND o.state = 'queued' AND o.priority = t.priority AND o.ticket_id < t.ticket_id)
                              END
                            -- Begun ones that are younger go before a new one in a directory that is shared.
                            + CASE WHEN t.begun = 0 AND COALESCE(t.isolation, p.isolation) = 'shared' THEN
                                  (SELECT COUNT(*) FROM ticket o
                                    WHERE o.project_id = t.project_id AND o.current_stage = t.current_stage
                                      AND o.state = 'queued' AND o.begun = 1 AND o.priority = t.priority
                                      AND o.ticket_id > t.ticket_id)
                              ELSE 0 END,
                     'directory_taken',
                         COALESCE(t.isolation, p.isolation) = 'shared'
                         AND EXISTS (SELECT 1
                                       FROM attempt a
                                       JOIN ticket o ON o.ticket_id = a.ticket_id
                                       JOIN project q ON q.project_id = o.project_id
                                      WHERE a.settled_at IS NULL AND COALESCE(o.isolation, 'shared') = 'shared'
                                        AND q.directory = p.directory),
                     'unprepared', COALESCE(t.isolation, p.isolation) = 'worktree' AND COALESCE(k.ready, 0) = 0)
             END AS queue,
             y.max_budget_usd AS per_attempt, l.max_budget_usd_per_ticket AS per_ticket, ",
            accounts::family_columns!(),
            ", ",
            accounts::columns!("t.project_id")
        )
    };
}
pub(crate) use columns;

/// What [`columns`] needs besides ticket, project and worktree; nothing for a ticket that is not to be run.
macro_rules! joins {
    () => {
        "LEFT JOIN worker_type y
             ON y.project_id = t.project_id AND y.name = t.current_stage AND t.state IN ('queued', 'scheduled')
           LEFT JOIN project_limit l ON l.project_id = t.project_id AND t.state IN ('queued', 'scheduled') "
    };
}
pub(crate) use joins;

#[derive(FromRow)]
pub(crate) struct SurroundingsRow {
    open_dependencies: Option<String>,
    live: Option<String>,
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

#[derive(Deserialize)]
struct Live {
    attempt: i64,
    worker: i64,
    granted_at: i64,
    #[serde(deserialize_with = "row::flag")]
    suspect: bool,
    trouble: Option<String>,
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
            live: live.map(|live| LiveAttempt {
                attempt: AttemptId::from_key(live.attempt),
                worker: WorkerId::from_key(live.worker),
                granted_at: row::time(live.granted_at),
                suspect: live.suspect,
                trouble: live.trouble,
            }),
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
