//! What an agent reads from files of its run directory: its MCP servers and its settings.
//!
//! They are passed in files and never on the command line, where `ps` would show the secrets in them.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::refusal::Refusal;

/// The MCP servers of one attempt, in the run directory.
pub const MCP_FILE: &str = "mcp.json";
/// claude's settings for one attempt, in the run directory.
pub const SETTINGS_FILE: &str = "settings.json";
/// The name under which an agent finds this server.
pub const OWN_SERVER: &str = "vibe-ensemble";
/// The most that a worker type may add to either, in bytes of JSON.
pub const MOST_BYTES: usize = 64 << 10;

/// Where an agent reaches this server, and the token it needs.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnServer {
    pub url: String,
    /// The attempt's own token.
    pub token: String,
}

impl std::fmt::Debug for OwnServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnServer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The file of `--mcp-config`: this server for the attempt alone, and the servers of its worker type.
///
/// It is always given, with `--strict-mcp-config`: the configuration of the project's directory or the user's home is
/// for people, and may contain the coordinator's own access to this server.
#[must_use]
pub fn mcp_config(own: &OwnServer, more: &Map<String, Value>) -> String {
    let mut servers = more.clone();
    let entry = json!({
        "type": "http",
        "url": own.url,
        "headers": {"Authorization": format!("Bearer {}", own.token)},
        // Four small tools: a search for them would cost more than listing them.
        "alwaysLoad": true,
    });
    servers.insert(OWN_SERVER.to_owned(), entry);
    json!({"mcpServers": servers}).to_string()
}

/// Makes the worktree of a subagent that asks for its own, and prints its path; claude gives it `name`. By default
/// claude makes it in the checkout that the ticket's worktree belongs to, which is the user's, and leaves it there.
const SUBAGENT_WORKTREE: &str = r#"name=$(sed -n 's/.*"name" *: *"\([A-Za-z0-9._-]*\)".*/\1/p' | head -n 1) && [ -n "$name" ] && top=$(git rev-parse --show-toplevel) && at="$top/.claude/worktrees/$name" && git worktree add --quiet -B "worktree-$name" "$at" HEAD >&2 && printf '%s\n' "$at""#;

/// The file of `--settings`: those of the worker type, and the permission to use this server's tools, for which a
/// headless agent cannot ask. A type revokes it with `disallowed_tools`.
#[must_use]
pub fn settings(of_type: &Map<String, Value>) -> String {
    let own_tools = Value::String(format!("mcp__{OWN_SERVER}"));
    let mut settings = of_type.clone();
    let permissions = settings.entry("permissions").or_insert_with(|| json!({}));
    if let Some(permissions) = permissions.as_object_mut()
        && let Some(allowed) =
            permissions.entry("allow").or_insert_with(|| json!([])).as_array_mut()
    {
        allowed.push(own_tools);
    }
    let hooks = settings.entry("hooks").or_insert_with(|| json!({}));
    if let Some(hooks) = hooks.as_object_mut() {
        // A hook of the worker type takes precedence.
        hooks.entry("WorktreeCreate").or_insert_with(
            || json!([{"hooks": [{"type": "command", "command": SUBAGENT_WORKTREE}]}]),
        );
    }
    Value::Object(settings).to_string()
}

/// Checks the settings of a worker type as far as this server reads them; claude checks the rest.
pub fn check_settings(field: &str, given: &Map<String, Value>) -> Result<(), Refusal> {
    small(field, given)?;
    let Some(permissions) = given.get("permissions") else { return Ok(()) };
    let Some(permissions) = permissions.as_object() else {
        let allowed = "an object";
        return Err(Refusal::invalid(
            format!("{field}.permissions"),
            &permissions.to_string(),
            allowed,
        ));
    };
    for list in ["allow", "deny", "ask"] {
        if let Some(rules) = permissions.get(list) {
            strings(&format!("{field}.permissions.{list}"), rules)?;
        }
    }
    Ok(())
}

/// Checks the MCP servers of a worker type: the names, and what every kind of server needs.
pub fn check_mcp_servers(field: &str, given: &Map<String, Value>) -> Result<(), Refusal> {
    small(field, given)?;
    for (name, server) in given {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if !plain || name.is_empty() || name.len() > 64 {
            let allowed = "names of 1 to 64 ASCII letters, digits, '-' or '_'";
            return Err(Refusal::invalid(field, name, allowed));
        }
        if name == OWN_SERVER {
            let allowed = "any other name; every worker has this server under that one";
            return Err(Refusal::invalid(field, name, allowed));
        }
        server_entry(&format!("{field}.{name}"), server)?;
    }
    Ok(())
}

fn server_entry(field: &str, given: &Value) -> Result<(), Refusal> {
    let Some(entry) = given.as_object() else {
        return Err(Refusal::invalid(field, &given.to_string(), "an object, as in .mcp.json"));
    };
    let kind = match entry.get("type") {
        None => "stdio",
        Some(Value::String(kind)) => kind,
        Some(other) => {
            let field = format!("{field}.type");
            return Err(Refusal::invalid(field, &other.to_string(), "one of stdio, http, sse"));
        }
    };
    let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match kind {
        "stdio" => {
            if text("command").is_none() {
                let allowed = "a program, in the field command";
                return Err(Refusal::invalid(field, &given.to_string(), allowed));
            }
            if let Some(args) = entry.get("args") {
                strings(&format!("{field}.args"), args)?;
            }
            string_map(&format!("{field}.env"), entry.get("env"))
        }
        "http" | "sse" => {
            let web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
            if !text("url").is_some_and(web) {
                let allowed = "an http or https address, in the field url";
                return Err(Refusal::invalid(field, &given.to_string(), allowed));
            }
            string_map(&format!("{field}.headers"), entry.get("headers"))
        }
        other => Err(Refusal::invalid(format!("{field}.type"), other, "one of stdio, http, sse")),
    }
}

