//! Bringing the schema up to date.

use std::path::Path;

use sqlx::SqliteConnection;
use sqlx::migrate::MigrateError;
use sqlx::migrate::Migrator;

use super::error::StoreError;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

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
