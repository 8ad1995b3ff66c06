//! The stream of claude, line by line, as a person reads it.

use serde_json::Value;

use crate::commands::output::field;
use crate::commands::output::plain;
use crate::commands::output::short;

const LINE: usize = 160;

/// One line of the stream in words; nothing for a line that tells a person nothing.
///
/// Unknown kinds come and go with versions of claude and are left out; what is no JSON is shown as it is.
#[must_use]
pub fn readable(line: &str) -> Vec<String> {
    let Ok(message) = serde_json::from_str::<Value>(line) else { return vec![plain(line)] };
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
    let mut lines = vec![format!(
        "ended: {}, {} turns, ${cost:.4}",
        field(message, "subtype"),
        field(message, "num_turns")
    )];
    let output = &message["structured_output"];
    if output.is_object() {
        lines.push(format!("outcome: {}", field(output, "outcome")));
        let report = plain(output["report"].as_str().unwrap_or_default().trim_end());
        lines.extend(report.lines().map(str::to_owned));
    }
    lines
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
}
