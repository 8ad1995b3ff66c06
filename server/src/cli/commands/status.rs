//! `status`: what the running server is doing, on one screen.

use clap::Args;
use serde_json::json;

use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::output::cell;
use crate::cli::output::cell_of;
use crate::config::Environment;
use crate::exit::Exit;
use crate::wire::pause::PauseView;
use crate::wire::project::CountsView;
use crate::wire::queue::QueueView;
use crate::wire::status::ServerStatus;
use crate::wire::ticket::TicketView;
use crate::wire::worker::WorkerView;

#[derive(Debug, Args)]
pub struct Status {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

/// Most projects, queues, workers or held tickets that are looked at.
const MOST: u32 = 1000;

pub async fn run(command: &Status, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    let status = client.status().await?;
    let queues = client.list("list_queues", "queues", json!({}), MOST).await?;
    let live = client.live_workers(&json!({})).await?;
    let held = client.list("list_tickets", "tickets", json!({"state": "on_hold"}), MOST).await?;
    if command.json {
        output::json(&json!({
            "url": client.url(), "ready": status.ready, "version": status.version, "disk_low": status.disk_low,
            "draining": status.draining, "pauses": status.pauses, "tickets": status.tickets,
            "workers": live, "queues": queues, "on_hold": held,
        }))?;
        return Ok(Exit::Ok);
    }
    let shown = Shown {
        url: client.url().to_owned(),
        status,
        queues: client.read("list_queues", queues.into())?,
        workers: client.read("list_workers", live.into())?,
        held: client.read("list_tickets", held.into())?,
    };
    output::line(screen(&shown))?;
    Ok(Exit::Ok)
}

/// What is on the screen.
#[derive(Default)]
struct Shown {
    url: String,
    status: ServerStatus,
    queues: Vec<QueueView>,
    /// Those that are not stopped.
    workers: Vec<WorkerView>,
    /// Tickets on hold.
    held: Vec<TicketView>,
}

fn screen(shown: &Shown) -> String {
    let status = &shown.status;
    let mut lines = vec![match &status.version {
        Some(version) => {
            let ready = if status.ready { "ready" } else { "not ready" };
            format!("server   {} {ready}, version {}", shown.url, cell(version))
        }
        None => format!(
            "server   {}, of a version that does not report its status; upgrade it to the version of this command",
            shown.url
        ),
    }];
    if status.version.is_some() {
        lines.push(format!("tickets  {}", counts(&status.tickets)));
    }
    let busy = shown.workers.iter().filter(|worker| worker.state == "busy").count();
    lines.push(format!("workers  {} running, {busy} busy", shown.workers.len()));
    if status.disk_low {
        lines.push("disk     nearly full: nothing new starts until there is free space".to_owned());
    }
    if status.draining {
        lines.push(
            "drain    nothing new starts; `vibe-ensemble drain --off` ends the drain".to_owned(),
        );
    }
    lines.extend(status.pauses.iter().map(pause));
    if !shown.queues.is_empty() {
        lines.push(format!("\n{}", queues(&shown.queues)));
    }
    if !shown.held.is_empty() {
        lines.push(format!("\n{}", held(&shown.held)));
    }
    lines.join("\n")
}

fn counts(tickets: &CountsView) -> String {
    let CountsView { blocked, scheduled, queued, running, on_hold, closed } = *tickets;
    let by_state = [
        (blocked, "blocked"),
        (scheduled, "scheduled"),
        (queued, "queued"),
        (running, "running"),
        (on_hold, "on_hold"),
        (closed, "closed"),
    ];
    let some = by_state.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = some.map(|(count, state)| format!("{count} {state}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

fn pause(pause: &PauseView) -> String {
    let what = match &pause.project {
        None => "everything".to_owned(),
        Some(project) => format!("project {}", cell(project)),
    };
    let until = match &pause.until {
        None => String::new(),
        Some(until) => format!(", until {}", cell(until)),
    };
    format!("paused   {what}: {}{until}", cell(&pause.reason))
}

fn queues(queues: &[QueueView]) -> String {
    let row = |queue: &QueueView| {
        [
            cell(&queue.project),
            cell(&queue.worker_type),
            queue.depth.to_string(),
            queue.running.to_string(),
            queue.workers.to_string(),
            if queue.paused { "paused".to_owned() } else { String::new() },
        ]
    };
    let rows: Vec<_> = queues.iter().map(row).collect();
    output::table(["PROJECT", "QUEUE", "WAITING", "RUNNING", "WORKERS", ""], &rows)
}

fn held(tickets: &[TicketView]) -> String {
    let row = |ticket: &TicketView| {
        let why = cell_of(ticket.hold_reason.as_ref());
        [&ticket.ticket_id, &ticket.project, &ticket.title, &why]
            .map(|text| output::short(text, 80))
    };
    let rows: Vec<_> = tickets.iter().map(row).collect();
    output::table(["ON HOLD", "PROJECT", "TITLE", "WHY"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_is_the_reviewed_one() {
        let busy = WorkerView { state: "busy".into(), ..WorkerView::default() };
        let idle = WorkerView { state: "idle".into(), ..WorkerView::default() };
        let all = Shown {
            url: "http://127.0.0.1:3276".into(),
            status: ServerStatus {
                version: Some("1.2.3".into()),
                ready: true,
                disk_low: true,
                draining: true,
                tickets: CountsView { queued: 3, running: 1, on_hold: 1, ..CountsView::default() },
                pauses: vec![
                    PauseView {
                        reason: "the account has used 95 % of its five hours".into(),
                        until: Some("2026-11-29T07:00:00.000Z".into()),
                        ..PauseView::default()
                    },
                    PauseView {
                        project: Some("shop".into()),
                        reason: "a release".into(),
                        ..PauseView::default()
                    },
                ],
            },
            queues: vec![
                QueueView {
                    project: "shop".into(),
                    worker_type: "implement".into(),
                    depth: 3,
                    running: 1,
                    workers: 2,
                    ..QueueView::default()
                },
                QueueView {
                    project: "shop".into(),
                    worker_type: "review".into(),
                    paused: true,
                    ..QueueView::default()
                },
            ],
            workers: vec![busy, idle],
            held: vec![TicketView {
                ticket_id: "T-42".into(),
                project: "shop".into(),
                title: "Refuse expired coupons".into(),
                hold_reason: Some("The worker asks: which date counts?".into()),
                ..TicketView::default()
            }],
        };
        let nothing = Shown {
            url: all.url.clone(),
            status: ServerStatus {
                version: Some("1.2.3".into()),
                ready: false,
                ..ServerStatus::default()
            },
            ..Shown::default()
        };
        let older = Shown { url: all.url.clone(), ..Shown::default() };
        crate::snapshot::holds(
            "table-status",
            &[all, nothing, older].map(|s| screen(&s)).join("\n\n"),
        );
    }
}
