//! The list of tools, in the order clients see them.

use crate::mcp::tool::Tool;
use crate::mcp::tools;

/// Every tool, in the order the list shows them: the nouns as a coordinator meets them.
pub(crate) fn tools() -> Vec<Tool> {
    [
        tools::projects::tools(),
        tools::worker_types::tools(),
        tools::templates::tools(),
        tools::workers::tools(),
        tools::queues::tools(),
        tools::pauses::tools(),
        tools::inbox::tools(),
        tools::stop::tools(),
        tools::tickets::tools(),
        tools::gates::tools(),
        tools::events::tools(),
        tools::usage::tools(),
        tools::notifiers::tools(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The arguments of tools whose texts may have many lines.
pub const LONG_TEXTS: [&str; 8] = [
    "description",
    "rules",
    "patterns",
    "system_prompt",
    "comment",
    "content",
    "report",
    "question",
];

/// The tools of every day, which a coordinator's session has at once. The others are searched for when they are needed:
/// each tool costs every session, whether it is used or not.
pub(crate) const DAILY: [&str; 9] = [
    "create_project",
    "create_worker_type",
    "create_ticket",
    "get_ticket",
    "list_tickets",
    "list_events",
    "mark_events_processed",
    "resume_ticket",
    "list_inbox",
];

/// The tools of an attempt's agent.
pub(crate) fn worker_tools() -> Vec<Tool> {
    tools::own::tools()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;
    use crate::domain::advice::Reader;
    use crate::domain::advice::Step;
    use crate::domain::advice::Way;
    use crate::mcp::arguments::Accepted;
    use crate::mcp::instructions::INSTRUCTIONS;
    use crate::mcp::reply::wrong_arguments;
    use crate::mcp::schema;

    const NAMES: [&str; 38] = [
        "create_project",
        "get_project",
        "list_projects",
        "update_project",
        "delete_project",
        "create_worker_type",
        "get_worker_type",
        "list_worker_types",
        "update_worker_type",
        "delete_worker_type",
        "list_worker_templates",
        "spawn_worker",
        "stop_worker",
        "list_workers",
        "get_worker_status",
        "list_queues",
        "get_queue_status",
        "delete_queue",
        "pause",
        "resume",
        "list_inbox",
        "stop",
        "create_ticket",
        "update_ticket",
        "get_ticket",
        "list_tickets",
        "add_ticket_comment",
        "complete_ticket_stage",
        "close_ticket",
        "resume_ticket",
        "run_gates",
        "waive_gate",
        "list_events",
        "mark_events_processed",
        "get_usage",
        "list_notifiers",
        "test_notifier",
        "resume_notifier",
    ];

    #[test]
    fn the_tools_are_those_of_the_contract_in_a_fixed_order() {
        let names: Vec<&str> = tools().iter().map(|tool| tool.name).collect();
        assert_eq!(names, NAMES);
    }

    #[test]
    fn advice_names_tools_that_are_there() {
        for step in Step::ALL {
            if let Way::Call(tool) = step.way(Reader::Model) {
                assert!(NAMES.contains(&tool), "{step:?}: {tool}");
            }
        }
    }

    /// What Claude Code sends to the model whatever a session is about. English prose and JSON have more than 3.6 bytes for
    /// each token.
    #[test]
    fn the_tools_of_every_day_and_the_instructions_cost_a_session_at_most_three_thousand_tokens() {
        let all = tools();
        let daily = all.iter().filter(|tool| DAILY.contains(&tool.name));
        let sizes: Vec<(&str, usize)> = daily
            .map(|tool| {
                let sent = json!({
                    "name": format!("mcp__plugin_vibe-ensemble_vibe-ensemble__{}", tool.name),
                    "description": tool.description,
                    "input_schema": schema::brief(&tool.arguments),
                });
                (tool.name, sent.to_string().len())
            })
            .chain([("instructions", INSTRUCTIONS.len())])
            .collect();
        let whole: usize = sizes.iter().map(|(_, size)| size).sum();
        assert_eq!(sizes.len(), DAILY.len() + 1);
        assert!(whole * 10 <= 3_000 * 36, "{whole} bytes: {sizes:?}");
    }

    #[test]
    fn an_agent_has_four_tools() {
        let names: Vec<&str> = worker_tools().iter().map(|tool| tool.name).collect();
        assert_eq!(names, ["get_ticket", "get_project", "add_ticket_comment", "report_progress"]);
    }

    #[test]
    fn every_tool_and_every_argument_is_described_within_two_kilobytes() {
        for tool in tools().into_iter().chain(worker_tools()) {
            assert!(!tool.title.is_empty(), "{}", tool.name);
            assert!((80..=2048).contains(&tool.description.len()), "{}", tool.name);
            assert_eq!(tool.arguments["type"], "object", "{}", tool.name);
            assert_eq!(tool.arguments["additionalProperties"], false, "{}", tool.name);
            for (field, schema) in tool.arguments["properties"].as_object().unwrap() {
                let description = schema["description"].as_str().unwrap_or_default();
                assert!(description.len() >= 10, "{}: {field} is not described", tool.name);
            }
        }
    }

    #[test]
    fn results_are_objects_and_schemas_are_plain() {
        for tool in tools().into_iter().chain(worker_tools()) {
            assert_eq!(tool.result["type"], "object", "{}", tool.name);
            assert!(!tool.result["properties"].as_object().unwrap().is_empty(), "{}", tool.name);
            let text = format!(
                "{}{}",
                Value::Object(tool.arguments.clone()),
                Value::Object(tool.result.clone())
            );
            for unwanted in ["\"format\"", "$ref", "$defs", "\"default\":null", "uint"] {
                assert!(!text.contains(unwanted), "{}: {unwanted} in {text}", tool.name);
            }
            // The types of results have defaults for readers; the server writes every field.
            let result = Value::Object(tool.result.clone()).to_string();
            assert!(!result.contains("\"default\":"), "{}: {result}", tool.name);
            let arguments = Value::Object(tool.arguments.clone()).to_string();
            assert!(!arguments.contains("\"null\""), "{}: {arguments}", tool.name);
        }
    }

    /// Adds every description below a schema, under its path.
    fn described(schema: &Value, path: &str, into: &mut String) {
        if let Some(description) = schema["description"].as_str() {
            into.extend(["  ", path, ": ", description, "\n"]);
        }
        for (field, below) in schema["properties"].as_object().into_iter().flatten() {
            described(below, &format!("{path}.{field}"), into);
        }
        if schema["items"].is_object() {
            described(&schema["items"], &format!("{path}[]"), into);
        }
    }

    #[test]
    fn the_words_of_each_tool_are_the_reviewed_ones() {
        for (snapshot, tools) in [("tools", tools()), ("tools-of-workers", worker_tools())] {
            let mut text = String::new();
            for tool in tools {
                text.extend([tool.name, ": ", tool.title, "\n", tool.description, "\n"]);
                described(&Value::Object(tool.arguments), "arguments", &mut text);
                described(&Value::Object(tool.result), "result", &mut text);
                text.push('\n');
            }
            crate::snapshot::holds(snapshot, &text);
        }
    }

    #[test]
    fn the_whole_list_fits_one_answer() {
        let size: usize = tools()
            .iter()
            .map(|tool| {
                tool.description.len()
                    + Value::Object(tool.arguments.clone()).to_string().len()
                    + Value::Object(tool.result.clone()).to_string().len()
            })
            .sum();
        assert!(size < 100_000, "{size} bytes");
    }

    /// Calls with something wrong in their arguments: what is missing, unknown, of another type, out of range or not one
    /// of the allowed values, in every kind of field that tools have.
    fn wrong_calls() -> Vec<(&'static str, Value)> {
        vec![
            ("create_project", json!({})),
            (
                "create_project",
                json!({"name": 7, "path": "/srv/shop", "isolation": "container", "max_workers": -1,
                       "max_budget_usd": "cheap"}),
            ),
            ("get_project", json!({"name": "shop"})),
            (
                "create_worker_type",
                json!({"project": "shop", "worker_type": "impl", "max_wrokers": 2, "timeout_seconds": 0,
                       "permission_mode": "yolo", "allowed_tools": [1], "auto_spawn": "perhaps",
                       "mcp_servers": "none", "zzz": true}),
            ),
            (
                "update_worker_type",
                json!({"project": "shop", "worker_type": "impl", "stall_seconds": 604_801, "max_turns": 2.5,
                       "settings": [], "system_prompt": {"text": "You test."}}),
            ),
            (
                "create_ticket",
                json!({"project": "shop", "title": null, "execution_plan": [], "priority": "asap",
                       "depends_on": [42]}),
            ),
            ("get_ticket", json!({"ticket": "T-1"})),
            ("list_tickets", json!({"limit": 500, "state": "open"})),
            (
                "complete_ticket_stage",
                json!({"ticket_id": "T-1", "outcome": "done", "report": true}),
            ),
            (
                "list_events",
                json!({"wait_seconds": 3601, "kinds": ["ticket_closd"], "after": "first"}),
            ),
            ("mark_events_processed", json!({"event_seqs": ["one", 2], "up_to_seq": 1.5})),
            ("stop_worker", json!({"worker_id": 7, "mode": "softly"})),
            ("spawn_worker", json!({"project": "shop", "worker_type": "impl", "count": 0})),
            ("get_usage", json!({"group_by": "month", "by": "day"})),
            ("pause", json!({"scope": "galaxy"})),
            ("report_progress", json!({"percent": 101})),
        ]
    }

    #[test]
    fn the_errors_of_arguments_are_the_reviewed_ones() {
        let all: Vec<Tool> = tools().into_iter().chain(worker_tools()).collect();
        let mut text = String::new();
        for (name, given) in wrong_calls() {
            let tool = all.iter().find(|tool| tool.name == name).expect(name);
            let accepted = Accepted::from_schema(&tool.arguments).expect(name);
            let arguments = given.as_object().expect("an object").clone();
            let wrong = accepted.check(arguments).expect_err(name);
            let answer = wrong_arguments(name, &wrong, Reader::Model);
            text.extend([name, " ", &given.to_string(), "\n", &answer, "\n\n"]);
        }
        crate::snapshot::holds("argument-errors", &text);
    }
}
