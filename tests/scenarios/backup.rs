//! Backups, and servers that start on one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::server::Server;
use serde_json::Value;
use serde_json::json;

/// Makes a backup, which must succeed, and returns its output.
async fn back_up(server: &Server, file: &Path) -> Value {
    let output = server.operate("backup", &[&file.display().to_string(), "--json"]).await;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{words}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[e2e::scenario]
async fn a_backup_is_private_never_overwrites_and_needs_no_server() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    let file = bed.server.path("one.db");
    let said = back_up(&bed.server, &file).await;
    assert_eq!((&said["tickets"], &said["attempts"]), (&json!(1), &json!(1)), "{said}");
    assert_eq!(said["bytes"], fs::metadata(&file).unwrap().len());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let content = fs::read(&file).unwrap();
    let again = bed.server.operate("backup", &[&file.display().to_string()]).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("already exists"), "{again:?}");
    assert!(fs::read(&file).unwrap() == content);
    let nowhere = bed.server.path("nowhere");
    let copy = nowhere.join("copy.db").display().to_string();
    let refused = bed.server.operate("backup", &[&copy]).await;
    assert_eq!(refused.status.code(), Some(1));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    let told = format!("{} is not a directory", nowhere.display());
    assert!(words.contains(&told), "{words}");

    bed.server.stop().await;
    let said = back_up(&bed.server, &bed.server.path("two.db")).await;
    assert_eq!(said["tickets"], 1, "{said}");
    let left: Vec<_> = fs::read_dir(bed.server.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("backup"))
        .collect();
    assert_eq!(left, Vec::<String>::new(), "no half-made copy is left");
}

#[e2e::scenario]
async fn a_restored_backup_resumes_its_tickets_and_uses_no_number_twice() {
    let mut bed = Bed::start().await;
    let repository = bed.repository("shop", &["build", "review"], json!({})).await;
    bed.project("load", &[]).await;
    bed.worker_type("load", "nobody", json!({"auto_spawn": false})).await;
    // W-1 runs the first ticket while the backup is made, and takes the second from its queue
    // afterwards.
    let running = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let waiting = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
    let call = bed.called(&running, "build", 1).await;
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let client = bed.client.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    let ticket =
                        json!({"project": "load", "title": "load", "execution_plan": ["nobody"]});
                    client.ok("create_ticket", ticket).await;
                }
            })
        })
        .collect();
    let file = bed.server.path("copy.db");
    let said = back_up(&bed.server, &file).await;
    assert_eq!(said["attempts"], 1, "{said}");
    for writer in writers {
        writer.await.unwrap();
    }

    // What the backup does not contain: the first completes, the second runs, and a third runs on a
    // new worker.
    fs::write(call.cwd.join("go"), "").unwrap();
    bed.completed(&running).await;
    let forgotten = bed.called(&waiting, "build", 1).await;
    let later = bed.ticket("shop", &["review"], "fake: review: sleep 600").await;
    let stray = bed.called(&later, "review", 1).await;
    let events_before = bed.events().await;
    let newest_event = events_before.last().unwrap()["seq"].as_i64().unwrap();
    bed.server.stop().await;
    let state = bed.server.state_dir();
    for file in ["vibe-ensemble.db-wal", "vibe-ensemble.db-shm"] {
        match fs::remove_file(state.join(file)) {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
        }
    }
    fs::copy(&file, state.join("vibe-ensemble.db")).unwrap();
    bed.launch().await;

    // The sealed record of the first is collected, and the second runs again under a new number.
    let closed = bed.completed(&running).await;
    assert_eq!(closed["attempts"].as_array().unwrap().len(), 1, "{closed}");
    let closed = bed.completed(&waiting).await;
    let used = [&call.attempt, &forgotten.attempt, &stray.attempt];
    for attempt in closed["attempts"].as_array().unwrap() {
        assert!(!used.contains(&&text(attempt, "attempt_id")), "a number came twice: {closed}");
    }
    assert_eq!(bed.agents.calls_of(&running, "build").len(), 1);
    assert_eq!(bed.agents.calls_of(&waiting, "build").len(), 2);
    bed.assert_no_overlaps();

    assert_eq!(repository.problems(), Vec::<String>::new());

    // Nothing of the forgotten attempts is running; their directories are kept and their records
    // parked.
    bed.nothing_is_left().await;
    for attempt in [&forgotten.attempt, &stray.attempt] {
        assert!(state.join("attempts").join(attempt).join("exit.json").exists(), "{attempt}");
    }
    let parked = eventually("both records are parked", || async {
        let file = bed.server.path("after.db");
        drop(fs::remove_file(&file));
        let said = back_up(&bed.server, &file).await;
        if said["parked_reports"] == 2 { Ok(said) } else { Err(said.to_string()) }
    })
    .await;
    assert_eq!(parked["parked_reports"], 2);

    // Numbers continue: tickets after the forgotten one, events after any saved position.
    let new = bed.ticket("shop", &["build"], "").await;
    assert!(number(&new) > number(&later), "{new} after {later}");
    bed.completed(&new).await;
    let after = bed.client.ok("list_events", json!({"after": newest_event, "limit": 200})).await;
    let kinds: Vec<String> =
        after["events"].as_array().unwrap().iter().map(|event| text(event, "kind")).collect();
    assert!(kinds.contains(&"ticket_created".to_owned()), "{kinds:?}");
    let mut worker_ids = Vec::new();
    for narrowed in [json!({}), json!({"state": "stopped"})] {
        let workers = bed.all("list_workers", "workers", narrowed).await;
        worker_ids.extend(workers.iter().map(|worker| text(worker, "worker_id")));
    }
    assert!(!worker_ids.contains(&stray.worker), "{} is another's: {worker_ids:?}", stray.worker);
}

