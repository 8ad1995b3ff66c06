//! Pausing, resuming, changing tickets, and the one answer to why a ticket waits.

use std::process::Output;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::eventually::eventually;
use serde_json::Value;
use serde_json::json;

fn printed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&output.stderr)))
}

#[e2e::scenario]
async fn a_pause_outlives_the_server_and_resume_continues_the_ticket() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let paused =
        bed.server.operate("pause", &["shop", "build", "--reason", "lunch", "--json"]).await;
    assert_eq!(printed(&paused)["pauses"][0]["reason"], "lunch");
    bed.server.operate("pause", &[]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;

    bed.server.restart().await;
    bed.client = bed.server.client();

    let why = bed.server.operate("why", &[&ticket, "--json"]).await;
    assert_eq!(printed(&why)["waiting_cause"], "server_paused");
    let resumed = bed.server.operate("resume", &["--json"]).await;
    assert_eq!(printed(&resumed)["paused"], false);
    let found = bed.get(&ticket).await;
    assert_eq!(found["waiting_cause"], "queue_paused", "{found}");
    let words = bed.server.operate("why", &[&ticket]).await;
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(words.contains("lunch") && words.contains("resume"), "{words}");
    // The same answer in the words of each reader.
    assert!(words.contains("with `vibe-ensemble resume shop build`."), "{words}");
    assert!(text(&found, "waiting_for").ends_with("Resume it with resume."), "{found}");
    assert!(bed.agents.calls().is_empty(), "nothing ran");

    bed.client.ok("resume", json!({"project": "shop", "worker_type": "build"})).await;
    bed.completed(&ticket).await;
    let why = bed.server.operate("why", &[&ticket]).await;
    assert!(String::from_utf8_lossy(&why.stdout).contains("closed as completed"));
}

#[e2e::scenario]
async fn running_attempts_continue_while_their_project_is_paused() {
    let bed = Bed::start().await;
    bed.project("shop", &["build", "test"]).await;
    let ticket = bed.ticket("shop", &["build", "test"], "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;
    bed.client.ok("pause", json!({"project": "shop"})).await;
    std::fs::write(call.cwd.join("go"), "").expect("writable");
    eventually("the first stage is done and the second waits", || async {
        let found = bed.get(&ticket).await;
        if found["waiting_cause"] == "project_paused" && found["current_stage"] == "test" {
            Ok(())
        } else {
            Err(found.to_string())
        }
    })
    .await;
    bed.client.ok("resume", json!({"project": "shop"})).await;
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn a_ticket_can_be_changed_until_it_is_closed() {
    let bed = Bed::start().await;
    bed.project("shop", &["build", "test", "docs"]).await;
    bed.client.ok("pause", json!({})).await;
    let ticket = bed.ticket("shop", &["build", "test"], "").await;
    let change = json!({
        "ticket_id": ticket, "title": "another title", "description": "fake: build: wait-for go",
        "priority": "urgent", "execution_plan": ["build", "docs"], "max_budget_usd": 3,
    });
    let changed = bed.client.ok("update_ticket", change).await;
    assert_eq!(changed["execution_plan"], json!(["build", "docs"]));
    assert_eq!(
        (text(&changed, "priority"), changed["max_budget_usd"].clone()),
        ("urgent".into(), json!(3.0))
    );
    bed.client.ok("resume", json!({})).await;
    let call = bed.called(&ticket, "build", 1).await;
    assert!(call.prompt.contains("another title"));
    assert_eq!(call.argument("--max-budget-usd"), Some("3"));
    let begun = json!({"ticket_id": ticket, "execution_plan": ["test", "docs"]});
    let refused = bed.client.refused("update_ticket", begun).await;
    assert!(refused.contains("build"), "{refused}");
    bed.client
        .ok("update_ticket", json!({"ticket_id": ticket, "execution_plan": ["build", "test"]}))
        .await;
    std::fs::write(call.cwd.join("go"), "").expect("writable");
    bed.completed(&ticket).await;
    assert_eq!(bed.agents.calls_of(&ticket, "test").len(), 1);
    assert_eq!(bed.agents.calls_of(&ticket, "docs").len(), 0);
    let kinds = bed.event_kinds(&ticket).await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "ticket_updated").count(), 2, "{kinds:?}");
}

#[e2e::scenario]
async fn a_shorter_timeout_takes_effect_on_running_attempts() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"max_attempts": 1})).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: sleep 600").await;
    bed.called(&ticket, "build", 1).await;
    bed.client
        .ok(
            "update_worker_type",
            json!({"project": "shop", "worker_type": "build", "timeout_seconds": 1}),
        )
        .await;
    let held = bed.ticket_is(&ticket, "on_hold").await;
    assert_eq!(held["attempts"][0]["failure"], "timeout", "{held}");
}

#[e2e::scenario]
async fn a_project_keeps_its_limits_on_workers_and_dollars() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    for kind in ["build", "test"] {
        bed.worker_type("shop", kind, json!({"max_workers": 4})).await;
    }
    let limits = json!({"project": "shop", "max_workers": 1, "max_budget_usd": 0.015});
    bed.client.ok("update_project", limits).await;
    let script = "fake: *: wait-for go";
    let first = bed.ticket("shop", &["build"], script).await;
    let call = bed.called(&first, "build", 1).await;
    let second = bed.ticket("shop", &["test"], script).await;
    let waiting = bed.get(&second).await;
    assert_eq!(waiting["waiting_cause"], "budget_reserved", "{waiting}");
    let advice = "Raise max_budget_usd of project shop with update_project";
    assert!(text(&waiting, "waiting_for").contains(advice), "{waiting}");
    // The advice helps at once: the next obstacle is another one.
    bed.client.ok("update_project", json!({"project": "shop", "max_budget_usd": 1})).await;
    let waiting = bed.get(&second).await;
    assert_eq!(waiting["waiting_cause"], "directory_taken", "{waiting}");
    bed.client.ok("update_project", json!({"project": "shop", "max_budget_usd": 0})).await;
    let waiting = bed.get(&second).await;
    assert_eq!(waiting["waiting_cause"], "directory_taken", "{waiting}");
    // The scripted agent reports that it cost a cent.
    std::fs::write(call.cwd.join("go"), "").expect("writable");
    bed.completed(&first).await;
    bed.completed(&second).await;
    bed.client.ok("update_project", json!({"project": "shop", "max_budget_usd": 0.02})).await;
    let third = bed.ticket("shop", &["build"], "").await;
    eventually("the project's dollars are spent", || async {
        let found = bed.get(&third).await;
        if found["waiting_cause"] == "budget" { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
    let refused = bed.client.refused("resume", json!({"project": "shop"})).await;
    assert!(refused.contains("limit"), "{refused}");
    bed.client.ok("update_project", json!({"project": "shop", "max_budget_usd": 1})).await;
    bed.completed(&third).await;
}
