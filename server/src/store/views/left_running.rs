//! Workers that a server which is gone left running, read from outside the server.

use std::path::Path;

use sqlx::Connection as _;

use crate::domain::trace::Trace;
use crate::domain::worker::Worker;
use crate::store::db::connection::read_only;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::migrations;
use crate::store::rows::trace;
use crate::store::rows::worker;

/// The workers of a database file that had not stopped when its server was there last, each with what its shim said of
/// itself. The file is only read.
///
/// What a shim said is left out where the database was used in another directory before: it may have been said there.
pub async fn left_running(path: &Path) -> Result<Vec<(Worker, Option<Trace>)>> {
    let mut connection = read_only(path).await?;
    migrations::refuse_unreleased(path, &mut connection).await?;
    let elsewhere: Option<i64> =
        sqlx::query_scalar("SELECT granted_elsewhere FROM place WHERE place_row = 1")
            .fetch_optional(&mut connection)
            .await?;
    let mut found = Vec::new();
    for worker in worker::all_live(&mut connection).await? {
        let trace = match elsewhere {
            Some(0) => trace::of(&mut connection, worker.id).await?,
            Some(_) | None => None,
        };
        found.push((worker, trace));
    }
    connection.close().await.map_err(StoreError::Statement)?;
    Ok(found)
}
