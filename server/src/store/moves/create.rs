//! Creating a ticket, for the coordinator or for a stage that plans (see [`super::create_planned`]).

use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::hold;
use crate::domain::checks::Kept;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::hold::Hold;
use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::refusal::Refusal;
use crate::domain::summary;
use crate::domain::text::Name;
use crate::domain::ticket::NewTicket;
use crate::domain::ticket::Plan;
use crate::domain::ticket::Priority;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::db::store::Store;
use crate::store::rows::checks;
use crate::store::rows::event;
use crate::store::rows::ticket;
use crate::store::rows::worker_type;

const CREATED: faults::Points = faults::points!("server.create_ticket");

impl Store {
    /// Creates a ticket. The same idempotency key in the same project returns the ticket that was created first, as it
    /// is now.
    pub async fn create_ticket(&self, new: NewTicket, now: Timestamp) -> Result<Ticket> {
        self.create_ticket_with(new, None, now).await
    }

    /// The same, with what the file in the project's directory says, if the ticket will work there. A ticket whose file is
    /// wrong is created and put on hold.
    pub async fn create_ticket_with(
        &self,
        new: NewTicket,
        file: Option<std::result::Result<Kept, Hold>>,
        now: Timestamp,
    ) -> Result<Ticket> {
        let (project, stages) = (new.project.to_string(), stages(&new.plan));
        let idempotency_key = new.idempotency_key.clone();
        let question = Box::new(move |sql: &mut QueryBuilder<Sqlite>| {
            push_question(sql, project, idempotency_key, stages);
        });
        self.writer
            .at(CREATED)
            .ask_then_write(
                Some(question),
                move |connection, found| Box::pin(create(connection, found, new, file, now)),
                |_| true,
            )
            .await
    }
}

/// Everything that the creation of a ticket without dependencies must know.
pub(crate) fn push_question(
    sql: &mut QueryBuilder<Sqlite>,
    project: String,
    idempotency_key: Option<String>,
    stages: String,
) {
    sql.push("SELECT p.project_id AS project, (SELECT t.ticket_id FROM ticket t WHERE t.project_id = p.project_id AND t.idempotency_key = ");
    sql.push_bind(idempotency_key).push(") AS made, ");
    push_look_ahead(sql, "p.project_id", stages);
    sql.push(" FROM project p WHERE p.deleted_at IS NULL AND p.name = ").push_bind(project);
}

#[derive(FromRow)]
struct Found {
    project: i64,
    /// The ticket that was created with the same idempotency key.
    made: Option<i64>,
    #[sqlx(flatten)]
    ahead: Ahead,
}

async fn create(
    connection: &mut SqliteConnection,
    found: Vec<SqliteRow>,
    new: NewTicket,
    file: Option<std::result::Result<Kept, Hold>>,
    now: Timestamp,
) -> Result<Ticket> {
    let unknown = || Refusal::UnknownProject { project: new.project.to_string() };
    let found = Found::from_row(found.first().ok_or_else(unknown)?)?;
    if let Some(made) = found.made {
        return ticket::load(connection, TicketId::from_key(made)).await;
    }
    let project = ProjectKey(found.project);
    let admitted =
        allow(connection, project, &new.project, &new.plan, &new.depends_on, found.ahead).await?;
    let row = Row {
        admitted,
        title: &new.title,
        description: &new.description,
        plan: &new.plan,
        priority: new.priority,
        origin: Origin::Coordinator { idempotency_key: new.idempotency_key.as_deref() },
    };
    let ticket = insert(connection, row, now).await?;
    match file {
        None => Ok(ticket),
        Some(Ok(kept)) => {
            checks::keep(connection, ticket.id, &kept).await?;
            Ok(ticket)
        }
        Some(Err(why)) => {
            hold::hold(connection, &ticket, &why, now).await?;
            ticket::load(connection, ticket.id).await
        }
    }
}

/// What the checks of a new ticket found.
pub(crate) struct Admitted {
    project: ProjectKey,
    depends_on: Vec<TicketId>,
    /// Whether one of its dependencies is still open.
    blocked: bool,
    /// The number that it gets if it is stored next: there is no other writer meanwhile.
    id: TicketId,
}

