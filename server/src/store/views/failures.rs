//! How often attempts failed, by day and class.

use sqlx::FromRow;

use crate::domain::id::AttemptId;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::project;

/// Failures of one class at one stage of a project on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureDay {
    /// Days since 1970-01-01 in UTC.
    pub day: i64,
    pub project: String,
    pub stage: String,
    /// A name of [`crate::domain::outcome::Failure`].
    pub failure: String,
    pub attempts: i64,
    /// The newest of them.
    pub newest: AttemptId,
}

#[derive(FromRow)]
struct FailureRow {
    day: i64,
    project: String,
    stage: String,
    failure: String,
    attempts: i64,
    attempt_id: i64,
}

/// The most rows of an answer; a day has a few for each project.
const MOST: i64 = 5_000;

impl Store {
    /// Failures from a day on, newest day first.
    pub async fn failures(&self, since_day: i64, project: Option<&str>) -> Result<Vec<FailureDay>> {
        let mut snapshot = self.readers.begin().await?;
        let key = match project {
            Some(name) => project::load(&mut snapshot, name).await?.key.0,
            None => 0,
        };
        let rows: Vec<FailureRow> = sqlx::query_as(
            "SELECT f.day, p.name AS project, f.stage, f.failure, f.attempts, f.attempt_id
               FROM failure_day f
               JOIN project p ON p.project_id = f.project_id
              WHERE f.day >= ?1 AND (?2 = 0 OR f.project_id = ?2)
              ORDER BY f.day DESC, f.attempts DESC
              LIMIT ?3",
        )
        .bind(since_day)
        .bind(key)
        .bind(MOST)
        .fetch_all(&mut *snapshot)
        .await?;
        let read = |row: FailureRow| FailureDay {
            day: row.day,
            project: row.project,
            stage: row.stage,
            failure: row.failure,
            attempts: row.attempts,
            newest: AttemptId::from_key(row.attempt_id),
        };
        Ok(rows.into_iter().map(read).collect())
    }
}
