//! Workers: started, watched and stopped by the coordinator.

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::fake::Call;
use serde_json::json;

async fn waiting_run(bed: &Bed) -> (String, Call) {
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build#1: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;
    (ticket, call)
}

#[e2e::scenario]
async fn a_workers_status_shows_what_it_does() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let script = "fake: build: say hammering away\nfake: build: wait-for go";
    let ticket = bed.ticket("shop", &["build"], script).await;
    let call = bed.called(&ticket, "build", 1).await;

    let status = e2e::eventually::eventually("transcript and child show", || async {
        let status = bed.client.ok("get_worker_status", json!({"worker_id": call.worker})).await;
        if status.to_string().contains("hammering away") && !status["child_pid"].is_null() {
            Ok(status)
        } else {
            Err(status.to_string())
        }
    })
    .await;

    assert_eq!(status["state"], "busy");
    assert_eq!(status["ticket_id"], ticket.as_str());
    assert_eq!(status["attempt_id"], call.attempt.as_str());
    assert_eq!(status["child_pid"], call.pid);
    assert_eq!(status["project"], "shop");
    assert_eq!(status["worker_type"], "build");
    assert!(pid(&status, "pid") > 1);
    assert!(text(&status, "started_at").ends_with('Z'));
    assert!(text(&status, "last_heartbeat_at").ends_with('Z'));
    std::fs::write(call.cwd.join("go"), "").unwrap();
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn interrupt_is_the_default_and_requeues_uncharged() {
    let bed = Bed::start().await;
    let (ticket, call) = waiting_run(&bed).await;

    bed.client.ok("stop_worker", json!({"worker_id": call.worker})).await;

    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["outcome"], "interrupted");
    assert_eq!(closed["attempts"][1]["outcome"], "succeeded");
    assert_eq!(closed["attempts_used"], 0);
    let again = bed.called(&ticket, "build", 2).await;
    assert_ne!(again.worker, call.worker, "the stopped worker does not come back");
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn drain_lets_the_ticket_finish() {
    let bed = Bed::start().await;
    let (ticket, call) = waiting_run(&bed).await;

    let stopping =
        bed.client.ok("stop_worker", json!({"worker_id": call.worker, "mode": "drain"})).await;
    assert_eq!(stopping["worker_id"], call.worker.as_str());
    std::fs::write(call.cwd.join("go"), "").unwrap();

    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(closed["attempts"][0]["outcome"], "succeeded");
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn cancel_puts_the_ticket_on_hold() {
    let bed = Bed::start().await;
    let (ticket, call) = waiting_run(&bed).await;

    bed.client.ok("stop_worker", json!({"worker_id": call.worker, "mode": "cancel"})).await;

    let held = bed.ticket_is(&ticket, "on_hold").await;
    assert_eq!(held["attempts"][0]["outcome"], "cancelled");
    bed.nothing_is_left().await;
    bed.client.ok("resume_ticket", json!({"ticket_id": ticket})).await;
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn a_worker_that_was_never_there_cannot_be_stopped() {
    let bed = Bed::start().await;
    let refusal = bed.client.refused("stop_worker", json!({"worker_id": "W-999999"})).await;
    assert!(refusal.contains("W-999999"), "{refusal}");
}

#[e2e::scenario]
async fn without_auto_spawn_only_the_coordinator_starts_workers() {
    let bed = Bed::start().await;
    bed.project("shop", &["other"]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let other = bed.ticket("shop", &["other"], "").await;
    bed.completed(&other).await;
    let waiting = bed.get(&ticket).await;
    assert_eq!(waiting["state"], "queued");
    assert!(text(&waiting, "waiting_for").contains("spawn_worker"), "{waiting}");

    let spawned =
        bed.client.ok("spawn_worker", json!({"project": "shop", "worker_type": "build"})).await;

    assert_eq!(spawned["workers"].as_array().unwrap().len(), 1);
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn no_more_workers_than_the_type_allows() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"max_workers": 2, "auto_spawn": false})).await;

    let many = json!({"project": "shop", "worker_type": "build", "count": 3});
    let refusal = bed.client.refused("spawn_worker", many).await;

    assert!(refusal.contains('2'), "{refusal}");
    let workers = bed.client.ok("list_workers", json!({})).await;
    assert_eq!(workers["workers"], json!([]), "nothing half-done");
}

#[e2e::scenario]
async fn workers_start_and_stop_with_an_event() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    bed.nothing_is_left().await;

    let events = bed.events().await;
    for kind in ["worker_started", "worker_stopped"] {
        let event = events.iter().find(|event| event["kind"] == kind);
        assert_eq!(event.unwrap_or_else(|| panic!("no {kind}"))["worker_id"], "W-1");
    }
}

#[e2e::scenario]
async fn lists_of_workers_can_be_narrowed() {
    let bed = Bed::start().await;
    let (ticket, call) = waiting_run(&bed).await;
    let count = async |filter| {
        let found = bed.client.ok("list_workers", filter).await;
        found["workers"].as_array().unwrap().len()
    };

    assert_eq!(count(json!({"project": "shop", "worker_type": "build", "state": "busy"})).await, 1);
    assert_eq!(count(json!({"state": "idle"})).await, 0);
    std::fs::write(call.cwd.join("go"), "").unwrap();
    bed.completed(&ticket).await;
    bed.nothing_is_left().await;
    assert_eq!(count(json!({"state": "busy"})).await, 0);
    assert_eq!(count(json!({"state": "stopped"})).await, 1);
}
