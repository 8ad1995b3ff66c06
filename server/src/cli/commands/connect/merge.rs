//! Entries of ours in JSON files that belong to others too.
//!
//! Only the members on the way to the entry are taken apart; every other value keeps its text, down to its spaces.

use indexmap::IndexMap;
use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;

use super::entry::VARIABLES;
use super::entry::is_ours;

type Members = IndexMap<String, Box<RawValue>>;

#[derive(Debug, thiserror::Error)]
pub(super) enum MergeError {
    #[error("it does not contain a JSON object; fix it first")]
    NotJson(#[source] serde_json::Error),
    #[error("its member {0} is not what Claude Code expects there; fix it first")]
    Unexpected(&'static str),
    #[error(
        "it contains an entry {0:?} that this command did not write; rename or remove that entry, then run this command again"
    )]
    Foreign(String),
}

/// The text of `.mcp.json` with the server in it; `None` when it is there already.
pub(super) fn server(text: &str, name: &str, entry: &Value) -> Result<Option<String>, MergeError> {
    let mut root = members(text)?;
    let mut servers = child(&root, "mcpServers")?;
    if let Some(found) = servers.get(name) {
        let found: Value = serde_json::from_str(found.get()).map_err(MergeError::NotJson)?;
        if found == *entry {
            return Ok(None);
        }
        if !is_ours(&found) {
            return Err(MergeError::Foreign(name.to_owned()));
        }
    }
    servers.insert(name.to_owned(), raw(entry, 2)?);
    root.insert("mcpServers".to_owned(), object(&servers, 1)?);
    Ok(Some(format!("{}\n", object(&root, 0)?.get())))
}

/// The text of `.claude/settings.local.json` with the server approved and its tools allowed; `None` when they are.
pub(super) fn approval(text: &str, name: &str) -> Result<Option<String>, MergeError> {
    let mut root = members(text)?;
    let mut permissions = child(&root, "permissions")?;
    let approved = add(&mut root, "enabledMcpjsonServers", name, 1)?;
    let allowed = add(&mut permissions, "allow", &format!("mcp__{name}"), 2)?;
    if !approved && !allowed {
        return Ok(None);
    }
    root.insert("permissions".to_owned(), object(&permissions, 1)?);
    Ok(Some(format!("{}\n", object(&root, 0)?.get())))
}

/// The text of `.mcp.json` without the server; `None` when there is none of ours.
pub(super) fn without_server(text: &str, name: &str) -> Result<Option<String>, MergeError> {
    let mut root = members(text)?;
    let mut servers = child(&root, "mcpServers")?;
    let Some(found) = servers.get(name) else { return Ok(None) };
    let found: Value = serde_json::from_str(found.get()).map_err(MergeError::NotJson)?;
    if !is_ours(&found) {
        return Ok(None);
    }
    servers.shift_remove(name);
    put_back(&mut root, "mcpServers", &servers)?;
    whole(&root)
}

/// The text of `.claude/settings.local.json` without the approval and what else `connect` adds; `None` when it has none.
pub(super) fn without_approval(text: &str, name: &str) -> Result<Option<String>, MergeError> {
    let mut root = members(text)?;
    let mut permissions = child(&root, "permissions")?;
    let mut variables = child(&root, "env")?;
    let approved = drop_item(&mut root, "enabledMcpjsonServers", name, 1)?;
    let allowed = drop_item(&mut permissions, "allow", &format!("mcp__{name}"), 2)?;
    let known = VARIABLES.iter().filter(|name| variables.shift_remove(**name).is_some()).count();
    if !approved && !allowed && known == 0 {
        return Ok(None);
    }
    if allowed {
        put_back(&mut root, "permissions", &permissions)?;
    }
    if known > 0 {
        put_back(&mut root, "env", &variables)?;
    }
    whole(&root)
}

