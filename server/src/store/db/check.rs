//! A full check of a database file, for the doctor and for a backup that was just written.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::error::StoreError;
use super::migrations;
use super::sums;

/// Every problem of a database file that a full check finds; opens it read-only and changes nothing.
pub async fn check_file(path: &Path) -> std::result::Result<Vec<String>, StoreError> {
    let opened = |source| StoreError::opening(path, source);
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(Duration::from_secs(5))
        .connect()
        .await
        .map_err(opened)?;
    migrations::refuse_unreleased(path, &mut connection).await?;
    let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_all(&mut connection)
        .await
        .map_err(StoreError::Statement)?;
    let dangling = sqlx::query("PRAGMA foreign_key_check")
        .fetch_all(&mut connection)
        .await
        .map_err(StoreError::Statement)?;
    // A file of another version may have no sums yet.
    let kept = if migrations::is_up_to_date(&mut connection).await {
        sums::problems(&mut connection).await.map_err(StoreError::Statement)?
    } else {
        Vec::new()
    };
    connection.close().await.map_err(StoreError::Statement)?;
    let mut problems: Vec<String> = found.into_iter().filter(|line| line != "ok").collect();
    if !dangling.is_empty() {
        problems.push(format!("{} rows point at rows that are not there", dangling.len()));
    }
    problems.extend(kept);
    Ok(problems)
}
