//! One line of the stream, read leniently: a field of an unexpected type counts as absent, never as a broken line.

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::IgnoredAny;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde_json::Map;
use serde_json::Value;
use shim_protocol::exit::ResultMessage;
use shim_protocol::exit::Usage;

use super::calls::Calls;

/// Prose for people is cut to this many bytes in the record.
const PROSE: usize = 4 << 10;
/// Names of tools and servers in the record: how many at most, and how many bytes each.
const NAMES: usize = 20;
const NAME: usize = 200;

/// The fields that tell what a line is. Read without building the rest of it: an assistant message may hold megabytes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Head {
    pub(super) r#type: Text,
    pub(super) subtype: Text,
    pub(super) session_id: Text,
    pub(super) error: Text,
    pub(super) message: Inner,
    /// Set on messages of a subagent.
    pub(super) parent_tool_use_id: Text,
    /// Of the `init` line.
    pub(super) mcp_servers: Value,
    /// Of a `rate_limit_event`.
    pub(super) rate_limit_info: Value,
}

/// A string, or nothing when the value is anything else.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) Option<String>);

impl Text {
    pub(super) fn is(&self, expected: &str) -> bool {
        self.0.as_deref() == Some(expected)
    }
}

/// The fields wanted of a line's `message`.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) id: Option<String>,
    pub(super) error: Option<String>,
    pub(super) usage: Option<Usage>,
    pub(super) calls: Calls,
}

/// The string of a value that may be anything.
pub(super) fn text(text: Text) -> Option<String> {
    text.0
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InnerVisitor)
    }
}

struct TextVisitor;

/// The visits of JSON values that are of no interest to either visitor.
macro_rules! pass_over {
    ($absent:expr; $($visit:ident($value:ty)),*) => {
        $(fn $visit<E>(self, _: $value) -> Result<Self::Value, E> { Ok($absent) })*

        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok($absent) }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok($absent)
        }

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("any JSON value")
        }
    };
}

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Option<String>;

    pass_over!(None; visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64));

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

struct InnerVisitor;

impl<'de> Visitor<'de> for InnerVisitor {
    type Value = Inner;

    pass_over!(Inner::default(); visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64),
        visit_str(&str));

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut inner = Inner::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "id" => inner.id = map.next_value::<Text>()?.0,
                "error" => inner.error = map.next_value::<Text>()?.0,
                "usage" => inner.usage = map.next_value::<Value>()?.as_object().map(usage),
                "content" => inner.calls = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(inner)
    }
}

/// Reads a whole `result` line.
pub(super) fn result(line: &[u8]) -> Option<ResultMessage> {
    let mut fields: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let structured_output = fields.remove("structured_output").filter(|output| !output.is_null());
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(ResultMessage {
        subtype: text("subtype").unwrap_or_default(),
        is_error: fields.get("is_error").and_then(Value::as_bool).unwrap_or(false),
        structured_output,
        session_id: text("session_id"),
        num_turns: fields
            .get("num_turns")
            .and_then(Value::as_u64)
            .map(|turns| u32::try_from(turns).unwrap_or(u32::MAX)),
        total_cost_usd: fields.get("total_cost_usd").and_then(Value::as_f64),
        usage: fields.get("usage").and_then(Value::as_object).map(usage),
        api_error_status: fields.get("api_error_status").and_then(Value::as_i64),
        terminal_reason: text("terminal_reason"),
        result: text("result").map(|prose| cut(prose, PROSE)),
        errors: fields
            .get("errors")
            .and_then(Value::as_array)
            .map_or_else(Vec::new, |all| errors(all)),
        denied: fields
            .get("permission_denials")
            .and_then(Value::as_array)
            .map_or_else(Vec::new, |all| denied(all)),
    })
}

fn usage(fields: &Map<String, Value>) -> Usage {
    let count = |name: &str| fields.get(name).and_then(Value::as_u64).unwrap_or(0);
    Usage {
        input_tokens: count("input_tokens"),
        output_tokens: count("output_tokens"),
        cache_creation_input_tokens: count("cache_creation_input_tokens"),
        cache_read_input_tokens: count("cache_read_input_tokens"),
    }
}

/// The names of MCP servers that did not connect.
pub(super) fn failed_servers(servers: &Value) -> Vec<String> {
    let failed = servers
        .as_array()
        .into_iter()
        .flatten()
        .filter(|server| matches!(server["status"].as_str(), Some("failed" | "needs-auth")));
    let names = failed.filter_map(|server| server["name"].as_str());
    names.take(NAMES).map(|name| cut(name.to_owned(), NAME)).collect()
}

/// The tools of `permission_denials`, each once.
fn denied(all: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in all.iter().filter_map(|denial| denial["tool_name"].as_str()) {
        if names.len() < NAMES && !names.iter().any(|known| known == name) {
            names.push(cut(name.to_owned(), NAME));
        }
    }
    names
}

fn errors(all: &[Value]) -> Vec<String> {
    let mut room = PROSE;
    let mut kept = Vec::new();
    for error in all {
        let text = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
        let text = cut(text, room);
        if text.is_empty() {
            break;
        }
        room -= text.len();
        kept.push(text);
    }
    kept
}

/// Shortens to at most `room` bytes, on a character boundary.
fn cut(mut text: String, room: usize) -> String {
    text.truncate(text.floor_char_boundary(room));
    text
}
