//! Queues: a view of the waiting tickets of one worker type.

use e2e::bed::Bed;
use e2e::bed::text;
use serde_json::Value;
use serde_json::json;

/// A queue with one running ticket (waiting for the file `go`) and two waiting ones.
async fn busy_queue(bed: &Bed) -> [String; 3] {
    bed.project("shop", &["build"]).await;
    let running = bed.ticket("shop", &["build"], "fake: build#1: wait-for go").await;
    bed.called(&running, "build", 1).await;
    let low = bed.ticket_with("shop", &["build"], "", json!({"priority": "low"})).await;
    let high = bed.ticket_with("shop", &["build"], "", json!({"priority": "high"})).await;
    [running, low, high]
}

fn queue() -> Value {
    json!({"project": "shop", "worker_type": "build"})
}

#[e2e::scenario]
async fn a_queue_shows_its_depth_and_its_workers() {
    let bed = Bed::start().await;
    let [_, low, high] = busy_queue(&bed).await;

    let list = bed.client.ok("list_queues", json!({"project": "shop"})).await;
    let found = &list["queues"][0];
    assert_eq!(found["worker_type"], "build");
    assert_eq!(found["depth"], 2);
    assert_eq!(found["running"], 1);

    let status = bed.client.ok("get_queue_status", queue()).await;
    let said = status.to_string();
    let (high_at, low_at) = (said.find(&high).unwrap(), said.find(&low).unwrap());
    assert!(high_at < low_at, "in the order they will run: {status}");
}

#[e2e::scenario]
async fn deleting_a_busy_queue_is_refused_without_force() {
    let bed = Bed::start().await;
    let [running, low, _] = busy_queue(&bed).await;

    let refusal = bed.client.refused("delete_queue", queue()).await;

    assert!(refusal.contains("force"), "it names the way out: {refusal}");
    assert_eq!(bed.get(&running).await["state"], "running");
    assert_eq!(bed.get(&low).await["state"], "queued");
}

#[e2e::scenario]
async fn deleting_a_queue_holds_its_tickets_and_loses_none() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let mut tickets = Vec::new();
    for _ in 0..3 {
        tickets.push(bed.ticket("shop", &["build"], "").await);
    }

    bed.client.ok("delete_queue", queue()).await;

    for ticket in &tickets {
        let held = bed.get(ticket).await;
        assert_eq!(held["state"], "on_hold");
        assert!(!text(&held, "hold_reason").is_empty());
    }
    bed.client.ok("resume_ticket", json!({"ticket_id": tickets[0]})).await;
    bed.client.ok("spawn_worker", queue()).await;
    bed.completed(&tickets[0]).await;
}

#[e2e::scenario]
async fn deleting_with_force_empties_a_busy_queue_too() {
    let bed = Bed::start().await;
    let [running, low, high] = busy_queue(&bed).await;
    let mut arguments = queue();
    arguments["force"] = json!(true);

    bed.client.ok("delete_queue", arguments).await;

    for ticket in [&low, &high] {
        assert_eq!(bed.get(ticket).await["state"], "on_hold");
    }
    // Whatever happens to the running ticket, it is not lost.
    let found = bed.get(&running).await;
    assert!(["running", "on_hold", "queued"].map(Value::from).contains(&found["state"]), "{found}");
}

#[e2e::scenario]
async fn a_ticket_whose_next_stage_was_deleted_goes_on_hold() {
    let bed = Bed::start().await;
    bed.project("shop", &["build", "review"]).await;
    let ticket = bed.ticket("shop", &["build", "review"], "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;
    let review = json!({"project": "shop", "worker_type": "review", "force": true});
    bed.client.ok("delete_worker_type", review).await;
    std::fs::write(call.cwd.join("go"), "").unwrap();
    let held = bed.ticket_is(&ticket, "on_hold").await;
    assert!(text(&held, "hold_reason").contains("review"), "{held}");
    let resume = json!({"ticket_id": ticket});
    let why = bed.client.refused("resume_ticket", resume.clone()).await;
    assert!(why.contains("create_worker_type"), "{why}");

    bed.worker_type("shop", "review", json!({})).await;
    bed.client.ok("resume_ticket", resume).await;
    bed.completed(&ticket).await;
}
