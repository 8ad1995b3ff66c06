//! From lines of the stream of claude to rows that a page can show.

use std::collections::HashMap;

use serde_json::Value;
use serde_json::json;
use shim_protocol::json;

use crate::web::text::cut;
use crate::web::text::markdown;
use crate::web::text::safe;
use crate::web::text::terminal;
use crate::web::transcript::change;
use crate::web::transcript::file::Line;

/// Characters of one string before "show all".
const MOST_CHARS: usize = 8_000;
/// Characters of one string in the input of a call.
const INPUT_CHARS: usize = 1_000;
/// Characters of a title.
const TITLE_CHARS: usize = 200;

/// Which text of a row is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text,
    Input,
}

/// The rows of some lines. A result is a part of its call where both are there.
pub(super) fn rows(lines: &[Line]) -> Vec<Value> {
    let mut rows: Vec<Value> = Vec::new();
    let mut calls: HashMap<String, usize> = HashMap::new();
    for line in lines {
        for row in of_line(line) {
            if row["type"] == "result"
                && let Some(call) = row["for"].as_str().and_then(|id| calls.get(id))
                && rows[*call]["result"].is_null()
            {
                rows[*call]["error"] = row["error"].clone();
                rows[*call]["result"] = row;
                continue;
            }
            if row["type"] == "call"
                && let Some(id) = row["id"].as_str()
            {
                calls.insert(id.to_owned(), rows.len());
            }
            rows.push(row);
        }
    }
    rows
}

/// The rows of one line. Kinds that tell nobody anything have none.
fn of_line(line: &Line) -> Vec<Value> {
    let base = |kind: &str, n: usize| json!({"at": line.at, "line": line.length, "n": n, "type": kind, "error": false, "parent": null});
    let message = (!line.is_cut).then(|| json::read::<Value>(&line.text).ok()).flatten();
    let Some(message) = message else {
        let mut row = base("raw", 0);
        put(&mut row, "text", &String::from_utf8_lossy(&line.text), terminal);
        row["cut"] = (row["cut"] == true || line.is_cut).into();
        return vec![row];
    };
    let parent = message["parent_tool_use_id"].clone();
    let time = message["timestamp"].clone();
    let mut rows: Vec<Value> = match message["type"].as_str() {
        Some("assistant") => {
            blocks(&message).enumerate().filter_map(|(n, block)| said(base, n, block)).collect()
        }
        Some("user") => heard(base, &message),
        Some("system") => system(&base("system", 0), &message).into_iter().collect(),
        Some("result") => vec![end(base("end", 0), &message)],
        Some(_) => Vec::new(),
        None => {
            let mut row = base("raw", 0);
            put(&mut row, "text", &message.to_string(), safe);
            vec![row]
        }
    };
    for row in &mut rows {
        row["parent"] = parent.clone();
        if time.is_string() {
            row["time"] = time.clone();
        }
    }
    rows
}

fn blocks(message: &Value) -> impl Iterator<Item = &Value> {
    message["message"]["content"].as_array().into_iter().flatten()
}

/// What the agent said, thought, or called.
fn said(base: impl Fn(&str, usize) -> Value, n: usize, block: &Value) -> Option<Value> {
    match block["type"].as_str()? {
        "text" => {
            let text = block["text"].as_str().unwrap_or_default();
            if text.trim().is_empty() {
                return None;
            }
            let mut row = base("text", n);
            put(&mut row, "text", text, safe);
            row["md"] = markdown(cut(text, MOST_CHARS).0).into_string().into();
            Some(row)
        }
        "thinking" => {
            let mut row = base("thinking", n);
            put(&mut row, "text", block["thinking"].as_str().unwrap_or_default(), safe);
            Some(row)
        }
        "tool_use" | "server_tool_use" => Some(call(base("call", n), block)),
        _ => None,
    }
}

fn call(mut row: Value, block: &Value) -> Value {
    let name = block["name"].as_str().unwrap_or_default();
    let input = &block["input"];
    row["id"] = block["id"].clone();
    row["tool"] = safe(name).into();
    row["title"] = safe(cut(&title(name, input), TITLE_CHARS).0).into();
    let (shown, is_cut) = shortened(input);
    row["input"] = shown;
    row["cut"] = is_cut.into();
    row["show"] = match name {
        "Bash" => {
            json!({"as": "terminal", "command": safe(cut(input["command"].as_str().unwrap_or_default(), MOST_CHARS).0)})
        }
        "Edit" | "Write" | "MultiEdit" | "NotebookEdit" => {
            change::of(name, input).unwrap_or(json!({"as": "tree"}))
        }
        _ => json!({"as": "tree"}),
    };
    row["result"] = Value::Null;
    row
}

