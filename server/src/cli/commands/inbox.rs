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
    /// Maximum number of items to print, the oldest ones
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
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
    if let Ok(Some((_, items, more))) = read(command, environment).await
        && !items.is_empty()
    {
        output::line(brief(&items, more))?;
    }
    Ok(Exit::Ok)
}

async fn show(command: &Inbox, environment: &Environment) -> anyhow::Result<Exit> {
    let (raw, items, more) = read(command, environment).await?.unwrap_or_default();
    if command.json {
        output::json(&json!({"items": raw, "more": more}))?;
        return Ok(Exit::Ok);
    }
    let screen = Screen::of(&command.display, environment);
    if items.is_empty() {
        output::note("Nothing waits for you.");
        return Ok(Exit::Ok);
    }
    screen.show(&page(&items, &screen))?;
    if more {
        output::note(format_args!(
            "Only the oldest {} items are shown. To see more, raise --limit.",
            items.len()
        ));
    }
    Ok(Exit::Ok)
}

type Read = (Vec<serde_json::Value>, Vec<ItemView>, bool);

/// The items as they came and as they are read, and whether there are more. `None` where the directory is no project's.
async fn read(command: &Inbox, environment: &Environment) -> anyhow::Result<Option<Read>> {
    let client = client::find(&command.connection, environment)?;
    let project = if command.here {
        let Some(project) = of_directory(&client, environment).await? else { return Ok(None) };
        Some(project)
    } else {
        command.project.clone()
    };
    let limit = usize::try_from(command.limit).unwrap_or(usize::MAX);
    let given = client::given([("project", &project)]);
    let mut raw =
        client.list("list_inbox", "items", given, command.limit.saturating_add(1)).await?;
    let more = raw.len() > limit;
    raw.truncate(limit);
    let items = client.read("list_inbox", raw.clone().into())?;
    Ok(Some((raw, items, more)))
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
        page.line(Line::new().text(format!("  {}", item.sentence)).hang(2));
        for action in &item.actions {
            let line = Line::new().toned(format!("    {}: ", action.label), Tone::Faint);
            page.line(line.toned(&action.command, Tone::Pointer).hang(6));
        }
    }
    page
}

/// How many of each kind, as a sentence for the beginning of a session.
fn brief(items: &[ItemView], more: bool) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for item in items {
        match counts.iter_mut().find(|(kind, _)| *kind == item.kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((&item.kind, 1)),
        }
    }
    let said: Vec<String> = counts
        .into_iter()
        .map(|(kind, count)| {
            let kind = output::plain(&kind.replace('_', " "));
            format!("{count} {kind}")
        })
        .collect();
    let more = if more { " and more" } else { "" };
    format!("Vibe-Ensemble: waiting for you: {}{more}. See list_inbox.", said.join(", "))
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
        text.push_str(&brief(&items(), false));
        crate::snapshot::holds("page-inbox", &text);
    }
}
