//! The file: its schema, and what is refused instead of opened.

use std::path::Path;

use sqlx::Connection as _;
use sqlx::Executor as _;
use sqlx::Row as _;
use sqlx::SqliteConnection;

use super::*;
use crate::domain::id::EventSeq;
use crate::store::Highest;
use crate::store::Holdings;
use crate::store::StoreError;
use crate::store::check_copy;
use crate::store::check_file;
use crate::store::copy;

async fn backed_up(from: &Path, to: &Path) -> std::result::Result<Holdings, StoreError> {
    copy(from, to).await?;
    check_copy(from, to).await
}

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
async fn a_database_of_before_the_first_release_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let mut raw = SqliteConnection::connect(&url).await.unwrap();
    // What such a version left: a table of today's name, and numbers of migrations that are no more.
    raw.execute(
        "PRAGMA journal_mode = WAL;
         CREATE TABLE project (project_id INTEGER PRIMARY KEY, name TEXT NOT NULL);
         INSERT INTO project VALUES (1, 'shop');
         CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
             installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL,
             checksum BLOB NOT NULL, execution_time BIGINT NOT NULL);
         INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (20261122180000, 'create projects', 1, x'00', 0), (20261129000700, 'keep sums', 1, x'00', 0)",
    )
    .await
    .unwrap();
    raw.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let is_refusal = |error: &StoreError| {
        let words = error.to_string();
        matches!(error, StoreError::Unreleased { .. }) && words.contains("To begin anew")
    };
    match Store::open(&path, RULES, NOW).await {
        Err(Error::Failed(error)) if is_refusal(&error) => {}
        other => panic!("expected a refusal, got {other:?}"),
    }
    let checked = check_file(&path).await;
    assert!(checked.as_ref().is_err_and(is_refusal), "{checked:?}");
    let copy = dir.path().join("copy.db");
    let copied = backed_up(&path, &copy).await;
    assert!(copied.as_ref().is_err_and(is_refusal), "{copied:?}");
    assert!(!copy.exists());
    assert_eq!(std::fs::read(&path).unwrap(), before);
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
    match Store::open(&path, RULES, NOW).await {
        Err(Error::Failed(StoreError::Damaged { .. })) => {}
        other => panic!("expected a refusal, got {other:?}"),
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn attempt_numbers_continue_above_the_run_directories_on_disk() {
    let bed = Bed::new().await;
    let on_disk = |attempt| Highest {
        attempt: Some(AttemptId::from_key(attempt)),
        ticket: Some(TicketId::from_key(20)),
        worker: Some(WorkerId::from_key(30)),
    };
    bed.ticket(&["impl"]).await;
    assert!(bed.store.resume_numbers(on_disk(40)).await.unwrap());
    assert!(!bed.store.resume_numbers(on_disk(12)).await.unwrap(), "nothing new");
    assert!(!bed.store.resume_numbers(Highest::default()).await.unwrap());
    assert_eq!(bed.store.newest_attempt().await.unwrap(), AttemptId::from_key(40));
    let ticket = bed.ticket(&["impl"]).await;
    assert_eq!(ticket.id, TicketId::from_key(21));
    let worker = bed.worker("impl").await;
    assert_eq!(worker, WorkerId::from_key(31));
    assert_eq!(bed.granted(worker, "p1").await.attempt.id, AttemptId::from_key(41));
    let query = crate::store::EventQuery {
        after: Some(EventSeq(1_000_000)),
        include_processed: true,
        scope: crate::store::EventScope::default(),
        consumer: "test".into(),
        limit: 10,
    };
    let seen = bed.store.events(query).await.unwrap().events.len();
    let counted = bed.store.counts().await.unwrap().events;
    assert!(counted < 1_000, "{counted} events were appended, whatever their numbers");
    assert_eq!(seen, 3, "events continue far above any position a coordinator may have saved");
}

#[tokio::test]
async fn a_backup_is_whole_and_checked_while_the_server_writes() {
    let bed = Bed::new().await;
    bed.ticket(&["impl"]).await;
    let copy = bed.dir.path().join("copy.db");
    let holdings = backed_up(&bed.dir.path().join("test.db"), &copy).await.unwrap();
    bed.ticket(&["impl"]).await;
    assert_eq!((holdings.projects, holdings.tickets, holdings.attempts), (1, 1, 0));
    let left = |name: &str| bed.dir.path().join(name).exists();
    assert!(!left("copy.db-wal") && !left("copy.db-journal") && !left("copy.db-shm"));
    let again = backed_up(&bed.dir.path().join("test.db"), &copy).await;
    assert!(matches!(again, Err(StoreError::Copy { .. })), "{again:?}");
    let restored = Store::open(&copy, RULES, NOW).await.unwrap();
    assert_eq!(restored.server_id(), bed.store.server_id());
}

#[tokio::test]
async fn a_backup_beside_the_log_of_the_database_it_replaces_is_refused() {
    let bed = Bed::new().await;
    let path = bed.dir.path().join("test.db");
    let copy = bed.dir.path().join("copy.db");
    backed_up(&path, &copy).await.unwrap();
    bed.ticket(&["impl"]).await;
    // What a killed server leaves: its log, with commits that are not in the file yet.
    let place = tempfile::tempdir().unwrap();
    let there = |name: &str| place.path().join(name);
    std::fs::copy(&path, there("test.db")).unwrap();
    std::fs::copy(bed.dir.path().join("test.db-wal"), there("test.db-wal")).unwrap();
    let as_left = Store::open(&there("test.db"), RULES, NOW).await.unwrap();
    assert_eq!(as_left.ticket(TicketId::from_key(1)).await.unwrap().ticket.title, "Fix it");
    as_left.close().await;

    std::fs::copy(&copy, there("test.db")).unwrap();
    std::fs::copy(bed.dir.path().join("test.db-wal"), there("test.db-wal")).unwrap();
    let before = std::fs::read(there("test.db")).unwrap();
    match Store::open(&there("test.db"), RULES, NOW).await {
        Err(Error::Failed(StoreError::ForeignWal { .. })) => {}
        other => panic!("expected a refusal, got {other:?}"),
    }
    assert_eq!(std::fs::read(there("test.db")).unwrap(), before);
    std::fs::remove_file(there("test.db-wal")).unwrap();
    Store::open(&there("test.db"), RULES, NOW).await.unwrap();
}

#[tokio::test]
async fn a_damaged_database_is_refused_and_left_alone() {
    let bed = Bed::new().await;
    for _ in 0..200 {
        bed.ticket(&["impl"]).await;
    }
    bed.store.close().await;
    let path = bed.dir.path().join("test.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 3 * 4096].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    match Store::open(&path, RULES, NOW).await {
        Err(Error::Failed(StoreError::Damaged { .. })) => {}
        other => panic!("expected a refusal, got {other:?}"),
    }
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

/// A start that opens it to read would wait for ever.
#[tokio::test]
async fn a_named_pipe_in_the_place_of_the_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let (said, hears) = std::sync::mpsc::channel();
    let opened = path.clone();
    // A thread of its own: one that waits for a pipe cannot be ended.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let opened = runtime.block_on(Store::open(&opened, RULES, NOW));
        drop(said.send(opened.map(drop).map_err(|error| error.to_string())));
    });
    let error = hears.recv_timeout(std::time::Duration::from_secs(60)).expect("an answer");
    assert!(error.expect_err("it is no database").contains("test.db"));
}
