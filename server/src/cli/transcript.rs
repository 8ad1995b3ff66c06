//! The stream of claude, line by line, as a person reads it.

use serde_json::Value;
use shim_protocol::json;

use crate::cli::output::plain;
use crate::cli::output::short;
use crate::cli::terminal::Tone;
use crate::domain::text;

const LINE: usize = 160;

/// The tool with which claude hands in its result; the result itself follows at the end.
const RESULT_TOOL: &str = "StructuredOutput";

/// A line for people, and in which tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub text: String,
    pub tone: Tone,
}

impl Told {
    fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }
}

/// One line of the stream in words; nothing for a line that tells a person nothing.
///
/// Unknown kinds come and go with versions of claude and are left out; what is no JSON is shown as it is.
#[must_use]
pub fn readable(line: &str) -> Vec<String> {
    told(line, false).into_iter().map(|told| told.text).collect()
}

/// The same with tones; `verbose` adds what tools returned.
#[must_use]
pub fn told(line: &str, verbose: bool) -> Vec<Told> {
    let Ok(message) = json::read::<Value>(line.as_bytes()) else {
        return vec![Told::new(Tone::Plain, plain(line))];
    };
    match message["type"].as_str() {
        Some("system") => system(&message).into_iter().collect(),
        Some("assistant") => blocks(&message).flat_map(said).collect(),
        Some("user") => blocks(&message).flat_map(|block| returned(block, verbose)).collect(),
        Some("result") => result(&message),
        Some(_) | None => Vec::new(),
    }
}

/// When a line of the stream was written, if it says so.
#[must_use]
pub fn written_at(line: &str) -> Option<String> {
    // Most lines have none, and reading them twice would double the work.
    if !line.contains("\"timestamp\"") {
        return None;
    }
    let message = json::read::<Value>(line.as_bytes()).ok()?;
    message["timestamp"].as_str().map(str::to_owned)
}

fn blocks(message: &Value) -> impl Iterator<Item = &Value> {
    message["message"]["content"].as_array().into_iter().flatten()
}

fn system(message: &Value) -> Option<Told> {
    match message["subtype"].as_str()? {
        "init" => Some(Told::new(
            Tone::Faint,
            format!(
                "session {} with {} in {}",
                field(message, "session_id"),
                field(message, "model"),
                field(message, "cwd")
            ),
        )),
        "api_retry" => Some(Told::new(
            Tone::Attention,
            format!(
                "  the model service answered {}: retry {} of {}",
                field(message, "error_status"),
                field(message, "attempt"),
                field(message, "max_retries")
            ),
        )),
        _ => None,
    }
}

fn said(block: &Value) -> Vec<Told> {
    match block["type"].as_str() {
        Some("text") => plain(block["text"].as_str().unwrap_or_default().trim_end())
            .lines()
            .map(|line| Told::new(Tone::Plain, line))
            .collect(),
        // Its report is printed once, with the result.
        Some("tool_use") if block["name"] == RESULT_TOOL => Vec::new(),
        Some("tool_use") => {
            let input = &block["input"];
            // The argument that says most about a call, for the tools people know.
            let told = ["command", "file_path", "pattern", "url", "description"]
                .into_iter()
                .find_map(|name| input[name].as_str().map(ToOwned::to_owned))
                .unwrap_or_else(|| input.to_string());
            let call = format!("  → {} {}", field(block, "name"), short(&told, LINE));
            vec![Told::new(Tone::Pointer, call)]
        }
        Some(_) | None => Vec::new(),
    }
}

/// What a tool returned: its error, or all of it if that is wanted.
fn returned(block: &Value, verbose: bool) -> Vec<Told> {
    if block["type"] != "tool_result" {
        return Vec::new();
    }
    let content = &block["content"];
    let parts = content.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
    let text = match content.as_str() {
        Some(text) => text.to_owned(),
        None if content.is_array() => parts.collect::<Vec<_>>().join("\n"),
        None => content.to_string(),
    };
    let is_error = block["is_error"] == true;
    if verbose {
        let tone = if is_error { Tone::Bad } else { Tone::Faint };
        let text = plain(text.trim_end());
        return text.lines().map(|line| Told::new(tone, format!("    {line}"))).collect();
    }
    if is_error {
        return vec![Told::new(Tone::Bad, format!("  ! {}", short(&text, LINE)))];
    }
    Vec::new()
}

