//! `call`: any tool of the coordinator, with its arguments as JSON.

use std::path::PathBuf;

use clap::Args;
use serde_json::Map;
use serde_json::Value;

use crate::cli::act;
use crate::cli::client;
use crate::cli::client::ClientError;
use crate::cli::connection::Connection;
use crate::cli::failure::BadCommandLine;
use crate::cli::output;
use crate::config::Environment;
use crate::exit::Exit;
use crate::mcp;

#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "clap prints these comments as they are")]
pub struct Call {
    /// The tool, such as get_ticket; without one, the tools are listed
    #[arg(value_name = "TOOL")]
    pub tool: Option<String>,
    /// Its arguments, as a JSON object; - is standard input [default: none]
    #[arg(value_name = "JSON", conflicts_with = "file")]
    pub arguments: Option<String>,
    /// Read the arguments from this file; - is standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// List the arguments that the tool takes, each with what it means
    #[arg(long, requires = "tool", conflicts_with_all = ["arguments", "file"])]
    pub fields: bool,
    /// Print JSON, as always
    #[arg(long, hide = true)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(command: &Call, environment: &Environment) -> anyhow::Result<Exit> {
    let Some(tool) = &command.tool else {
        output::verbatim(mcp::tool_names().join("\n"))?;
        return Ok(Exit::Ok);
    };
    if command.fields {
        let Some(schema) = mcp::arguments_of(tool) else {
            return Err(BadCommandLine::new(unknown(tool)).into());
        };
        output::line(fields(&schema))?;
        return Ok(Exit::Ok);
    }
    let text = match (command.arguments.as_deref(), &command.file) {
        (Some("-"), _) => Some(act::read("-".as_ref())?),
        (Some(text), _) => Some(text.to_owned()),
        (None, Some(file)) => Some(act::read(file)?),
        (None, None) => None,
    };
    let arguments: Value = match text {
        None => Value::Object(serde_json::Map::new()),
        Some(text) => serde_json::from_str(&text)
            .map_err(|error| BadCommandLine::new(format!("the arguments are not JSON: {error}")))?,
    };
    if !arguments.is_object() {
        let words = "the arguments must be a JSON object, such as {\"ticket_id\": \"T-42\"}";
        return Err(BadCommandLine::new(words).into());
    }
    let client = client::find(&command.connection, environment)?;
    // A newer server may have tools that this version does not know, so it is asked all the same.
    let answer = client.call(tool, arguments).await.map_err(|error| {
        let is_known = mcp::tool_names().contains(&tool.as_str());
        if matches!(error, ClientError::Protocol { .. }) && !is_known {
            return BadCommandLine::new(unknown(tool)).into();
        }
        anyhow::Error::from(error)
    })?;
    output::json(&answer)?;
    Ok(Exit::Ok)
}

/// The arguments of a tool: their names, what they hold, and what they mean.
fn fields(schema: &Map<String, Value>) -> String {
    let is_required = |name: &str| {
        let required = schema.get("required").and_then(Value::as_array);
        required.is_some_and(|all| all.iter().any(|required| required == name))
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    let lines = properties.into_iter().flatten().map(|(name, field)| {
        let kind = match field["enum"].as_array() {
            Some(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | "),
            None => field["type"].as_str().unwrap_or("any").to_owned(),
        };
        let required = if is_required(name) { ", required" } else { "" };
        let means = field["description"].as_str().unwrap_or_default().replace('\n', " ");
        format!("{name} ({kind}{required})\n    {means}")
    });
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { "It takes no arguments.".to_owned() } else { lines.join("\n") }
}

fn unknown(tool: &str) -> String {
    let names = mcp::tool_names();
    let near = names.iter().min_by_key(|name| strsim::damerau_levenshtein(name, tool));
    // Of a short word, few letters make another.
    let most = (tool.chars().count() / 3).min(4);
    let near = near.filter(|name| strsim::damerau_levenshtein(name, tool) <= most);
    let meant = near.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
    format!("there is no tool {tool:?}{meant}. `vibe-ensemble call` lists the tools")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_suggested_only_where_it_may_have_been_meant() {
        assert!(
            unknown("get_tickt").contains("did you mean get_ticket?"),
            "{}",
            unknown("get_tickt")
        );
        assert!(unknown("stopp").contains("did you mean stop?"));
        for other in ["nope", "x", "frobnicate_all"] {
            assert!(!unknown(other).contains("did you mean"), "{}", unknown(other));
        }
    }
}
