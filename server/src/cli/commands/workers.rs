//! `workers`: what each worker is working on.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use crate::cli::client;
use crate::cli::client::is_away;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::terminal::Cell;
use crate::cli::terminal::Column;
use crate::cli::terminal::Display;
use crate::cli::terminal::Line;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Table;
use crate::cli::terminal::Tone;
use crate::cli::whole;
use crate::config;
use crate::config::Environment;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerState;
use crate::exit::Exit;
use crate::serve;
use crate::state;
use crate::wire::worker::WorkerView;

#[derive(Debug, Args)]
pub struct Workers {
    /// Only workers of this project
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Only workers in this state: launching, idle, busy, stopping or stopped [default: all but stopped]
    #[arg(long, value_name = "STATE", hide_possible_values = true, value_parser = PossibleValuesParser::new(WorkerState::NAMES))]
    pub state: Option<String>,
    /// Include stopped workers
    #[arg(long, conflicts_with = "state")]
    pub all: bool,
    /// Maximum number of workers to print
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 100, value_parser = whole::at_least(1_u32))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub display: Display,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(command: &Workers, environment: &Environment) -> anyhow::Result<Exit> {
    let named = client::given_url(&command.connection, environment).is_some();
    let client = match client::find(&command.connection, environment) {
        Err(error) if !named && is_away(&error) => {
            return offline(command, environment, error).await;
        }
        found => found?,
    };
    let arguments = client::given([("project", &command.project), ("state", &command.state)]);
    let everyone = command.all || command.state.is_some();
    let mut workers = if everyone {
        client.list("list_workers", "workers", arguments, command.limit).await?
    } else {
        client.live_workers(&arguments).await?
    };
    workers.truncate(usize::try_from(command.limit).unwrap_or(usize::MAX));
    if command.json {
        output::json(&json!({"workers": workers}))?;
        return Ok(Exit::Ok);
    }
    let workers: Vec<WorkerView> = client.read("list_workers", workers.into())?;
    let screen = Screen::of(&command.display, environment);
    screen.show(&page(&workers, &screen))?;
    Ok(Exit::Ok)
}

/// Workers that are still running although their server has exited.
async fn offline(
    command: &Workers,
    environment: &Environment,
    away: anyhow::Error,
) -> anyhow::Result<Exit> {
    let config = config::load(&command.connection.flags(), environment)?;
    // No server was ever started with this state directory, so the directory is probably the wrong one.
    if !config.state_dir.join(state::DATABASE).exists() {
        return Err(away);
    }
    let running = serve::running_offline(&config).await?;
    let of_project = |worker: &Worker| {
        command.project.as_ref().is_none_or(|name| worker.project_name.as_str() == name)
    };
    let running: Vec<WorkerView> =
        running.into_iter().filter(of_project).map(WorkerView::from).collect();
    if command.json {
        output::json(&json!({"workers": running, "server": false}))?;
        return Ok(Exit::Ok);
    }
    if running.is_empty() {
        output::line("No server is running, and no workers are running.")?;
        return Ok(Exit::Ok);
    }
    let screen = Screen::of(&command.display, environment);
    screen.show(&page(&running, &screen))?;
    output::note(
        "No server is running; these workers keep running, and the server collects their results when it next starts. To \
         stop them, run `vibe-ensemble stop --all`.",
    );
    Ok(Exit::Ok)
}

fn page(workers: &[WorkerView], screen: &Screen) -> Page {
    let mut table = Table::new([
        Column::new("WORKER"),
        Column::new("PROJECT").rank(2).least(10),
        Column::new("TYPE").rank(1).least(10),
        Column::new("STATE"),
        Column::new("TICKET"),
        Column::new("ATTEMPT").rank(4),
        Column::new("PID").rank(3).right(),
        Column::new("STARTED").rank(5),
    ]);
    for worker in workers {
        let pid = worker.pid.map(|pid| pid.to_string());
        table.row([
            (&worker.worker_id).into(),
            (&worker.project).into(),
            (&worker.worker_type).into(),
            Cell::state(&worker.state),
            (&worker.ticket_id).into(),
            (&worker.attempt_id).into(),
            (&pid).into(),
            screen.ago(&worker.started_at).into(),
        ]);
    }
    let mut page = Page::new();
    if workers.is_empty() {
        page.line(
            Line::new().toned("No worker matches; --all lists stopped ones too.", Tone::Faint),
        );
        return page;
    }
    page.table(table);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_reviewed_one() {
        let busy = WorkerView {
            worker_id: "W-7".into(),
            project: "shop".into(),
            worker_type: "implement".into(),
            state: "busy".into(),
            pid: Some(4711),
            ticket_id: Some("T-42".into()),
            attempt_id: Some("A-17".into()),
            started_at: "2026-11-29T05:00:00.000Z".into(),
            ..WorkerView::default()
        };
        let launching = WorkerView {
            worker_id: "W-8".into(),
            state: "launching".into(),
            pid: None,
            ticket_id: None,
            attempt_id: None,
            ..busy.clone()
        };
        let shown = |screen: Screen| {
            screen.lines(&page(&[busy.clone(), launching.clone()], &screen)).join("\n")
        };
        let texts = [Screen::pipe(), Screen::of_columns(80), Screen::of_columns(50)].map(shown);
        crate::snapshot::holds("table-workers", &texts.join("\n\n"));
    }
}
