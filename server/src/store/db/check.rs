//! A full check of a database file, for the doctor and for a backup that was just written.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::Connection as _;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteConnectOptions;

use super::error::StoreError;
use super::migrations;
use super::sums;

/// Every problem of a database file that a full check finds; opens it read-only and changes nothing.
pub async fn check_file(path: &Path) -> std::result::Result<Vec<String>, StoreError> {
    let mut first = open(path).await?;
    migrations::refuse_unreleased(path, &mut first).await?;
    // A file of another version may have no sums yet.
    let has_sums = migrations::is_up_to_date(&mut first).await;
    let (mut second, mut third) = (open(path).await?, open(path).await?);
    // Each reads the whole file, on a thread of its own.
    let integrity = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut first);
    let dangling = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut second);
    let sums = async { if has_sums { sums::problems(&mut third).await } else { Ok(Vec::new()) } };
    let checked = tokio::try_join!(integrity, dangling, sums);
    let (found, dangling, kept): (Vec<String>, _, Vec<String>) =
        checked.map_err(StoreError::Statement)?;
    for connection in [first, second, third] {
        connection.close().await.map_err(StoreError::Statement)?;
    }
    let mut problems: Vec<String> = found.into_iter().filter(|line| line != "ok").collect();
    if !dangling.is_empty() {
        problems.push(format!("{} rows point at rows that are not there", dangling.len()));
    }
    problems.extend(kept);
    Ok(problems)
}

async fn open(path: &Path) -> std::result::Result<SqliteConnection, StoreError> {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(Duration::from_secs(5))
        .connect()
        .await
        .map_err(|source| StoreError::opening(path, source))
}
