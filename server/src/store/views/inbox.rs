//! What waits for somebody, oldest first, and how much of each kind.
//!
//! Five sources, each read from an index of the rows that wait, from a position on and no further than the page: what is
//! closed, and what runs, costs nothing.

use std::collections::BTreeMap;

use sqlx::FromRow;
use sqlx::SqliteConnection;

use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::inbox::Held;
use crate::domain::inbox::Item;
use crate::domain::inbox::Matter;
use crate::domain::limits::Limit;
use crate::domain::notify::Progress;
use crate::domain::pause::Cause;
use crate::domain::pause::Pause;
use crate::domain::pause::Scope;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::row;
use crate::store::db::row::Place;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;
use crate::store::money::accounts;
use crate::store::money::limits;
use crate::store::rows::checking;
use crate::store::rows::notifier;
use crate::store::rows::pause;
use crate::store::rows::project;

/// Where an item is in the inbox: by age, then by what it is, then by its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct InboxPlace {
    /// Milliseconds.
    pub since: i64,
    pub source: u8,
    pub key: i64,
}

/// The sources, in the order of items of the same age.
const PAUSES: u8 = 1;
const QUEUES: u8 = 2;
const STUCK: u8 = 3;
const HELD: u8 = 4;
const NOTIFIERS: u8 = 5;

impl InboxPlace {
    /// The same position in one source: only what has a greater pair comes after it.
    const fn within(self, source: u8) -> (i64, i64) {
        if source < self.source {
            (self.since, i64::MAX)
        } else if source == self.source {
            (self.since, self.key)
        } else {
            (self.since, -1)
        }
    }
}

/// A page of the inbox, with the position of each item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InboxPage {
    pub items: Vec<(InboxPlace, Item)>,
    pub more: bool,
    /// How many items of each kind there are on all pages, of every kind.
    pub counts: BTreeMap<&'static str, i64>,
}

/// Which part of the inbox is read.
#[derive(Clone, Debug, Default)]
pub struct InboxQuery {
    /// Only what waits in it, or holds the whole server.
    pub project: Option<String>,
    /// Only items of these kinds; every kind when there is none.
    pub kinds: Vec<&'static str>,
    pub after: Option<InboxPlace>,
    pub limit: i64,
}