impl Admitted {
    /// Adds tickets that were created a moment ago, which are open.
    pub(crate) fn wait_for(&mut self, more: impl Iterator<Item = TicketId>) {
        let before = self.depends_on.len();
        self.depends_on.extend(more);
        self.blocked |= self.depends_on.len() > before;
    }
}

/// Checks what only the database knows about a new ticket: the worker types of its plan, and the tickets that it waits
/// for.
pub(crate) async fn admit(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    project_name: &Name,
    plan: &Plan,
    depends_on: &[TicketId],
) -> Result<Admitted> {
    let ahead = look_ahead(connection, project, plan).await?;
    allow(connection, project, project_name, plan, depends_on, ahead).await
}

/// The same, for a caller that has looked ahead already.
async fn allow(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    project_name: &Name,
    plan: &Plan,
    depends_on: &[TicketId],
    ahead: Ahead,
) -> Result<Admitted> {
    if let Some(unknown) = ahead.unknown(plan) {
        let known = worker_type::names(connection, project).await?;
        let (project, worker_type) = (project_name.to_string(), unknown.as_str().to_owned());
        return Err(Refusal::UnknownWorkerType { project, worker_type, known }.into());
    }
    let blocked = check_dependencies(connection, depends_on).await?;
    let id = TicketId::from_key(ahead.highest + 1);
    Ok(Admitted { project, depends_on: depends_on.to_vec(), blocked, id })
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

/// A ticket that is about to be stored.
pub(crate) struct Row<'a> {
    pub(crate) admitted: Admitted,
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    pub(crate) plan: &'a Plan,
    pub(crate) priority: Priority,
    pub(crate) origin: Origin<'a>,
}

/// Stores a ticket, its plan, what it waits for, and the event, and reads it back: all in one trip to the database.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    new: Row<'_>,
    now: Timestamp,
) -> Result<Ticket> {
    let Admitted { project, depends_on, blocked, id } = new.admitted;
    let (idempotency_key, planned) = match new.origin {
        Origin::Coordinator { idempotency_key } => (idempotency_key, None),
        Origin::Planned { attempt, key, .. } => (None, Some((attempt.key(), key.as_str()))),
    };
    let (planned_by, planned_key) = planned.unzip();
    let root = match new.origin {
        Origin::Coordinator { .. } => None,
        Origin::Planned { parent, .. } => Some(parent.family()),
    };
    let event = match new.origin {
        Origin::Coordinator { .. } => {
            let summary = summary::ticket_created(id, new.title);
            NewEvent::new(EventKind::TicketCreated, project, summary)
        }
        Origin::Planned { parent, attempt, worker, .. } => {
            let stage = parent.current_stage();
            let summary = summary::ticket_planned(id, stage, attempt, new.title);
            NewEvent {
                attempt: Some(attempt),
                worker: Some(worker),
                ..NewEvent::new(EventKind::TicketCreated, project, summary)
            }
        }
    };
    let mut sql = QueryBuilder::<Sqlite>::new(
        "INSERT INTO ticket (ticket_id, project_id, title, description, priority, state, stage_index, current_stage,
                idempotency_key, planned_by, planned_key, created_at, updated_at, root_id, planned_title,
                planned_description)
         VALUES (",
    );
    let mut values = sql.separated(", ");
    values
        .push_bind(id.key())
        .push_bind(project.0)
        .push_bind(new.title.to_owned())
        .push_bind(new.description.to_owned())
        .push_bind(new.priority.rank())
        .push_bind(if blocked { "blocked" } else { "queued" })
        .push("0")
        .push_bind(new.plan.stage(0).as_str().to_owned())
        .push_bind(idempotency_key.map(str::to_owned))
        .push_bind(planned_by)
        .push_bind(planned_key.map(str::to_owned))
        .push_bind(now.millis())
        .push_bind(now.millis())
        .push_bind(root.map(TicketId::key))
        .push_bind(root.is_some())
        .push_bind(root.is_some());
    sql.push("); INSERT INTO ticket_stage (ticket_id, stage_index, worker_type) SELECT ");
    sql.push_bind(id.key()).push(", key, value FROM json_each(").push_bind(stages(new.plan));
    if !depends_on.is_empty() {
        let keys: Vec<i64> = depends_on.iter().map(|id| id.key()).collect();
        sql.push("); INSERT INTO ticket_dependency (ticket_id, depends_on_id) SELECT ");
        sql.push_bind(id.key()).push(", value FROM json_each(").push_bind(row::json_keys(&keys));
    }
    sql.push("); ");
    event::push(&mut sql, NewEvent { ticket: Some(id), ..event }, now);
    sql.push("; SELECT * FROM ticket_row WHERE ticket_id = ").push_bind(id.key());
    // Not `fetch_one`, which stops at the first row: the statements before the last one return no rows, but a statement
    // after one that does would not run.
    let mut rows: Vec<ticket::TicketRow> = sql.build_query_as().fetch_all(connection).await?;
    let row = rows.pop().ok_or(StoreError::Statement(sqlx::Error::RowNotFound))?;
    Ok(Ticket::try_from(row)?)
}

