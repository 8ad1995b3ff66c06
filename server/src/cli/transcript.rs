//! The stream of claude, line by line, as a person reads it.

use serde_json::Value;
use shim_protocol::json;

use crate::cli::output::plain;
use crate::cli::output::short;

const LINE: usize = 160;

/// One line of the stream in words; nothing for a line that tells a person nothing.
///
/// Unknown kinds come and go with versions of claude and are left out; what is no JSON is shown as it is.
#[must_use]
pub fn readable(line: &str) -> Vec<String> {
    let Ok(message) = json::read::<Value>(line.as_bytes()) else { return vec![plain(line)] };
    match message["type"].as_str() {
        Some("system") => system(&message).into_iter().collect(),
        Some("assistant") => blocks(&message).flat_map(said).collect(),
        Some("user") => blocks(&message).filter_map(tool_error).collect(),
        Some("result") => result(&message),
        Some(_) | None => Vec::new(),
    }
}

fn blocks(message: &Value) -> impl Iterator<Item = &Value> {
    message["message"]["content"].as_array().into_iter().flatten()
}

fn system(message: &Value) -> Option<String> {
    match message["subtype"].as_str()? {
        "init" => Some(format!(
            "session {} with {} in {}",
            field(message, "session_id"),
            field(message, "model"),
            field(message, "cwd")
        )),
        "api_retry" => Some(format!(
            "  the model service answered {}: retry {} of {}",
            field(message, "error_status"),
            field(message, "attempt"),
            field(message, "max_retries")
        )),
        _ => None,
    }
}

fn said(block: &Value) -> Vec<String> {
    match block["type"].as_str() {
        Some("text") => plain(block["text"].as_str().unwrap_or_default().trim_end())
            .lines()
            .map(str::to_owned)
            .collect(),
        Some("tool_use") => {
            let input = &block["input"];
            // The argument that says most about a call, for the tools people know.
            let told = ["command", "file_path", "pattern", "url", "description"]
                .into_iter()
                .find_map(|name| input[name].as_str().map(ToOwned::to_owned))
                .unwrap_or_else(|| input.to_string());
            vec![format!("  → {} {}", field(block, "name"), short(&told, LINE))]
        }
        Some(_) | None => Vec::new(),
    }
}

fn tool_error(block: &Value) -> Option<String> {
    if block["is_error"] != true {
        return None;
    }
    let content = &block["content"];
    let text = content.as_str().map_or_else(|| content.to_string(), ToOwned::to_owned);
    Some(format!("  ! {}", short(&text, LINE)))
}

fn result(message: &Value) -> Vec<String> {
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
    let mut lines = vec![format!("ended: {how}, {turns} turns, ${cost:.4}")];
    if failed {
        let errors = message["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let status = message["api_error_status"].as_i64();
        lines.extend(status.map(|status| format!("  ! the model service answered {status}")));
        let said: Vec<&str> = message["result"].as_str().into_iter().chain(errors).collect();
        lines.extend(said.iter().map(|text| format!("  ! {}", short(text, LINE))));
        return lines;
    }
    let output = &message["structured_output"];
    if output.is_object() {
        lines.push(format!("outcome: {}", field(output, "outcome")));
        let report = plain(output["report"].as_str().unwrap_or_default().trim_end());
        lines.extend(report.lines().map(str::to_owned));
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
                "ended: success, 2 turns, $0.5000",
                "outcome: completed",
                "Done.",
            ]
        );
    }

    #[test]
    fn an_error_that_claude_calls_success_is_told_as_an_error() {
        let result =
            |fields: &str| readable(&format!(r#"{{"type":"result","num_turns":1,{fields}}}"#));
        assert_eq!(
            result(
                r#""subtype":"success","is_error":true,"terminal_reason":"api_error","api_error_status":529,"result":"API Error: 529\nOverloaded","structured_output":{"outcome":"completed","report":"Done."}"#
            ),
            [
                "ended: error (api_error), 1 turns, $0.0000",
                "  ! the model service answered 529",
                "  ! API Error: 529 Overloaded",
            ]
        );
        assert_eq!(
            result(r#""subtype":"error_max_turns","is_error":true,"errors":["Reached 5 turns"]"#),
            ["ended: error_max_turns, 1 turns, $0.0000", "  ! Reached 5 turns"]
        );
        assert_eq!(
            result(r#""subtype":"success","is_error":true"#),
            ["ended: error, 1 turns, $0.0000"]
        );
    }
}
