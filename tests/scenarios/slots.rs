//! A server that has all the workers that it may have: which queue gets the next slot.

use e2e::bed::Bed;
use e2e::server::Setup;
use serde_json::json;

/// One worker for the whole server, and queues whose idle workers stay for a long while.
async fn one_slot() -> Bed {
    let setup = Setup::default().max_workers(1).env("VIBE_ENSEMBLE_LINGER_MS", "600000");
    let bed = Bed::with(setup).await;
    // In worktrees: if attempts took turns in one directory, nothing else could be started anyway.
    bed.repository("shop", &["build", "review"], json!({})).await;
    bed
}

#[e2e::scenario]
async fn an_idle_worker_gives_its_slot_to_a_ticket_of_another_queue() {
    let bed = one_slot().await;
    let first = bed.ticket("shop", &["build"], "").await;
    bed.completed(&first).await;
    bed.worker_where("is idle", |worker| worker["state"] == "idle").await;
    let second = bed.ticket_with("shop", &["review"], "", json!({"priority": "low"})).await;
    bed.completed(&second).await;
}

#[e2e::scenario]
async fn a_busy_worker_gives_its_slot_to_a_more_urgent_ticket_when_its_own_is_done() {
    let bed = one_slot().await;
    let running = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let call = bed.called(&running, "build", 1).await;
    let waiting = bed.ticket("shop", &["build"], "").await;
    let urgent = bed.ticket_with("shop", &["review"], "", json!({"priority": "urgent"})).await;
    bed.worker_where("is asked to stop", |worker| worker["state"] == "stopping").await;
    std::fs::write(call.cwd.join("go"), "").expect("the project is writable");
    bed.completed(&waiting).await;
    let order: Vec<String> = bed.agents.calls().into_iter().map(|call| call.ticket).collect();
    assert_eq!(order, [running, urgent, waiting]);
}
