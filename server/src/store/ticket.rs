//! Tickets: creating and reading them. What moves them is in [`super::end`], [`super::complete`], [`super::close`] and
//! [`super::hold`]; their history is read in [`super::history`].

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use super::Store;
use super::error::Result;
use super::error::StoreError;
use super::event;
use super::page::Listed;
use super::page::Page;
use super::project;
use super::row;
use super::row::Place;
use super::worker_type;
use super::worktree::WorktreeRow;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::refusal::Refusal;
use crate::domain::text::Name;
use crate::domain::ticket::NewTicket;
use crate::domain::ticket::Plan;
use crate::domain::ticket::PlannedWords;
use crate::domain::ticket::Priority;
use crate::domain::ticket::ResumeHint;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;

const CREATED: faults::Points = faults::points!("server.create_ticket");

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TicketFilter {
    /// Only tickets that are not closed.
    pub open: bool,
    pub project: Option<String>,
    /// One of [`TicketState::NAMES`].
    pub state: Option<String>,
    /// The worker type of the current stage.
    pub stage: Option<String>,
}

#[derive(FromRow)]
pub(super) struct TicketRow {
    ticket_id: i64,
    project_id: i64,
    project: String,
    title: String,
    description: String,
    priority: i64,
    state: String,
    resolution: Option<String>,
    hold_reason: Option<String>,
    not_before: Option<i64>,
    stage_index: i64,
    plan: String,
    depends_on: String,
    attempts_used: i64,
    rework_laps: i64,
    cost_usd: f64,
    assumed_usd: f64,
    max_budget_usd: Option<f64>,
    root_id: Option<i64>,
    planned_title: bool,
    planned_description: bool,
    resume_session_id: Option<String>,
    resume_worker_id: Option<i64>,
    resume_asks_outcome: bool,
    #[sqlx(flatten)]
    work: WorktreeRow,
    created_at: i64,
    updated_at: i64,
    closed_at: Option<i64>,
}

impl TryFrom<TicketRow> for Ticket {
    type Error = StoreError;

    fn try_from(row: TicketRow) -> std::result::Result<Self, StoreError> {
        let place = Place { table: "ticket", key: row.ticket_id };
        let state = match row.state.as_str() {
            "blocked" => TicketState::Blocked,
            "scheduled" => {
                let not_before = row::time(place.need(row.not_before, "not_before")?);
                TicketState::Scheduled { not_before }
            }
            "queued" => TicketState::Queued,
            "running" => TicketState::Running,
            "on_hold" => {
                TicketState::OnHold { reason: place.need(row.hold_reason, "hold_reason")? }
            }
            "closed" => {
                let resolution = place.need(row.resolution, "resolution")?;
                let resolution = place.named(&resolution, "resolution")?;
                let at = row::time(place.need(row.closed_at, "closed_at")?);
                TicketState::Closed { resolution, at }
            }
            other => return Err(place.bad("state", other)),
        };
        let stages = place.list(&row.plan, "plan")?.into_iter().map(row::name).collect();
        let plan = Plan::new(stages).map_err(|_| place.bad("plan", &row.plan))?;
        let stage_index = place.index(row.stage_index, "stage_index")?;
        if stage_index >= plan.stages().len() {
            return Err(place.bad("stage_index", &stage_index.to_string()));
        }
        let depends_on: Vec<i64> = serde_json::from_str(&row.depends_on)
            .map_err(|_| place.bad("depends_on", &row.depends_on))?;
        let resume = row.resume_session_id.zip(row.resume_worker_id);
        Ok(Self {
            id: TicketId::from_key(row.ticket_id),
            project: ProjectKey(row.project_id),
            project_name: row::name(row.project),
            title: row.title,
            description: row.description,
            priority: place.need(Priority::from_rank(row.priority), "priority")?,
            state,
            plan,
            stage_index,
            depends_on: depends_on.into_iter().map(TicketId::from_key).collect(),
            attempts_used: row.attempts_used,
            rework_laps: row.rework_laps,
            cost_usd: row::dollars(row.cost_usd),
            assumed_usd: row::dollars(row.assumed_usd),
            max_budget_usd: row.max_budget_usd,
            root: row.root_id.map(TicketId::from_key),
            planned: PlannedWords {
                title: row.planned_title,
                description: row.planned_description,
            },
            resume: resume.map(|(claude_session_id, worker)| ResumeHint {
                claude_session_id,
                worker: WorkerId::from_key(worker),
                asks_outcome: row.resume_asks_outcome,
            }),
            work: row.work.into(),
            created_at: row::time(row.created_at),
            updated_at: row::time(row.updated_at),
        })
    }
}

