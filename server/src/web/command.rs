//! The command that does the same as a call of a tool.

use serde_json::Map;
use serde_json::Value;

use crate::domain::text::shell_word;

/// A tool, its command, and the arguments that stand without an option, in their order.
type Row = (&'static str, &'static str, &'static [&'static str]);

const COMMANDS: [Row; 23] = [
    ("create_project", "project create", &["name", "path"]),
    ("update_project", "project update", &["project"]),
    ("delete_project", "project delete", &["project"]),
    ("create_worker_type", "type create", &["project", "worker_type"]),
    ("update_worker_type", "type update", &["project", "worker_type"]),
    ("delete_worker_type", "type delete", &["project", "worker_type"]),
    ("spawn_worker", "worker spawn", &["project", "worker_type"]),
    ("stop_worker", "worker stop", &["worker_id"]),
    ("delete_queue", "queue empty", &["project", "worker_type"]),
    ("pause", "pause", &["project", "worker_type"]),
    ("resume", "resume", &["project", "worker_type"]),
    ("stop", "stop", &["ticket_id", "worker_id", "project"]),
    ("create_ticket", "ticket create", &["project", "title"]),
    ("update_ticket", "ticket update", &["ticket_id"]),
    ("add_ticket_comment", "ticket comment", &["ticket_id", "content"]),
    ("complete_ticket_stage", "ticket complete", &["ticket_id", "report"]),
    ("close_ticket", "ticket close", &["ticket_id"]),
    ("resume_ticket", "ticket resume", &["ticket_id"]),
    ("run_gates", "gate run", &["ticket_id"]),
    ("waive_gate", "gate waive", &["ticket_id", "gate", "reason"]),
    ("mark_events_processed", "event mark", &[]),
    ("test_notifier", "notify test", &["notifier"]),
    ("resume_notifier", "notify resume", &["notifier"]),
];

/// Options whose names are not those of their fields.
const NAMED: [(&str, &str); 1] = [("execution_plan", "plan")];

/// Fields whose option is there or not.
const SWITCHES: [&str; 2] = ["force", "all"];

/// The command line that does the same. A tool without a command of its own is called by its name.
pub(crate) fn of(tool: &str, arguments: &Map<String, Value>) -> String {
    let Some((_, words, places)) = COMMANDS.iter().find(|(name, ..)| *name == tool) else {
        let json = Value::Object(arguments.clone()).to_string();
        return format!("vibe-ensemble call {tool} {}", shell_word(&json));
    };
    let mut command = format!("vibe-ensemble {words}");
    let given = places.iter().filter_map(|place| arguments.get(*place));
    for value in given {
        command.push(' ');
        command.push_str(&text(value));
    }
    for (name, value) in arguments.iter().filter(|(name, _)| !places.contains(&name.as_str())) {
        let option = NAMED
            .iter()
            .find(|(field, _)| field == name)
            .map_or(name.as_str(), |(_, option)| option);
        let option = option.replace('_', "-");
        if SWITCHES.contains(&name.as_str()) {
            if *value == Value::Bool(true) {
                command.extend([" --", &option]);
            }
            continue;
        }
        command.extend([" --", &option, " ", &text(value)]);
    }
    command
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => shell_word(text),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            shell_word(&items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            shell_word(&value.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn command(tool: &str, arguments: Value) -> String {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        of(tool, &arguments)
    }

    #[test]
    fn a_call_has_a_command_that_does_the_same() {
        assert_eq!(
            command(
                "create_ticket",
                json!({"project": "shop", "title": "Don't", "execution_plan": ["plan", "build"]})
            ),
            r"vibe-ensemble ticket create shop 'Don'\''t' --plan plan,build"
        );
        assert_eq!(
            command("stop_worker", json!({"worker_id": "W-7", "mode": "drain"})),
            "vibe-ensemble worker stop W-7 --mode drain"
        );
        assert_eq!(command("stop", json!({"all": true})), "vibe-ensemble stop --all");
        assert_eq!(command("pause", json!({})), "vibe-ensemble pause");
        assert_eq!(
            command("delete_queue", json!({"project": "a", "worker_type": "b", "force": false})),
            "vibe-ensemble queue empty a b"
        );
        assert_eq!(
            command("brand_new", json!({"a": 1})),
            "vibe-ensemble call brand_new '{\"a\":1}'"
        );
    }
}
