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
use super::files;
use super::files::Did;
use super::files::Mode;
use super::files::Step;
use super::hook;
use super::skills;
use crate::config::Environment;
use crate::locate;

/// For which directories an entry of Claude Code's own list counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Where<'d> {
    Everywhere,
    /// This one, for this user.
    Directory(&'d Path),
}

impl Where<'_> {
    const fn scope(self) -> &'static str {
        match self {
            Self::Everywhere => "user",
            Self::Directory(_) => "local",
        }
    }
}

/// What Claude Code keeps for a user in every directory.
const SETTINGS: &str = "settings.json";

pub(super) fn connect(
    entry: &Value,
    environment: &Environment,
    mode: Mode,
) -> anyhow::Result<Vec<Step>> {
    let settings = files::merged(&directory(environment)?.join(SETTINGS), |text| {
        hook::put(text, &hook::command(entry))
    })?;
    let mut steps = vec![add(Where::Everywhere, entry, environment, mode)?];
    steps.push(settings.carry_out(mode)?);
    steps.extend(skills::write(&directory(environment)?.join("skills"), mode)?);
    Ok(steps)
}

pub(super) fn disconnect(environment: &Environment, mode: Mode) -> anyhow::Result<Vec<Step>> {
    let mut steps: Vec<Step> = remove(Where::Everywhere, environment, mode)?.into_iter().collect();
    let settings = files::merged(&directory(environment)?.join(SETTINGS), hook::without)?;
    steps.push(settings.carry_out(mode)?);
    steps.extend(skills::remove(&directory(environment)?.join("skills"), mode)?);
    Ok(steps)
}

/// Claude Code's directory of this user.
pub(super) fn directory(environment: &Environment) -> anyhow::Result<PathBuf> {
    Ok(places(environment)?.1)
}

/// Claude Code's list of servers, and its directory.
fn places(environment: &Environment) -> anyhow::Result<(PathBuf, PathBuf)> {
    let home = environment.directory("HOME").context("HOME is not set to a directory")?;
    Ok(match environment.directory("CLAUDE_CONFIG_DIR") {
        Some(directory) => (directory.join(".claude.json"), directory),
        None => (home.join(".claude.json"), home.join(".claude")),
    })
}

fn claude(environment: &Environment) -> anyhow::Result<PathBuf> {
    locate::program(Path::new("claude"), environment).context(
        "`claude` is not in PATH, and only Claude Code may change its list of servers; install Claude Code, or use --scope project",
    )
}

/// Adds the entry to Claude Code's own list.
pub(super) fn add(
    place: Where<'_>,
    entry: &Value,
    environment: &Environment,
    mode: Mode,
) -> anyhow::Result<Step> {
    let (list, _) = places(environment)?;
    let claude = claude(environment)?;
    let scope = place.scope();
    let did = match listed(&list, place)? {
        Some(found) if found == *entry => Did::Unchanged,
        Some(found) if !is_ours(&found) => bail!(
            "{} contains a server {NAME:?} that this command did not write; remove it with `claude mcp remove --scope {scope} \
             {NAME}`, then run this again",
            list.display()
        ),
        Some(_) => Did::Updated,
        None => Did::Wrote,
    };
    if mode == Mode::Make && did != Did::Unchanged {
        if did == Did::Updated {
            ask(&claude, place, &["mcp", "remove", "--scope", scope, NAME])?;
        }
        let text = entry.to_string();
        ask(&claude, place, &["mcp", "add-json", "--scope", scope, NAME, &text])?;
        if listed(&list, place)?.as_ref() != Some(entry) {
            bail!(
                "`claude mcp add-json` succeeded, but the entry is not in {}; add it manually: {entry}",
                list.display()
            );
        }
    }
    Ok(Step::of_entry(list, did))
}

/// Removes the entry from Claude Code's own list, if there is one of ours.
pub(super) fn remove(
    place: Where<'_>,
    environment: &Environment,
    mode: Mode,
) -> anyhow::Result<Option<Step>> {
    let (list, _) = places(environment)?;
    let Some(found) = listed(&list, place)? else { return Ok(None) };
    if !is_ours(&found) {
        return Ok(Some(Step::of_entry(list, Did::LeftAlone)));
    }
    if mode == Mode::Make {
        let claude = claude(environment)?;
        ask(&claude, place, &["mcp", "remove", "--scope", place.scope(), NAME])?;
    }
    Ok(Some(Step::of_entry(list, Did::Removed)))
}

/// The entry as it is in Claude Code's file.
fn listed(list: &Path, place: Where<'_>) -> anyhow::Result<Option<Value>> {
    let text = match fs::read_to_string(list) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("could not read {}", list.display()));
        }
    };
    let value: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is not valid JSON", list.display()))?;
    let servers = match place {
        Where::Everywhere => &value["mcpServers"],
        Where::Directory(dir) => &value["projects"][dir.to_string_lossy().as_ref()]["mcpServers"],
    };
    Ok(servers.get(NAME).cloned())
}

fn ask(claude: &Path, place: Where<'_>, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(claude);
    if let Where::Directory(dir) = place {
        command.current_dir(dir);
    }
    let output = command
        .args(arguments)
        .output()
        .with_context(|| format!("could not run {}", claude.display()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("`claude {}` failed: {}", arguments[..2].join(" "), words.trim());
    }
    Ok(())
}
