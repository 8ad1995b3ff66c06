//! The file: its schema, and what is refused instead of opened.

use sqlx::Connection as _;
use sqlx::Executor as _;
use sqlx::Row as _;
use sqlx::SqliteConnection;

use super::*;
use crate::store::StoreError;
use crate::store::check_file;

/// The whole schema as SQLite has it after all migrations. After a deliberate change run this test with
/// `VIBE_ENSEMBLE_TEST_BLESS=1` and read the difference.
#[tokio::test]
async fn the_schema_is_the_snapshot() {
    let bed = Bed::new().await;
    let rows = sqlx::query(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE '\\_sqlx%' ESCAPE '\\'
          AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type DESC, name",
    )
    .fetch_all(&bed.store.readers)
    .await
    .unwrap();
    let statements: Vec<String> = rows.iter().map(|row| row.get::<String, _>(0)).collect();
    let schema = statements.join(";\n\n") + ";\n";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/tests/schema.sql");
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of this test, no setting of the server"
    )]
    if std::env::var_os("VIBE_ENSEMBLE_TEST_BLESS").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    assert_eq!(schema, std::fs::read_to_string(&path).unwrap_or_default());
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening_and_the_identity_stays() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await;
    let identity = bed.store.server_id().to_owned();
    bed.store.close().await;
    let path = bed.dir.path().join("test.db");
    let reopened = Store::open(&path, RULES, NOW).await.unwrap();
    assert_eq!(reopened.server_id(), identity);
    assert_eq!(reopened.ticket(ticket.id).await.unwrap().ticket, ticket);
    reopened.close().await;
    assert_eq!(check_file(&path).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let bed = Bed::new().await;
    bed.store.close().await;
    let path = bed.dir.path().join("test.db");
    let mut raw = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    raw.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (29991231235959, 'from the future', 1, x'00', 0)",
    )
    .await
    .unwrap();
    raw.close().await.unwrap();
    match Store::open(&path, RULES, NOW).await {
        Err(Error::Failed(StoreError::Newer { migration, .. })) => {
            assert_eq!(migration, 29_991_231_235_959);
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    std::fs::write(
        &path,
        "this is a letter to my aunt, and long enough to be taken for a page\n".repeat(100),
    )
    .unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(Store::open(&path, RULES, NOW).await.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn attempt_numbers_continue_above_the_run_directories_on_disk() {
    let bed = Bed::new().await;
    bed.store.reserve_attempts(AttemptId::from_key(40)).await.unwrap();
    bed.store.reserve_attempts(AttemptId::from_key(12)).await.unwrap();
    bed.ticket(&["impl"]).await;
    let worker = bed.worker("impl").await;
    assert_eq!(bed.granted(worker, "p1").await.attempt.id, AttemptId::from_key(41));
}
