//! The contract of `--json`: every command that takes it has a schema in `server/schemas` and a line in `JSON.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use clap::CommandFactory as _;
use serde_json::Value;

use crate::cli::Cli;
use crate::mcp;
use crate::wire::printed;

/// The schemas of what commands print as a tool answered it: the name of the file, and the tools that answer so.
const ANSWERS: [(&str, &[&str]); 18] = [
    ("project", &["create_project", "delete_project"]),
    ("project-shown", &["get_project"]),
    ("project-changed", &["update_project"]),
    ("projects", &["list_projects"]),
    ("worker-type", &["get_worker_type"]),
    ("worker-type-changed", &["create_worker_type", "update_worker_type", "delete_worker_type"]),
    ("worker-types", &["list_worker_types"]),
    ("templates", &["list_worker_templates"]),
    ("worker", &["stop_worker"]),
    ("worker-shown", &["get_worker_status"]),
    ("workers-spawned", &["spawn_worker"]),
    ("queue-shown", &["get_queue_status"]),
    ("queue-emptied", &["delete_queue"]),
    (
        "ticket-changed",
        &[
            "create_ticket",
            "update_ticket",
            "complete_ticket_stage",
            "close_ticket",
            "resume_ticket",
            "run_gates",
            "waive_gate",
        ],
    ),
    ("comment", &["add_ticket_comment"]),
    ("marked", &["mark_events_processed"]),
    ("notifiers", &["list_notifiers"]),
    ("notifier", &["test_notifier", "resume_notifier"]),
];

/// The schemas that a command's output follows, one at a time. `call` prints whatever its tool answers.
const PRINTED: [(&str, &[&str]); 60] = [
    ("check-config", &["check-config"]),
    ("check-project", &["check-project"]),
    ("doctor", &["doctor"]),
    ("connect", &["connect"]),
    ("disconnect", &["connect"]),
    ("status", &["status"]),
    ("workers", &["workers"]),
    ("worker", &["workers"]),
    ("worker list", &["workers"]),
    ("worker show", &["worker-shown"]),
    ("worker spawn", &["workers-spawned"]),
    ("worker stop", &["worker"]),
    ("tickets", &["tickets", "ticket"]),
    ("ticket", &["tickets", "ticket"]),
    ("ticket list", &["tickets", "ticket"]),
    ("ticket show", &["ticket"]),
    ("ticket create", &["ticket-changed"]),
    ("ticket update", &["ticket-changed"]),
    ("ticket comment", &["comment"]),
    ("ticket complete", &["ticket-changed"]),
    ("ticket close", &["ticket-changed"]),
    ("ticket resume", &["ticket-changed"]),
    ("answer", &["ticket-changed"]),
    ("gates", &["gates"]),
    ("gate list", &["gates"]),
    ("gate run", &["ticket-changed"]),
    ("gate waive", &["ticket-changed"]),
    ("diff", &["diff"]),
    ("inbox", &["inbox"]),
    ("why", &["why"]),
    ("notify list", &["notifiers"]),
    ("notify test", &["notifier"]),
    ("notify resume", &["notifier"]),
    ("project", &["projects"]),
    ("project list", &["projects"]),
    ("project show", &["project-shown"]),
    ("project create", &["project"]),
    ("project update", &["project-changed"]),
    ("project delete", &["project"]),
    ("type list", &["worker-types"]),
    ("type show", &["worker-type"]),
    ("type create", &["worker-type-changed"]),
    ("type update", &["worker-type-changed"]),
    ("type delete", &["worker-type-changed"]),
    ("type templates", &["templates"]),
    ("queue", &["queues"]),
    ("queue list", &["queues"]),
    ("queue show", &["queue-shown"]),
    ("queue empty", &["queue-emptied"]),
    ("event list", &["event"]),
    ("event mark", &["marked"]),
    ("usage", &["usage"]),
    ("pause", &["pause"]),
    ("resume", &["pause", "ticket-changed"]),
    ("stop", &["stop"]),
    ("events", &["event"]),
    ("logs", &["log-line"]),
    ("backup", &["backup"]),
    ("restore", &["restore"]),
    ("drain", &["drain"]),
];

fn schemas() -> BTreeMap<&'static str, Value> {
    let mut all = printed::schemas();
    for (name, tools) in ANSWERS {
        for tool in tools {
            let schema = printed::of_answer(mcp::answer_of(tool).expect("it is one of the tools"));
            let before = all.insert(name, schema.clone());
            assert!(before.is_none_or(|before| before == schema), "{tool} answers otherwise");
        }
    }
    all
}

fn of_the_crate(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_kept_schemas_are_those_of_the_types() {
    let directory = of_the_crate("schemas");
    let writes = std::env::vars_os().any(|(name, _)| name == "UPDATE_SNAPSHOTS");
    let schemas = schemas();
    for (name, schema) in &schemas {
        let file = directory.join(format!("{name}.json"));
        let text = format!("{schema:#}\n");
        if writes {
            fs::write(&file, &text).expect("writes");
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == text,
            "{name}: run the tests with UPDATE_SNAPSHOTS=1 and look at the difference: a field that goes, or changes its \
             type or meaning, needs a new SCHEMA_VERSION"
        );
    }
    let files = fs::read_dir(&directory).expect("a directory").count();
    assert_eq!(files, schemas.len(), "a file of no schema lies in {}", directory.display());
}

#[test]
fn every_command_that_takes_json_has_a_schema_and_a_line_in_the_document() {
    let mut cli = Cli::command();
    cli.build();
    let mut taking = Vec::new();
    let mut left: Vec<(String, &clap::Command)> =
        cli.get_subcommands().map(|command| (command.get_name().to_owned(), command)).collect();
    while let Some((path, command)) = left.pop() {
        if path.starts_with("help") || path.ends_with(" help") || command.is_hide_set() {
            continue;
        }
        // `call` prints JSON anyway.
        if command.get_arguments().any(|it| it.get_id() == "json" && !it.is_hide_set()) {
            taking.push(path.clone());
        }
        let below = command.get_subcommands();
        left.extend(below.map(|it| (format!("{path} {}", it.get_name()), it)));
    }
    let schemas = schemas();
    let document = fs::read_to_string(of_the_crate("JSON.md")).expect("it is there");
    for path in &taking {
        let listed = PRINTED.iter().find(|(listed, _)| listed == path);
        let (_, names) = listed.unwrap_or_else(|| panic!("`{path} --json` has no schema"));
        let line = document.lines().find(|line| line.contains(&format!("`{path}`")));
        let line = line.unwrap_or_else(|| panic!("JSON.md does not mention `{path}`"));
        for name in *names {
            assert!(schemas.contains_key(name), "{path}: {name}");
            assert!(document.contains(&format!("(schemas/{name}.json)")), "{name}");
        }
        assert!(
            names.iter().any(|name| line.contains(&format!("(schemas/{name}.json)"))),
            "{line}"
        );
    }
    for (path, _) in PRINTED {
        assert!(taking.iter().any(|taken| taken == path), "{path} takes no --json");
    }
}

#[test]
fn a_field_that_is_not_listed_is_no_part_of_the_contract() {
    let schema = &schemas()["tickets"];
    assert_eq!(schema["additionalProperties"], false);
    let ticket = &schema["properties"]["tickets"]["items"];
    assert_eq!(ticket["additionalProperties"], false);
    let required = |name: &str| ticket["required"].as_array().unwrap().iter().any(|it| it == name);
    assert!(required("ticket_id") && !required("hold_reason"), "{ticket:#}");
}
