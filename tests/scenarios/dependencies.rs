//! Which ticket goes first, and which has to wait for another.

use e2e::bed::Bed;
use e2e::bed::text;
use serde_json::json;

/// The tickets in the order their agents started.
fn order(bed: &Bed) -> Vec<String> {
    bed.agents.calls().into_iter().map(|call| call.ticket).collect()
}

#[e2e::scenario]
async fn urgent_before_high_before_normal_before_low_and_then_the_older() {
    let bed = Bed::start().await;
    let directory = bed.project("shop", &["build"]).await;
    let first = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    bed.called(&first, "build", 1).await;
    let mut expected = vec![(4, first)];
    for (rank, priority) in [(0, "low"), (1, "normal"), (3, "urgent"), (1, "normal"), (2, "high")] {
        let more = json!({"priority": priority});
        expected.push((rank, bed.ticket_with("shop", &["build"], "", more).await));
    }
    std::fs::write(directory.join("go"), "").unwrap();
    for (_, ticket) in &expected {
        bed.completed(ticket).await;
    }

    // Stable: within one priority the order of creation is kept.
    expected.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    let expected: Vec<String> = expected.into_iter().map(|(_, ticket)| ticket).collect();
    assert_eq!(order(&bed), expected);
}

#[e2e::scenario]
async fn normal_is_the_default_priority() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    assert_eq!(bed.get(&ticket).await["priority"], "normal");
}

#[e2e::scenario]
async fn a_ticket_waits_for_those_it_depends_on() {
    let bed = Bed::start().await;
    bed.repository("shop", &[], json!({})).await;
    bed.worker_type("shop", "build", json!({"max_workers": 4})).await;
    let first = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let more = json!({"depends_on": [first]});
    let second = bed.ticket_with("shop", &["build"], "", more).await;
    let call = bed.called(&first, "build", 1).await;

    let waiting = bed.get(&second).await;
    assert_eq!(waiting["state"], "blocked");
    assert_eq!(waiting["depends_on"], json!([first]));
    assert!(text(&waiting, "waiting_for").contains(&first), "{waiting}");
    std::fs::write(call.cwd.join("go"), "").unwrap();

    bed.completed(&second).await;
    assert_eq!(order(&bed), [first, second.clone()]);
    assert!(bed.event_kinds(&second).await.contains(&"ticket_unblocked".to_owned()));
}

#[e2e::scenario]
async fn a_dependency_that_is_complete_blocks_nothing() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let first = bed.ticket("shop", &["build"], "").await;
    bed.completed(&first).await;
    let second = bed.ticket_with("shop", &["build"], "", json!({"depends_on": [first]})).await;
    bed.completed(&second).await;
}

#[e2e::scenario]
async fn an_unknown_dependency_is_refused_and_makes_no_ticket() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let arguments = json!({
        "project": "shop", "title": "t", "execution_plan": ["build"], "depends_on": ["T-77"],
    });
    let refusal = bed.client.refused("create_ticket", arguments).await;
    assert!(refusal.contains("T-77"), "{refusal}");
    let tickets = bed.client.ok("list_tickets", json!({})).await;
    assert_eq!(tickets["tickets"], json!([]));
}

#[e2e::scenario]
async fn a_cancelled_dependency_puts_its_dependants_on_hold() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let first = bed.ticket("shop", &["build"], "fake: build: block Why?").await;
    let second = bed.ticket_with("shop", &["build"], "", json!({"depends_on": [first]})).await;
    bed.ticket_is(&first, "on_hold").await;

    bed.client.ok("close_ticket", json!({"ticket_id": first})).await;

    let held = bed.ticket_is(&second, "on_hold").await;
    assert!(text(&held, "hold_reason").contains(&first), "{held}");
    assert_eq!(bed.agents.calls_of(&second, "build"), []);
}
