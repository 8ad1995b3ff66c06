//! Projects and worker types: made, changed, and deleted only when nothing needs them.

use e2e::bed::Bed;
use serde_json::json;

#[e2e::scenario]
async fn a_project_returns_what_it_was_given() {
    let bed = Bed::start().await;
    let path = bed.server.path("projects");
    let arguments = json!({
        "name": "shop", "path": path, "description": "Sells tea.", "rules": "Never push.",
        "patterns": "MVC",
    });
    let made = bed.client.ok("create_project", arguments).await;
    assert_eq!(made["name"], "shop");
    assert_eq!(made["description"], "Sells tea.");

    let change = json!({"project": "shop", "rules": "Always push."});
    bed.client.ok("update_project", change).await;

    let found = bed.client.ok("get_project", json!({"project": "shop"})).await;
    assert_eq!(found["rules"], "Always push.");
    assert_eq!(found["patterns"], "MVC", "what is not named stays");
    let list = bed.client.ok("list_projects", json!({})).await;
    assert_eq!(list["projects"].as_array().unwrap().len(), 1);
}

#[e2e::scenario]
async fn a_project_name_is_unique() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let again = json!({"name": "shop", "path": bed.server.path("projects")});
    let refusal = bed.client.refused("create_project", again).await;
    assert!(refusal.contains("shop"), "{refusal}");

    let again = json!({"project": "shop", "worker_type": "build", "system_prompt": "p"});
    let refusal = bed.client.refused("create_worker_type", again).await;
    assert!(refusal.contains("build"), "{refusal}");
}

#[e2e::scenario]
async fn a_project_counts_its_tickets_by_state() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let held = bed.ticket("shop", &["build"], "fake: build: block Why?").await;
    let done = bed.ticket("shop", &["build"], "").await;
    bed.ticket_is(&held, "on_hold").await;
    bed.completed(&done).await;

    let found = bed.client.ok("get_project", json!({"project": "shop"})).await;

    let said = found.to_string();
    assert!(said.contains("\"on_hold\":1") && said.contains("\"closed\":1"), "{found}");
}

#[e2e::scenario]
async fn deleting_a_project_with_open_tickets_is_refused_without_force() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: sleep 600").await;
    bed.called(&ticket, "build", 1).await;

    let refusal = bed.client.refused("delete_project", json!({"project": "shop"})).await;
    assert!(refusal.contains("force"), "it names the way out: {refusal}");
    assert_eq!(bed.get(&ticket).await["state"], "running");

    bed.client.ok("delete_project", json!({"project": "shop", "force": true})).await;
    bed.nothing_is_left().await;
    let refusal = bed.client.refused("get_project", json!({"project": "shop"})).await;
    assert!(refusal.contains("shop"), "{refusal}");
}

#[e2e::scenario]
async fn a_deleted_projects_name_is_free_again() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    bed.nothing_is_left().await;

    bed.client.ok("delete_project", json!({"project": "shop"})).await;

    let again = json!({"name": "shop", "path": bed.server.path("projects")});
    bed.client.ok("create_project", again).await;
    let types = bed.client.ok("list_worker_types", json!({"project": "shop"})).await;
    assert_eq!(types["worker_types"], json!([]));
}

#[e2e::scenario]
async fn a_worker_type_in_an_open_plan_is_not_deleted() {
    let bed = Bed::start().await;
    bed.project("shop", &["build", "review"]).await;
    let ticket = bed.ticket("shop", &["build", "review"], "fake: build: block Why?").await;
    bed.ticket_is(&ticket, "on_hold").await;
    let review = json!({"project": "shop", "worker_type": "review"});

    let refusal = bed.client.refused("delete_worker_type", review.clone()).await;
    assert!(refusal.contains(&ticket), "it names the ticket: {refusal}");
    bed.client.ok("get_worker_type", review.clone()).await;

    bed.client.ok("close_ticket", json!({"ticket_id": ticket})).await;
    bed.client.ok("delete_worker_type", review.clone()).await;
    bed.client.refused("get_worker_type", review).await;
}

#[e2e::scenario]
async fn a_worker_type_changes_what_is_named_only() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"max_workers": 4, "model": "haiku"})).await;

    let change = json!({"project": "shop", "worker_type": "build", "system_prompt": "New words."});
    bed.client.ok("update_worker_type", change).await;

    let which = json!({"project": "shop", "worker_type": "build"});
    let found = bed.client.ok("get_worker_type", which).await;
    assert_eq!(found["system_prompt"], "New words.");
    assert_eq!(found["max_workers"], 4);
    assert_eq!(found["model"], "haiku");
    assert_eq!(found["timeout_seconds"], 3600);
    assert_eq!(found["max_attempts"], 3);
    assert_eq!(found["auto_spawn"], true);
}
