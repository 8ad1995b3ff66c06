//! Tickets in the coordinator's hands.

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::eventually::eventually;
use serde_json::Value;
use serde_json::json;

#[e2e::scenario]
async fn a_new_ticket_has_every_field() {
    let bed = Bed::start().await;
    bed.project("shop", &["build", "review"]).await;
    let arguments = json!({
        "project": "shop", "title": "A door", "description": "Oak.", "priority": "high",
        "execution_plan": ["build", "review"],
    });
    let ticket = bed.client.ok("create_ticket", arguments).await;

    let fields = [
        "ticket_id",
        "project",
        "title",
        "description",
        "state",
        "execution_plan",
        "stage_index",
        "current_stage",
        "priority",
        "depends_on",
        "attempts_used",
        "rework_laps",
        "cost_usd",
        "created_at",
        "updated_at",
    ];
    for field in fields {
        assert!(ticket.get(field).is_some(), "no `{field}` in {ticket}");
    }
    // A value that does not apply yet costs a model nothing to read.
    for field in ["resolution", "hold_reason", "hold_kind", "closed_at"] {
        assert_eq!(ticket.get(field), None, "{ticket}");
    }
    assert_eq!(ticket["ticket_id"], "T-1");
    assert_eq!(ticket["title"], "A door");
    assert_eq!(ticket["description"], "Oak.");
    assert_eq!(ticket["execution_plan"], json!(["build", "review"]));
    assert_eq!(ticket["stage_index"], 0);
    assert_eq!(ticket["current_stage"], "build");
    assert_eq!(ticket["priority"], "high");
    let created = text(&ticket, "created_at");
    assert_eq!(created.len(), "2026-11-22T18:00:00.000Z".len(), "milliseconds, UTC: {created}");
    assert!(created.ends_with('Z'), "{created}");
}

#[e2e::scenario]
async fn the_same_idempotency_key_returns_the_same_ticket() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let key = json!({"idempotency_key": "order-7"});

    let first = bed.ticket_with("shop", &["build"], "", key.clone()).await;
    let again = bed.ticket_with("shop", &["build"], "", key).await;
    let other =
        bed.ticket_with("shop", &["build"], "", json!({"idempotency_key": "order-8"})).await;

    assert_eq!(first, again);
    assert_ne!(first, other);
    let tickets = bed.all("list_tickets", "tickets", json!({"all": true})).await;
    assert_eq!(tickets.len(), 2);
}

#[e2e::scenario]
async fn the_same_key_at_the_same_time_makes_one_ticket() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = bed.client.clone();
            let arguments = json!({
                "project": "shop", "title": "t", "execution_plan": ["build"], "idempotency_key": "k",
            });
            tokio::spawn(async move { client.ok("create_ticket", arguments).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.expect("no panic")["ticket_id"], "T-1");
    }
}

#[e2e::scenario]
async fn closing_a_running_ticket_ends_its_child_first() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket =
        bed.ticket("shop", &["build"], "fake: build: fork 600\nfake: build: sleep 600").await;
    let call = bed.called(&ticket, "build", 1).await;

    let arguments = json!({"ticket_id": ticket, "comment": "No longer wanted."});
    bed.client.ok("close_ticket", arguments).await;

    let closed = bed.ticket_is(&ticket, "closed").await;
    assert_eq!(closed["resolution"], "cancelled");
    bed.nothing_is_left().await;
    let closed = eventually("the attempt ended", || async {
        let found = bed.get(&ticket).await;
        if found["attempts"][0]["state"] == "ended" { Ok(found) } else { Err(found.to_string()) }
    })
    .await;
    assert_eq!(closed["attempts"][0]["outcome"], "cancelled");
    let comments = closed["comments"].as_array().unwrap();
    assert!(comments.iter().any(|comment| comment["content"] == "No longer wanted."));
    assert_eq!(bed.agents.end_of(&call), None, "it was stopped, it did not end");
}

#[e2e::scenario]
async fn a_closed_ticket_stays_closed() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;

    let refusal = bed.client.refused("close_ticket", json!({"ticket_id": ticket})).await;

    assert!(refusal.contains(&ticket), "{refusal}");
    assert_eq!(bed.get(&ticket).await["resolution"], "completed");
}

#[e2e::scenario]
async fn a_ticket_on_hold_can_be_closed_as_completed() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: block Why?").await;
    bed.ticket_is(&ticket, "on_hold").await;

    let arguments = json!({"ticket_id": ticket, "resolution": "completed"});
    let closed = bed.client.ok("close_ticket", arguments).await;

    assert_eq!(closed["state"], "closed");
    assert_eq!(closed["resolution"], "completed");
    assert_eq!(closed["hold_reason"], Value::Null);
}

