//! `check-config`: whether the configuration is valid, and its effective values.

use clap::Args;
use serde_json::Value;
use serde_json::json;

use crate::cli::failure::exit_of;
use crate::cli::output;
use crate::cli::terminal::Cell;
use crate::cli::terminal::Column;
use crate::cli::terminal::Display;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Table;
use crate::config;
use crate::config::BriefFlags;
use crate::config::Config;
use crate::config::Environment;
use crate::config::Fault;
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
            print(&config, environment)?;
            for warning in warnings(&config, environment) {
                output::note(format_args!("Warning: {warning}."));
            }
        }
        Err(problems) if command.json => {
            output::json(&json!({"ok": false, "problems": list(&problems)}))?;
            return Ok(exit_of(&problems.into()));
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
            let fault = Fault::Named;
            Err(Problems(vec![Problem { option, source, message: chain(&error), fault }]))
        }
    }
}

fn print(config: &Config, environment: &Environment) -> anyhow::Result<()> {
    // The words about it follow on standard error, so no pager: they would be written over.
    Screen::of(&Display::default(), environment).print(&page(&config.effective))?;
    let file = config.file.as_ref();
    let from = file.map_or_else(
        || "there is no configuration file".to_owned(),
        |f| format!("read from {}", f.display()),
    );
    output::note(format_args!("The configuration is valid; {from}."));
    Ok(())
}

fn page(effective: &[config::Effective]) -> Page {
    let mut table = Table::new([
        Column::new("OPTION"),
        Column::new("VALUE").least(16),
        Column::new("SOURCE").rank(1).least(12),
    ]);
    for value in effective {
        let text = match value.value.as_str() {
            Some(text) => text.to_owned(),
            None if value.value.is_null() => String::new(),
            None => value.value.to_string(),
        };
        table.row([value.name.into(), Cell::new(text), Cell::new(value.source.to_string())]);
    }
    let mut page = Page::new();
    page.table(table);
    page
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_fits_the_screen_and_loses_its_source_before_its_values() {
        let config =
            config::load(&Flags::default(), &Environment::from_pairs([("HOME", "/home/a")]));
        let page = page(&config.expect("the defaults are valid").effective);
        for (screen, has_source) in [
            (Screen::pipe(), true),
            (Screen::of_columns(80), true),
            (Screen::of_columns(40), false),
        ] {
            let lines = screen.lines(&page);
            let heading = lines.first().expect("a heading");
            assert_eq!(heading.contains("SOURCE"), has_source, "{heading}");
            let width = screen.width().unwrap_or(usize::MAX);
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{lines:#?}");
        }
    }
}
