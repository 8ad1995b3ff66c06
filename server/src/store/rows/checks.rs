//! What a project's coordinator and a ticket's file set about worktrees and gates, and both together.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::FromRow;
use sqlx::SqliteConnection;

use crate::domain::checks::Checks;
use crate::domain::checks::Copied;
use crate::domain::checks::Kept;
use crate::domain::checks::Tables;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row::Place;
use crate::store::db::store::Store;

#[derive(FromRow)]
struct SetRow {
    worktree: String,
    gates: String,
}

#[derive(FromRow)]
struct KeptRow {
    commit_id: Option<String>,
    found: bool,
    tables: String,
    copied: Option<String>,
}

/// What the coordinator set for a project.
pub(crate) async fn set_of_project(
    connection: &mut SqliteConnection,
    project: ProjectKey,
) -> Result<Tables> {
    let sql = "SELECT worktree, gates FROM project_checks WHERE project_id = ?1";
    let row: Option<SetRow> =
        sqlx::query_as(sql).bind(project.0).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(Tables::default()) };
    let place = Place { table: "project_checks", key: project.0 };
    Ok(Tables {
        worktree: read(place, &row.worktree, "worktree")?,
        gates: read(place, &row.gates, "gates")?,
    })
}

/// Replaces what the coordinator set for a project.
pub(crate) async fn set(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    tables: &Tables,
) -> Result<()> {
    let sql = "INSERT INTO project_checks (project_id, worktree, gates) VALUES (?1, ?2, ?3)
               ON CONFLICT (project_id) DO UPDATE SET worktree = excluded.worktree, gates = excluded.gates";
    sqlx::query(sql)
        .bind(project.0)
        .bind(written(&tables.worktree)?)
        .bind(written(&tables.gates)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// What a ticket's file set, if it was read.
pub(crate) async fn kept(
    connection: &mut SqliteConnection,
    ticket: TicketId,
) -> Result<Option<Kept>> {
    let sql = "SELECT commit_id, found, tables, copied FROM ticket_checks WHERE ticket_id = ?1";
    let row: Option<KeptRow> =
        sqlx::query_as(sql).bind(ticket.key()).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let place = Place { table: "ticket_checks", key: ticket.key() };
    Ok(Some(Kept {
        commit: row.commit_id,
        found: row.found,
        tables: read(place, &row.tables, "tables")?,
        copied: row.copied.map(|json| read(place, &json, "copied")).transpose()?,
    }))
}

/// Keeps what a ticket's file set.
pub(crate) async fn keep(
    connection: &mut SqliteConnection,
    ticket: TicketId,
    kept: &Kept,
) -> Result<()> {
    let sql = "INSERT INTO ticket_checks (ticket_id, commit_id, found, tables) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (ticket_id) DO UPDATE
                  SET commit_id = excluded.commit_id, found = excluded.found, tables = excluded.tables";
    sqlx::query(sql)
        .bind(ticket.key())
        .bind(&kept.commit)
        .bind(kept.found)
        .bind(written(&kept.tables)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets what a ticket's file set: the ticket does not begin yet.
pub(crate) async fn forget(connection: &mut SqliteConnection, ticket: TicketId) -> Result<()> {
    sqlx::query("DELETE FROM ticket_checks WHERE ticket_id = ?1")
        .bind(ticket.key())
        .execute(connection)
        .await?;
    Ok(())
}

/// Gives a ticket what another ticket's file set in the project's directory: the agent that created it may have changed the
/// file meanwhile.
pub(crate) async fn inherit(
    connection: &mut SqliteConnection,
    ticket: TicketId,
    from: TicketId,
) -> Result<()> {
    let sql = "INSERT INTO ticket_checks (ticket_id, commit_id, found, tables)
               SELECT ?1, NULL, c.found, c.tables
                 FROM ticket_checks c JOIN ticket t ON t.ticket_id = ?1 JOIN project p ON p.project_id = t.project_id
                WHERE c.ticket_id = ?2 AND c.commit_id IS NULL AND p.isolation = 'shared'";
    sqlx::query(sql).bind(ticket.key()).bind(from.key()).execute(connection).await?;
    Ok(())
}

/// Records what was copied into a ticket's worktree.
pub(crate) async fn set_copied(
    connection: &mut SqliteConnection,
    ticket: TicketId,
    copied: &Copied,
) -> Result<()> {
    sqlx::query("UPDATE ticket_checks SET copied = ?2 WHERE ticket_id = ?1")
        .bind(ticket.key())
        .bind(written(copied)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// What counts for a ticket: what its coordinator sets now, over what its file set when it began.
///
/// A gate that has no command any more stays, and cannot be run: leaving it out would let the ticket pass.
pub(crate) async fn of_ticket(
    connection: &mut SqliteConnection,
    ticket: TicketId,
) -> Result<Checks> {
    let project: i64 = sqlx::query_scalar("SELECT project_id FROM ticket WHERE ticket_id = ?1")
        .bind(ticket.key())
        .fetch_one(&mut *connection)
        .await?;
    let set = set_of_project(connection, ProjectKey(project)).await?;
    let file = kept(connection, ticket).await?.unwrap_or_default();
    Ok(set.over(file.tables))
}

fn read<T: DeserializeOwned>(place: Place, json: &str, column: &'static str) -> Result<T> {
    // Without the value, which may have secrets.
    serde_json::from_str(json).map_err(|_| place.bad(column, "JSON that is not understood").into())
}

fn written<T: Serialize>(value: &T) -> Result<String> {
    let written = serde_json::to_string(value);
    written.map_err(|error| StoreError::Statement(sqlx::Error::Encode(Box::new(error))).into())
}

impl Store {
    /// What counts for a ticket.
    pub async fn checks_of(&self, ticket: TicketId) -> Result<Checks> {
        of_ticket(&mut *self.readers.acquire().await?, ticket).await
    }

    /// What a ticket's file set, if it was read.
    pub async fn kept_checks(&self, ticket: TicketId) -> Result<Option<Kept>> {
        kept(&mut *self.readers.acquire().await?, ticket).await
    }

    /// What the coordinator set for a project.
    pub async fn project_checks(&self, project: ProjectKey) -> Result<Tables> {
        set_of_project(&mut *self.readers.acquire().await?, project).await
    }
}