impl InboxQuery {
    fn takes(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

impl Store {
    /// What waits for somebody after `after`: all of it, or that of one project together with what holds everything.
    pub async fn inbox(
        &self,
        project: Option<&str>,
        after: Option<InboxPlace>,
        limit: i64,
        now: Timestamp,
    ) -> Result<InboxPage> {
        let project = project.map(str::to_owned);
        self.inbox_of(InboxQuery { project, after, limit, kinds: Vec::new() }, now).await
    }

    /// The part of it that is asked for.
    pub async fn inbox_of(&self, query: InboxQuery, now: Timestamp) -> Result<InboxPage> {
        let mut snapshot = self.readers.begin().await?;
        let project = match &query.project {
            Some(name) => Some(project::load(&mut snapshot, name).await?.key),
            None => None,
        };
        let start = InboxPlace { since: i64::MIN, ..InboxPlace::default() };
        let after = query.after.unwrap_or(start);
        let fetch = query.limit.saturating_add(1);
        // Paused scopes, queues and notifiers and stuck attempts are few, so all of them are read, and counted here.
        let mut items = pauses(&mut snapshot, project, start, self.rules(), now).await?;
        items.extend(queues(&mut snapshot, project, start.within(QUEUES), i64::MAX).await?);
        items.extend(stuck(&mut snapshot, project, start.within(STUCK), i64::MAX).await?);
        if project.is_none() {
            items.extend(notifiers(&mut snapshot).await?);
        }
        let mut counts = held_counts(&mut snapshot, project).await?;
        for (_, item) in &items {
            *counts.entry(item.kind()).or_default() += 1;
        }
        items.retain(|(place, item)| *place > after && query.takes(item.kind()));
        let of_holds = after.within(HELD);
        if query.kinds.is_empty() {
            items.extend(held(&mut snapshot, project, None, of_holds, fetch).await?);
        } else {
            for kind in HoldKind::ALL.into_iter().filter(|kind| query.takes(kind.name())) {
                items.extend(held(&mut snapshot, project, Some(kind), of_holds, fetch).await?);
            }
        }
        items.sort_by_key(|(place, _)| *place);
        let limit = usize::try_from(query.limit).unwrap_or(0);
        let more = items.len() > limit;
        items.truncate(limit);
        Ok(InboxPage { items, more, counts })
    }
}

/// How many tickets on hold there are of each kind.
async fn held_counts(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
) -> Result<BTreeMap<&'static str, i64>> {
    let mut counts = BTreeMap::new();
    for kind in HoldKind::ALL {
        let of_kind: i64 = match project {
            None => sqlx::query_scalar(
                "SELECT COUNT(*) FROM ticket INDEXED BY ticket_held_kind_age WHERE state = 'on_hold' AND hold_kind = ?1",
            )
            .bind(kind.name())
            .fetch_one(&mut *connection)
            .await?,
            Some(key) => sqlx::query_scalar(
                "SELECT COUNT(*) FROM ticket INDEXED BY ticket_held_project_kind_age
                  WHERE state = 'on_hold' AND project_id = ?1 AND hold_kind = ?2",
            )
            .bind(key.0)
            .bind(kind.name())
            .fetch_one(&mut *connection)
            .await?,
        };
        if of_kind > 0 {
            counts.insert(kind.name(), of_kind);
        }
    }
    Ok(counts)
}

/// Whole projects and the server. A usage limit ends by itself at a known time, and nobody can end it sooner.
async fn pauses(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
    after: InboxPlace,
    rules: Rules,
    now: Timestamp,
) -> Result<Vec<(InboxPlace, Item)>> {
    let mut items = Vec::new();
    for (key, pause) in pause::wide(connection, project).await? {
        // A scope has at most one pause of each cause.
        let position = key.0 * 8 + pause.cause as i64;
        let place = InboxPlace { since: pause.since.millis(), source: PAUSES, key: position };
        if pause.cause == Cause::UsageLimit && pause.until.is_some() || place <= after {
            continue;
        }
        let project = match &pause.scope {
            Scope::Project(name) => Some(name.clone()),
            Scope::Everything | Scope::Queue { .. } => None,
        };
        let mut limit = None;
        if project.is_some() && pause.cause == Cause::Budget {
            let of = if pause.until.is_some() { Limit::ProjectDay } else { Limit::Project };
            let above = accounts::of_project(connection, key, rules, now).await?;
            limit = above.into_iter().find(|account| account.of == of);
        }
        let since = pause.since;
        let matter = Matter::Paused { pause, failure: None, limit };
        items.push((place, Item { since, project, matter }));
    }
    Ok(items)
}

#[derive(FromRow)]
struct QueueRow {
    worker_type_id: i64,
    project: String,
    name: String,
    paused_at: i64,
    pause_reason: String,
    paused_by_hand: bool,
    pause_cause: Option<String>,
    pause_until: Option<i64>,
    pause_failure: Option<String>,
}

async fn queues(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
    (since, key): (i64, i64),
    fetch: i64,
) -> Result<Vec<(InboxPlace, Item)>> {
    // Paused queues are few: the index has them and no others.
    let rows: Vec<QueueRow> = sqlx::query_as(
        "SELECT y.worker_type_id, p.name AS project, y.name, y.paused_at, y.pause_reason, y.paused_by_hand, y.pause_cause,
                y.pause_until, y.pause_failure
           FROM worker_type y INDEXED BY worker_type_paused
           JOIN project p ON p.project_id = y.project_id
          WHERE y.paused_at IS NOT NULL AND (y.paused_at, y.worker_type_id) > (?1, ?2)
            AND (?3 IS NULL OR y.project_id = ?3) AND p.deleted_at IS NULL
            AND (y.paused_by_hand = 1 OR y.pause_cause IS NOT 'usage_limit')
          ORDER BY y.paused_at, y.worker_type_id
          LIMIT ?4",
    )
    .bind(since)
    .bind(key)
    .bind(project.map(|key| key.0))
    .bind(fetch)
    .fetch_all(connection)
    .await?;
    let item = |row: QueueRow| -> Result<(InboxPlace, Item)> {
        let place = Place { table: "worker_type", key: row.worker_type_id };
        let failure = row.pause_failure.map(|name| place.named(&name, "pause_failure"));
        let project = row::name(row.project);
        let worker_type = row::name(row.name);
        let pause = Pause {
            scope: Scope::Queue { project: project.clone(), worker_type },
            cause: if row.paused_by_hand { Cause::Coordinator } else { Cause::Failure },
            reason: row.pause_reason,
            since: row::time(row.paused_at),
            until: row.pause_until.filter(|_| row.pause_cause.is_some()).map(row::time),
        };
        let matter = Matter::Paused { pause, failure: failure.transpose()?, limit: None };
        let at = InboxPlace { since: row.paused_at, source: QUEUES, key: row.worker_type_id };
        Ok((at, Item { since: row::time(row.paused_at), project: Some(project), matter }))
    };
    rows.into_iter().map(item).collect()
}

async fn stuck(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
    (since, key): (i64, i64),
    fetch: i64,
) -> Result<Vec<(InboxPlace, Item)>> {
    type Row = (i64, i64, i64, String, i64, bool, Option<String>);
    let rows: Vec<Row> = sqlx::query_as(
        "WITH found AS (
             SELECT attempt_id FROM attempt WHERE suspect = 1 AND (granted_at, attempt_id) > (?1, ?2)
              UNION
             SELECT attempt_id FROM attempt
              WHERE trouble IS NOT NULL AND state <> 'ended' AND (granted_at, attempt_id) > (?1, ?2))
         SELECT a.attempt_id, a.ticket_id, a.worker_id, p.name, a.granted_at, a.suspect, a.trouble
           FROM found f
           CROSS JOIN attempt a ON a.attempt_id = f.attempt_id
           JOIN ticket t ON t.ticket_id = a.ticket_id
           JOIN project p ON p.project_id = t.project_id
          WHERE (?3 IS NULL OR t.project_id = ?3)
          ORDER BY a.granted_at, a.attempt_id
          LIMIT ?4",
    )
    .bind(since)
    .bind(key)
    .bind(project.map(|key| key.0))
    .bind(fetch)
    .fetch_all(connection)
    .await?;
    let item = |(attempt, ticket, worker, project, granted_at, suspect, trouble): Row| {
        let matter = Matter::Stuck {
            attempt: AttemptId::from_key(attempt),
            ticket: TicketId::from_key(ticket),
            worker: WorkerId::from_key(worker),
            trouble: if suspect { None } else { trouble },
        };
        let place = InboxPlace { since: granted_at, source: STUCK, key: attempt };
        let project = Some(row::name(project));
        (place, Item { since: row::time(granted_at), project, matter })
    };
    Ok(rows.into_iter().map(item).collect())
}

