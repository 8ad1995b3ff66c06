//! Limits: reading and setting them, and whether a ticket has any left. What is spent under them is in
//! [`crate::store::money::accounts`], what is done about it in [`crate::store::moves::enforce`].

use sqlx::FromRow;
use sqlx::SqliteConnection;

use super::accounts;
use super::accounts::FamilyRow;
use crate::domain::bounds::Bounds;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::limits;
use crate::domain::project_limits::ProjectLimits;
use crate::domain::project_limits::project_limits;
use crate::domain::ticket::Ticket;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;

/// Queued tickets of a project that one check of the limits reads.
const HEAD: i64 = 50;

macro_rules! make {
    ([] $($(#[$doc:meta])+ $name:ident: $type:ty, $rule:expr, $none:expr;)+) => {
        #[derive(FromRow)]
        struct LimitsRow {
            $($name: Option<$type>,)+
        }

        impl From<LimitsRow> for ProjectLimits {
            fn from(row: LimitsRow) -> Self {
                Self { $($name: row.$name,)+ }
            }
        }

        /// Replaces the limits of a project. The caller has checked them.
        pub(crate) async fn set(
            connection: &mut SqliteConnection,
            project: ProjectKey,
            limits: ProjectLimits,
        ) -> Result<()> {
            sqlx::query(concat!(
                "INSERT INTO project_limit (project_id",
                $(", ", stringify!($name),)+
                ") VALUES (?",
                $(parameter!($name),)+
                ") ON CONFLICT (project_id) DO UPDATE SET project_id = excluded.project_id",
                $(", ", stringify!($name), " = excluded.", stringify!($name),)+
            ))
            .bind(project.0)
            $(.bind(limits.$name))+
            .execute(connection)
            .await?;
            Ok(())
        }
    };
}

/// The place of one parameter.
macro_rules! parameter {
    ($name:ident) => {
        ", ?"
    };
}

project_limits!(make!());

/// The limits of a project; none of any kind when it has no row.
pub(crate) async fn of_project(
    connection: &mut SqliteConnection,
    project: ProjectKey,
) -> Result<ProjectLimits> {
    let row: Option<LimitsRow> =
        sqlx::query_as("SELECT * FROM project_limit WHERE project_id = ?1")
            .bind(project.0)
            .fetch_optional(connection)
            .await?;
    Ok(row.map(ProjectLimits::from).unwrap_or_default())
}

/// What bounds the next attempt at a ticket, besides dollars that others share with it: the view `ticket_bound`.
#[derive(FromRow)]
struct BoundsRow {
    ticket_id: i64,
    own_limit: Option<f64>,
    per_ticket: Option<f64>,
    spent: f64,
    #[sqlx(flatten)]
    family: FamilyRow,
    /// How many attempts of the family have ended, counted like `made`; absent without such a limit and without a
    /// family.
    family_made: Option<i64>,
    /// The part of it that is assumed.
    assumed: f64,
    asks: bool,
    attempts_ever: Option<i64>,
    made: Option<i64>,
    used: i64,
    max_attempts: Option<i64>,
}

impl BoundsRow {
    fn bounds(&self) -> Bounds {
        Bounds {
            own: accounts::of_ticket(self.own_limit, self.per_ticket, self.spent),
            assumed_usd: self.assumed,
            began: self.family.began(),
            family: self.family.account().map(|(_, account)| account),
            asks: self.asks,
            attempts_ever: self.attempts_ever,
            made: self.made,
            made_by_family: self.family_made,
            used: self.used,
            max_attempts: self.max_attempts,
        }
    }
}

/// Why the family of a ticket may not have so many more tickets: the sentence to hold the ticket with.
pub(crate) async fn descendants(
    connection: &mut SqliteConnection,
    asking: &Ticket,
    more: usize,
    rules: Rules,
) -> Result<std::result::Result<(), String>> {
    let family = asking.family();
    let made: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM ticket WHERE root_id = ?1")
        .bind(family.key())
        .fetch_one(&mut *connection)
        .await?;
    let most = of_project(connection, asking.project).await?.max_descendants;
    let more = i64::try_from(more).unwrap_or(i64::MAX);
    let most = most.unwrap_or(rules.max_descendants);
    Ok(limits::descendants(family, asking.id, (made, more), most))
}

/// Why a ticket may not have another attempt, whatever other tickets do: the sentence to hold it with.
pub(crate) async fn exhausted(
    connection: &mut SqliteConnection,
    ticket: TicketId,
) -> Result<Option<String>> {
    Ok(bounds(connection, ticket).await?.exhausted())
}

/// What bounds the next attempt at a ticket, besides dollars that others share with it.
pub(crate) async fn bounds(connection: &mut SqliteConnection, ticket: TicketId) -> Result<Bounds> {
    let row: BoundsRow = sqlx::query_as("SELECT * FROM ticket_bound WHERE ticket_id = ?1")
        .bind(ticket.key())
        .fetch_one(connection)
        .await?;
    Ok(row.bounds())
}

impl Store {
    /// The limits of a project, with the server's where the project has none of its own.
    pub async fn project_limits(&self, project: ProjectKey) -> Result<ProjectLimits> {
        let limits = of_project(&mut *self.readers.acquire().await?, project).await?;
        Ok(self.in_force(limits))
    }

    /// The limits that apply.
    pub(crate) fn in_force(&self, limits: ProjectLimits) -> ProjectLimits {
        let max_descendants = limits.max_descendants.or(Some(self.rules().max_descendants));
        ProjectLimits { max_descendants, ..limits }
    }
}

/// The queued tickets of a project that may have no further attempt, among those at the head of the queue. The others
/// are checked when they get there, and again by each claim.
pub(crate) async fn exhausted_of(
    connection: &mut SqliteConnection,
    project: ProjectKey,
) -> Result<Vec<(TicketId, String)>> {
    let rows: Vec<BoundsRow> = sqlx::query_as(
        "SELECT * FROM ticket_bound
          WHERE project_id = ?1 AND state = 'queued'
          ORDER BY priority DESC, ticket_id LIMIT ?2",
    )
    .bind(project.0)
    .bind(HEAD)
    .fetch_all(connection)
    .await?;
    let held =
        |row: BoundsRow| Some((TicketId::from_key(row.ticket_id), row.bounds().exhausted()?));
    Ok(rows.into_iter().filter_map(held).collect())
}
