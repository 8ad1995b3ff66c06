//! Attempts that cannot be settled: shown, kept, and never guessed at.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::neighbours::NOBODY;

/// A server that may not read every file.
pub(crate) async fn of_a_user() -> Bed {
    Bed::with(Setup { user: Some(NOBODY), ..Setup::default() }).await
}

/// A file of another user's in the place of a record: whether it is the record, nobody can say.
pub(crate) fn unreadable(record: &Path) {
    fs::write(record, "").expect("a run directory");
    fs::set_permissions(record, Permissions::from_mode(0o600)).expect("our own file");
}

#[e2e::scenario(needs(Root))]
async fn an_exit_record_that_cannot_be_read_is_shown_and_its_ticket_waits() {
    let bed = of_a_user().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
    let call = bed.called(&ticket, "build", 1).await;
    let worker = bed.worker_of(&ticket).await;
    let record = bed.server.state_dir().join("attempts").join(&call.attempt).join("exit.json");
    unreadable(&record);

    assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGKILL), "the shim was there");

    let found = eventually("the attempt is stuck", || async {
        let found = bed.get(&ticket).await;
        if found["attempts"][0]["suspect"] == true { Ok(found) } else { Err(found.to_string()) }
    })
    .await;
    assert_eq!(found["state"], "running");
    let why = text(&found, "waiting_for");
    assert!(why.contains(&call.attempt) && why.contains("stuck"), "{why}");
    let status = json!({"worker_id": worker["worker_id"]});
    let status = bed.client.ok("get_worker_status", status).await;
    assert_eq!(status["suspect"], true, "{status}");
    assert_eq!(bed.agents.calls_of(&ticket, "build").len(), 1, "nothing else runs it");

    // Somebody looked, and removed the obstacle.
    fs::remove_file(&record).unwrap();
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["outcome"], "lost");
    assert_eq!(closed["attempts"][0]["suspect"], false);
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario(needs(Root))]
async fn a_stuck_attempt_is_given_up_when_its_worker_is_stopped() {
    let bed = of_a_user().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
    let call = bed.called(&ticket, "build", 1).await;
    let worker = bed.worker_of(&ticket).await;
    let record = bed.server.state_dir().join("attempts").join(&call.attempt).join("exit.json");
    unreadable(&record);
    assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGKILL), "the shim was there");
    eventually("the attempt is stuck", || async {
        let found = bed.get(&ticket).await;
        if found["attempts"][0]["suspect"] == true { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
    let doctor = bed.server.operate("doctor", &[]).await;
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    let worker_id = text(&worker, "worker_id");
    assert!(said.contains(&format!("stuck: {} of {ticket} ({worker_id})", call.attempt)), "{said}");

    let stop = json!({"worker_id": worker["worker_id"], "mode": "interrupt"});
    bed.client.ok("stop_worker", stop).await;
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["outcome"], "interrupted");
    assert!(record.exists(), "what cannot be read is kept");
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_shim_that_cannot_hear_is_killed_when_asked() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
    bed.called(&ticket, "build", 1).await;
    let worker = bed.worker_of(&ticket).await;
    assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGSTOP), "the shim was there");
    bed.client.ok("stop_worker", json!({"worker_id": worker["worker_id"], "mode": "kill"})).await;
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["outcome"], "interrupted");
    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(2), "{closed}");
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn an_attempt_whose_directory_was_removed_is_charged() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"max_attempts": 1})).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: sleep 600").await;
    let call = bed.called(&ticket, "build", 1).await;
    eventually("the server knows that it runs", || async {
        let found = bed.get(&ticket).await;
        let state = &found["attempts"][0]["state"];
        if state == "running" { Ok(()) } else { Err(state.to_string()) }
    })
    .await;
    fs::remove_dir_all(bed.server.state_dir().join("attempts").join(&call.attempt)).unwrap();
    let shim = pid(&bed.worker_of(&ticket).await, "pid");
    assert!(bed.server.send(shim, Signal::SIGKILL), "the shim was there");
    let held = bed.ticket_is(&ticket, "on_hold").await;
    assert_eq!(held["attempts"][0]["failure"], "lost", "{held}");
    assert_eq!(bed.agents.calls().len(), 1);
}

#[e2e::scenario]
async fn names_that_are_no_run_directories_change_nothing() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    bed.server.stop().await;
    let state = bed.server.state_dir();
    fs::create_dir(state.join("attempts/A-9223372036854775807")).unwrap();
    fs::write(state.join("attempts/A-5"), "").unwrap();
    fs::write(state.join("workers/W-9223372036854775807.lock"), "").unwrap();
    bed.launch().await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["attempt_id"], "A-1");
    assert_eq!(closed["attempts"][0]["worker_id"], "W-1");
}
