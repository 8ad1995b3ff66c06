//! Attempts that cannot be settled: shown, kept, never guessed at.

use std::fs;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::eventually::eventually;
use nix::sys::signal::Signal;
use serde_json::json;

#[tokio::test]
async fn an_exit_record_that_makes_no_sense_is_shown_and_its_ticket_waits() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
    let call = bed.called(&ticket, "build", 1).await;
    let worker = bed.worker_of(&ticket).await;
    let record = bed.server.state_dir().join("attempts").join(&call.attempt).join("exit.json");
    fs::write(&record, "{\"version\": 1, \"half\": ").unwrap();

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
    assert_eq!(bed.agents.calls().len(), 1, "nothing else runs it");

    // Somebody looked, and took away what was in the way.
    fs::remove_file(&record).unwrap();
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["outcome"], "lost");
    assert_eq!(closed["attempts"][0]["suspect"], false);
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}
