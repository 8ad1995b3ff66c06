//! The main job: a ticket goes through its stages by itself.

use e2e::bed::Bed;
use e2e::bed::text;
use serde_json::Value;
use serde_json::json;

const PLAN: [&str; 3] = ["design", "build", "review"];

#[e2e::scenario]
async fn a_three_stage_ticket_closes_by_itself_and_each_report_is_a_comment() {
    let bed = Bed::start().await;
    let directory = bed.project("shop", &PLAN).await;
    let ticket = bed.ticket("shop", &PLAN, "fake: build: write made.txt hello").await;

    let closed = bed.completed(&ticket).await;

    assert_eq!(std::fs::read_to_string(directory.join("made.txt")).unwrap(), "hello");
    let comments: Vec<Value> = closed["comments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|comment| json!([comment["author"], comment["stage"], comment["content"]]))
        .collect();
    assert_eq!(
        comments,
        [
            json!(["design", "design", "design done"]),
            json!(["build", "build", "build done"]),
            json!(["review", "review", "review done"]),
        ]
    );
    let attempts: Vec<Value> = closed["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| json!([attempt["stage"], attempt["state"], attempt["outcome"]]))
        .collect();
    assert_eq!(attempts, PLAN.map(|stage| json!([stage, "ended", "succeeded"])));
    assert_eq!(closed["current_stage"], "review");
    assert!(closed["closed_at"].is_string());
    let cost = closed["cost_usd"].as_f64().unwrap();
    assert!((cost - 0.03).abs() < 1e-9, "three runs at 0.01 cost {cost}");
    bed.assert_no_overlaps();
}

#[e2e::scenario]
async fn an_attempt_reports_its_session_and_its_cost() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: say one\nfake: build: say two").await;

    let closed = bed.completed(&ticket).await;

    let attempt = &closed["attempts"][0];
    let call = bed.agents.only_call_of(&ticket, "build");
    assert_eq!(attempt["attempt_id"], call.attempt);
    assert_eq!(attempt["worker_id"], call.worker);
    assert_eq!(attempt["claude_session_id"].as_str(), call.argument("--session-id"));
    assert_eq!(attempt["num_turns"], 2);
    assert_eq!(attempt["cost_usd"], 0.01);
    assert_eq!(attempt["input_tokens"], 11);
    assert_eq!(attempt["output_tokens"], 5);
    assert_eq!(attempt["exit_code"], 0);
    let times = ["granted_at", "started_at", "ended_at"].map(|field| text(attempt, field));
    assert!(times.is_sorted(), "{times:?}");
}

#[e2e::scenario]
async fn the_next_prompt_contains_the_reports_before_it() {
    let bed = Bed::start().await;
    bed.project("shop", &PLAN).await;
    let ticket = bed.ticket("shop", &PLAN, "Sell more teapots.").await;

    bed.completed(&ticket).await;

    let prompt = |stage| bed.agents.only_call_of(&ticket, stage).prompt;
    assert!(prompt("design").contains("Sell more teapots."));
    assert!(!prompt("design").contains("design done"));
    assert!(prompt("build").contains("design done"));
    assert!(!prompt("build").contains("build done"));
    let review = prompt("review");
    let reports = (review.find("design done").unwrap(), review.find("build done").unwrap());
    assert!(reports.0 < reports.1, "oldest first");
}

#[e2e::scenario]
async fn the_prompt_contains_title_rules_patterns_and_the_coordinators_comments() {
    let bed = Bed::start().await;
    let directory = bed.project("shop", &["design", "build"]).await;
    let rules =
        json!({"project": "shop", "rules": "Never push.", "patterns": "Tests beside code."});
    bed.client.ok("update_project", rules).await;
    let script = "fake: design: wait-for go";
    let title = json!({"title": "Paint the shed"});
    let ticket = bed.ticket_with("shop", &["design", "build"], script, title).await;
    bed.called(&ticket, "design", 1).await;
    let comment = json!({"ticket_id": ticket, "content": "Blue, please."});
    bed.client.ok("add_ticket_comment", comment).await;
    std::fs::write(directory.join("go"), "").unwrap();

    bed.completed(&ticket).await;

    let design = bed.agents.only_call_of(&ticket, "design").prompt;
    let build = bed.agents.only_call_of(&ticket, "build").prompt;
    for expected in ["Paint the shed", "Never push.", "Tests beside code."] {
        assert!(design.contains(expected), "{expected:?} is not in {design}");
        assert!(build.contains(expected), "{expected:?} is not in {build}");
    }
    assert!(!design.contains("Blue, please."), "said later");
    assert!(build.contains("Blue, please."));
}

#[e2e::scenario]
async fn events_come_in_the_order_things_happened() {
    let bed = Bed::start().await;
    bed.project("shop", &PLAN).await;
    let ticket = bed.ticket("shop", &PLAN, "").await;

    bed.completed(&ticket).await;

    let kinds = bed.event_kinds(&ticket).await;
    let of_ticket: Vec<&str> =
        kinds.iter().map(String::as_str).filter(|kind| kind.starts_with("ticket_")).collect();
    assert_eq!(
        of_ticket,
        [
            "ticket_created",
            "ticket_stage_started",
            "ticket_stage_completed",
            "ticket_stage_started",
            "ticket_stage_completed",
            "ticket_stage_started",
            "ticket_stage_completed",
            "ticket_closed",
        ]
    );
    let events = bed.events().await;
    let seqs: Vec<i64> = events.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
}

#[e2e::scenario]
async fn workers_exit_when_their_queue_is_empty_and_nothing_is_left() {
    let bed = Bed::start().await;
    bed.project("shop", &PLAN).await;
    let ticket = bed.ticket("shop", &PLAN, "").await;

    bed.completed(&ticket).await;
    bed.nothing_is_left().await;

    let workers = bed.all("list_workers", "workers", json!({"state": "stopped"})).await;
    assert_eq!(workers.len(), 3, "{workers:?}");
    for worker in workers {
        assert_eq!(worker["state"], "stopped", "{worker}");
        assert!(worker["stopped_at"].is_string(), "{worker}");
        assert!(worker["stop_reason"].is_string(), "{worker}");
    }
}