fn small(field: &str, given: &Map<String, Value>) -> Result<(), Refusal> {
    let bytes = Value::Object(given.clone()).to_string().len();
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    let allowed = format!("at most {MOST_BYTES} bytes of JSON");
    Err(Refusal::invalid(field, &format!("{bytes} bytes"), allowed))
}

fn strings(field: &str, given: &Value) -> Result<(), Refusal> {
    let good = given.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    if good {
        return Ok(());
    }
    Err(Refusal::invalid(field, &given.to_string(), "a list of strings"))
}

fn string_map(field: &str, given: Option<&Value>) -> Result<(), Refusal> {
    let Some(given) = given else { return Ok(()) };
    let good = given.as_object().is_some_and(|map| map.values().all(Value::is_string));
    if good {
        return Ok(());
    }
    Err(Refusal::invalid(field, &given.to_string(), "an object of strings"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::Invalid;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    fn wrong_field(given: &Value) -> String {
        match check_mcp_servers("mcp_servers", &object(given)) {
            Err(Refusal::InvalidField(Invalid { field, .. })) => field,
            other => panic!("{given} must be wrong, is {other:?}"),
        }
    }

    #[test]
    fn servers_are_checked_by_their_kind() {
        let good = json!({
            "tests": {"command": "test-server", "args": ["--quick"], "env": {"A": "b"}},
            "issues": {"type": "http", "url": "https://issues.example/mcp", "headers": {"X-Key": "k"}},
            "old": {"type": "sse", "url": "http://127.0.0.1:1/sse", "timeout": 5},
        });
        assert_eq!(check_mcp_servers("mcp_servers", &object(&good)), Ok(()));
        for (bad, field) in [
            (json!({"a b": {"command": "x"}}), "mcp_servers"),
            (json!({"": {"command": "x"}}), "mcp_servers"),
            (json!({"vibe-ensemble": {"command": "x"}}), "mcp_servers"),
            (json!({"a": "x"}), "mcp_servers.a"),
            (json!({"a": {}}), "mcp_servers.a"),
            (json!({"a": {"command": "x", "args": "-q"}}), "mcp_servers.a.args"),
            (json!({"a": {"command": "x", "env": {"N": 1}}}), "mcp_servers.a.env"),
            (json!({"a": {"type": "http"}}), "mcp_servers.a"),
            (json!({"a": {"type": "http", "url": "file:///etc/passwd"}}), "mcp_servers.a"),
            (
                json!({"a": {"type": "http", "url": "http://x", "headers": []}}),
                "mcp_servers.a.headers",
            ),
            (json!({"a": {"type": "carrier"}}), "mcp_servers.a.type"),
            (json!({"a": {"command": "x".repeat(MOST_BYTES)}}), "mcp_servers"),
        ] {
            assert_eq!(wrong_field(&bad), field, "{bad}");
        }
    }

    #[test]
    fn an_attempts_servers_are_its_types_and_this_one() {
        let own = OwnServer { url: "http://127.0.0.1:3276/mcp".into(), token: "A-7.abc".into() };
        assert!(!format!("{own:?}").contains("abc"));
        let more = object(&json!({"tests": {"command": "test-server"}}));
        let config: Value = serde_json::from_str(&mcp_config(&own, &more)).unwrap();
        assert_eq!(
            config,
            json!({"mcpServers": {
                "tests": {"command": "test-server"},
                "vibe-ensemble": {
                    "type": "http", "url": "http://127.0.0.1:3276/mcp", "alwaysLoad": true,
                    "headers": {"Authorization": "Bearer A-7.abc"},
                },
            }})
        );
    }

    #[test]
    fn settings_keep_what_the_type_says_and_allow_this_servers_tools() {
        let of = |given: Value| -> Value {
            let given = object(&given);
            assert_eq!(check_settings("settings", &given), Ok(()));
            serde_json::from_str(&settings(&given)).unwrap()
        };
        let hook = json!([{"hooks": [{"type": "command", "command": SUBAGENT_WORKTREE}]}]);
        assert_eq!(
            of(json!({})),
            json!({
                "hooks": {"WorktreeCreate": hook},
                "permissions": {"allow": ["mcp__vibe-ensemble"]},
            })
        );
        let own = json!([{"hooks": [{"type": "command", "command": "make-worktree"}]}]);
        let given = json!({
            "includeCoAuthoredBy": false, "permissions": {"allow": ["Bash(make *)"], "deny": ["WebFetch"]},
            "hooks": {"WorktreeCreate": own, "Stop": []},
        });
        assert_eq!(
            of(given),
            json!({
                "includeCoAuthoredBy": false,
                "permissions": {"allow": ["Bash(make *)", "mcp__vibe-ensemble"], "deny": ["WebFetch"]},
                "hooks": {"WorktreeCreate": own, "Stop": []},
            })
        );
        for bad in [json!({"permissions": 1}), json!({"permissions": {"allow": "Bash"}})] {
            assert!(check_settings("settings", &object(&bad)).is_err(), "{bad}");
        }
    }
}
