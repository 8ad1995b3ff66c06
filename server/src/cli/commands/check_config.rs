//! `check-config`: whether the configuration is valid, and its effective values.

use clap::Args;
use serde_json::Value;
use serde_json::json;

use crate::cli::output;
use crate::config;
use crate::config::BriefFlags;
use crate::config::Config;
use crate::config::Environment;
use crate::config::Flags;
use crate::config::Problem;
use crate::config::Problems;
use crate::exit::Exit;
use crate::locate;
use crate::state::TokenFile;
use crate::state::token;
use crate::telemetry::chain;

#[derive(Debug, Args)]
pub struct CheckConfig {
    #[command(flatten)]
    pub flags: BriefFlags,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(command: &CheckConfig, environment: &Environment) -> anyhow::Result<Exit> {
    match loaded(&command.flags.0, environment) {
        Ok(config) if command.json => output::json(&values(&config, environment))?,
        Ok(config) => {
            print(&config)?;
            for warning in warnings(&config, environment) {
                output::note(format_args!("Warning: {warning}."));
            }
        }
        Err(problems) if command.json => {
            output::json(&json!({"ok": false, "problems": list(&problems)}))?;
            return Ok(Exit::Config);
        }
        Err(problems) => return Err(problems.into()),
    }
    Ok(Exit::Ok)
}

/// The configuration as a server would start with it: a token from outside has to be there, too.
fn loaded(flags: &Flags, environment: &Environment) -> Result<Config, Problems> {
    let config = config::load(flags, environment)?;
    match TokenFile::of(&config).check() {
        Ok(()) => Ok(config),
        Err(error) => {
            let (option, source) = (Some(token::OPTION), config.source_of(token::OPTION));
            Err(Problems(vec![Problem { option, source, message: chain(&error) }]))
        }
    }
}

fn print(config: &Config) -> anyhow::Result<()> {
    let row = |value: &config::Effective| {
        let text = match value.value.as_str() {
            Some(text) => text.to_owned(),
            None if value.value.is_null() => String::new(),
            None => value.value.to_string(),
        };
        [value.name.to_owned(), output::short(&text, 80), value.source.to_string()]
    };
    let rows: Vec<_> = config.effective.iter().map(row).collect();
    output::line(output::table(["OPTION", "VALUE", "SOURCE"], &rows))?;
    let file = config.file.as_ref();
    let from = file.map_or_else(
        || "there is no configuration file".to_owned(),
        |f| format!("read from {}", f.display()),
    );
    output::note(format_args!("The configuration is valid; {from}."));
    Ok(())
}

/// Problems that do not keep the server from starting, but will keep it from working.
fn warnings(config: &Config, environment: &Environment) -> Vec<String> {
    locate::missing_agent(&config.agent_command, environment).into_iter().collect()
}

fn values(config: &Config, environment: &Environment) -> Value {
    let value = |value: &config::Effective| {
        (value.name.to_owned(), json!({"value": value.value, "source": value.source.to_string()}))
    };
    let values: serde_json::Map<String, Value> = config.effective.iter().map(value).collect();
    let warnings = warnings(config, environment);
    json!({"ok": true, "file": config.file, "options": values, "warnings": warnings})
}

fn list(problems: &Problems) -> Value {
    let problem = |problem: &config::Problem| {
        json!({
            "option": problem.option,
            "source": problem.source.to_string(),
            "message": problem.message,
        })
    };
    problems.0.iter().map(problem).collect()
}
