//! A ticket's row: reading it as a [`Ticket`].

use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::worktree::WorktreeRow;
use crate::domain::hold::Hold;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::refusal::Refusal;
use crate::domain::ticket::Plan;
use crate::domain::ticket::PlannedWords;
use crate::domain::ticket::Priority;
use crate::domain::ticket::ResumeHint;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::db::row::Place;
use crate::store::db::store::Store;

#[derive(FromRow)]
pub(crate) struct TicketRow {
    pub(crate) ticket_id: i64,
    project_id: i64,
    project: String,
    title: String,
    description: String,
    priority: i64,
    state: String,
    resolution: Option<String>,
    hold_reason: Option<String>,
    hold_kind: Option<String>,
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
    gate_failures: i64,
    gate_message: Option<String>,
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
                let kind = place.need(row.hold_kind, "hold_kind")?;
                let kind = place.named(&kind, "hold_kind")?;
                TicketState::OnHold(Hold::new(kind, place.need(row.hold_reason, "hold_reason")?))
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
            gate_failures: row.gate_failures,
            gate_message: row.gate_message,
            created_at: row::time(row.created_at),
            updated_at: row::time(row.updated_at),
        })
    }
}

/// The ticket of that id.
pub(crate) async fn load(connection: &mut SqliteConnection, id: TicketId) -> Result<Ticket> {
    let row: Option<TicketRow> = sqlx::query_as("SELECT * FROM ticket_row WHERE ticket_id = ?1")
        .bind(id.key())
        .fetch_optional(connection)
        .await?;
    let row = row.ok_or(Refusal::UnknownTicket { ticket: id })?;
    Ok(Ticket::try_from(row)?)
}

/// The tickets of those keys, in that order.
pub(crate) async fn load_all(
    connection: &mut SqliteConnection,
    keys: Vec<i64>,
) -> Result<Vec<Ticket>> {
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        found.push(load(connection, TicketId::from_key(key)).await?);
    }
    Ok(found)
}

/// The oldest tickets of a project that are not closed.
pub(crate) async fn open_of_project(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    limit: i64,
) -> Result<Vec<TicketId>> {
    // State by state, because the index would otherwise be walked over all closed tickets.
    let keys: Vec<i64> = sqlx::query_scalar(
        "SELECT ticket_id FROM ticket
          WHERE project_id = ?1 AND state IN ('blocked', 'scheduled', 'queued', 'running', 'on_hold')
          ORDER BY ticket_id
          LIMIT ?2",
    )
    .bind(project.0)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    Ok(keys.into_iter().map(TicketId::from_key).collect())
}

/// The tickets that it waits for and that are not closed, with their states.
pub(crate) async fn open_dependencies(
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
    /// The ticket, without its history.
    pub async fn find_ticket(&self, id: TicketId) -> Result<Ticket> {
        load(&mut *self.readers.acquire().await?, id).await
    }
}
