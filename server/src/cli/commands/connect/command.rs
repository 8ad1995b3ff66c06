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
use super::files::Mode;
use super::files::Step;
use super::local;
use super::merge;
use super::skills;
use super::user;
use super::user::Where;
use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::config::Environment;
use crate::exit::Exit;

/// For whom Claude Code is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// For this user in the directory: .claude/settings.local.json there, which is not for committing, and the rest in the
    /// settings of this user
    Local,
    /// For everyone who runs claude in the directory
    Project,
    /// For this user, in every directory
    User,
}

impl Scope {
    const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Project => "project",
            Self::User => "user",
        }
    }
}

#[derive(Debug, Args)]
pub struct Connect {
    /// The directory in which claude will run [default: the current directory]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Set up one directory for you or for everyone, or every directory of this user
    #[arg(long, value_enum, value_name = "SCOPE", default_value = "project")]
    pub scope: Scope,
    /// Say what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(command: &Connect, environment: &Environment) -> anyhow::Result<Exit> {
    let mode = if command.dry_run { Mode::Tell } else { Mode::Make };
    let mut entry = entry::entry(&command.connection, environment)?;
    let steps = match command.scope {
        Scope::Local => {
            local::connect(&directory(command.dir.as_deref())?, &entry, environment, mode)?
        }
        Scope::Project => {
            let dir = directory(command.dir.as_deref())?;
            let mut variables = Vec::new();
            let here = entry.clone();
            if is_in_repository(&dir) {
                (entry, variables) = entry::shared_entry(&command.connection, environment)?;
                if !entry::is_in_path(environment) {
                    output::note(
                        "Warning: this program is not in PATH as `vibe-ensemble`, which is what .mcp.json names: the file is \
                         shared, and a path of this machine would be wrong on others. Put it into PATH, or use --scope local.",
                    );
                }
            }
            let mut steps = project(&dir, &entry, &variables, mode)?;
            if !variables.is_empty() {
                steps.extend(not_the_usual_server(&dir, &here, environment, mode));
            }
            steps
        }
        Scope::User => {
            not_with_scope_user(command.dir.as_deref())?;
            user::connect(&entry, environment, mode)?
        }
    };
    show(command.json, command.dry_run, &steps, Some(&entry))?;
    if mode == Mode::Make {
        tell(command, environment, &entry, &steps).await;
    }
    Ok(Exit::Ok)
}

/// Claude Code puts no variable of `.claude/settings.local.json` into `.mcp.json` (measured with 2.1.330), so the shared
/// entry leads to the usual server. An entry for this user in this directory has precedence over it.
fn not_the_usual_server(
    dir: &Path,
    here: &Value,
    environment: &Environment,
    mode: Mode,
) -> Option<Step> {
    let added = user::add(Where::Directory(dir), here, environment, mode);
    if let Err(error) = &added {
        output::note(format!(
            "Warning: .mcp.json leads to the server at its usual address, and the entry for yours could not be added: \
             {error:#}. Set VIBE_ENSEMBLE_URL where you run claude, or run this again with --scope local."
        ));
    }
    added.ok()
}

fn not_with_scope_user(dir: Option<&Path>) -> anyhow::Result<()> {
    if dir.is_some() {
        bail!("--scope user applies to every directory; leave DIR out, or use --scope project");
    }
    Ok(())
}

/// Prints what was done, or would be.
fn show(json: bool, dry_run: bool, steps: &[Step], entry: Option<&Value>) -> anyhow::Result<()> {
    if json {
        let files: Vec<Value> =
            steps.iter().map(|step| json!({"path": step.place, "did": step.did.name()})).collect();
        let mut answer = json!({"files": files, "dry_run": dry_run});
        if let Some(entry) = entry {
            answer["url"] = entry["url"].clone();
        }
        output::json(&answer)?;
        return Ok(());
    }
    for step in steps {
        output::verbatim(line(step, dry_run))?;
    }
    if dry_run {
        output::note("Nothing was changed: this is what the command would do without --dry-run.");
    }
    Ok(())
}

/// What was done to a file or to an entry in it, or would be.
fn line(step: &Step, dry_run: bool) -> String {
    let (did, width) = if dry_run { (step.did.would(), 12) } else { (step.did.name(), 10) };
    let part = if step.is_entry { format!(" (its entry {NAME})") } else { String::new() };
    format!("{did:<width$} {}{part}", step.place.display())
}