#[e2e::scenario]
async fn the_coordinator_may_complete_a_stage_nobody_runs() {
    let bed = Bed::start().await;
    bed.project("shop", &["review"]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let ticket = bed.ticket("shop", &["build", "review"], "").await;

    let done = json!({
        "ticket_id": ticket, "stage": "build", "outcome": "completed", "report": "I built it myself.",
    });
    let moved = bed.client.ok("complete_ticket_stage", done).await;

    assert_eq!(moved["current_stage"], "review");
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["comments"][0]["content"], "I built it myself.");
    assert_eq!(closed["comments"][0]["author"], "coordinator");
    assert!(bed.agents.only_call_of(&ticket, "review").prompt.contains("I built it myself."));
}

#[e2e::scenario]
async fn completing_a_stage_that_is_not_the_current_one_is_refused() {
    let bed = Bed::start().await;
    bed.project("shop", &["review"]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let ticket = bed.ticket("shop", &["build", "review"], "").await;
    let before = bed.get(&ticket).await;

    let done =
        json!({"ticket_id": ticket, "stage": "review", "outcome": "completed", "report": "r"});
    let refusal = bed.client.refused("complete_ticket_stage", done).await;

    assert!(refusal.contains("build"), "it names the current stage: {refusal}");
    assert_eq!(bed.get(&ticket).await, before, "nothing half-written");
}

#[e2e::scenario]
async fn completing_a_stage_a_worker_runs_is_refused() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;

    let done =
        json!({"ticket_id": ticket, "stage": "build", "outcome": "completed", "report": "r"});
    let refusal = bed.client.refused("complete_ticket_stage", done).await;

    assert!(refusal.contains(&call.worker) || refusal.contains("running"), "{refusal}");
    std::fs::write(call.cwd.join("go"), "").unwrap();
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn comments_are_kept_in_order_with_their_author() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    for content in ["one", "two"] {
        let arguments = json!({"ticket_id": ticket, "content": content});
        let comment = bed.client.ok("add_ticket_comment", arguments).await;
        assert_eq!(comment["content"], content);
        assert_eq!(comment["author"], "coordinator");
        assert_eq!(comment["ticket_id"], ticket.as_str());
    }
    let found = bed.get(&ticket).await;
    let contents: Vec<&Value> =
        found["comments"].as_array().unwrap().iter().map(|comment| &comment["content"]).collect();
    assert_eq!(contents, [&json!("one"), &json!("two")]);
}

#[e2e::scenario]
async fn lists_of_tickets_can_be_narrowed() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    bed.project("barn", &["paint"]).await;
    let held = bed.ticket("shop", &["build"], "fake: build: block Why?").await;
    let done = bed.ticket("barn", &["paint"], "").await;
    bed.ticket_is(&held, "on_hold").await;
    bed.completed(&done).await;
    let ids = async |filter| {
        let found = bed.client.ok("list_tickets", filter).await;
        let tickets = found["tickets"].as_array().unwrap();
        tickets.iter().map(|ticket| text(ticket, "ticket_id")).collect::<Vec<_>>()
    };

    assert_eq!(ids(json!({"project": "shop"})).await, [held.as_str()]);
    // Open tickets, unless closed ones are requested; the newest first.
    assert_eq!(ids(json!({})).await, [held.as_str()]);
    assert_eq!(ids(json!({"all": true})).await, [done.as_str(), held.as_str()]);
    let both = json!({"state": ["closed", "on_hold"]});
    assert_eq!(ids(both).await, [done.as_str(), held.as_str()]);
    assert_eq!(ids(json!({"state": "closed"})).await, [done]);
    assert_eq!(ids(json!({"stage": "build"})).await, [held]);
    assert_eq!(ids(json!({"project": "barn", "state": "on_hold"})).await, Vec::<String>::new());
}

#[e2e::scenario]
async fn a_ticket_with_hundreds_of_long_comments_can_be_read_completely_in_parts() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    for number in 0..60 {
        let content = format!("{number}: {}", "long ".repeat(1_000));
        bed.client.ok("add_ticket_comment", json!({"ticket_id": ticket, "content": content})).await;
    }
    let mut arguments = json!({"ticket_id": ticket});
    let mut read = Vec::new();
    loop {
        let found = bed.client.ok("get_ticket", arguments.clone()).await;
        assert!(found.to_string().len() < 60_000, "an answer a model reads");
        assert_eq!(found["comments_total"], 60);
        let comments = found["comments"].as_array().expect("a list");
        read.splice(0..0, comments.iter().map(|comment| text(comment, "comment_id")));
        if found["comments_cursor"].is_null() {
            break;
        }
        arguments["comments_cursor"] = found["comments_cursor"].clone();
    }
    assert_eq!(read, (1..=60).map(|number| format!("C-{number}")).collect::<Vec<_>>());

    let refusal = bed
        .client
        .refused("get_ticket", json!({"ticket_id": ticket, "comments_cursor": "?"}))
        .await;
    assert!(refusal.contains("comments_cursor"), "{refusal}");
    let refusal =
        bed.client.refused("get_ticket", json!({"ticket_id": ticket, "comment_id": "C-61"})).await;
    assert!(refusal.contains("C-61"), "{refusal}");
}
