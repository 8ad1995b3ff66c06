//! A notifier's row.

use sqlx::FromRow;
use sqlx::SqliteConnection;

use crate::domain::id::EventSeq;
use crate::domain::notify::Message;
use crate::domain::notify::Progress;
use crate::domain::text::Name;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::db::row::Place;

#[derive(FromRow)]
struct Row {
    notifier_id: i64,
    name: String,
    is_configured: bool,
    cursor: i64,
    message_id: Option<String>,
    sending: Option<String>,
    tries: i64,
    not_before: i64,
    error: Option<String>,
    failing_since: Option<i64>,
    paused_at: Option<i64>,
    delivered_at: Option<i64>,
}

impl TryFrom<Row> for Progress {
    type Error = StoreError;

    fn try_from(row: Row) -> std::result::Result<Self, StoreError> {
        let place = Place { table: "notifier", key: row.notifier_id };
        let sending = match (row.message_id, row.sending) {
            (Some(id), Some(list)) => {
                let keys: Vec<i64> =
                    serde_json::from_str(&list).map_err(|_| place.bad("sending", &list))?;
                Some(Message { id, events: keys.into_iter().map(EventSeq).collect() })
            }
            (None, _) | (_, None) => None,
        };
        Ok(Self {
            key: row.notifier_id,
            name: row::name(row.name),
            is_configured: row.is_configured,
            cursor: EventSeq(row.cursor),
            sending,
            tries: u32::try_from(row.tries).unwrap_or(u32::MAX),
            not_before: row::time(row.not_before),
            error: row.error,
            failing_since: row.failing_since.map(row::time),
            paused_at: row.paused_at.map(row::time),
            delivered_at: row.delivered_at.map(row::time),
        })
    }
}

/// Every notifier that is or was configured, by name.
pub(crate) async fn all(connection: &mut SqliteConnection) -> Result<Vec<Progress>> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT * FROM notifier ORDER BY name").fetch_all(connection).await?;
    let read: std::result::Result<_, StoreError> =
        rows.into_iter().map(Progress::try_from).collect();
    Ok(read?)
}

pub(crate) async fn find(
    connection: &mut SqliteConnection,
    name: &Name,
) -> Result<Option<Progress>> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM notifier WHERE name = ?1")
        .bind(name.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(Progress::try_from).transpose()?)
}
