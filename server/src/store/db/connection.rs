//! How every connection to the database behaves: its options, its pragmas, and the check that SQLite took them.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::Row as _;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::sqlite::SqliteJournalMode;
use sqlx::sqlite::SqliteSynchronous;

use super::error::StoreError;

/// The one place that decides how every connection behaves.
pub(crate) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        // Readers never wait for the writer, nor does the writer wait for readers.
        .journal_mode(SqliteJournalMode::Wal)
        // A commit is on disk when it returns. NORMAL may lose the last commits on power loss, and a shim deletes
        // nothing before the server confirms that its report is committed.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Only the backup and the doctor ever meet the writer; a wait beats an error for them.
        .busy_timeout(Duration::from_secs(5))
        // Free the space of a large WAL after a checkpoint.
        .pragma("journal_size_limit", "67108864")
        .pragma("temp_store", "MEMORY")
        // Two MiB for each connection, whatever the database holds: memory must not grow with it. The kernel's page
        // cache holds the rest, and frees it when other programs need the memory.
        .pragma("cache_size", CACHE_SIZE)
        .statement_cache_capacity(200)
        .disable_statement_logging()
}

/// In KiB, which is what a negative number means.
const CACHE_SIZE: &str = "-2048";

pub(crate) const WRITER_PRAGMAS: [(&str, &str); 5] = [
    ("journal_mode", "wal"),
    ("synchronous", "2"),
    ("foreign_keys", "1"),
    ("query_only", "0"),
    ("cache_size", CACHE_SIZE),
];

pub(crate) const READER_PRAGMAS: [(&str, &str); 4] = [
    ("journal_mode", "wal"),
    ("foreign_keys", "1"),
    ("query_only", "1"),
    ("cache_size", CACHE_SIZE),
];

/// SQLite silently ignores a pragma that it does not know, so each one is read back.
pub(crate) async fn check_pragmas(
    connection: &mut SqliteConnection,
    wanted: &'static [(&'static str, &'static str)],
) -> std::result::Result<(), StoreError> {
    for &(pragma, wanted) in wanted {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA {pragma}")))
            .fetch_one(&mut *connection)
            .await
            .map_err(StoreError::Statement)?;
        let found = match row.try_get::<String, _>(0) {
            Ok(text) => text,
            Err(_) => row.try_get::<i64, _>(0).map_err(StoreError::Statement)?.to_string(),
        };
        if found != wanted {
            return Err(StoreError::Pragma { pragma, found, wanted });
        }
    }
    Ok(())
}

pub(crate) async fn read_only(path: &Path) -> Result<SqliteConnection, StoreError> {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|source| StoreError::opening(path, source))
}
