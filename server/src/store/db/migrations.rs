//! Brings the schema up to date.

use std::path::Path;

use sqlx::SqliteConnection;
use sqlx::migrate::MigrateError;
use sqlx::migrate::Migrator;

use super::error::StoreError;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The first migration. Earlier ones were squashed into it before the first release, so a database with an older one
/// was made by an unreleased version.
const FIRST: i64 = 20_261_201_000_100;

/// Refuses a database from before the first release. Its tables look like today's, but no migration leads from that
/// schema to this one.
pub(crate) async fn refuse_unreleased(
    path: &Path,
    connection: &mut SqliteConnection,
) -> std::result::Result<(), StoreError> {
    // A new file has no such table. A file that is not a database is reported by the next reader.
    let oldest: std::result::Result<Option<i64>, _> =
        sqlx::query_scalar("SELECT MIN(version) FROM _sqlx_migrations").fetch_one(connection).await;
    match oldest {
        Ok(Some(version)) if version < FIRST => {
            Err(StoreError::Unreleased { path: path.to_owned() })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether the schema has every migration of this version. A new file has not, nor has one that cannot be read.
pub(crate) async fn is_up_to_date(connection: &mut SqliteConnection) -> bool {
    let applied: std::result::Result<i64, _> =
        sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(connection)
            .await;
    applied.ok() == newest()
}

/// The newest migration of this version.
fn newest() -> Option<i64> {
    MIGRATIONS.iter().map(|migration| migration.version).max()
}

/// Refuses a database with a migration that this version does not know.
pub(crate) async fn refuse_newer(
    path: &Path,
    connection: &mut SqliteConnection,
) -> std::result::Result<(), StoreError> {
    let applied: Option<i64> = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await
        .map_err(StoreError::Statement)?;
    match applied.filter(|applied| Some(*applied) > newest()) {
        Some(migration) => Err(StoreError::Newer { path: path.to_owned(), migration }),
        None => Ok(()),
    }
}

pub(crate) async fn migrate(
    path: &Path,
    connection: &mut SqliteConnection,
) -> std::result::Result<(), StoreError> {
    match MIGRATIONS.run_direct(None, connection, /* skip */ false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(migration)) => {
            Err(StoreError::Newer { path: path.to_owned(), migration })
        }
        Err(source) => Err(StoreError::Migrate { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of `migrations/`, in the order in which they were released. Append the name of a new one; its number is
    /// greater than every number here. A name that was ever released is neither changed nor removed.
    const RELEASED: [&str; 25] = [
        "20261201000100 create projects",
        "20261201000200 create tickets",
        "20261201000300 create attempts",
        "20261201000400 create events",
        "20261201000500 create usage",
        "20261201000600 create views",
        "20261201000700 add hold kind",
        "20261201000800 add inbox",
        "20261201000900 add event scopes",
        "20261201001000 count skipped events",
        "20261201001100 sort before grouping",
        "20261201001200 add event cause",
        "20261201001300 add checks",
        "20261201001310 add protection",
        "20261201001400 add gates",
        "20261201001500 add search",
        "20261201001510 add failure day",
        "20261201001520 index open tickets",
        "20261201001600 create worktree directories",
        "20261201001700 sort holds by kind",
        "20261201001800 add cleanup",
        "20261201001900 add gate networks",
        "20261201002000 sum gates",
        "20261201002100 add budget warnings",
        "20261201002200 add notifiers",
    ];

    #[test]
    fn migrations_are_appended_and_their_numbers_are_unique_and_grow() {
        let named = |m: &sqlx::migrate::Migration| format!("{} {}", m.version, m.description);
        let found: Vec<String> = MIGRATIONS.iter().map(named).collect();
        assert_eq!(found, RELEASED);
        let numbers: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert!(numbers.is_sorted_by(|before, after| before < after), "{numbers:?}");
        assert_eq!(numbers.first(), Some(&FIRST));
    }

    /// A connection to a new database that has the migrations up to this one.
    async fn as_of(version: i64) -> SqliteConnection {
        use sqlx::ConnectOptions as _;

        let options = sqlx::sqlite::SqliteConnectOptions::new().in_memory(true);
        let mut connection = options.connect().await.unwrap();
        let older = MIGRATIONS.iter().filter(|migration| migration.version <= version).cloned();
        let older = Migrator { migrations: older.collect::<Vec<_>>().into(), ..Migrator::DEFAULT };
        older.run_direct(None, &mut connection, false).await.unwrap();
        connection
    }

    #[tokio::test]
    async fn gates_that_ran_are_summed_and_what_was_due_keeps_its_network() {
        let mut connection = as_of(20_261_201_001_800).await;
        sqlx::raw_sql(
            "INSERT INTO project (project_id, name, path, directory, isolation, on_complete, description, rules, patterns,
                                  created_at, updated_at)
             VALUES (1, 'shop', '/srv/shop', '/srv/shop', 'shared', 'keep', '', '', '', 1, 1);
             INSERT INTO ticket (ticket_id, project_id, title, description, priority, state, stage_index, current_stage,
                                 attempts_used, created_at, updated_at)
             VALUES (1, 1, 'a', '', 1, 'running', 0, 'impl', 0, 1, 7);
             INSERT INTO worker (worker_id, project_id, worker_type, kind, state, started_at)
             VALUES (1, 1, '(gates)', 'check', 'idle', 1);
             INSERT INTO checking (ticket_id, phase, step, result, since) VALUES (1, 'stage', 'due', '{}', 1);
             INSERT INTO checking_gate (ticket_id, position, gate) VALUES (1, 0, 'test');",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        for (number, kind, verdict, ended_at, memory) in [
            (1, "gate", "'flaky'", 5000, 300),
            (2, "gate", "NULL", 6000, 700),
            (3, "setup", "NULL", 7000, 900),
        ] {
            let gate = if kind == "gate" { "'test'" } else { "NULL" };
            let sql = format!(
                "INSERT INTO attempt (attempt_id, ticket_id, stage_index, stage, worker_id, pull_id, state, claude_session_id,
                                      granted_at, started_at, ended_at, settled_at, outcome, detail, kind, gate, verdict,
                                      peak_memory_bytes, assumed_usd)
                 VALUES ({number}, 1, 0, 'impl', 1, 'p{number}', 'ended', '', 1, 4000, {ended_at}, {ended_at}, 'succeeded', '',
                         '{kind}', {gate}, {verdict}, {memory}, 0)"
            );
            sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        }
        MIGRATIONS.run_direct(None, &mut connection, false).await.unwrap();
        for table in ["usage_day", "usage_stage", "usage_ticket"] {
            let sql = format!(
                "SELECT attempts, wall_ms, peak_memory_bytes, gate_runs, gate_wall_ms, gate_peak_memory_bytes, gate_flaky FROM {table}"
            );
            let sums: (i64, i64, i64, i64, i64, i64, i64) =
                sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
            assert_eq!(sums, (3, 6000, 900, 2, 3000, 700, 1), "{table}");
        }
        let problems = crate::store::db::sums::problems(&mut connection).await.unwrap();
        assert_eq!(problems, Vec::<String>::new());
        let due: (i64, bool) = sqlx::query_as("SELECT ticket_id, has_network FROM checking_due")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(due, (1, true));
        let has_network: bool = sqlx::query_scalar("SELECT has_network FROM worker")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert!(has_network);
    }

    #[tokio::test]
    async fn tickets_that_are_on_hold_get_a_kind_and_a_time() {
        let mut connection = as_of(20_261_201_000_600).await;
        sqlx::raw_sql(
            "INSERT INTO project (project_id, name, path, directory, isolation, on_complete, description, rules, patterns,
                                  created_at, updated_at)
             VALUES (1, 'shop', '/srv/shop', '/srv/shop', 'shared', 'keep', '', '', '', 1, 1);
             INSERT INTO ticket (ticket_id, project_id, title, description, priority, state, hold_reason, stage_index,
                                 current_stage, attempts_used, created_at, updated_at)
             VALUES (1, 1, 'a', '', 1, 'on_hold', 'Red?', 0, 'impl', 1, 1, 7),
                    (2, 1, 'b', '', 1, 'on_hold', 'impl failed', 0, 'impl', 3, 1, 8),
                    (3, 1, 'c', '', 1, 'on_hold', 'cancelled', 0, 'impl', 0, 1, 9),
                    (4, 1, 'd', '', 1, 'queued', NULL, 0, 'impl', 0, 1, 9);
             INSERT INTO comment (ticket_id, author, kind, content, created_at) VALUES (1, 'impl', 'question', 'Red?', 7);",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        migrate(Path::new("test.db"), &mut connection).await.unwrap();
        let found: Vec<(i64, Option<String>, Option<i64>)> =
            sqlx::query_as("SELECT ticket_id, hold_kind, held_at FROM ticket ORDER BY ticket_id")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        let held = |id, kind: &str, at| (id, Some(kind.to_owned()), Some(at));
        assert_eq!(
            found,
            [
                held(1, "question", 7),
                held(2, "failures", 8),
                held(3, "operator", 9),
                (4, None, None)
            ]
        );
    }
}
