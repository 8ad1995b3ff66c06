//! Copies of the database, made while a server runs or when none does.

use std::path::Path;

use sqlx::Connection as _;
use sqlx::FromRow;

use super::check::check_file;
use super::connection;
use super::error::StoreError;
use super::migrations;
use crate::domain::text;

/// What a copy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Holdings {
    pub projects: i64,
    pub tickets: i64,
    pub attempts: i64,
    pub events: i64,
    /// Reports that came after something else had ended their attempt.
    pub parked_reports: i64,
}

impl Holdings {
    /// What a person wants to find again, in words.
    #[must_use]
    pub fn counted(&self) -> String {
        let Self { projects, tickets, attempts, events, .. } = *self;
        let each =
            [(projects, "project"), (tickets, "ticket"), (attempts, "attempt"), (events, "event")];
        each.map(|(number, noun)| text::counted(number, noun)).join(", ")
    }
}

/// Writes a consistent copy of the database `from` into the file `to`, which is empty or not there. Check it with
/// [`check_copy`].
///
/// Reads through a connection of its own that cannot write, so the server's writer is neither waited for nor stopped. The
/// copy is not yet durable: the caller syncs it and gives it its name.
pub async fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut source = connection::read_only(from).await?;
    migrations::refuse_unreleased(from, &mut source).await?;
    sqlx::query("VACUUM INTO ?1")
        .bind(to.to_string_lossy().into_owned())
        .execute(&mut source)
        .await
        .map_err(|source| StoreError::Copy { path: to.to_owned(), source })?;
    source.close().await.map_err(StoreError::Statement)
}

/// Refuses a file that no `backup` wrote, or a newer version's. It is looked at before anything is put in its place.
pub async fn check_backup(given: &Path, copy: &Path) -> Result<(), StoreError> {
    let foreign = || StoreError::NoBackup { path: given.to_owned() };
    let unreadable = |error| {
        if matches!(error, StoreError::Damaged { .. }) { foreign() } else { error }
    };
    let mut opened = connection::read_only(copy).await.map_err(unreadable)?;
    let tables: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM sqlite_schema
          WHERE type = 'table' AND name IN ('_sqlx_migrations', 'project', 'ticket', 'attempt', 'event')",
    )
    .fetch_one(&mut opened)
    .await
    .map_err(|error| unreadable(StoreError::opening(given, error)))?;
    if tables < 5 {
        return Err(foreign());
    }
    migrations::refuse_newer(given, &mut opened).await?;
    opened.close().await.map_err(StoreError::Statement)
}

/// Checks the whole of a copy of the database `from`, and says what it holds.
pub async fn check_copy(from: &Path, to: &Path) -> Result<Holdings, StoreError> {
    if let Some(first) = check_file(to).await?.into_iter().next() {
        return Err(StoreError::Damaged { path: from.to_owned(), first });
    }
    let mut copy = connection::read_only(to).await?;
    let holdings = sqlx::query_as(
        "SELECT (SELECT COUNT(*) FROM project WHERE deleted_at IS NULL) AS projects,
                (SELECT COUNT(*) FROM ticket) AS tickets,
                (SELECT COUNT(*) FROM attempt) AS attempts,
                (SELECT COUNT(*) FROM event) AS events,
                (SELECT COUNT(*) FROM parked_report) AS parked_reports",
    )
    .fetch_one(&mut copy)
    .await
    .map_err(StoreError::Statement)?;
    copy.close().await.map_err(StoreError::Statement)?;
    Ok(holdings)
}