/// The columns of [`TicketRow`], for a ticket `t` and what [`joins`] adds.
macro_rules! columns {
    () => {
        "t.ticket_id, t.project_id, p.name AS project, t.title, t.description, t.priority, t.state, t.resolution,
                t.hold_reason, t.not_before, t.stage_index,
                (SELECT json_group_array(s.worker_type ORDER BY s.stage_index)
                   FROM ticket_stage s WHERE s.ticket_id = t.ticket_id) AS plan,
                (SELECT json_group_array(d.depends_on_id ORDER BY d.depends_on_id)
                   FROM ticket_dependency d WHERE d.ticket_id = t.ticket_id) AS depends_on,
                t.attempts_used, t.rework_laps, t.cost_usd, t.assumed_usd, t.max_budget_usd, t.root_id, t.planned_title,
                t.planned_description, t.resume_session_id,
                t.resume_worker_id, t.resume_asks_outcome, t.created_at, t.updated_at, t.closed_at, k.repository, k.path AS work_path,
                k.prefix, k.branch, k.base_branch, k.base_commit, k.head_commit, k.files_changed, k.insertions,
                k.deletions, k.owed_attempt_id, k.landing, k.merged_commit, k.removed_at "
    };
}
pub(super) use columns;

macro_rules! joins {
    () => {
        "JOIN project p ON p.project_id = t.project_id
           LEFT JOIN worktree k ON k.ticket_id = t.ticket_id "
    };
}
pub(super) use joins;

macro_rules! select {
    () => {
        concat!("SELECT ", columns!(), "FROM ticket t ", joins!())
    };
}

/// The ticket of that id.
pub(super) async fn load(connection: &mut SqliteConnection, id: TicketId) -> Result<Ticket> {
    let row: Option<TicketRow> = sqlx::query_as(concat!(select!(), "WHERE t.ticket_id = ?1"))
        .bind(id.key())
        .fetch_optional(connection)
        .await?;
    let row = row.ok_or(Refusal::UnknownTicket { ticket: id })?;
    Ok(Ticket::try_from(row)?)
}

/// The tickets of a project that are not closed, oldest first.
pub(super) async fn open_of_project(
    connection: &mut SqliteConnection,
    project: ProjectKey,
) -> Result<Vec<TicketId>> {
    let sql = "SELECT ticket_id FROM ticket WHERE project_id = ?1 AND state <> 'closed' ORDER BY ticket_id";
    let keys: Vec<i64> = sqlx::query_scalar(sql).bind(project.0).fetch_all(connection).await?;
    Ok(keys.into_iter().map(TicketId::from_key).collect())
}

/// The tickets it waits for that are not closed, with their states.
pub(super) async fn open_dependencies(
    connection: &mut SqliteConnection,
    ticket: TicketId,
) -> Result<Vec<(TicketId, &'static str)>> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT d.depends_on_id, t.state
           FROM ticket_dependency d
           JOIN ticket t ON t.ticket_id = d.depends_on_id
          WHERE d.ticket_id = ?1 AND t.state <> 'closed'
          ORDER BY d.depends_on_id",
    )
    .bind(ticket.key())
    .fetch_all(connection)
    .await?;
    let known = |state: &str| TicketState::NAMES.into_iter().find(|name| *name == state);
    Ok(rows
        .into_iter()
        .map(|(key, state)| (TicketId::from_key(key), known(&state).unwrap_or("open")))
        .collect())
}

impl Store {
    /// Creates a ticket. The same idempotency key in the same project returns the ticket made first, as it is now.
    pub async fn create_ticket(&self, new: NewTicket, now: Timestamp) -> Result<Ticket> {
        self.writer
            .write_at(
                CREATED,
                move |c| Box::pin(async move { create(c, new, now).await }),
                /* raises level */ true,
            )
            .await
    }

    /// The ticket, without its history.
    pub async fn find_ticket(&self, id: TicketId) -> Result<Ticket> {
        load(&mut *self.readers.acquire().await?, id).await
    }