/// The argument that says most about a call, on one line.
fn title(name: &str, input: &Value) -> String {
    let fields = [
        "command",
        "file_path",
        "notebook_path",
        "pattern",
        "url",
        "query",
        "description",
        "prompt",
        "path",
        "skill",
    ];
    let told = fields.into_iter().find_map(|field| input[field].as_str());
    let told = told.map_or_else(
        || {
            if input.is_object() && name != "StructuredOutput" {
                input.to_string()
            } else {
                String::new()
            }
        },
        str::to_owned,
    );
    told.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the agent received: results of its calls, and words.
fn heard(base: impl Fn(&str, usize) -> Value, message: &Value) -> Vec<Value> {
    if let Some(text) = message["message"]["content"].as_str() {
        let mut row = base("user", 0);
        put(&mut row, "text", text, safe);
        return vec![row];
    }
    let one = |(n, block): (usize, &Value)| match block["type"].as_str()? {
        "tool_result" => {
            let mut row = base("result", n);
            row["for"] = block["tool_use_id"].clone();
            row["error"] = (block["is_error"] == true).into();
            put(&mut row, "text", &content(&block["content"]), terminal);
            Some(row)
        }
        "text" => {
            let mut row = base("user", n);
            put(&mut row, "text", block["text"].as_str().unwrap_or_default(), safe);
            Some(row)
        }
        _ => None,
    };
    blocks(message).enumerate().filter_map(one).collect()
}

/// What a tool returned, as text.
fn content(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let part = |part: &Value| match part["text"].as_str() {
                Some(text) => text.to_owned(),
                None => format!("[{}]", part["type"].as_str().unwrap_or("something")),
            };
            parts.iter().map(part).collect::<Vec<_>>().join("\n")
        }
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => content.to_string(),
    }
}

fn system(base: &Value, message: &Value) -> Option<Value> {
    let text = |field: &str| message[field].as_str().unwrap_or_default().to_owned();
    let said = match message["subtype"].as_str()? {
        "init" => {
            format!("Session {} with {} in {}", text("session_id"), text("model"), text("cwd"))
        }
        "api_retry" => format!(
            "The model service answered {}: retry {} of {}",
            message["error_status"], message["attempt"], message["max_retries"]
        ),
        "compact_boundary" => "The conversation was summarised to make room.".to_owned(),
        _ => return None,
    };
    let mut row = base.clone();
    row["subtype"] = message["subtype"].clone();
    put(&mut row, "text", &said, safe);
    Some(row)
}

fn end(mut row: Value, message: &Value) -> Value {
    let failed = message["is_error"] == true;
    let output = &message["structured_output"];
    let report = output["report"].as_str().or(message["result"].as_str()).unwrap_or_default();
    let outcome = output["outcome"].as_str().or(message["subtype"].as_str()).unwrap_or("ended");
    row["error"] = failed.into();
    row["outcome"] = safe(outcome).into();
    row["cost_usd"] = message["total_cost_usd"].clone();
    row["turns"] = message["num_turns"].clone();
    let question =
        output["question"].as_str().map(|question| format!("\n\n{question}")).unwrap_or_default();
    put(&mut row, "text", &format!("{report}{question}"), safe);
    row
}

/// Puts a string in a row, cut where it is long.
pub(super) fn put(row: &mut Value, field: &str, text: &str, shown: fn(&str) -> String) {
    let (beginning, is_cut) = cut(text, MOST_CHARS);
    row[field] = shown(beginning).into();
    row["cut"] = is_cut.into();
    row["size"] = text.len().into();
}

