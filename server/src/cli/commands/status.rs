//! `status`: what the running server is doing, on one screen.

use clap::Args;
use serde_json::Value;
use serde_json::json;

use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::output::field;
use crate::config::Environment;
use crate::domain::ticket::TicketState;
use crate::exit::Exit;

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    pub connection: Connection,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Most projects, queues, workers or held tickets that are looked at.
const MOST: u32 = 1000;

pub async fn run(command: &Status, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    let (ready, _) = client.get("/readyz").await?;
    let (_, metrics) = client.get("/metrics").await?;
    let mut tickets = TicketState::NAMES.map(|name| (name, 0));
    for project in client.list("list_projects", "projects", json!({}), MOST).await? {
        let project = client.call("get_project", json!({"project": project["name"]})).await?;
        for (name, count) in &mut tickets {
            *count += project["tickets"][*name].as_i64().unwrap_or(0);
        }
    }
    let queues = client.list("list_queues", "queues", json!({}), MOST).await?;
    let wide = client.call("list_queues", json!({"limit": 1})).await?["pauses"].take();
    let pauses = wide.as_array().cloned().unwrap_or_default();
    let live = client.live_workers(&json!({})).await?;
    let held = client.list("list_tickets", "tickets", json!({"state": "on_hold"}), MOST).await?;
    let version = version(&metrics);
    let low = metrics.contains("\nvibe_ensemble_disk_low 1\n");
    let draining = metrics.contains("\nvibe_ensemble_draining 1\n");
    if command.json {
        let tickets: serde_json::Map<String, Value> =
            tickets.iter().map(|(name, count)| ((*name).to_owned(), (*count).into())).collect();
        output::json(&json!({
            "url": client.url(), "ready": ready, "version": version, "disk_low": low, "draining": draining,
            "pauses": pauses, "tickets": tickets, "workers": live, "queues": queues, "on_hold": held,
        }))?;
        return Ok(Exit::Ok);
    }

    let state = if ready { "ready" } else { "not ready" };
    output::line(format_args!(
        "server   {} {state}, version {}",
        client.url(),
        version.unwrap_or("unknown")
    ))?;
    let counts: Vec<String> = tickets
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    output::line(format_args!("tickets  {}", or_none(&counts.join(", "))))?;
    let busy = live.iter().filter(|worker| worker["state"] == "busy").count();
    output::line(format_args!("workers  {} live, {busy} busy", live.len()))?;
    if low {
        output::line("disk     nearly full: nothing new is started until there is room")?;
    }
    if draining {
        output::line("drain    nothing new is granted; `vibe-ensemble drain --off` ends it")?;
    }
    for pause in &pauses {
        let what = match field(pause, "project") {
            project if project.is_empty() => "everything".to_owned(),
            project => format!("project {project}"),
        };
        let until = match field(pause, "until") {
            until if until.is_empty() => String::new(),
            until => format!(", until {until}"),
        };
        output::line(format_args!("paused   {what}: {}{until}", field(pause, "reason")))?;
    }
    if !queues.is_empty() {
        output::line("")?;
        let row = |queue: &Value| {
            let held_back = if queue["paused"] == true { "paused" } else { "" };
            let columns = ["project", "worker_type", "depth", "running", "workers"];
            let [project, worker_type, depth, running, workers] = columns.map(|c| field(queue, c));
            [project, worker_type, depth, running, workers, held_back.to_owned()]
        };
        let rows: Vec<_> = queues.iter().map(row).collect();
        output::table(["PROJECT", "QUEUE", "WAITING", "RUNNING", "WORKERS", ""], &rows)?;
    }
    if !held.is_empty() {
        output::line("")?;
        let row = |ticket: &Value| {
            ["ticket_id", "project", "title", "hold_reason"]
                .map(|name| output::short(&field(ticket, name), 80))
        };
        let rows: Vec<_> = held.iter().map(row).collect();
        output::table(["ON HOLD", "PROJECT", "TITLE", "WHY"], &rows)?;
    }
    Ok(Exit::Ok)
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// The server's version, as it tells Prometheus.
fn version(metrics: &str) -> Option<&str> {
    let (_, rest) = metrics.split_once("vibe_ensemble_build_info{version=\"")?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_metrics() {
        let page = "# TYPE vibe_ensemble_build_info gauge\nvibe_ensemble_build_info{version=\"1.2.3\"} 1\n";
        assert_eq!(version(page), Some("1.2.3"));
        assert_eq!(version(""), None);
    }
}