    /// Lists tickets by age.
    ///
    /// Numbers first, state by state, each from an index that has them in order: what is closed must not be walked over
    /// to find what is open, nor one project's tickets to find another's. The rows of the page are read afterwards.
    pub async fn tickets(&self, filter: TicketFilter, page: Page) -> Result<Listed<Ticket>> {
        let mut snapshot = self.readers.begin().await?;
        let project = match &filter.project {
            Some(name) => Some(project::load(&mut snapshot, name).await?.key),
            None => None,
        };
        let states: Vec<&str> = match &filter.state {
            Some(state) => vec![state],
            None => TicketState::NAMES.into_iter().collect(),
        };
        let states = states.into_iter().filter(|state| !(filter.open && *state == "closed"));
        let mut sql =
            QueryBuilder::<Sqlite>::new("WITH found AS (SELECT NULL AS ticket_id WHERE 0");
        for state in states {
            sql.push(
                " UNION ALL SELECT ticket_id FROM (SELECT ticket_id FROM ticket WHERE state = ",
            );
            sql.push_bind(state.to_owned());
            sql.push(" AND ticket_id > ").push_bind(page.after_key());
            if let Some(key) = project {
                sql.push(" AND project_id = ").push_bind(key.0);
            }
            if let Some(stage) = &filter.stage {
                sql.push(" AND current_stage = ").push_bind(stage.clone());
            }
            sql.push(" ORDER BY ticket_id LIMIT ").push_bind(page.fetch()).push(")");
        }
        sql.push(concat!(
            ") SELECT ",
            columns!(),
            "FROM (SELECT ticket_id FROM found ORDER BY ticket_id LIMIT "
        ));
        sql.push_bind(page.fetch());
        sql.push(concat!(
            ") f CROSS JOIN ticket t ON t.ticket_id = f.ticket_id ",
            joins!(),
            "ORDER BY f.ticket_id"
        ));
        let rows: Vec<TicketRow> = sql.build_query_as().fetch_all(&mut *snapshot).await?;
        let listed = page.cut(rows, |row| row.ticket_id);
        let items: std::result::Result<_, StoreError> =
            listed.items.into_iter().map(Ticket::try_from).collect();
        Ok(Listed { items: items?, keys: listed.keys, next: listed.next })
    }
}

async fn create(
    connection: &mut SqliteConnection,
    new: NewTicket,
    now: Timestamp,
) -> Result<Ticket> {
    let project = project::load(connection, new.project.as_str()).await?;
    if let Some(key) = &new.idempotency_key {
        let made: Option<i64> = sqlx::query_scalar(
            "SELECT ticket_id FROM ticket WHERE project_id = ?1 AND idempotency_key = ?2",
        )
        .bind(project.key.0)
        .bind(key)
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(made) = made {
            return load(connection, TicketId::from_key(made)).await;
        }
    }
    let admitted =
        admit(connection, project.key, &project.name, &new.plan, &new.depends_on).await?;
    let row = Row {
        admitted,
        title: &new.title,
        description: &new.description,
        plan: &new.plan,
        priority: new.priority,
        origin: Origin::Coordinator { idempotency_key: new.idempotency_key.as_deref() },
    };
    let id = insert(connection, row, now).await?;
    load(connection, id).await
}

/// What the checks of a new ticket found.
pub(super) struct Admitted {
    project: ProjectKey,
    depends_on: Vec<TicketId>,
    /// Whether one of those is still open.
    blocked: bool,
}

impl Admitted {
    /// Adds tickets that were created a moment ago, which are open.
    pub(super) fn wait_for(&mut self, more: impl Iterator<Item = TicketId>) {
        let before = self.depends_on.len();
        self.depends_on.extend(more);
        self.blocked |= self.depends_on.len() > before;
    }
}

/// Checks what only the database knows of a new ticket: the worker types of its plan, and the tickets it waits for.
pub(super) async fn admit(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    project_name: &Name,
    plan: &Plan,
    depends_on: &[TicketId],
) -> Result<Admitted> {
    let known = worker_type::names(connection, project).await?;
    if let Some(unknown) = unknown_stage(connection, project, &known, plan).await? {
        let (project, worker_type) = (project_name.to_string(), unknown.as_str().to_owned());
        return Err(Refusal::UnknownWorkerType { project, worker_type, known }.into());
    }
    let blocked = check_dependencies(connection, depends_on).await?;
    Ok(Admitted { project, depends_on: depends_on.to_vec(), blocked })
}

/// Who asked for a ticket.
pub(super) enum Origin<'a> {
    Coordinator {
        idempotency_key: Option<&'a str>,
    },
    /// The result of an attempt at `parent`.
    Planned {
        parent: &'a Ticket,
        attempt: AttemptId,
        worker: WorkerId,
        key: &'a Name,
    },
}

