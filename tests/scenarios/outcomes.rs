//! What an agent's result does to its ticket: forward, back, or to the coordinator.

use e2e::bed::Bed;
use e2e::bed::text;
use serde_json::Value;
use serde_json::json;

const PLAN: [&str; 3] = ["design", "build", "review"];

fn runs(bed: &Bed, ticket: &str) -> Vec<String> {
    let calls = bed.agents.calls();
    calls.into_iter().filter(|call| call.ticket == ticket).map(|call| call.stage).collect()
}

#[e2e::scenario]
async fn rework_goes_back_to_the_stage_before() {
    let bed = Bed::start().await;
    bed.project("shop", &PLAN).await;
    let script = "fake: review#1: rework - too slow";
    let ticket = bed.ticket("shop", &PLAN, script).await;

    let closed = bed.completed(&ticket).await;

    assert_eq!(runs(&bed, &ticket), ["design", "build", "review", "build", "review"]);
    assert_eq!(closed["rework_laps"], 1);
    let again = &bed.agents.calls_of(&ticket, "build")[1];
    assert!(again.prompt.matches("too slow").count() > 1, "why it came back: {}", again.prompt);
    assert!(bed.event_kinds(&ticket).await.contains(&"ticket_sent_back".to_owned()));
    bed.assert_no_overlaps();
}

#[e2e::scenario]
async fn rework_goes_back_to_the_stage_it_names() {
    let bed = Bed::start().await;
    bed.project("shop", &PLAN).await;
    let script = "fake: review#1: rework design wrong idea";
    let ticket = bed.ticket("shop", &PLAN, script).await;

    bed.completed(&ticket).await;

    assert_eq!(runs(&bed, &ticket), ["design", "build", "review", "design", "build", "review"]);
}

#[e2e::scenario]
async fn more_than_three_rounds_of_rework_put_the_ticket_on_hold() {
    let bed = Bed::start().await;
    bed.project("shop", &PLAN).await;
    let ticket = bed.ticket("shop", &PLAN, "fake: review: rework - never happy").await;

    let held = bed.ticket_is(&ticket, "on_hold").await;

    assert_eq!(bed.agents.calls_of(&ticket, "review").len(), 4);
    assert_eq!(held["current_stage"], "review");
    assert!(text(&held, "hold_reason").contains("rework"), "{held}");
    assert!(bed.event_kinds(&ticket).await.contains(&"ticket_on_hold".to_owned()));
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn rework_of_a_stage_that_is_not_before_it_asks_the_coordinator() {
    let bed = Bed::start().await;
    bed.project("shop", &PLAN).await;
    let ticket = bed.ticket("shop", &PLAN, "fake: build: rework review later").await;

    let held = bed.ticket_is(&ticket, "on_hold").await;

    assert!(text(&held, "hold_reason").contains("review"), "{held}");
    assert_eq!(bed.agents.calls_of(&ticket, "review").len(), 0);
}

#[e2e::scenario]
async fn a_blocked_stage_holds_the_ticket_with_its_question() {
    let bed = Bed::start().await;
    bed.project("shop", &PLAN).await;
    let ticket = bed.ticket("shop", &PLAN, "fake: build#1: block Which port?").await;

    let held = bed.ticket_is(&ticket, "on_hold").await;

    assert_eq!(held["hold_reason"], "Which port?");
    assert!(text(&held, "waiting_for").contains("Which port?"), "{held}");
    let events = bed.events().await;
    let told = events.iter().find(|event| event["kind"] == "ticket_on_hold").unwrap();
    assert_eq!(told["ticket_id"], ticket.as_str());
    assert!(text(told, "summary").contains("Which port?"), "{told}");

    let answer = json!({"ticket_id": ticket, "comment": "Port 8080."});
    let resumed = bed.client.ok("resume_ticket", answer).await;
    assert_ne!(resumed["state"], "on_hold", "{resumed}");

    let closed = bed.completed(&ticket).await;
    assert_eq!(runs(&bed, &ticket), ["design", "build", "build", "review"]);
    let again = &bed.agents.calls_of(&ticket, "build")[1];
    assert!(again.prompt.contains("Port 8080."), "{}", again.prompt);
    // An answer is useless without its question, and the hold's reason is gone by now.
    assert!(again.prompt.contains("Question of build"), "{}", again.prompt);
    assert!(again.prompt.contains("Which port?"), "{}", again.prompt);
    let kinds: Vec<&str> = closed["comments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["report", "report", "question", "remark", "report", "report"]);
    assert_eq!(closed["hold_reason"], Value::Null);
    assert!(bed.event_kinds(&ticket).await.contains(&"ticket_resumed".to_owned()));
}

#[e2e::scenario]
async fn resume_may_name_the_stage_to_continue_with() {
    let bed = Bed::start().await;
    bed.project("shop", &PLAN).await;
    let ticket = bed.ticket("shop", &PLAN, "fake: build#1: block Which port?").await;
    bed.ticket_is(&ticket, "on_hold").await;

    bed.client.ok("resume_ticket", json!({"ticket_id": ticket, "stage": "design"})).await;

    bed.completed(&ticket).await;
    assert_eq!(runs(&bed, &ticket), ["design", "build", "design", "build", "review"]);
}

#[e2e::scenario]
async fn only_a_ticket_on_hold_can_be_resumed() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;

    let refusal = bed.client.refused("resume_ticket", json!({"ticket_id": ticket})).await;

    assert!(refusal.contains(&ticket) && refusal.contains("closed"), "{refusal}");
}
