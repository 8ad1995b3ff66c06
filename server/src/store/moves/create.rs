//! Creating a ticket, for the coordinator or for a stage that plans (see [`super::create_planned`]).

use sqlx::SqliteConnection;

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
use crate::domain::ticket::Priority;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::row;
use crate::store::db::store::Store;
use crate::store::rows::event;
use crate::store::rows::project;
use crate::store::rows::ticket;
use crate::store::rows::worker_type;

const CREATED: faults::Points = faults::points!("server.create_ticket");

impl Store {
    /// Creates a ticket. The same idempotency key in the same project returns the ticket made first, as it is now.
    pub async fn create_ticket(&self, new: NewTicket, now: Timestamp) -> Result<Ticket> {
        self.writer
            .at(CREATED)
            .write(move |connection| Box::pin(create(connection, new, now)))
            .await
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
            return ticket::load(connection, TicketId::from_key(made)).await;
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
    ticket::load(connection, id).await
}

/// What the checks of a new ticket found.
pub(crate) struct Admitted {
    project: ProjectKey,
    depends_on: Vec<TicketId>,
    /// Whether one of those is still open.
    blocked: bool,
}

impl Admitted {
    /// Adds tickets that were created a moment ago, which are open.
    pub(crate) fn wait_for(&mut self, more: impl Iterator<Item = TicketId>) {
        let before = self.depends_on.len();
        self.depends_on.extend(more);
        self.blocked |= self.depends_on.len() > before;
    }
}

/// Checks what only the database knows of a new ticket: the worker types of its plan, and the tickets it waits for.
pub(crate) async fn admit(
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
pub(crate) enum Origin<'a> {
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
pub(crate) struct Row<'a> {
    pub(crate) admitted: Admitted,
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    pub(crate) plan: &'a Plan,
    pub(crate) priority: Priority,
    pub(crate) origin: Origin<'a>,
}

/// Stores a ticket, its plan, what it waits for, and the event.
pub(crate) async fn insert(
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
pub(crate) async fn unknown_stage<'p>(
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