/// A ticket about to be stored.
pub(super) struct Row<'a> {
    pub(super) admitted: Admitted,
    pub(super) title: &'a str,
    pub(super) description: &'a str,
    pub(super) plan: &'a Plan,
    pub(super) priority: Priority,
    pub(super) origin: Origin<'a>,
}

/// Stores a ticket, its plan, what it waits for, and the event.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    new: Row<'_>,
    now: Timestamp,
) -> Result<TicketId> {
    let Admitted { project, depends_on, blocked } = new.admitted;
    let (idempotency_key, planned) = match new.origin {
        Origin::Coordinator { idempotency_key } => (idempotency_key, None),
        Origin::Planned { attempt, key, .. } => (None, Some((attempt.key(), key.as_str()))),
    };
    let (planned_by, planned_key) = planned.unzip();
    let root = match new.origin {
        Origin::Coordinator { .. } => None,
        Origin::Planned { parent, .. } => Some(parent.family()),
    };
    let key: i64 = sqlx::query_scalar(
        "INSERT INTO ticket (project_id, title, description, priority, state, stage_index, current_stage,
                idempotency_key, planned_by, planned_key, created_at, updated_at, root_id, planned_title,
                planned_description)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8, ?9, ?10, ?10, ?11, ?12, ?12)
         RETURNING ticket_id",
    )
    .bind(project.0)
    .bind(new.title)
    .bind(new.description)
    .bind(new.priority.rank())
    .bind(if blocked { "blocked" } else { "queued" })
    .bind(new.plan.stage(0).as_str())
    .bind(idempotency_key)
    .bind(planned_by)
    .bind(planned_key)
    .bind(now.millis())
    .bind(root.map(TicketId::key))
    .bind(root.is_some())
    .fetch_one(&mut *connection)
    .await?;
    let id = TicketId::from_key(key);
    sqlx::query(
        "INSERT INTO ticket_stage (ticket_id, stage_index, worker_type)
         SELECT ?1, key, value FROM json_each(?2)",
    )
    .bind(key)
    .bind(row::json_list(&new.plan.stages().iter().map(Name::as_str).collect::<Vec<_>>()))
    .execute(&mut *connection)
    .await?;
    for dependency in &depends_on {
        sqlx::query("INSERT INTO ticket_dependency (ticket_id, depends_on_id) VALUES (?1, ?2)")
            .bind(key)
            .bind(dependency.key())
            .execute(&mut *connection)
            .await?;
    }
    let event = match new.origin {
        Origin::Coordinator { .. } => {
            let summary = format!("{id} was created: {}.", new.title);
            NewEvent::new(EventKind::TicketCreated, project, summary)
        }
        Origin::Planned { parent, attempt, worker, .. } => {
            let stage = parent.current_stage();
            let summary = format!("{id} was created by {stage} in {attempt}: {}.", new.title);
            NewEvent {
                attempt: Some(attempt),
                worker: Some(worker),
                ..NewEvent::new(EventKind::TicketCreated, project, summary)
            }
        }
    };
    event::append(connection, NewEvent { ticket: Some(id), ..event }, now).await?;
    Ok(id)
}

/// The first stage whose worker type does not exist. `known` answers for all but very large projects.
pub(super) async fn unknown_stage<'p>(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    known: &[String],
    plan: &'p Plan,
) -> Result<Option<&'p Name>> {
    for stage in plan.stages() {
        let listed = known.iter().any(|name| name == stage.as_str());
        if !listed && worker_type::find(connection, project, stage.as_str()).await?.is_none() {
            return Ok(Some(stage));
        }
    }
    Ok(None)
}

/// Checks that every dependency exists and can still complete; returns whether one is still open.
async fn check_dependencies(
    connection: &mut SqliteConnection,
    depends_on: &[TicketId],
) -> Result<bool> {
    let mut blocked = false;
    for &ticket in depends_on {
        let found: Option<(String, Option<String>)> =
            sqlx::query_as("SELECT state, resolution FROM ticket WHERE ticket_id = ?1")
                .bind(ticket.key())
                .fetch_optional(&mut *connection)
                .await?;
        match found {
            None => return Err(Refusal::UnknownDependency { ticket }.into()),
            Some((_, Some(resolution))) if resolution == "cancelled" => {
                return Err(Refusal::DependencyCancelled { ticket }.into());
            }
            Some((state, _)) => blocked |= state != "closed",
        }
    }
    Ok(blocked)
}