fn directory(dir: Option<&Path>) -> anyhow::Result<PathBuf> {
    let dir = dir.unwrap_or(Path::new("."));
    let dir = dir.canonicalize().with_context(|| format!("could not use {}", dir.display()))?;
    if !dir.is_dir() {
        bail!("{} is not a directory; give the directory in which claude will run", dir.display());
    }
    Ok(dir)
}

/// Whether git would commit what is written there.
fn is_in_repository(dir: &Path) -> bool {
    dir.ancestors().any(|above| above.join(".git").exists())
}

/// Sets up one directory, of which `.mcp.json` and the skills may go into its repository.
fn project(
    dir: &Path,
    entry: &Value,
    variables: &[(&'static str, String)],
    mode: Mode,
) -> anyhow::Result<Vec<Step>> {
    // Everything is looked at before anything is written: half a set-up is worse than none.
    let servers = files::merged(&dir.join(".mcp.json"), |text| merge::server(text, NAME, entry))?;
    let settings =
        files::merged(&dir.join(local::SETTINGS), |text| local::settings(text, entry, variables))?;
    let mut steps = vec![servers.carry_out(mode)?, settings.carry_out(mode)?];
    steps.extend(skills::write(&dir.join(".claude/skills"), mode)?);
    Ok(steps)
}

#[derive(Debug, Args)]
pub struct Disconnect {
    /// The directory [default: the current directory]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// What `connect` set up
    #[arg(long, value_enum, value_name = "SCOPE", default_value = "project")]
    pub scope: Scope,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Takes out what `connect` put in.
pub async fn disconnect(command: &Disconnect, environment: &Environment) -> anyhow::Result<Exit> {
    let mode = if command.dry_run { Mode::Tell } else { Mode::Make };
    let steps = match command.scope {
        Scope::Local => local::disconnect(&directory(command.dir.as_deref())?, environment, mode)?,
        Scope::Project => {
            let dir = directory(command.dir.as_deref())?;
            let servers =
                files::merged(&dir.join(".mcp.json"), |text| merge::without_server(text, NAME))?;
            let settings = files::merged(&dir.join(local::SETTINGS), local::without_settings)?;
            let mut steps = skills::remove(&dir.join(".claude/skills"), mode)?;
            steps.push(settings.carry_out(mode)?);
            steps.push(servers.carry_out(mode)?);
            steps.extend(user::remove(Where::Directory(&dir), environment, mode)?);
            steps
        }
        Scope::User => {
            not_with_scope_user(command.dir.as_deref())?;
            user::disconnect(environment, mode)?
        }
    };
    // Of a file that is not there, there is nothing to say.
    let steps: Vec<Step> = steps
        .into_iter()
        .filter(|step| step.did != Did::Unchanged || step.place.exists())
        .collect();
    show(command.json, command.dry_run, &steps, None)?;
    if !command.json && steps.iter().all(|step| step.did == Did::Unchanged) {
        output::note(format_args!(
            "Nothing to remove: `vibe-ensemble connect --scope {}` has left nothing here.",
            command.scope.name()
        ));
    }
    if command.scope == Scope::Local
        && skills::are_there(&user::directory(environment)?.join("skills"))
    {
        output::note(
            "The skills vibe-* of this user stay: they serve every directory. `vibe-ensemble disconnect --scope user` removes \
             them.",
        );
    }
    if steps.iter().any(|step| step.did == Did::LeftAlone) {
        output::note(
            "What is left alone was changed by you or by another program; remove it yourself if you want it gone.",
        );
    }
    Ok(Exit::Ok)
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
    if command.scope != Scope::User {
        output::note(
            "When you first start `claude` there, it asks whether you trust the directory; answer yes, or it does not read the \
             token. `claude -p` cannot ask: start `claude` once before it, or use --scope user, which asks nothing.",
        );
    }
    let found = client::find(&command.connection, environment);
    let url = found.as_ref().map_or_else(
        |_| entry["url"].as_str().unwrap_or_default().to_owned(),
        |client| client.url().to_owned(),
    );
    let answer = match found {
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
