//! Whatever a model sends: it gets a clear answer that names the field, and nothing is
//! half-written.

use std::collections::BTreeSet;

use e2e::bed::Bed;
use e2e::client::CallError;
use serde_json::Value;
use serde_json::json;

/// Everything that the server stores, as its lists show it: comparing two of these reveals any
/// write.
async fn state(bed: &Bed) -> Vec<Value> {
    let mut state = Vec::new();
    let lists =
        [("list_projects", "projects"), ("list_tickets", "tickets"), ("list_workers", "workers")];
    for (tool, plural) in lists {
        state.extend(bed.all(tool, plural, json!({})).await);
    }
    state.extend(bed.all("list_worker_types", "worker_types", json!({"project": "shop"})).await);
    state.extend(bed.events().await);
    state.push(bed.get("T-1").await);
    state
}

async fn bed_with_one_ticket() -> Bed {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    bed.ticket("shop", &["build"], "").await;
    bed
}

/// Calls tools with arguments that must each be refused with the given word, and must change
/// nothing.
async fn all_refused(cases: &[(&str, &str, Value)]) {
    let bed = bed_with_one_ticket().await;
    let before = state(&bed).await;
    let mut wrong = Vec::new();
    for (tool, word, arguments) in cases {
        let shown: String = arguments.to_string().chars().take(120).collect();
        match bed.client.call(tool, arguments.clone()).await {
            Err(CallError::Refused(text)) if text.contains(word) && text.len() < 2000 => {}
            Err(CallError::Refused(text)) => {
                let text: String = text.chars().take(300).collect();
                wrong.push(format!("{tool} {shown}: no `{word}` in: {text}"));
            }
            Err(other) => wrong.push(format!("{tool} {shown}: {other}")),
            Ok(value) => wrong.push(format!("{tool} {shown}: accepted: {value}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(state(&bed).await, before, "something was written");
}

fn changed(mut arguments: Value, change: Value) -> Value {
    if let (Some(fields), Value::Object(change)) = (arguments.as_object_mut(), change) {
        fields.extend(change);
    }
    arguments
}

/// The arguments of a valid ticket, with one change.
fn ticket(change: Value) -> Value {
    changed(json!({"project": "shop", "title": "t", "execution_plan": ["build"]}), change)
}

/// The arguments of a valid worker type, with one change.
fn worker_type(change: Value) -> Value {
    changed(json!({"project": "shop", "worker_type": "x", "system_prompt": "p"}), change)
}

/// The arguments of a valid project, with one change.
fn project(change: Value) -> Value {
    changed(json!({"name": "barn", "path": "/tmp"}), change)
}

/// The arguments of a valid completion, with one change.
fn completion(change: Value) -> Value {
    let good =
        json!({"ticket_id": "T-1", "stage": "build", "outcome": "completed", "report": "done"});
    changed(good, change)
}

#[e2e::scenario]
async fn wrong_types_are_refused() {
    all_refused(&[
        ("create_ticket", "title", ticket(json!({"title": 7}))),
        ("create_ticket", "title", ticket(json!({"title": null}))),
        ("create_ticket", "execution_plan", ticket(json!({"execution_plan": "build, test"}))),
        ("create_ticket", "execution_plan", ticket(json!({"execution_plan": [7]}))),
        ("create_ticket", "depends_on", ticket(json!({"depends_on": 1}))),
        ("create_ticket", "priority", ticket(json!({"priority": 1}))),
        ("create_project", "name", project(json!({"name": ["shop"]}))),
        ("create_worker_type", "max_workers", worker_type(json!({"max_workers": "many"}))),
        ("create_worker_type", "auto_spawn", worker_type(json!({"auto_spawn": "yes"}))),
        ("get_ticket", "ticket_id", json!({"ticket_id": 1})),
        ("get_ticket", "ticket_id", json!({"ticket_id": {}})),
        ("list_tickets", "limit", json!({"limit": "all"})),
        ("list_events", "after", json!({"after": "T-1"})),
        ("mark_events_processed", "event_seqs", json!({"event_seqs": 1.5})),
        ("mark_events_processed", "event_seqs", json!({"event_seqs": true})),
    ])
    .await;
}

#[e2e::scenario]
async fn missing_fields_are_refused() {
    all_refused(&[
        ("create_ticket", "title", json!({"project": "shop", "execution_plan": ["build"]})),
        ("create_ticket", "execution_plan", json!({"project": "shop", "title": "t"})),
        ("create_project", "path", json!({"name": "barn"})),
        ("create_worker_type", "system_prompt", json!({"project": "shop", "worker_type": "x"})),
        ("get_ticket", "ticket_id", json!({})),
        ("add_ticket_comment", "content", json!({"ticket_id": "T-1"})),
        (
            "complete_ticket_stage",
            "outcome",
            json!({"ticket_id": "T-1", "stage": "build", "report": "r"}),
        ),
        ("mark_events_processed", "up_to_seq", json!({})),
    ])
    .await;
}

#[e2e::scenario]
async fn unknown_fields_are_refused() {
    all_refused(&[
        ("create_ticket", "assignee", ticket(json!({"assignee": "me"}))),
        ("create_project", "directory", project(json!({"directory": "/tmp"}))),
        ("create_worker_type", "prompt", worker_type(json!({"prompt": "q"}))),
        ("list_tickets", "status", json!({"status": "open"})),
        ("get_ticket", "id", json!({"ticket_id": "T-1", "id": "T-1"})),
        ("close_ticket", "reason", json!({"ticket_id": "T-1", "reason": "old"})),
    ])
    .await;
}

#[e2e::scenario]
async fn values_out_of_range_are_refused() {
    let spawn = |count| json!({"project": "shop", "worker_type": "build", "count": count});
    all_refused(&[
        ("create_ticket", "priority", ticket(json!({"priority": "asap"}))),
        ("create_ticket", "execution_plan", ticket(json!({"execution_plan": []}))),
        ("create_ticket", "execution_plan", ticket(json!({"execution_plan": vec!["build"; 33]}))),
        ("create_ticket", "nosuch", ticket(json!({"execution_plan": ["nosuch"]}))),
        ("create_worker_type", "max_workers", worker_type(json!({"max_workers": -1}))),
        ("create_worker_type", "max_attempts", worker_type(json!({"max_attempts": 0}))),
        ("create_worker_type", "timeout_seconds", worker_type(json!({"timeout_seconds": -5}))),
        ("create_worker_type", "max_budget_usd", worker_type(json!({"max_budget_usd": -0.5}))),
        ("create_worker_type", "permission_mode", worker_type(json!({"permission_mode": "--yes"}))),
        ("list_tickets", "limit", json!({"limit": 0})),
        ("list_tickets", "limit", json!({"limit": 201})),
        ("list_tickets", "limit", json!({"limit": -1})),
        ("list_tickets", "state", json!({"state": "done"})),
        ("list_workers", "state", json!({"state": "asleep"})),
        ("list_events", "kinds", json!({"kinds": ["everything"]})),
        ("list_events", "wait_seconds", json!({"wait_seconds": -1})),
        ("stop_worker", "mode", json!({"worker_id": "W-1", "mode": "gently"})),
        ("close_ticket", "resolution", json!({"ticket_id": "T-1", "resolution": "forgotten"})),
        ("complete_ticket_stage", "outcome", completion(json!({"outcome": "done"}))),
        ("spawn_worker", "count", spawn(0)),
        ("spawn_worker", "count", spawn(1_000_000)),
    ])
    .await;
}

#[e2e::scenario]
async fn empty_huge_and_binary_texts_are_refused() {
    let mebibyte = "x".repeat(1 << 20);
    let more = "x".repeat((1 << 20) + 1);
    let comment = |content: &str| json!({"ticket_id": "T-1", "content": content});
    all_refused(&[
        ("create_ticket", "title", ticket(json!({"title": ""}))),
        ("create_ticket", "title", ticket(json!({"title": "  \n"}))),
        ("create_ticket", "title", ticket(json!({"title": mebibyte}))),
        ("create_ticket", "title", ticket(json!({"title": "a\u{0}b"}))),
        ("create_ticket", "description", ticket(json!({"description": more}))),
        ("create_ticket", "description", ticket(json!({"description": "a\u{0}b"}))),
        ("create_project", "name", project(json!({"name": ""}))),
        ("create_project", "name", project(json!({"name": mebibyte}))),
        ("create_project", "name", project(json!({"name": "a\u{0}b"}))),
        ("create_project", "name", project(json!({"name": "../../etc"}))),
        ("create_project", "name", project(json!({"name": "-rf"}))),
        ("create_worker_type", "system_prompt", worker_type(json!({"system_prompt": ""}))),
        ("create_worker_type", "system_prompt", worker_type(json!({"system_prompt": "a\u{0}b"}))),
        ("add_ticket_comment", "content", comment("")),
        ("add_ticket_comment", "content", comment(&more)),
        ("add_ticket_comment", "content", comment("a\u{0}b")),
        ("complete_ticket_stage", "report", completion(json!({"report": ""}))),
        ("update_project", "rules", json!({"project": "shop", "rules": more})),
    ])
    .await;
}

#[e2e::scenario]
async fn a_mebibyte_is_still_a_comment() {
    let bed = bed_with_one_ticket().await;
    let content = "é".repeat(1 << 19);
    let arguments = json!({"ticket_id": "T-1", "content": content});
    let comment = bed.client.ok("add_ticket_comment", arguments).await;
    assert_eq!(comment["content"], content);
}

#[e2e::scenario]
async fn ids_of_nothing_and_of_something_else_are_refused() {
    let id = |id: &str| json!({"ticket_id": id});
    let queue = || json!({"project": "shop", "worker_type": "nosuch"});
    all_refused(&[
        ("get_ticket", "T-999999", id("T-999999")),
        ("get_ticket", "A-1", id("A-1")),
        ("get_ticket", "ticket_id", id("1")),
        ("get_ticket", "ticket_id", id("T-0")),
        ("get_ticket", "ticket_id", id("T--1")),
        ("get_ticket", "ticket_id", id("T-99999999999999999999")),
        ("get_ticket", "ticket_id", id("T-1; DROP TABLE ticket")),
        ("close_ticket", "W-1", id("W-1")),
        ("resume_ticket", "T-999999", id("T-999999")),
        ("add_ticket_comment", "T-999999", json!({"ticket_id": "T-999999", "content": "c"})),
        ("complete_ticket_stage", "T-999999", completion(id("T-999999"))),
        ("create_ticket", "A-1", ticket(json!({"depends_on": ["A-1"]}))),
        ("get_worker_status", "W-999999", json!({"worker_id": "W-999999"})),
        ("get_worker_status", "T-1", json!({"worker_id": "T-1"})),
        ("get_project", "nosuch", json!({"project": "nosuch"})),
        ("delete_project", "nosuch", json!({"project": "nosuch"})),
        ("create_ticket", "nosuch", ticket(json!({"project": "nosuch"}))),
        ("get_worker_type", "nosuch", queue()),
        ("get_queue_status", "nosuch", queue()),
        ("spawn_worker", "nosuch", queue()),
        ("list_tickets", "nosuch", json!({"project": "nosuch"})),
    ])
    .await;
}

#[e2e::scenario]
async fn a_project_path_must_be_an_absolute_existing_directory() {
    let at = |path: &str| project(json!({"path": path}));
    all_refused(&[
        ("create_project", "path", at("")),
        ("create_project", "path", at("projects")),
        ("create_project", "path", at("./")),
        ("create_project", "path", at("~/projects")),
        ("create_project", "path", at("/nonexistent/directory")),
        ("create_project", "path", at("/etc/passwd")),
        ("create_project", "path", at("/tmp\u{0}/x")),
        ("update_project", "path", json!({"project": "shop", "path": "/nonexistent/directory"})),
        ("update_project", "path", json!({"project": "shop", "path": "projects"})),
    ])
    .await;
}

#[e2e::scenario]
async fn arguments_that_are_not_an_object_are_refused_and_the_server_survives() {
    let bed = bed_with_one_ticket().await;
    for arguments in [json!([]), json!("T-1"), json!(7)] {
        let reply = bed.client.call_tool("get_ticket", arguments.clone()).await;
        let refused = reply.message["result"]["isError"] == true || reply.rpc_error().is_some();
        assert!(refused || reply.status == 400, "{arguments}: {reply:?}");
    }
    bed.get("T-1").await;
}

#[e2e::scenario]
async fn no_refusal_shows_internals() {
    let bed = bed_with_one_ticket().await;
    let cases = [
        ("get_ticket", json!({"ticket_id": "T-1' OR '1'='1"})),
        ("get_project", json!({"project": "'; DROP TABLE project; --"})),
        ("create_ticket", ticket(json!({"execution_plan": ["build", "nosuch"]}))),
        ("create_project", json!({"name": "shop", "path": bed.server.path("projects")})),
        ("list_tickets", json!({"cursor": "AAAA"})),
    ];
    for (tool, arguments) in cases {
        let text = bed.client.refused(tool, arguments).await.to_lowercase();
        for word in ["sqlite", "sqlx", "constraint", "panicked", "src/", ".rs:", "backtrace"] {
            assert!(!text.contains(word), "{tool} says {word:?}: {text}");
        }
    }
}

#[e2e::scenario]
async fn an_unknown_tool_is_a_json_rpc_error() {
    let bed = bed_with_one_ticket().await;
    let reply = bed.client.call_tool("make_coffee", json!({})).await;
    assert_eq!(reply.rpc_error(), Some(-32602), "{reply:?}");
}

#[e2e::scenario]
async fn names_of_many_scripts_are_fine() {
    let bed = Bed::start().await;
    let names = ["Über-Laden", "店", "a.b_c-9"];
    for name in names {
        bed.project(name, &[]).await;
    }
    let list = bed.all("list_projects", "projects", json!({})).await;
    let found: BTreeSet<&str> =
        list.iter().filter_map(|project| project["name"].as_str()).collect();
    assert_eq!(found, names.into());
}

#[e2e::scenario]
async fn refusals_do_not_echo_a_megabyte() {
    let bed = bed_with_one_ticket().await;
    let long = "x".repeat(1 << 20);
    for (tool, arguments) in [
        ("get_project", json!({"project": long})),
        ("list_tickets", json!({"project": long})),
        ("get_worker_type", json!({"project": "shop", "worker_type": long})),
        (
            "complete_ticket_stage",
            json!({"ticket_id": "T-1", "stage": long, "outcome": "completed", "report": "r"}),
        ),
    ] {
        let why = bed.client.refused(tool, arguments).await;
        assert!(why.len() < 1_000, "{tool} answers {} bytes", why.len());
    }
}

#[e2e::scenario]
async fn a_misspelt_filter_is_reported() {
    let bed = bed_with_one_ticket().await;
    let why = bed.client.refused("list_events", json!({"project": "shpo"})).await;
    assert!(why.contains("shpo"), "{why}");
    let why = bed.client.refused("list_events", json!({"ticket_id": "T-99"})).await;
    assert!(why.contains("T-99"), "{why}");
}

#[e2e::scenario]
async fn no_worker_type_can_sign_as_the_coordinator() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    let arguments =
        json!({"project": "shop", "worker_type": "coordinator", "system_prompt": "Lead."});
    let refusal = bed.client.refused("create_worker_type", arguments).await;
    assert!(refusal.contains("worker_type cannot be \"coordinator\""), "{refusal}");
}