fn result(message: &Value) -> Vec<Told> {
    let cost = message["total_cost_usd"].as_f64().unwrap_or(0.0);
    let (turns, subtype) = (field(message, "num_turns"), field(message, "subtype"));
    let failed = message["is_error"] == true;
    // claude calls an error "success" when it could still write its result; what went wrong stands beside it.
    let how = match message["terminal_reason"].as_str().filter(|reason| *reason != "completed") {
        Some(reason) if failed && subtype == "success" => {
            format!("error ({})", short(reason, LINE))
        }
        Some(_) | None if failed && subtype == "success" => "error".to_owned(),
        Some(_) | None => subtype,
    };
    let turns = text::counted(turns, "turn");
    let tone = if failed { Tone::Bad } else { Tone::Faint };
    let mut lines = vec![Told::new(tone, format!("claude ended: {how}, {turns}, ${cost:.4}"))];
    if failed {
        let errors = message["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let status = message["api_error_status"].as_i64();
        let status = status.map(|status| format!("  ! the model service answered {status}"));
        lines.extend(status.map(|status| Told::new(Tone::Bad, status)));
        let said: Vec<&str> = message["result"].as_str().into_iter().chain(errors).collect();
        let said = said.iter().map(|text| format!("  ! {}", short(text, LINE)));
        lines.extend(said.map(|text| Told::new(Tone::Bad, text)));
        return lines;
    }
    let output = &message["structured_output"];
    if output.is_object() {
        let outcome = field(output, "outcome");
        let tone = if outcome == "completed" { Tone::Good } else { Tone::Attention };
        lines.push(Told::new(tone, format!("outcome: {outcome}")));
        let report = plain(output["report"].as_str().unwrap_or_default().trim_end());
        lines.extend(report.lines().map(|line| Told::new(Tone::Plain, line)));
        let question = plain(output["question"].as_str().unwrap_or_default().trim());
        for (index, line) in question.lines().enumerate() {
            let before = if index == 0 { "question: " } else { "          " };
            lines.push(Told::new(Tone::Attention, format!("{before}{line}")));
        }
    }
    lines
}

/// A field of a message as text for people: nothing for null, no quotes around strings.
fn field(value: &Value, name: &str) -> String {
    match (&value[name], value[name].as_str()) {
        (Value::Null, _) => String::new(),
        (_, Some(text)) => short(text, 200),
        (other, None) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_reads_like_a_conversation() {
        let lines = [
            r#"{"type":"system","subtype":"init","session_id":"s","model":"m","cwd":"/w"}"#,
            r#"{"type":"assistant","message":{"content":[{"type":"text","text":"I look.\nThen I act."},{"type":"tool_use","name":"Bash","input":{"command":"ls -l\nid"}}]}}"#,
            r#"{"type":"user","message":{"content":[{"type":"tool_result","is_error":true,"content":"no such file"}]}}"#,
            r#"{"type":"brand_new"}"#,
            "Segmentation fault",
            r#"{"type":"result","subtype":"success","num_turns":2,"total_cost_usd":0.5,"structured_output":{"outcome":"completed","report":"Done."}}"#,
        ];
        let read: Vec<String> = lines.iter().flat_map(|line| readable(line)).collect();
        assert_eq!(
            read,
            [
                "session s with m in /w",
                "I look.",
                "Then I act.",
                "  → Bash ls -l id",
                "  ! no such file",
                "Segmentation fault",
                "claude ended: success, 2 turns, $0.5000",
                "outcome: completed",
                "Done.",
            ]
        );
    }

    #[test]
    fn an_error_that_claude_calls_success_is_reported_as_an_error() {
        let result =
            |fields: &str| readable(&format!(r#"{{"type":"result","num_turns":1,{fields}}}"#));
        assert_eq!(
            result(
                r#""subtype":"success","is_error":true,"terminal_reason":"api_error","api_error_status":529,"result":"API Error: 529\nOverloaded","structured_output":{"outcome":"completed","report":"Done."}"#
            ),
            [
                "claude ended: error (api_error), 1 turn, $0.0000",
                "  ! the model service answered 529",
                "  ! API Error: 529 Overloaded",
            ]
        );
        assert_eq!(
            result(r#""subtype":"error_max_turns","is_error":true,"errors":["Reached 5 turns"]"#),
            ["claude ended: error_max_turns, 1 turn, $0.0000", "  ! Reached 5 turns"]
        );
        assert_eq!(
            result(r#""subtype":"success","is_error":true"#),
            ["claude ended: error, 1 turn, $0.0000"]
        );
    }

    #[test]
    fn the_output_of_tools_is_for_those_who_ask_and_a_report_is_told_once() {
        let returned = r#"{"type":"user","message":{"content":[{"type":"tool_result","content":[{"type":"text","text":"one\ntwo\u001b[2J"}]}]}}"#;
        assert_eq!(told(returned, false), []);
        let texts: Vec<String> = told(returned, true).into_iter().map(|told| told.text).collect();
        assert_eq!(texts, ["    one", "    two\u{fffd}[2J"]);
        let handed_in = r#"{"type":"assistant","message":{"content":[{"type":"tool_use","name":"StructuredOutput","input":{"report":"Done."}}]}}"#;
        assert_eq!(readable(handed_in), Vec::<String>::new());
    }

    #[test]
    fn the_question_of_a_blocked_result_is_told() {
        let result = r#"{"type":"result","subtype":"success","num_turns":2,"total_cost_usd":0.5,"structured_output":{"outcome":"blocked","report":"I looked.","question":"Which date?\nOrder or payment?"}}"#;
        let expected = [
            "claude ended: success, 2 turns, $0.5000",
            "outcome: blocked",
            "I looked.",
            "question: Which date?",
            "          Order or payment?",
        ];
        assert_eq!(readable(result), expected);
    }

    #[test]
    fn a_line_says_when_it_was_written_only_if_it_does() {
        let line = r#"{"type":"user","timestamp":"2026-11-29T05:00:00Z"}"#;
        assert_eq!(written_at(line).as_deref(), Some("2026-11-29T05:00:00Z"));
        assert_eq!(written_at(r#"{"type":"user"}"#), None);
    }
}
