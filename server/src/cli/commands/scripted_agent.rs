//! The demo's agent: does one fixed small job per stage, for real, and reports it as claude would.
//!
//! It stands where claude stands: prompt on standard input, one JSON message per line on standard output, the result in
//! the last one. So the demo runs the whole path, from the queue to the report, without an account or a network.

use std::ffi::OsString;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use anyhow::bail;
use clap::Args;
use serde_json::Value;
use serde_json::json;

use crate::cli::output;
use crate::config::Environment;
use crate::exit::Exit;

#[derive(Debug, Args)]
pub struct ScriptedAgent {
    /// Arguments meant for claude
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

const MODEL: &str = "scripted";
const PLAN: &str = "\
# Plan

1. Write `greet.sh`: greets the name it is given, and the world without one.
2. Try it with a name and without.
3. Commit it together with this plan.
";
/// The first try, which forgets what happens without a name: the project's gate finds it.
const FIRST_TRY: &str = "\
#!/bin/sh
# Greets the name it is given.
echo \"Hello, $1!\"
";
const SCRIPT: &str = "\
#!/bin/sh
# Greets the name it is given, or the world.
echo \"Hello, ${1:-world}!\"
";

pub fn run(command: &ScriptedAgent, environment: &Environment) -> anyhow::Result<Exit> {
    if command.arguments.iter().any(|argument| argument == "--version") {
        output::verbatim(concat!(env!("CARGO_PKG_VERSION"), " (scripted agent of vibe-ensemble)"))?;
        return Ok(Exit::Ok);
    }
    let mut prompt = String::new();
    io::stdin().read_to_string(&mut prompt).context("could not read the prompt")?;
    let session = argument(&command.arguments, "--session-id")
        .or_else(|| argument(&command.arguments, "--resume"))
        .unwrap_or_default();
    let mut speech = Speech { session, turns: 0 };
    speech.begin()?;
    let stage = environment.get("VIBE_ENSEMBLE_STAGE").unwrap_or_default();
    // Nothing but a red gate leads the demo back into a session.
    let is_told = argument(&command.arguments, "--resume").is_some();
    let (outcome, report) = match stage {
        "plan" => plan(&mut speech)?,
        "implement" => implement(&mut speech, is_told)?,
        "review" => review(&mut speech)?,
        other => bail!("the scripted agent has no script for the stage {other:?}"),
    };
    speech.end(outcome, &report)?;
    Ok(Exit::Ok)
}

fn plan(speech: &mut Speech) -> anyhow::Result<(&'static str, String)> {
    speech.say("I write the plan into PLAN.md.")?;
    speech.write("PLAN.md", PLAN)?;
    Ok((
        "completed",
        "The plan is in PLAN.md: write greet.sh, try it, commit it with the plan.".to_owned(),
    ))
}

fn implement(speech: &mut Speech, is_told: bool) -> anyhow::Result<(&'static str, String)> {
    if !Path::new("PLAN.md").is_file() {
        return Ok(("rework", "There is no PLAN.md to work from.".to_owned()));
    }
    let (script, message) = if is_told {
        speech.say("The gate is right: without a name, nobody is greeted. I fix that.")?;
        (SCRIPT, "Greet the world without a name")
    } else {
        speech.say("I follow PLAN.md: first the script, then a try, then the commit.")?;
        (FIRST_TRY, "Add a greeting")
    };
    speech.write("greet.sh", script)?;
    let greeting = speech.run(if is_told { "sh greet.sh" } else { "sh greet.sh Ada" })?;
    speech.run("git add PLAN.md greet.sh")?;
    speech.run(&format!(
        "git -c user.name='Scripted agent' -c user.email=agent@localhost \
         -c commit.gpgsign=false -c core.hooksPath=/dev/null commit --quiet --message '{message}'"
    ))?;
    let commit = speech.run("git log -1 --format=%h")?;
    let report =
        format!("greet.sh prints {:?} and is committed as {}.", greeting.trim(), commit.trim());
    Ok(("completed", report))
}

fn review(speech: &mut Speech) -> anyhow::Result<(&'static str, String)> {
    speech.say("I try what was committed and look for anything left behind.")?;
    let named = speech.run("sh greet.sh Ada")?;
    let unnamed = speech.run("sh greet.sh")?;
    let left = speech.run("git status --porcelain")?;
    if (named.trim(), unnamed.trim(), left.trim()) == ("Hello, Ada!", "Hello, world!", "") {
        let report =
            "greet.sh greets with a name and without, everything is committed. Good to go.";
        return Ok(("completed", report.to_owned()));
    }
    let report = format!("greet.sh printed {named:?} and {unnamed:?}; not committed: {left:?}.");
    Ok(("rework", report))
}

/// The value of an option of claude.
fn argument(arguments: &[OsString], name: &str) -> Option<String> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).map(|value| value.to_string_lossy().into_owned())
}