/// The paused notifiers that are still configured. They belong to no project, and hold nothing up.
async fn notifiers(connection: &mut SqliteConnection) -> Result<Vec<(InboxPlace, Item)>> {
    let item = |progress: Progress| {
        let since = progress.paused_at.filter(|_| progress.is_configured)?;
        let place = InboxPlace { since: since.millis(), source: NOTIFIERS, key: progress.key };
        let error = progress.error.unwrap_or_default();
        let matter = Matter::Unheard { notifier: progress.name, error };
        Some((place, Item { since, project: None, matter }))
    };
    Ok(notifier::all(connection).await?.into_iter().filter_map(item).collect())
}

#[derive(FromRow)]
struct HeldRow {
    ticket_id: i64,
    project: String,
    title: String,
    current_stage: String,
    hold_kind: String,
    hold_reason: String,
    held_at: i64,
    has_type: bool,
    is_done: bool,
}

/// The statement for tickets on hold, of a project and of a kind, or of all.
pub(crate) fn select_held(project: Option<ProjectKey>, kind: Option<HoldKind>) -> String {
    let index = match (project, kind) {
        (None, None) => "ticket_held",
        (None, Some(_)) => "ticket_held_kind_age",
        (Some(_), None) => "ticket_held_project",
        (Some(_), Some(_)) => "ticket_held_project_kind_age",
    };
    let of_project =
        project.map(|ProjectKey(key)| format!(" AND t.project_id = {key}")).unwrap_or_default();
    let of_kind =
        kind.map(|kind| format!(" AND t.hold_kind = '{}'", kind.name())).unwrap_or_default();
    // is_done: the work of the stage was accepted; what keeps it from counting is what the ticket waits for.
    format!(
        "SELECT t.ticket_id, p.name AS project, t.title, t.current_stage, t.hold_kind, t.hold_reason, t.held_at,
                EXISTS (SELECT 1 FROM worker_type y
                         WHERE y.project_id = t.project_id AND y.name = t.current_stage) AS has_type,
                t.hold_kind IN ('conflict', 'checkout', 'unfinished', 'configuration')
                AND COALESCE((SELECT a.outcome = 'succeeded' AND a.stage_index = t.stage_index
                                FROM attempt a WHERE a.ticket_id = t.ticket_id
                               ORDER BY a.attempt_id DESC LIMIT 1), 0) AS is_done
           FROM ticket t INDEXED BY {index}
           JOIN project p ON p.project_id = t.project_id
          WHERE t.state = 'on_hold' AND (t.held_at, t.ticket_id) > (?1, ?2){of_project}{of_kind}
          ORDER BY t.held_at, t.ticket_id
          LIMIT ?3"
    )
}

async fn held(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
    kind: Option<HoldKind>,
    (since, key): (i64, i64),
    fetch: i64,
) -> Result<Vec<(InboxPlace, Item)>> {
    let sql = select_held(project, kind);
    let rows: Vec<HeldRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(since)
        .bind(key)
        .bind(fetch)
        .fetch_all(&mut *connection)
        .await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        let place = Place { table: "ticket", key: row.ticket_id };
        let ticket = TicketId::from_key(row.ticket_id);
        let kind: HoldKind = place.named(&row.hold_kind, "hold_kind")?;
        let reached = if kind == HoldKind::Limit {
            limits::bounds(connection, ticket).await?.reached(ticket)
        } else {
            None
        };
        let red = if kind == HoldKind::Gate {
            checking::red_gates(connection, ticket).await?
        } else {
            Vec::new()
        };
        let held = Held {
            ticket,
            title: row.title,
            stage: row::name(row.current_stage),
            hold: Hold::new(kind, row.hold_reason),
            reached,
            has_type: row.has_type,
            is_done: row.is_done,
            red,
        };
        let at = InboxPlace { since: row.held_at, source: HELD, key: row.ticket_id };
        let project = Some(row::name(row.project));
        items.push((
            at,
            Item { since: row::time(row.held_at), project, matter: Matter::Held(held) },
        ));
    }
    Ok(items)
}
