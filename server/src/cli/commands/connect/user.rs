//! The set-up for every directory of a user. The list of servers is Claude Code's own file, so Claude Code changes it.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use anyhow::bail;
use serde_json::Value;

use super::entry::NAME;
use super::entry::is_ours;
use super::files::Did;
use super::files::Step;
use super::skills;
use crate::config::Environment;
use crate::locate;

pub(super) fn connect(entry: &Value, environment: &Environment) -> anyhow::Result<Vec<Step>> {
    let home = environment.directory("HOME").context("HOME is not set to a directory")?;
    let (list, directory) = match environment.directory("CLAUDE_CONFIG_DIR") {
        Some(directory) => (directory.join(".claude.json"), directory),
        None => (home.join(".claude.json"), home.join(".claude")),
    };
    let claude = locate::program(Path::new("claude"), environment).context(
        "`claude` is not in PATH, and only Claude Code may change its list of servers; install Claude Code, or use --scope project",
    )?;
    let did = match listed(&list)? {
        Some(found) if found == *entry => Did::Unchanged,
        Some(found) if !is_ours(&found) => bail!(
            "{} contains a server {NAME:?} that this command did not write; remove it with `claude mcp remove --scope user \
             {NAME}`, then run this again",
            list.display()
        ),
        Some(_) => {
            ask(&claude, &["mcp", "remove", "--scope", "user", NAME])?;
            ask(&claude, &["mcp", "add-json", "--scope", "user", NAME, &entry.to_string()])?;
            Did::Updated
        }
        None => {
            ask(&claude, &["mcp", "add-json", "--scope", "user", NAME, &entry.to_string()])?;
            Did::Wrote
        }
    };
    if listed(&list)?.as_ref() != Some(entry) {
        bail!(
            "`claude mcp add-json` succeeded, but the entry is not in {}; add it manually: {entry}",
            list.display()
        );
    }
    let mut steps = vec![Step { place: list, did }];
    steps.extend(skills::write(&directory.join("skills"))?);
    Ok(steps)
}

/// The entry as it is in Claude Code's file.
fn listed(list: &PathBuf) -> anyhow::Result<Option<Value>> {
    let text = match fs::read_to_string(list) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("could not read {}", list.display()));
        }
    };
    let value: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is not valid JSON", list.display()))?;
    Ok(value["mcpServers"].get(NAME).cloned())
}

fn ask(claude: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(claude)
        .args(arguments)
        .output()
        .with_context(|| format!("could not run {}", claude.display()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("`claude {}` failed: {}", arguments[..2].join(" "), words.trim());
    }
    Ok(())
}
