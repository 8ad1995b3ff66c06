//! Many copies of the rows of a ticket that really ran: the state of a server after a long time, in
//! seconds.
//!
//! Each copy gets numbers of its own and times spread over a hundred days; everything else is as
//! the server wrote it. The triggers maintain the sums while the rows are copied, as they would
//! have in operation.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use sqlx::AssertSqlSafe;
use sqlx::Connection;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteConnectOptions;

/// How many tickets one commit copies.
const BATCH: u64 = 20_000;

/// Over how many days the copies are spread.
const DAYS: i64 = 100;
const DAY_MS: i64 = 86_400_000;

/// A table whose rows belong to a ticket, and the columns that a copy changes.
struct Copied {
    table: &'static str,
    /// Columns that refer to a row of this kind, and the table that assigns its numbers.
    keys: &'static [(&'static str, &'static str)],
    times: &'static [&'static str],
    /// Columns that must be unique, as SQL of the old value.
    unique: &'static [(&'static str, &'static str)],
    of_ticket: &'static str,
}

const TABLES: [Copied; 5] = [
    Copied {
        table: "ticket",
        keys: &[("ticket_id", "ticket")],
        times: &["created_at", "updated_at", "closed_at"],
        unique: &[("idempotency_key", "NULL")],
        of_ticket: "ticket_id",
    },
    Copied {
        table: "ticket_stage",
        keys: &[("ticket_id", "ticket")],
        times: &[],
        unique: &[],
        of_ticket: "ticket_id",
    },
    Copied {
        table: "attempt",
        keys: &[("ticket_id", "ticket"), ("attempt_id", "attempt")],
        times: &["granted_at", "started_at", "ended_at", "settled_at"],
        unique: &[
            ("pull_id", "pull_id || '-' || n.value"),
            ("claude_session_id", "claude_session_id || '-' || n.value"),
        ],
        of_ticket: "ticket_id",
    },
    Copied {
        table: "comment",
        keys: &[("ticket_id", "ticket"), ("attempt_id", "attempt"), ("comment_id", "comment")],
        times: &["created_at"],
        unique: &[],
        of_ticket: "ticket_id",
    },
    Copied {
        table: "event",
        keys: &[("ticket_id", "ticket"), ("attempt_id", "attempt"), ("seq", "event")],
        times: &["at"],
        unique: &[],
        of_ticket: "ticket_id",
    },
];

/// Copies the rows of the first ticket until there are `tickets`.
///
/// The server must be stopped. The copies have the state of the first ticket, so that must be
/// closed, on hold or queued.
///
/// # Errors
///
/// The database cannot be written.
pub async fn multiply(database: &Path, tickets: u64) -> anyhow::Result<()> {
    let options = SqliteConnectOptions::new()
        .filename(database)
        .foreign_keys(false)
        // Nothing here must survive a power failure.
        .pragma("synchronous", "OFF")
        .pragma("cache_size", "-200000");
    let mut connection = SqliteConnection::connect_with(&options).await.context("the database")?;
    let mut statements = Vec::new();
    for table in TABLES {
        statements.push(statement(&mut connection, &table).await?);
    }
    // Copies that end today first would make the newest day the fullest; the first ticket is
    // recent, so go back.
    let mut made = 1;
    let mut told = Instant::now();
    while made < tickets {
        let last = (made + BATCH).min(tickets);
        let mut transaction = connection.begin().await?;
        for sql in &statements {
            sqlx::query(AssertSqlSafe(sql.clone()))
                .bind(i64::try_from(made)?)
                .bind(i64::try_from(last - 1)?)
                .bind(i64::try_from(tickets)?)
                .execute(&mut *transaction)
                .await
                .with_context(|| sql.clone())?;
        }
        transaction.commit().await?;
        made = last;
        if told.elapsed().as_secs() >= 5 {
            eprintln!("  {made} of {tickets} tickets");
            told = Instant::now();
        }
    }
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// The statement that copies the rows of the first ticket once for each number from `?1` to `?2`;
/// `?3` is how many there will be.
async fn statement(connection: &mut SqliteConnection, copied: &Copied) -> anyhow::Result<String> {
    let table = copied.table;
    let columns: Vec<String> =
        sqlx::query_scalar("SELECT name FROM pragma_table_info(?1) ORDER BY cid")
            .bind(table)
            .fetch_all(&mut *connection)
            .await?;
    let mut values = Vec::with_capacity(columns.len());
    for column in &columns {
        let key = copied.keys.iter().find(|(name, _)| name == column);
        let unique = copied.unique.iter().find(|(name, _)| name == column);
        values.push(if let Some((_, of)) = key {
            let most = highest(connection, of).await?;
            // Above every existing number, in steps that leave room for the rows of one ticket.
            format!("r.{column} + {most} * n.value")
        } else if let Some((_, sql)) = unique {
            (*sql).to_owned()
        } else if copied.times.contains(&column.as_str()) {
            format!("r.{column} - ({DAYS} * {DAY_MS} / ?3) * (?3 - n.value)")
        } else {
            format!("r.{column}")
        });
    }
    Ok(format!(
        "WITH RECURSIVE n(value) AS (SELECT ?1 UNION ALL SELECT value + 1 FROM n WHERE value < ?2)
         INSERT INTO {table} ({}) SELECT {} FROM n CROSS JOIN {table} r WHERE r.{} = 1",
        columns.join(", "),
        values.join(", "),
        copied.of_ticket,
    ))
}

/// The highest number of a kind among the first ticket's rows.
async fn highest(connection: &mut SqliteConnection, table: &str) -> anyhow::Result<i64> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
    Ok(sqlx::query_scalar(sql).bind(table).fetch_one(connection).await?)
}
