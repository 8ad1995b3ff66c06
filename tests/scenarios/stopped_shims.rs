//! Shims that are stopped by a signal while they have no agent: they hold no slot and no ticket
//! forever.

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

/// One worker for the whole server, which stays idle for a long while and speaks often.
async fn one_slot() -> Bed {
    let setup = Setup::default()
        .max_workers(1)
        .env("VIBE_ENSEMBLE_LINGER_MS", "600000")
        .env("VIBE_ENSEMBLE_HEARTBEAT_MS", "200");
    let bed = Bed::with(setup).await;
    bed.repository("shop", &["build", "review"], json!({})).await;
    bed
}

async fn idle(bed: &Bed) -> Value {
    let first = bed.ticket("shop", &["build"], "").await;
    bed.completed(&first).await;
    bed.worker_where("is idle", |worker| worker["state"] == "idle").await
}

async fn worker_is_stopped(bed: &Bed, worker: &Value) -> Value {
    eventually("the server has given the worker up", || async {
        let status = json!({"worker_id": worker["worker_id"]});
        let status = bed.client.ok("get_worker_status", status).await;
        if status["state"] == "stopped" { Ok(status) } else { Err(status.to_string()) }
    })
    .await
}

#[e2e::scenario]
async fn an_idle_shim_that_is_stopped_loses_its_slot() {
    let bed = one_slot().await;
    let worker = idle(&bed).await;
    let shim = pid(&worker, "pid");
    assert!(bed.server.send(shim, Signal::SIGSTOP), "the shim was there");
    let stopped = worker_is_stopped(&bed, &worker).await;
    assert!(text(&stopped, "stop_reason").contains("had said nothing"), "{stopped}");
    let log = bed.server.log();
    assert_eq!(log.matches("the shim of an idle worker did not answer").count(), 1, "said once");
    // The only slot is free for another queue.
    let other = bed.ticket("shop", &["review"], "").await;
    bed.completed(&other).await;
    assert!(!bed.server.send(shim, Signal::SIGCONT), "it is gone");
}

#[e2e::scenario]
async fn an_idle_shim_that_was_stopped_before_the_server_started_loses_its_slot() {
    let mut bed = one_slot().await;
    let worker = idle(&bed).await;
    bed.server.kill().await;
    let shim = pid(&worker, "pid");
    assert!(bed.server.send(shim, Signal::SIGSTOP), "the shim was there");
    bed.launch().await;
    worker_is_stopped(&bed, &worker).await;
    let other = bed.ticket("shop", &["review"], "").await;
    bed.completed(&other).await;
    assert!(!bed.server.send(shim, Signal::SIGCONT), "it is gone");
}

#[e2e::scenario]
async fn a_ticket_that_was_given_to_a_stopped_shim_is_given_to_another_free_of_charge() {
    let bed = one_slot().await;
    let worker = idle(&bed).await;
    let shim = pid(&worker, "pid");
    assert!(bed.server.send(shim, Signal::SIGSTOP), "the shim was there");
    let ticket = bed.ticket("shop", &["build"], "").await;
    let closed = bed.completed(&ticket).await;
    let attempts = closed["attempts"].as_array().expect("a list");
    let last = attempts.last().expect("one");
    assert_eq!(last["outcome"], "succeeded", "{closed}");
    assert_ne!(last["worker_id"], worker["worker_id"], "{closed}");
    for attempt in &attempts[..attempts.len() - 1] {
        assert_eq!(attempt["failure"], "never_started", "{closed}");
    }
    assert_eq!(bed.agents.calls_of(&ticket, "build").len(), 1, "its agent ran once");
    bed.assert_no_overlaps();
    assert!(!bed.server.send(shim, Signal::SIGCONT), "it is gone");
}
