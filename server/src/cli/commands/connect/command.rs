//! The command: what it sets up, and what it says about it.

use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use clap::Args;
use serde_json::Value;
use serde_json::json;

use super::entry;
use super::entry::NAME;
use super::files;
use super::files::Did;
use super::files::Step;
use super::merge;
use super::skills;
use super::user;
use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::config::Environment;
use crate::exit::Exit;

/// For whom Claude Code is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// For everyone who runs claude in the directory
    Project,
    /// For this user, in every directory
    User,
}

#[derive(Debug, Args)]
pub struct Connect {
    /// The directory in which claude will run [default: the current directory]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Set up one directory, or every directory of this user
    #[arg(long, value_enum, value_name = "SCOPE", default_value = "project")]
    pub scope: Scope,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(command: &Connect, environment: &Environment) -> anyhow::Result<Exit> {
    let entry = entry::entry(&command.connection, environment)?;
    let steps = match command.scope {
        Scope::Project => project(command.dir.as_deref().unwrap_or(Path::new(".")), &entry)?,
        Scope::User => {
            if command.dir.is_some() {
                bail!(
                    "--scope user applies to every directory; leave DIR out, or use --scope project"
                );
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
    let dir = dir.canonicalize().with_context(|| format!("could not use {}", dir.display()))?;
    if !dir.is_dir() {
        bail!("{} is not a directory; give the directory in which claude will run", dir.display());
    }
    // Everything is looked at before anything is written: half a set-up is worse than none.
    let servers = files::merged(&dir.join(".mcp.json"), |text| merge::server(text, NAME, entry))?;
    let local = dir.join(".claude/settings.local.json");
    let settings = files::merged(&local, |text| merge::approval(text, NAME))?;
    let mut steps = vec![servers.carry_out()?, settings.carry_out()?];
    steps.extend(skills::write(&dir.join(".claude/skills"))?);
    Ok(steps)
}

/// Tells the user what to do next.
async fn tell(command: &Connect, environment: &Environment, entry: &Value, steps: &[Step]) {
    let left: Vec<String> = steps
        .iter()
        .filter(|step| step.did == Did::LeftAlone)
        .map(|step| step.place.display().to_string())
        .collect();
    if !left.is_empty() {
        output::note(format_args!(
            "Not overwritten, because you or another program wrote it: {}. To get the current version, move the file away and \
             run this command again.",
            left.join(", ")
        ));
    }
    if command.scope == Scope::Project {
        output::note(
            "When you first start `claude` there, it asks whether you trust the directory; answer yes, or it does not read the \
             token. `claude -p` cannot ask: start `claude` once before it, or use --scope user, which asks nothing.",
        );
    }
    let url = entry["url"].as_str().unwrap_or_default();
    let answer = match client::find(&command.connection, environment) {
        Ok(client) => client.call("list_projects", json!({"limit": 1})).await.map_err(Into::into),
        Err(error) => Err(error),
    };
    match answer {
        Ok(_) => output::note(format_args!(
            "The server at {url} is running. Start `claude` and tell it what you want done."
        )),
        Err(error) => output::note(format_args!("Warning: {error:#}")),
    }
}
