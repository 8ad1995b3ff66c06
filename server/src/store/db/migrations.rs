//! Bringing the schema up to date.

use std::path::Path;

use sqlx::SqliteConnection;
use sqlx::migrate::MigrateError;
use sqlx::migrate::Migrator;

use super::error::StoreError;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The first migration there is. What came before it was squashed into it before the first release, so a database with an
/// older one was made by an unreleased version.
const FIRST: i64 = 20_261_201_000_100;

/// Refuses a database from before the first release. Its tables look like those of today, but no migration leads from one
/// schema to the other.
pub(crate) async fn refuse_unreleased(
    path: &Path,
    connection: &mut SqliteConnection,
) -> std::result::Result<(), StoreError> {
    // A new file has no such table. What is no database at all is reported by whatever reads it next.
    let oldest: std::result::Result<Option<i64>, _> =
        sqlx::query_scalar("SELECT MIN(version) FROM _sqlx_migrations").fetch_one(connection).await;
    match oldest {
        Ok(Some(version)) if version < FIRST => {
            Err(StoreError::Unreleased { path: path.to_owned() })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether the schema has every migration of this version. A new file and one that cannot be asked have not.
pub(crate) async fn is_up_to_date(connection: &mut SqliteConnection) -> bool {
    let applied: std::result::Result<i64, _> =
        sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(connection)
            .await;
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
    applied.ok() == newest
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
    const RELEASED: [&str; 6] = [
        "20261201000100 create projects",
        "20261201000200 create tickets",
        "20261201000300 create attempts",
        "20261201000400 create events",
        "20261201000500 create usage",
        "20261201000600 create views",
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
}