/// Speaks claude's stream-json.
struct Speech {
    session: String,
    turns: u32,
}

impl Speech {
    fn begin(&self) -> anyhow::Result<()> {
        let cwd = std::env::current_dir().context("could not tell the working directory")?;
        self.send(json!({
            "type": "system", "subtype": "init", "cwd": cwd, "model": MODEL,
            "tools": ["Bash", "Write", "StructuredOutput"], "mcp_servers": [],
            "permissionMode": "acceptEdits", "claude_code_version": env!("CARGO_PKG_VERSION"),
        }))
    }

    fn say(&mut self, text: &str) -> anyhow::Result<()> {
        self.turn(&json!({"type": "text", "text": text}))
    }

    fn write(&mut self, path: &str, content: &str) -> anyhow::Result<()> {
        let input = json!({"file_path": path, "content": content});
        self.turn(&json!({"type": "tool_use", "id": self.id(), "name": "Write", "input": input}))?;
        std::fs::write(path, content).with_context(|| format!("could not write {path}"))?;
        self.answer("written", false)
    }

    fn run(&mut self, command: &str) -> anyhow::Result<String> {
        let input = json!({"command": command});
        self.turn(&json!({"type": "tool_use", "id": self.id(), "name": "Bash", "input": input}))?;
        let output = Command::new("sh").args(["-c", command]).output();
        let output = output.with_context(|| format!("could not run {command}"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = !output.status.success();
        let errors = String::from_utf8_lossy(&output.stderr);
        self.answer(if failed { errors.as_ref() } else { &said }, failed)?;
        if failed {
            bail!("{command} failed: {}", errors.trim());
        }
        Ok(said)
    }

    fn end(&mut self, outcome: &str, report: &str) -> anyhow::Result<()> {
        let output = json!({"outcome": outcome, "report": report});
        let call = json!({"type": "tool_use", "id": self.id(), "name": "StructuredOutput", "input": output});
        self.turn(&call)?;
        self.send(json!({
            "type": "result", "subtype": "success", "is_error": false, "result": report,
            "structured_output": output, "num_turns": self.turns, "total_cost_usd": 0.0,
            "duration_ms": 0, "permission_denials": [],
            "usage": {"input_tokens": 0, "output_tokens": 0,
                "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
        }))
    }

    fn turn(&mut self, block: &Value) -> anyhow::Result<()> {
        self.turns += 1;
        let id = format!("msg_{:04}", self.turns);
        self.send(json!({"type": "assistant", "message": {
            "id": id, "type": "message", "role": "assistant", "model": MODEL, "content": [block],
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }}))
    }

    fn answer(&self, content: &str, is_error: bool) -> anyhow::Result<()> {
        let id = format!("toolu_{:04}", self.turns);
        self.send(json!({"type": "user", "message": {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": id, "content": content, "is_error": is_error},
        ]}}))
    }

    /// The id of the tool call about to be made.
    fn id(&self) -> String {
        format!("toolu_{:04}", self.turns + 1)
    }

    fn send(&self, mut message: Value) -> anyhow::Result<()> {
        message["session_id"] = json!(self.session);
        Ok(output::verbatim(message)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_claude_are_found() {
        let given: Vec<OsString> =
            ["-p", "--session-id", "s-1", "--verbose"].map(Into::into).into();
        assert_eq!(argument(&given, "--session-id"), Some("s-1".to_owned()));
        assert_eq!(argument(&given, "--resume"), None);
        assert_eq!(argument(&given, "--verbose"), None);
    }
}
