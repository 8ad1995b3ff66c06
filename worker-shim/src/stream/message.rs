//! The contents of the stream's lines, read leniently: a field of an unexpected type counts as
//! absent, never as a broken line.

use serde_json::Value;
use shim_protocol::exit::Denial;
use shim_protocol::exit::ResultMessage;
use shim_protocol::exit::Usage;
use shim_protocol::json;

use super::fields::Fields;

/// Prose for people is cut to this many bytes in the record.
const PROSE: usize = 4 << 10;
/// Names of tools and servers in the record, and denied calls: how many at most, and how many bytes
/// each.
const NAMES: usize = 20;
const NAME: usize = 200;

/// A `result` line.
#[derive(Debug)]
pub(super) struct Final {
    pub(super) message: ResultMessage,
    pub(super) denials: Vec<Denial>,
    /// Dollars used since the previous result.
    pub(super) own_usd: Option<f64>,
    /// Tokens used since then, including those of subagents if the result reports them.
    pub(super) usage: Option<Usage>,
}

impl Final {
    pub(super) fn of(line: &Fields<'_>) -> Self {
        let spent = line.object("model_usage_since_last_result");
        let by_model = spent.as_ref().map(|models| {
            let models = models.values().map(|model| usage_of_model(&model));
            models.fold(Usage::default(), |sum, one| sum.plus(&one))
        });
        let by_turn = line.object("usage").map(|fields| usage(&fields));
        let all = line.objects("permission_denials");
        let message = ResultMessage {
            subtype: line.text("subtype").unwrap_or_default(),
            is_error: line.get("is_error").unwrap_or(false),
            structured_output: structured_output(line),
            session_id: line.text("session_id"),
            num_turns: line
                .get::<u64>("num_turns")
                .map(|turns| u32::try_from(turns).unwrap_or(u32::MAX)),
            total_cost_usd: dollars(line, "total_cost_usd"),
            usage: by_turn.clone(),
            api_error_status: line.get("api_error_status"),
            terminal_reason: line.text("terminal_reason"),
            result: line.text("result").map(|prose| cut(prose, PROSE)),
            errors: errors(line),
            denied: Vec::new(),
            denials: Vec::new(),
        };
        Self {
            message,
            denials: all.iter().filter_map(denial).collect(),
            own_usd: spent.and_then(|models| {
                models.values().map(|model| dollars(&model, "costUSD")).sum::<Option<f64>>()
            }),
            usage: match (by_turn, by_model) {
                (Some(turn), Some(models)) => Some(turn.most(&models)),
                (turn, models) => turn.or(models),
            },
        }
    }
}

/// Whether a result reports a failure.
pub(super) fn is_failure(result: &ResultMessage) -> bool {
    result.is_error || result.subtype != "success"
}

/// Whether a result contains the outcome that the stage is for.
pub(super) fn has_outcome(result: &ResultMessage) -> bool {
    result.structured_output.is_some() && !is_failure(result)
}

/// Adds denied calls to those of earlier turns: each tool's name once, and the last of the calls.
pub(super) fn add_denials(known: &mut Vec<Denial>, new: Vec<Denial>) {
    for denial in new {
        known.retain(|other| *other != denial);
        if known.len() == NAMES {
            known.remove(0);
        }
        known.push(denial);
    }
}

/// The tools of denied calls, each once.
pub(super) fn denied(denials: &[Denial]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for denial in denials {
        if !names.contains(&denial.tool) {
            names.push(denial.tool.clone());
        }
    }
    names
}

fn structured_output(line: &Fields<'_>) -> Option<Value> {
    // Always bounded: it travels inside other messages, which the server must be able to read.
    let output = json::repair(line.raw("structured_output")?);
    serde_json::from_str(&output).ok().filter(|output: &Value| !output.is_null())
}

/// A sum of money. Negative values and values that are not numbers are ignored.
fn dollars(fields: &Fields<'_>, name: &str) -> Option<f64> {
    fields.get(name).filter(|usd: &f64| usd.is_finite() && *usd >= 0.0)
}

pub(super) fn usage(fields: &Fields<'_>) -> Usage {
    Usage {
        input_tokens: count(fields, "input_tokens"),
        output_tokens: count(fields, "output_tokens"),
        cache_creation_input_tokens: count(fields, "cache_creation_input_tokens"),
        cache_read_input_tokens: count(fields, "cache_read_input_tokens"),
    }
}

fn usage_of_model(fields: &Fields<'_>) -> Usage {
    Usage {
        input_tokens: count(fields, "inputTokens"),
        output_tokens: count(fields, "outputTokens"),
        cache_creation_input_tokens: count(fields, "cacheCreationInputTokens"),
        cache_read_input_tokens: count(fields, "cacheReadInputTokens"),
    }
}

/// A count of tokens; a fraction, or a number beyond any count, is taken as the nearest count.
fn count(fields: &Fields<'_>, name: &str) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and nothing counts for a number below zero"
    )]
    let rounded = || fields.get::<f64>(name).map(|count| count as u64);
    fields.get(name).or_else(rounded).unwrap_or(0)
}

/// The names of MCP servers that did not connect.
pub(super) fn failed_servers(line: &Fields<'_>) -> Vec<String> {
    let servers = line.objects("mcp_servers").into_iter();
    let failed = servers.filter(|one| one.is("status", "failed") || one.is("status", "needs-auth"));
    let names = failed.filter_map(|server| server.text("name"));
    names.take(NAMES).map(|name| cut(name, NAME)).collect()
}

fn denial(fields: &Fields<'_>) -> Option<Denial> {
    let tool = fields.text("tool_name")?;
    let input = fields.object("tool_input").unwrap_or_default();
    // The argument that says most about a call, for well-known tools.
    let told = ["command", "file_path", "notebook_path", "url", "pattern"];
    let told = told.into_iter().find_map(|name| input.text(name));
    let whole = || fields.raw("tool_input").map(str::to_owned).unwrap_or_default();
    Some(Denial { tool: cut(tool, NAME), input: cut(told.unwrap_or_else(whole), NAME) })
}

fn errors(line: &Fields<'_>) -> Vec<String> {
    let mut room = PROSE;
    let mut kept = Vec::new();
    for error in line.get::<Vec<Value>>("errors").unwrap_or_default() {
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
pub(super) fn cut(mut text: String, room: usize) -> String {
    text.truncate(text.floor_char_boundary(room));
    text
}
