//! `inbox`: what waits for somebody, with the commands that settle it.

use clap::Args;
use serde_json::json;

use crate::cli::client;
use crate::cli::client::Client;
use crate::cli::connection::Connection;
use crate::cli::here;
use crate::cli::output;
use crate::cli::terminal::Display;
use crate::cli::terminal::Line;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Tone;
use crate::cli::waiting;
use crate::cli::waiting::Waiting;
use crate::cli::whole;
use crate::config::Environment;
use crate::exit::Exit;
use crate::wire::inbox::ItemView;

#[derive(Debug, Args)]
pub struct Inbox {
    /// Only what waits in this project, or holds the whole server
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Only the project of this directory; nothing when it belongs to none
    #[arg(long, conflicts_with = "project")]
    pub here: bool,
    /// Maximum number of items to print: what needs an answer first, then stopped tickets, each oldest first
    #[arg(long, allow_negative_numbers = true, short = 'n', value_name = "N", default_value_t = 50, value_parser = whole::within(1_u32, 10_000))]
    pub limit: u32,
    /// Print one line with the number of items of each kind; nothing when nothing waits or no server is running
    #[arg(long, conflicts_with = "json")]
    pub brief: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub display: Display,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(command: &Inbox, environment: &Environment) -> anyhow::Result<Exit> {
    if !command.brief {
        return show(command, environment).await;
    }
    // A hook runs it at the start of every session, in directories that have nothing to do with the server too.
    if let Ok(Some(waiting)) = read(command, environment).await
        && waiting.total() > 0
    {
        output::line(brief(&waiting, here::is_of_session(environment)))?;
    }
    Ok(Exit::Ok)
}

async fn show(command: &Inbox, environment: &Environment) -> anyhow::Result<Exit> {
    let found = read(command, environment).await?;
    let is_elsewhere = found.is_none();
    let waiting = found.unwrap_or_default();
    let more = waiting.total() > waiting.items.len();
    if command.json {
        output::json(&json!({"items": waiting.raw, "more": more, "counts": waiting.counts}))?;
        return Ok(Exit::Ok);
    }
    let screen = Screen::of(&command.display, environment);
    if is_elsewhere {
        output::note(
            "This directory belongs to no project of the server. `vibe-ensemble inbox` lists what waits in all projects.",
        );
        return Ok(Exit::Ok);
    }
    if waiting.items.is_empty() {
        output::note("Nothing waits for you.");
        return Ok(Exit::Ok);
    }
    screen.show(&page(&waiting.items, &screen))?;
    if more {
        output::note(rest(&waiting));
    }
    Ok(Exit::Ok)
}

/// Says how much waits that is not shown.
fn rest(waiting: &Waiting) -> String {
    let (shown, total) = (waiting.items.len(), waiting.total());
    format!(
        "{shown} of {total} are shown: {}. To see them all, give --limit {total}.",
        waiting::counted(&waiting.counts)
    )
}

/// What waits. `None` where the directory is no project's.
async fn read(command: &Inbox, environment: &Environment) -> anyhow::Result<Option<Waiting>> {
    let client = client::find(&command.connection, environment)?;
    let project = if command.here {
        let Some(project) = of_directory(&client, environment).await? else { return Ok(None) };
        Some(project)
    } else {
        command.project.clone()
    };
    // The counts are all that a brief line says.
    let most = if command.brief { 1 } else { command.limit };
    Ok(Some(Waiting::read(&client, project.as_deref(), most).await?))
}

async fn of_directory(
    client: &Client,
    environment: &Environment,
) -> anyhow::Result<Option<String>> {
    let Some(directory) = here::directory(environment) else { return Ok(None) };
    Ok(here::project(client, &directory).await?)
}

fn page(items: &[ItemView], screen: &Screen) -> Page {
    let mut page = Page::new();
    for item in items {
        page.gap();
        let project = item.project.as_deref().filter(|project| *project != item.item);
        let beside: Vec<String> = [Some(item.kind.replace('_', " ")), project.map(str::to_owned)]
            .into_iter()
            .flatten()
            .chain([screen.ago(&item.since)])
            .collect();
        let head = Line::new().toned(&item.item, Tone::Strong);
        page.line(head.toned(format!("  {}", beside.join("  ")), Tone::Faint));
        page.line(Line::new().text(format!("  {}", screen.told(&item.sentence))).hang(2));
        for action in &item.actions {
            let line = Line::new().toned(format!("    {}: ", action.label), Tone::Faint);
            page.line(line.toned(&action.command, Tone::Pointer).hang(6));
        }
    }
    page
}

/// How many of each kind, in one line: for the model whose session begins with it, or for a person.
fn brief(waiting: &Waiting, is_model: bool) -> String {
    let where_to =
        if is_model { "list_inbox lists them" } else { "`vibe-ensemble inbox` lists them" };
    format!("Vibe-Ensemble: waiting for you: {}; {where_to}.", waiting::counted(&waiting.counts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::inbox::ActionView;

    fn items() -> Vec<ItemView> {
        let action = |label: &str, command: &str| ActionView {
            label: label.into(),
            command: command.into(),
            ..ActionView::default()
        };
        let question = ItemView {
            item: "T-42".into(),
            kind: "question".into(),
            since: "2026-11-29T05:00:00.000Z".into(),
            project: Some("shop".into()),
            ticket_id: Some("T-42".into()),
            sentence: "T-42 \"Refuse expired coupons\" asks at implement: Should an expired coupon\u{202e} count?"
                .into(),
            actions: vec![
                action("Answer it", "vibe-ensemble answer T-42 'YOUR ANSWER'"),
                action("Close it as cancelled", "vibe-ensemble ticket close T-42"),
            ],
        };
        let paused = ItemView {
            item: "shop".into(),
            kind: "project_paused".into(),
            since: "2026-11-29T06:00:00.000Z".into(),
            project: Some("shop".into()),
            sentence: "Project shop is paused: a release.".into(),
            actions: vec![action("Resume it", "vibe-ensemble resume shop")],
            ..ItemView::default()
        };
        vec![question.clone(), paused, ItemView { item: "T-43".into(), ..question }]
    }

    #[test]
    fn the_screens_are_the_reviewed_ones() {
        let mut text = String::new();
        for screen in [Screen::pipe(), Screen::of_columns(60)] {
            text.push_str(&screen.lines(&page(&items(), &screen)).join("\n"));
            text.push_str("\n\n");
        }
        let counts = [("operator".to_owned(), 198), ("question".to_owned(), 2)].into();
        let waiting = Waiting { items: items(), counts, ..Waiting::default() };
        text.push_str(&[brief(&waiting, true), brief(&waiting, false), rest(&waiting)].join("\n"));
        crate::snapshot::holds("page-inbox", &text);
    }
}