/// The input of a call with long strings cut.
fn shortened(value: &Value) -> (Value, bool) {
    match value {
        Value::String(text) => {
            let (beginning, is_cut) = cut(text, INPUT_CHARS);
            let shown = safe(beginning);
            (if is_cut { format!("{shown}…") } else { shown }.into(), is_cut)
        }
        Value::Array(items) => {
            let parts: Vec<(Value, bool)> = items.iter().take(100).map(shortened).collect();
            let is_cut = items.len() > 100 || parts.iter().any(|(_, is_cut)| *is_cut);
            (parts.into_iter().map(|(part, _)| part).collect(), is_cut)
        }
        Value::Object(fields) => {
            let parts = fields.iter().map(|(name, value)| (safe(name), shortened(value)));
            let parts: Vec<(String, (Value, bool))> = parts.collect();
            let is_cut = parts.iter().any(|(_, (_, is_cut))| *is_cut);
            (parts.into_iter().map(|(name, (value, _))| (name, value)).collect(), is_cut)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => (value.clone(), false),
    }
}

/// The whole text of one block of a line.
pub(super) fn whole(line: &Line, n: usize, part: Part) -> String {
    let message = (!line.is_cut).then(|| json::read::<Value>(&line.text).ok()).flatten();
    let Some(message) = message else { return terminal(&String::from_utf8_lossy(&line.text)) };
    let content_of = &message["message"]["content"];
    if let Some(text) = content_of.as_str() {
        return safe(text);
    }
    if message["type"] == "result" {
        let report = message["structured_output"]["report"].as_str().or(message["result"].as_str());
        return safe(report.unwrap_or_default());
    }
    let block = &content_of[n];
    match (part, block["type"].as_str()) {
        (Part::Input, _) => {
            let input = &block["input"];
            let own = ["command", "content", "new_string", "prompt"]
                .into_iter()
                .find_map(|field| input[field].as_str());
            safe(&own.map_or_else(|| format!("{input:#}"), str::to_owned))
        }
        (Part::Text, Some("tool_result")) => terminal(&content(&block["content"])),
        (Part::Text, Some("thinking")) => safe(block["thinking"].as_str().unwrap_or_default()),
        (Part::Text, Some(_) | None) => safe(block["text"].as_str().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: u64, text: &str) -> Line {
        Line { at, length: text.len() as u64 + 1, text: text.as_bytes().to_vec(), is_cut: false }
    }

    #[test]
    fn a_call_and_its_result_are_one_row() {
        let lines = [
            line(
                0,
                r#"{"type":"system","subtype":"init","session_id":"s","model":"m","cwd":"/w"}"#,
            ),
            line(
                100,
                r#"{"type":"assistant","message":{"content":[{"type":"thinking","thinking":"Hm."},{"type":"text","text":"I **look**."},{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"ls\n-l"}}]}}"#,
            ),
            line(
                300,
                r#"{"type":"user","parent_tool_use_id":null,"message":{"content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":[{"type":"text","text":"no\u001b[31m such"}]}]}}"#,
            ),
            line(
                400,
                r#"{"type":"result","subtype":"success","num_turns":2,"total_cost_usd":0.5,"structured_output":{"outcome":"completed","report":"Done."}}"#,
            ),
        ];
        let rows = rows(&lines);
        let types: Vec<&str> = rows.iter().filter_map(|row| row["type"].as_str()).collect();
        assert_eq!(types, ["system", "thinking", "text", "call", "end"]);
        assert_eq!(rows[2]["md"], "<p>I <strong>look</strong>.</p>\n");
        let call = &rows[3];
        assert_eq!(
            (&call["title"], &call["show"]["as"], &call["error"]),
            (&json!("ls -l"), &json!("terminal"), &json!(true))
        );
        assert_eq!(call["result"]["text"], "no such");
        assert_eq!(
            (&call["at"], &call["n"], &call["result"]["at"]),
            (&json!(100), &json!(2), &json!(300))
        );
        assert_eq!((&rows[4]["outcome"], &rows[4]["text"]), (&json!("completed"), &json!("Done.")));
    }

    #[test]
    fn a_result_without_its_call_stands_alone_and_what_is_no_json_is_shown() {
        let lines = [
            line(
                0,
                r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t9","content":"x"}]}}"#,
            ),
            line(50, "Segmentation fault \u{1b}[2J"),
            line(90, r#"{"type":"brand_new"}"#),
        ];
        let rows = rows(&lines);
        assert_eq!(rows.len(), 2);
        assert_eq!((&rows[0]["type"], &rows[0]["for"]), (&json!("result"), &json!("t9")));
        assert_eq!(
            (&rows[1]["type"], &rows[1]["text"]),
            (&json!("raw"), &json!("Segmentation fault ␛[2J"))
        );
    }

    #[test]
    fn long_texts_are_cut_and_can_be_had_whole() {
        let text = "x".repeat(20_000);
        let told =
            json!({"type": "assistant", "message": {"content": [{"type": "text", "text": text}]}})
                .to_string();
        let line = line(0, &told);
        let rows = rows(std::slice::from_ref(&line));
        assert_eq!(
            (rows[0]["text"].as_str().unwrap().len(), &rows[0]["cut"], &rows[0]["size"]),
            (8_000, &json!(true), &json!(20_000))
        );
        assert_eq!(whole(&line, 0, Part::Text).len(), 20_000);
    }

    #[test]
    fn keys_are_masked_wherever_they_are() {
        let key = format!("sk-ant-{}", "a".repeat(40));
        let told = json!({"type": "assistant", "message": {"content": [
            {"type": "text", "text": key}, {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": format!("curl -H {key}")}},
            {"type": "tool_use", "id": "u", "name": "Write", "input": {"file_path": "a", "content": key}}]}});
        let shown = Value::from(rows(&[line(0, &told.to_string())])).to_string();
        assert!(!shown.contains(&key) && shown.contains("[masked]"), "{shown}");
    }
}
