//! `diff`: what a ticket changed.

use anyhow::Context as _;
use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::cli::client;
use crate::cli::commands::tickets::result::Work;
use crate::cli::connection::Connection;
use crate::cli::ids;
use crate::cli::ids::Noun;
use crate::cli::output;
use crate::cli::terminal::Display;
use crate::cli::terminal::Line;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Tone;
use crate::config::Environment;
use crate::exit::Exit;
use crate::git;
use crate::wire::ticket::TicketDetailView;

/// The columns that git may use for the list of files where no terminal says how many there are.
const STAT: usize = 120;

#[derive(Debug, Args)]
pub struct Diff {
    /// The ticket, such as T-42, open or closed
    #[arg(value_name = "TICKET", value_parser = ids::parser(Noun::Ticket))]
    pub ticket: String,
    /// Only list the files that changed
    #[arg(long)]
    pub stat: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub display: Display,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(command: &Diff, environment: &Environment) -> anyhow::Result<Exit> {
    let screen = Screen::of(&command.display, environment);
    let client = client::find(&command.connection, environment)?;
    let detail: TicketDetailView =
        client.ask("get_ticket", json!({"ticket_id": command.ticket})).await?;
    let ticket = &detail.ticket;
    let id = &ticket.ticket_id;
    let Some(work) = Work::of(ticket, &client).await? else {
        bail!(
            "{id} has no branch: its work has not begun, or is done in the project's directory itself"
        );
    };
    let shown = if command.stat {
        git::Shown::Files(screen.width().unwrap_or(STAT))
    } else {
        git::Shown::Lines
    };
    let difference = work.difference(shown).await;
    let difference = difference.with_context(|| {
        format!("the repository of {id} cannot be read from here; run where it is: {}", work.look())
    })?;
    if command.json {
        output::json(&json!({
            "ticket_id": id, "path": work.path, "branch": work.branch, "base_commit": work.base,
            "head_commit": work.head, "merged_commit": work.merged, "diff_stat": ticket.diff_stat, "diff": difference,
        }))?;
        return Ok(Exit::Ok);
    }
    if work.is_empty() {
        output::note(if ticket.state == "closed" {
            format!("{id} is closed, and nothing that it changed was accepted.")
        } else {
            format!("Nothing that {id} changed has been accepted yet.")
        });
    }
    if let Some(worktree) = ticket.worktree.as_ref().filter(|_| ticket.state == "running") {
        output::note(format_args!("{id} is at work: what is not accepted yet is in {worktree}."));
    }
    screen.show(&page(&difference))?;
    Ok(Exit::Ok)
}

fn page(difference: &str) -> Page {
    let mut page = Page::new();
    let mut in_heading = true;
    for line in difference.lines() {
        in_heading = line.starts_with("diff ") || (in_heading && !line.starts_with("@@"));
        let tone = match line.chars().next() {
            Some('@') if line.starts_with("@@") => Tone::Pointer,
            Some('+') if !in_heading => Tone::Added,
            Some('-') if !in_heading => Tone::Removed,
            Some(_) if in_heading && !line.starts_with(' ') => Tone::Strong,
            Some(_) | None => Tone::Plain,
        };
        page.line(Line::verbatim("").toned_whole(line, tone));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_and_removed_lines_are_told_apart_and_nothing_acts_on_the_terminal() {
        let difference = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\u{1b}[2J\n+\tnew\u{202e}\n context\n";
        let lines = page(difference).lines(Some(20), true);
        assert_eq!(lines.len(), 7, "{lines:?}");
        assert_eq!(lines[4], "\u{1b}[31m-old\u{fffd}[2J\u{1b}[0m");
        assert_eq!(lines[5], "\u{1b}[32m+\tnew\u{fffd}\u{1b}[0m");
        assert_eq!(lines[6], " context");
        assert!(lines[1].starts_with("\u{1b}[1m---"), "a heading is no removed line: {lines:?}");
    }

    #[test]
    fn in_a_pipe_it_is_what_git_printed() {
        let difference = "diff --git a/x b/x\n@@ -1 +1 @@\n-a very long line that is longer than a screen is wide, and not cut\n+\tnew\n";
        let lines = page(difference).lines(None, false);
        assert_eq!(lines.join("\n") + "\n", difference);
    }
}