fn stages(plan: &Plan) -> String {
    row::json_list(&plan.stages().iter().map(Name::as_str).collect::<Vec<_>>())
}

/// The first stage whose worker type does not exist.
pub(crate) async fn unknown_stage<'p>(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    plan: &'p Plan,
) -> Result<Option<&'p Name>> {
    Ok(look_ahead(connection, project, plan).await?.unknown(plan))
}

/// What every creation must know of the database: both in one trip.
#[derive(Clone, Copy, Debug, FromRow)]
struct Ahead {
    /// The place in the plan of the first stage whose worker type does not exist.
    unknown_at: Option<i64>,
    /// The highest number that a ticket ever had.
    highest: i64,
}

impl Ahead {
    fn unknown(self, plan: &Plan) -> Option<&Name> {
        let place = self.unknown_at.and_then(|at| usize::try_from(at).ok());
        place.and_then(|at| plan.stages().get(at))
    }
}

async fn look_ahead(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    plan: &Plan,
) -> Result<Ahead> {
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT ");
    push_look_ahead(&mut sql, "p.project_id", stages(plan));
    sql.push(" FROM project p WHERE p.project_id = ").push_bind(project.0);
    Ok(sql.build_query_as().fetch_one(connection).await?)
}

/// Appends the columns of [`Ahead`], where `project` is the key of the project.
fn push_look_ahead(sql: &mut QueryBuilder<Sqlite>, project: &'static str, stages: String) {
    sql.push("(SELECT MIN(s.key) FROM json_each(").push_bind(stages).push(
        ") s WHERE NOT EXISTS (SELECT 1 FROM worker_type y WHERE y.name = s.value AND y.project_id = ",
    );
    sql.push(project)
        .push(")) AS unknown_at, ")
        .push("COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'ticket'), 0) AS highest");
}

/// Checks that every dependency exists and can still complete; returns whether one is still open.
async fn check_dependencies(
    connection: &mut SqliteConnection,
    depends_on: &[TicketId],
) -> Result<bool> {
    if depends_on.is_empty() {
        return Ok(false);
    }
    let keys: Vec<i64> = depends_on.iter().map(|id| id.key()).collect();
    let found: Vec<(i64, Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT d.value, t.state, t.resolution
           FROM json_each(?1) d
           LEFT JOIN ticket t ON t.ticket_id = d.value
          ORDER BY d.key",
    )
    .bind(row::json_keys(&keys))
    .fetch_all(connection)
    .await?;
    let mut blocked = false;
    for (key, state, resolution) in found {
        let ticket = TicketId::from_key(key);
        match (state, resolution) {
            (None, _) => return Err(Refusal::UnknownDependency { ticket }.into()),
            (Some(_), Some(resolution)) if resolution == "cancelled" => {
                return Err(Refusal::DependencyCancelled { ticket }.into());
            }
            (Some(state), _) => blocked |= state != "closed",
        }
    }
    Ok(blocked)
}