#[e2e::scenario]
async fn a_backup_beside_the_log_of_another_database_is_refused() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let file = bed.server.path("copy.db");
    back_up(&bed.server, &file).await;
    bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    bed.server.kill().await;
    let state = bed.server.state_dir();
    assert!(state.join("vibe-ensemble.db-wal").exists(), "a killed server leaves its log");
    fs::copy(&file, state.join("vibe-ensemble.db")).unwrap();

    let output = bed.server.operate("serve", &["--listen", "127.0.0.1:0"]).await;

    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("vibe-ensemble.db-wal") && words.contains("Remove"), "{words}");
}

fn number(ticket: &str) -> i64 {
    ticket.strip_prefix("T-").and_then(|digits| digits.parse().ok()).expect("a ticket's id")
}

/// An operator looks into the file with what the machine has. Debian 12 has SQLite 3.40, which refuses the whole file for one
/// view that it cannot parse.
#[e2e::scenario(needs(Sqlite))]
async fn the_sqlite_of_the_machine_reads_every_table_and_view_of_a_backup() {
    let bed = Bed::start().await;
    bed.project("shop", &["plan", "build"]).await;
    let ticket = bed.ticket("shop", &["plan", "build"], "").await;
    bed.completed(&ticket).await;
    let file = bed.server.path("copy.db");
    back_up(&bed.server, &file).await;
    let ask = |sql: &str| {
        let mut sqlite = bed.server.command_of(Path::new("sqlite3"));
        let ran = sqlite.arg(&file).arg(sql).output().expect("it is there");
        assert!(ran.status.success(), "{sql}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    let names = ask("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')");
    assert!(names.lines().any(|name| name == "ticket_surroundings"), "{names}");
    for name in names.lines() {
        ask(&format!("SELECT * FROM {name} LIMIT 1"));
    }
    let plan = ask("SELECT plan FROM ticket_row");
    assert_eq!(plan.trim_end(), r#"["plan","build"]"#);
}