/// The text of `.claude/settings.local.json` with these variables; `None` when it has them.
pub(super) fn variables(
    text: &str,
    wanted: &[(&'static str, String)],
) -> Result<Option<String>, MergeError> {
    let mut root = members(text)?;
    let mut variables = child(&root, "env")?;
    let mut changed = false;
    for (name, value) in wanted {
        let value = raw(&json!(value), 2)?;
        let before = variables.insert((*name).to_owned(), value.clone());
        changed |= before.is_none_or(|before| before.get() != value.get());
    }
    if !changed {
        return Ok(None);
    }
    root.insert("env".to_owned(), object(&variables, 1)?);
    whole(&root)
}

/// The text of a settings file in whose list, named by its object and its own name, those items that are `ours` are replaced
/// by `wanted`, or taken out; `None` when it is so already.
pub(super) fn list_item(
    text: &str,
    (outer, list): (&'static str, &'static str),
    ours: impl Fn(&Value) -> bool,
    wanted: Option<Value>,
) -> Result<Option<String>, MergeError> {
    let mut root = members(text)?;
    let mut inner = child(&root, outer)?;
    let mut items: Vec<Value> = match inner.get(list) {
        Some(found) => {
            serde_json::from_str(found.get()).map_err(|_| MergeError::Unexpected(list))?
        }
        None => Vec::new(),
    };
    let found: Vec<&Value> = items.iter().filter(|item| ours(item)).collect();
    if found == wanted.iter().collect::<Vec<_>>() {
        return Ok(None);
    }
    items.retain(|item| !ours(item));
    items.extend(wanted);
    if items.is_empty() {
        inner.shift_remove(list);
    } else {
        inner.insert(list.to_owned(), raw(&Value::Array(items), 2)?);
    }
    put_back(&mut root, outer, &inner)?;
    whole(&root)
}

/// Puts an inner object back, or takes it out when nothing is left in it.
fn put_back(root: &mut Members, name: &'static str, inner: &Members) -> Result<(), MergeError> {
    if inner.is_empty() {
        root.shift_remove(name);
    } else {
        root.insert(name.to_owned(), object(inner, 1)?);
    }
    Ok(())
}

/// The whole file; empty when nothing is left in it.
fn whole(root: &Members) -> Result<Option<String>, MergeError> {
    if root.is_empty() {
        return Ok(Some(String::new()));
    }
    Ok(Some(format!("{}\n", object(root, 0)?.get())))
}

/// Takes a string out of a list, and an empty list out of its object; returns whether it was there.
fn drop_item(
    members: &mut Members,
    list: &'static str,
    item: &str,
    depth: usize,
) -> Result<bool, MergeError> {
    let Some(found) = members.get(list) else { return Ok(false) };
    let mut items: Vec<Value> =
        serde_json::from_str(found.get()).map_err(|_| MergeError::Unexpected(list))?;
    let before = items.len();
    items.retain(|found| found != item);
    if items.len() == before {
        return Ok(false);
    }
    if items.is_empty() {
        members.shift_remove(list);
    } else {
        members.insert(list.to_owned(), raw(&Value::Array(items), depth)?);
    }
    Ok(true)
}

fn members(text: &str) -> Result<Members, MergeError> {
    if text.trim().is_empty() {
        return Ok(Members::default());
    }
    serde_json::from_str(text).map_err(MergeError::NotJson)
}

fn child(members: &Members, name: &'static str) -> Result<Members, MergeError> {
    match members.get(name) {
        Some(found) => serde_json::from_str(found.get()).map_err(|_| MergeError::Unexpected(name)),
        None => Ok(Members::default()),
    }
}

/// Adds a string to a list; returns whether it was missing.
fn add(
    members: &mut Members,
    list: &'static str,
    item: &str,
    depth: usize,
) -> Result<bool, MergeError> {
    let mut items: Vec<Value> = match members.get(list) {
        Some(found) => {
            serde_json::from_str(found.get()).map_err(|_| MergeError::Unexpected(list))?
        }
        None => Vec::new(),
    };
    if items.iter().any(|found| found == item) {
        return Ok(false);
    }
    items.push(json!(item));
    members.insert(list.to_owned(), raw(&Value::Array(items), depth)?);
    Ok(true)
}

/// A value as text, for a place `depth` objects deep.
fn raw(value: &Value, depth: usize) -> Result<Box<RawValue>, MergeError> {
    let text = format!("{value:#}").replace('\n', &format!("\n{}", "  ".repeat(depth)));
    RawValue::from_string(text).map_err(MergeError::NotJson)
}

/// An object whose members keep their text.
fn object(members: &Members, depth: usize) -> Result<Box<RawValue>, MergeError> {
    let (inner, outer) = ("  ".repeat(depth + 1), "  ".repeat(depth));
    let lines: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{inner}{}: {}", json!(name), value.get()))
        .collect();
    let text = format!("{{\n{}\n{outer}}}", lines.join(",\n"));
    RawValue::from_string(text).map_err(MergeError::NotJson)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(url: &str) -> Value {
        json!({"type": "http", "url": url, "headersHelper": "vibe-ensemble headers"})
    }

    #[test]
    fn an_entry_is_added_and_everything_else_keeps_its_text() {
        let others = "{\n  \"mcpServers\": {\n    \"zeta\": {\"command\":   \"z\", \"n\": 1.50},\n    \"alpha\": {}\n  },\n  \"x\": [1,2]\n}\n";
        let added = server(others, "vibe-ensemble", &ours("http://a")).unwrap().unwrap();
        assert_eq!(
            added,
            "{\n  \"mcpServers\": {\n    \"zeta\": {\"command\":   \"z\", \"n\": 1.50},\n    \"alpha\": {},\n    \
             \"vibe-ensemble\": {\n      \"headersHelper\": \"vibe-ensemble headers\",\n      \"type\": \"http\",\n      \
             \"url\": \"http://a\"\n    }\n  },\n  \"x\": [1,2]\n}\n"
        );
        assert_eq!(server(&added, "vibe-ensemble", &ours("http://a")).unwrap(), None);
        let moved = server(&added, "vibe-ensemble", &ours("http://b")).unwrap().unwrap();
        assert_eq!(moved, added.replace("http://a", "http://b"));
    }

    #[test]
    fn a_file_that_is_not_there_is_begun() {
        let begun = server("", "vibe-ensemble", &ours("http://a")).unwrap().unwrap();
        let value: Value = serde_json::from_str(&begun).unwrap();
        assert_eq!(value, json!({"mcpServers": {"vibe-ensemble": ours("http://a")}}));
        let begun = approval("", "vibe-ensemble").unwrap().unwrap();
        let value: Value = serde_json::from_str(&begun).unwrap();
        let wanted = json!({
            "enabledMcpjsonServers": ["vibe-ensemble"], "permissions": {"allow": ["mcp__vibe-ensemble"]},
        });
        assert_eq!(value, wanted);
        assert_eq!(approval(&begun, "vibe-ensemble").unwrap(), None);
    }

    #[test]
    fn what_was_put_in_is_taken_out_and_nothing_else() {
        let name = "vibe-ensemble";
        let others = "{\n  \"mcpServers\": {\n    \"zeta\": {\"command\":   \"z\", \"n\": 1.50}\n  },\n  \"x\": [1,2]\n}\n";
        let added = server(others, name, &ours("http://a")).unwrap().unwrap();
        assert_eq!(without_server(&added, name).unwrap().as_deref(), Some(others));
        assert_eq!(without_server(others, name).unwrap(), None);
        let foreign = r#"{"mcpServers": {"vibe-ensemble": {"command": "mine"}}}"#;
        assert_eq!(without_server(foreign, name).unwrap(), None);
        let begun = server("", name, &ours("http://a")).unwrap().unwrap();
        assert_eq!(without_server(&begun, name).unwrap().as_deref(), Some(""));

        let begun = approval("", name).unwrap().unwrap();
        let set = [("VIBE_ENSEMBLE_URL", "http://a".to_owned())];
        let with = variables(&begun, &set).unwrap().unwrap();
        assert_eq!(variables(&with, &set).unwrap(), None);
        assert_eq!(without_approval(&with, name).unwrap().as_deref(), Some(""));
        let mine = "{\n  \"permissions\": {\n    \"allow\": [\n      \"Read\"\n    ]\n  },\n  \"env\": {\n    \"A\": \"b\"\n  }\n}\n";
        let merged = variables(&approval(mine, name).unwrap().unwrap(), &set).unwrap().unwrap();
        assert_eq!(without_approval(&merged, name).unwrap().as_deref(), Some(mine));
        assert_eq!(without_approval(mine, name).unwrap(), None);
    }

    #[test]
    fn settings_keep_what_they_have() {
        let mine = r#"{"model": "opus", "permissions": {"deny": ["Bash"], "allow": ["Read"]}}"#;
        let merged = approval(mine, "vibe-ensemble").unwrap().unwrap();
        let value: Value = serde_json::from_str(&merged).unwrap();
        let wanted = json!({
            "model": "opus", "enabledMcpjsonServers": ["vibe-ensemble"],
            "permissions": {"deny": ["Bash"], "allow": ["Read", "mcp__vibe-ensemble"]},
        });
        assert_eq!(value, wanted);
    }

    #[test]
    fn what_is_not_ours_or_not_json_is_refused() {
        let foreign = r#"{"mcpServers": {"vibe-ensemble": {"command": "mine"}}}"#;
        let refused = server(foreign, "vibe-ensemble", &ours("http://a"));
        assert!(matches!(refused, Err(MergeError::Foreign(_))), "{refused:?}");
        for bad in ["{", "[]", "{\"mcpServers\": []}"] {
            assert!(server(bad, "vibe-ensemble", &ours("http://a")).is_err(), "{bad}");
        }
        assert!(approval("{\"permissions\": {\"allow\": \"all\"}}", "vibe-ensemble").is_err());
    }
}
