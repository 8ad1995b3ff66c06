//! `check-project`: whether `.vibe-ensemble.toml` is valid, and the settings that apply.

use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::cli::output;
use crate::cli::terminal::Cell;
use crate::cli::terminal::Column;
use crate::cli::terminal::Display;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Table;
use crate::config::Environment;
use crate::domain::checks::Checks;
use crate::domain::checks::Gate;
use crate::domain::checks::GateTable;
use crate::domain::checks::Problem;
use crate::domain::checks::Tables;
use crate::domain::checks::WorktreeTable;
use crate::domain::checks::file::File;
use crate::domain::checks::file::NAME;
use crate::exit::Exit;
use crate::git;
use crate::project_file;
use crate::project_file::Unusable;

#[derive(Debug, Args)]
pub struct CheckProject {
    /// The project's directory [default: the current directory]
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub display: Display,
}

pub async fn run(command: &CheckProject, environment: &Environment) -> anyhow::Result<Exit> {
    let directory = command.directory.clone().unwrap_or_else(|| ".".into());
    let directory = directory.canonicalize();
    let directory = directory.map_err(|error| {
        let typed = command.directory.as_deref().unwrap_or(Path::new("."));
        anyhow::Error::from(error)
            .context(format!("could not use the directory {}", typed.display()))
    })?;
    let path = directory.join(NAME);
    let found = match project_file::read(&directory) {
        Ok(found) => found,
        Err(unusable) => return refused(&path, &unusable, command.json),
    };
    let is_there = found.is_some();
    let file = found.unwrap_or_default();
    let checks = Tables::default().over(file.tables.clone());
    let committed = if is_there { git::is_as_committed(&directory, NAME).await } else { None };
    if command.json {
        let file_name = is_there.then(|| path.display().to_string());
        let (worktree, gates) = sourced(&checks, &file);
        output::json(&json!({
            "ok": true, "file": file_name, "committed": committed, "worktree": worktree, "gates": gates,
        }))?;
        return Ok(Exit::Ok);
    }
    Screen::of(&command.display, environment).print(&page(&checks, &file))?;
    let path = output::cell(&path.display().to_string());
    if is_there {
        output::note(format_args!("{path} is valid."));
    } else {
        output::note(format_args!(
            "There is no {path}, so these are the defaults. `vibe-ensemble check-project --help` shows one."
        ));
    }
    if committed == Some(false) {
        output::note(format_args!(
            "Warning: it is not committed as it is here. Commit it: a ticket with a worktree reads the file from the commit at \
             which it begins."
        ));
    }
    Ok(Exit::Ok)
}

/// Says what is wrong, each problem with its place as editors and compilers write it.
fn refused(path: &Path, unusable: &Unusable, is_json: bool) -> anyhow::Result<Exit> {
    if is_json {
        let problems: Vec<Value> = match unusable {
            Unusable::Wrong(problems) => problems.0.iter().map(shown).collect(),
            Unusable::Unreadable(why) => vec![json!({"message": why})],
        };
        output::json(
            &json!({"ok": false, "file": path.display().to_string(), "problems": problems}),
        )?;
        return Ok(Exit::Config);
    }
    for line in lines(path, unusable) {
        output::note(format_args!("{line}"));
    }
    Ok(Exit::Config)
}

fn lines(path: &Path, unusable: &Unusable) -> Vec<String> {
    let path = output::cell(&path.display().to_string());
    match unusable {
        Unusable::Wrong(problems) => {
            let line = |problem: &Problem| {
                let place = problem.at.map(|at| format!(":{}:{}", at.line, at.column));
                format!("{path}{}: {}", place.unwrap_or_default(), problem.said())
            };
            problems.0.iter().map(line).collect()
        }
        Unusable::Unreadable(why) => vec![format!("{path}: {why}")],
    }
}

fn shown(problem: &Problem) -> Value {
    json!({
        "line": problem.at.map(|at| at.line),
        "column": problem.at.map(|at| at.column),
        "key": Some(&problem.key).filter(|key| !key.is_empty()),
        "message": problem.said(),
    })
}

/// Every key with its value and where that comes from.
fn sourced(checks: &Checks, file: &File) -> (Map<String, Value>, Vec<Map<String, Value>>) {
    let gate = |gate: &Gate| keys(gate, &format!("gate.{}", gate.name), file);
    (keys(&checks.worktree, "worktree", file), checks.gates.iter().map(gate).collect())
}

fn keys(table: &impl Serialize, name: &str, file: &File) -> Map<String, Value> {
    let whole = serde_json::to_value(table).unwrap_or_default();
    let keys = whole.as_object().cloned().unwrap_or_default();
    keys.into_iter()
        .map(|(key, value)| {
            let source = source(file, &format!("{name}.{key}"));
            (key, json!({"value": value, "source": source}))
        })
        .collect()
}

fn source(file: &File, key: &str) -> String {
    file.places.get(key).map_or_else(|| "default".to_owned(), |at| format!("{NAME}:{}", at.line))
}

fn page(checks: &Checks, file: &File) -> Page {
    let mut table = Table::new([
        Column::new("KEY"),
        Column::new("VALUE").least(16),
        Column::new("SOURCE").rank(1).least(12),
    ]);
    let (worktree, gates) = sourced(checks, file);
    let named =
        gates.iter().zip(&checks.gates).map(|(keys, gate)| (format!("gate {}", gate.name), keys));
    for (name, keys) in std::iter::once(("worktree".to_owned(), &worktree)).chain(named) {
        let order = if name == "worktree" { WorktreeTable::KEYS } else { GateTable::KEYS };
        for (key, shown) in order.iter().filter_map(|key| Some((key, keys.get(*key)?))) {
            let value = match &shown["value"] {
                // What is not set says nothing.
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                // They may be secrets.
                Value::Object(variables) => variables.keys().cloned().collect::<Vec<_>>().join(" "),
                Value::Bool(_) | Value::Number(_) | Value::Array(_) => shown["value"].to_string(),
            };
            let source = shown["source"].as_str().unwrap_or_default().to_owned();
            table.row([Cell::new(format!("{name}.{key}")), Cell::new(value), Cell::new(source)]);
        }
    }
    let mut page = Page::new();
    page.table(table);
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::checks::file;

    const FILE: &str = "[worktree]\nports = 10\n\n[[gate]]\nname = \"test\"\ncommand = [\"cargo\", \"test\"]\nenv = { TOKEN = \"hunter2\" }\n";

    #[test]
    fn the_page_is_the_reviewed_one() {
        let file = file::parse(FILE.as_bytes()).unwrap();
        let checks = Tables::default().over(file.tables.clone());
        let page = page(&checks, &file);
        let screens = [Screen::pipe(), Screen::of_columns(60)];
        let texts = screens.map(|screen| screen.lines(&page).join("\n")).join("\n\n");
        assert!(!texts.contains("hunter2"), "{texts}");
        crate::snapshot::holds("table-check-project", &texts);
    }

    #[test]
    fn a_problem_has_its_place_as_editors_write_it() {
        let text = "[worktree]\nport = 1\n\n[[gate]]\nname = \"test\"\ncommand = \"cargo test\"\n";
        let wrong = Unusable::Wrong(file::parse(text.as_bytes()).unwrap_err());
        let lines = lines(Path::new("/srv/shop/.vibe-ensemble.toml"), &wrong);
        crate::snapshot::holds("check-project-problems", &lines.join("\n"));
    }
}
