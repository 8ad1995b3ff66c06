//! The tools, as a model sees them before it calls any.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use e2e::bed::Bed;
use serde_json::Value;
use serde_json::json;

/// Each tool of the contract and its parameters; `?` marks an optional one.
const TOOLS: [(&str, &str); 38] = [
    (
        "create_project",
        "name path description? rules? patterns? isolation? on_complete? max_workers? max_budget_usd? max_budget_usd_per_day? \
         max_budget_usd_per_ticket? max_attempts_per_ticket? max_descendants?",
    ),
    ("get_project", "project"),
    ("list_projects", "limit? cursor?"),
    (
        "update_project",
        "project path? description? rules? patterns? isolation? on_complete? max_workers? max_budget_usd? max_budget_usd_per_day? \
         max_budget_usd_per_ticket? max_attempts_per_ticket? max_descendants? worktree? gates?",
    ),
    ("delete_project", "project force?"),
    (
        "create_worker_type",
        "project worker_type template? system_prompt? description? model? permission_mode? allowed_tools? \
         disallowed_tools? max_workers? timeout_seconds? stall_seconds? max_attempts? max_budget_usd? auto_spawn? \
         may_create_tickets? mcp_servers? settings? max_turns? max_gate_failures?",
    ),
    ("get_worker_type", "project worker_type"),
    ("list_worker_types", "project limit? cursor?"),
    (
        "update_worker_type",
        "project worker_type system_prompt? description? model? permission_mode? allowed_tools? \
         disallowed_tools? max_workers? timeout_seconds? stall_seconds? max_attempts? max_budget_usd? auto_spawn? \
         may_create_tickets? mcp_servers? settings? max_turns? max_gate_failures?",
    ),
    ("delete_worker_type", "project worker_type force?"),
    ("list_worker_templates", "template? limit? cursor?"),
    ("spawn_worker", "project worker_type count?"),
    ("stop_worker", "worker_id mode?"),
    ("list_workers", "project? worker_type? state? limit? cursor?"),
    ("get_worker_status", "worker_id"),
    ("list_queues", "project? limit? cursor?"),
    ("get_queue_status", "project worker_type"),
    ("delete_queue", "project worker_type force?"),
    ("pause", "project? worker_type? reason?"),
    ("list_inbox", "project? kinds? limit? cursor?"),
    ("resume", "project? worker_type? all?"),
    ("stop", "ticket_id? worker_id? project? all? reason?"),
    (
        "create_ticket",
        "project title execution_plan description? priority? depends_on? idempotency_key?",
    ),
    ("update_ticket", "ticket_id title? description? priority? execution_plan? max_budget_usd?"),
    ("get_ticket", "ticket_id"),
    ("list_tickets", "project? state? all? stage? hold_kind? limit? cursor?"),
    ("add_ticket_comment", "ticket_id content"),
    ("complete_ticket_stage", "ticket_id stage outcome report rework_stage? question?"),
    ("close_ticket", "ticket_id resolution? comment?"),
    ("resume_ticket", "ticket_id stage? comment?"),
    ("run_gates", "ticket_id"),
    ("waive_gate", "ticket_id gate reason"),
    (
        "list_events",
        "after? include_processed? kinds? project? ticket_id? wait_seconds? limit? consumer?",
    ),
    ("mark_events_processed", "event_seqs? up_to_seq? project? kinds? ticket_id? consumer?"),
    ("get_usage", "group_by? project? ticket_id? worker_type? since? until? limit? cursor?"),
    ("list_notifiers", ""),
    ("test_notifier", "notifier"),
    ("resume_notifier", "notifier"),
];

fn name(tool: &Value) -> &str {
    tool["name"].as_str().expect("a tool has a name")
}

#[e2e::scenario]
async fn there_are_exactly_the_tools_of_the_contract() {
    let bed = Bed::start().await;
    let tools = bed.client.tools().await;
    let found: BTreeSet<&str> = tools.iter().map(name).collect();
    assert_eq!(found, TOOLS.map(|(name, _)| name).into());
    assert_eq!(tools.len(), TOOLS.len(), "none twice");
}

#[e2e::scenario]
async fn each_takes_the_parameters_of_the_contract() {
    let bed = Bed::start().await;
    let contract: BTreeMap<&str, &str> = TOOLS.into();
    for tool in bed.client.tools().await {
        let name = name(&tool);
        let fields = || contract[name].split(' ').filter(|field| !field.is_empty());
        let expected: BTreeSet<&str> = fields().map(|field| field.trim_end_matches('?')).collect();
        let required: BTreeSet<&str> = fields().filter(|field| !field.ends_with('?')).collect();
        let schema = &tool["inputSchema"];
        let properties = schema["properties"].as_object();
        let found: BTreeSet<&str> =
            properties.into_iter().flat_map(|fields| fields.keys().map(String::as_str)).collect();
        // There may be more parameters, as long as they are optional.
        assert!(found.is_superset(&expected), "{name} takes only {found:?}");
        let found: BTreeSet<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert_eq!(found, required, "{name}");
    }
}

#[e2e::scenario]
async fn each_explains_itself_and_every_parameter() {
    let bed = Bed::start().await;
    let mut wrong = Vec::new();
    for tool in bed.client.tools().await {
        let name = name(&tool);
        for field in ["title", "description"] {
            if tool[field].as_str().is_none_or(str::is_empty) {
                wrong.push(format!("{name} has no {field}"));
            }
        }
        if tool["description"].as_str().is_some_and(|text| text.len() > 2048) {
            wrong.push(format!("{name}: clients cut a description at 2 KB"));
        }
        let schema = &tool["inputSchema"];
        for (parameter, schema) in schema["properties"].as_object().into_iter().flatten() {
            if schema["description"].as_str().is_none_or(str::is_empty) {
                wrong.push(format!("{name}.{parameter} has no description"));
            }
        }
        if tool["outputSchema"]["type"] != "object" {
            wrong.push(format!("{name} has no output schema of an object"));
        }
        if schema.to_string().contains("\"uint") {
            wrong.push(format!("{name}: clients complain about the formats uint32 and uint64"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[e2e::scenario]
async fn each_declares_whether_it_writes_or_destroys() {
    let bed = Bed::start().await;
    for tool in bed.client.tools().await {
        let name = name(&tool);
        let hint = |hint: &str| tool["annotations"][hint].clone();
        let reads = name.starts_with("get_") || name.starts_with("list_");
        let destroys =
            name.starts_with("delete_") || ["close_ticket", "stop_worker"].contains(&name);
        assert_eq!(hint("openWorldHint"), json!(false), "{name}");
        assert_eq!(hint("readOnlyHint") == true, reads, "{name} readOnlyHint");
        if destroys {
            assert_eq!(hint("destructiveHint"), json!(true), "{name} destructiveHint");
        }
        // To a client, a tool that writes and declares nothing is destructive.
        if name.starts_with("create_") || name.starts_with("add_") {
            assert_eq!(hint("destructiveHint"), json!(false), "{name} destructiveHint");
        }
    }
}

#[e2e::scenario]
async fn the_order_of_the_tools_never_changes() {
    let bed = Bed::start().await;
    let first = bed.client.tools().await;
    assert_eq!(bed.client.tools().await, first);
}
