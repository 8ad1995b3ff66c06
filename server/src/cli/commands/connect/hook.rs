//! The line that a session begins with: what waits for somebody in its directory. A hook of Claude Code's settings prints it.

use serde_json::Value;
use serde_json::json;

use super::merge;
use super::merge::MergeError;

/// What follows the program in the command of the hook, which also tells whether a hook is ours.
const COMMAND: &str = " inbox --here --brief";

const EVENT: &str = "SessionStart";

/// Seconds; a session waits for it.
const TIMEOUT: u32 = 10;

/// The command, which asks the server of an entry.
pub(super) fn command(entry: &Value) -> String {
    let helper = entry["headersHelper"].as_str().unwrap_or_default();
    let (program, options) = helper.rsplit_once(" headers").unwrap_or((helper, ""));
    format!("{program}{COMMAND}{options}")
}

/// The text of a settings file with the hook in it; `None` when it has it.
pub(super) fn put(text: &str, command: &str) -> Result<Option<String>, MergeError> {
    let wanted = json!({"hooks": [{"type": "command", "command": command, "timeout": TIMEOUT}]});
    merge::list_item(text, ("hooks", EVENT), is_ours, Some(wanted))
}

/// The text of a settings file without the hook; `None` when it has none of ours.
pub(super) fn without(text: &str) -> Result<Option<String>, MergeError> {
    merge::list_item(text, ("hooks", EVENT), is_ours, None)
}

/// Whether an entry is the one that this command writes, and nothing was added to it.
fn is_ours(group: &Value) -> bool {
    let Some([hook]) = group["hooks"].as_array().map(Vec::as_slice) else { return false };
    hook["command"].as_str().is_some_and(|command| command.contains(COMMAND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_asks_the_server_of_the_entry() {
        let of = |helper: &str| command(&json!({"headersHelper": helper}));
        assert_eq!(of("vibe-ensemble headers"), "vibe-ensemble inbox --here --brief");
        assert_eq!(
            of("'/opt/a b/vibe-ensemble' headers --url http://127.0.0.1:9 --token-file /t"),
            "'/opt/a b/vibe-ensemble' inbox --here --brief --url http://127.0.0.1:9 --token-file /t"
        );
    }

    #[test]
    fn a_hook_is_put_in_once_moved_with_its_server_and_taken_out_again() {
        let mine = "{\n  \"hooks\": {\n    \"SessionStart\": [\n      {\n        \"hooks\": [\n          {\n            \
                    \"command\": \"date\",\n            \"type\": \"command\"\n          }\n        ]\n      }\n    ],\n    \
                    \"Stop\": [ ]\n  },\n  \"model\": \"opus\"\n}\n";
        for before in ["", mine] {
            let with = put(before, "vibe-ensemble inbox --here --brief").unwrap().unwrap();
            assert_eq!(put(&with, "vibe-ensemble inbox --here --brief").unwrap(), None);
            let moved = put(&with, "/opt/vibe-ensemble inbox --here --brief").unwrap().unwrap();
            assert_eq!(moved.matches("--brief").count(), 1, "{moved}");
            assert_eq!(without(&moved).unwrap().as_deref(), Some(before));
            assert_eq!(without(before).unwrap(), None);
        }
        assert!(put("{\"hooks\": {\"SessionStart\": 1}}", "x").is_err());
    }
}
