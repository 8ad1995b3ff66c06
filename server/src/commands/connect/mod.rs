//! `connect`: makes `claude` in a directory the coordinator of this server.
//!
//! Invariant: what it did not write it does not overwrite. In files it shares with people and other programs it changes
//! its own entries and keeps every other byte.
//! Invariant: no token is written anywhere; Claude Code asks for it with `vibe-ensemble headers`.

mod entry;
mod files;
mod merge;
mod skills;
mod user;

use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use serde_json::Value;
use serde_json::json;

use crate::cli::Connect;
use crate::cli::Scope;
use crate::commands::client::Client;
use crate::commands::output;
use crate::config::Environment;
use crate::exit::Exit;
use files::Did;

/// What the server is called in Claude Code: tools are `mcp__vibe-ensemble__…`.
const NAME: &str = "vibe-ensemble";

/// What became of one file or entry.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    place: PathBuf,
    did: Did,
}

pub async fn run(command: &Connect, environment: &Environment) -> anyhow::Result<Exit> {
    let entry = entry::entry(&command.connection, environment)?;
    let steps = match command.scope {
        Scope::Project => project(command.dir.as_deref().unwrap_or(Path::new(".")), &entry)?,
        Scope::User => {
            if command.dir.is_some() {
                bail!("a directory belongs to --scope project; --scope user counts everywhere");
            }
            user::connect(&entry, environment)?
        }
    };
    if command.json {
        let files: Vec<Value> =
            steps.iter().map(|step| json!({"path": step.place, "did": step.did.name()})).collect();
        output::json(&json!({"url": entry["url"], "files": files}))?;
    } else {
        for step in &steps {
            output::line(format_args!("{:<10} {}", step.did.name(), step.place.display()))?;
        }
    }
    tell(command, environment, &entry, &steps).await;
    Ok(Exit::Ok)
}

/// Sets up one directory, of which `.mcp.json` and the skills may go into its repository.
fn project(dir: &Path, entry: &Value) -> anyhow::Result<Vec<Step>> {
    let dir = dir
        .canonicalize()
        .with_context(|| format!("{} is no directory to set up", dir.display()))?;
    if !dir.is_dir() {
        bail!("{} is no directory; name the one in which claude will run", dir.display());
    }
    // Everything is looked at before anything is written: half a set-up is worse than none.
    let servers = files::merged(&dir.join(".mcp.json"), |text| merge::server(text, NAME, entry))?;
    let local = dir.join(".claude/settings.local.json");
    let settings = files::merged(&local, |text| merge::approval(text, NAME))?;
    let mut steps = vec![servers.carry_out()?, settings.carry_out()?];
    steps.extend(skills::write(&dir.join(".claude/skills"))?);
    Ok(steps)
}

/// Words for the person in front of it.
async fn tell(command: &Connect, environment: &Environment, entry: &Value, steps: &[Step]) {
    let left: Vec<String> = steps
        .iter()
        .filter(|step| step.did == Did::LeftAlone)
        .map(|step| step.place.display().to_string())
        .collect();
    if !left.is_empty() {
        output::note(format_args!(
            "Left alone, because somebody changed or made it: {}. Move it away and run this again for ours.",
            left.join(", ")
        ));
    }
    if command.scope == Scope::Project {
        output::note(
            "The first `claude` there asks whether you trust the directory. `claude -p` cannot ask, and fetches the token \
             only after that yes; --scope user needs none.",
        );
    }
    let url = entry["url"].as_str().unwrap_or_default();
    let answer = match Client::new(&command.connection, environment) {
        Ok(client) => client.call("list_projects", json!({"limit": 1})).await.map_err(Into::into),
        Err(error) => Err(error),
    };
    match answer {
        Ok(_) => output::note(format_args!(
            "The server at {url} answers. Start `claude` and tell it what you want done."
        )),
        Err(error) => output::note(format_args!("{error:#}")),
    }
}
