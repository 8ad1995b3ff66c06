//! The command: runs every check in turn, and reports.

use clap::Args;
use serde_json::json;

use super::beside;
use super::check::Check;
use super::check::Verdict;
use super::checks;
use super::places;
use super::units;
use crate::cli::output;
use crate::cli::progress;
use crate::config;
use crate::config::BriefFlags;
use crate::config::Config;
use crate::config::Environment;
use crate::exit::Exit;
use crate::state;

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub flags: BriefFlags,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Where what was found begins.
const HANG: usize = 24;

pub async fn run(command: &Doctor, environment: &Environment) -> anyhow::Result<Exit> {
    let checks = match config::load(&command.flags.0, environment) {
        Ok(config) => Box::pin(all(&config, environment)).await,
        Err(problems) => problems
            .0
            .iter()
            .map(|problem| {
                let next = "fix it; `vibe-ensemble check-config` prints the effective values";
                Check::fail("configuration", problem.to_string(), next)
            })
            .collect(),
    };
    if command.json {
        let shown: Vec<_> = checks
            .iter()
            .map(|c| json!({"check": c.name, "verdict": c.verdict.name(), "found": c.found, "next": c.next}))
            .collect();
        output::json(&json!({"checks": shown}))?;
    } else {
        for check in &checks {
            let head = format!("{:<4}  {:<17} {}", check.verdict.name(), check.name, check.found);
            output::hung(head, Some(HANG))?;
            if !check.next.is_empty() {
                output::hung(format_args!("{:24} → {}", "", check.next), Some(HANG + 3))?;
            }
        }
    }
    let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

async fn all(config: &Config, environment: &Environment) -> Vec<Check> {
    let file = config
        .file
        .as_ref()
        .map_or_else(|| "no file; the defaults apply".to_owned(), |f| f.display().to_string());
    let database = config.state_dir.join(state::DATABASE);
    // Most of them wait for another program, so they wait at the same time.
    let looking = async {
        tokio::join!(
            checks::database(&database),
            checks::attempts(&database),
            checks::notifiers(config, &database),
            checks::shim(config, environment),
            checks::agent(config, environment),
            beside::login(config, environment),
            checks::git(environment),
            units::checks(config, environment),
            checks::server(config),
            beside::workers(config),
        )
    };
    // The database is read as a whole, and claude may take seconds to say whether it is logged in.
    let what = "checking the database, the agent and its login";
    let (in_database, attempts, notifiers, shim, agent, login, git, units, server, workers) =
        Box::pin(progress::told(what, || None, looking)).await;
    let mut found = vec![
        Check::ok("configuration", file),
        places::directory("state directory", "--state-dir", &config.state_dir),
        places::directory("runtime directory", "--runtime-dir", &config.runtime_dir),
        checks::space(&config.state_dir),
        in_database,
        attempts,
        places::tokens(config),
        shim,
        agent,
    ];
    found.extend(login);
    found.push(git);
    found.extend(notifiers);
    found.push(checks::launcher(config.launcher, environment));
    found.extend(units);
    found.extend(beside::port(config));
    found.push(server);
    found.extend(workers);
    found.push(beside::connected(environment));
    found
}
