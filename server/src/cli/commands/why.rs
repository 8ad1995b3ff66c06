//! `why`: what a ticket waits for, and what would start it.

use clap::Args;
use serde_json::json;

use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::ids;
use crate::cli::ids::Noun;
use crate::cli::output;
use crate::cli::output::cell;
use crate::cli::output::cell_of;
use crate::cli::terminal::Display;
use crate::cli::terminal::Screen;
use crate::config::Environment;
use crate::domain::waiting::ON_HOLD;
use crate::exit::Exit;
use crate::wire::ticket::TicketDetailView;

#[derive(Debug, Args)]
pub struct Why {
    /// The ticket, such as T-42
    #[arg(value_name = "TICKET", value_parser = ids::parser(Noun::Ticket))]
    pub ticket: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub display: Display,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(command: &Why, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    let ticket = client.call("get_ticket", json!({"ticket_id": command.ticket})).await?;
    if command.json {
        let mut answer = json!({});
        for name in
            ["ticket_id", "state", "resolution", "waiting_cause", "waiting_for", "waiting_until"]
        {
            answer[name] = ticket[name].clone();
        }
        output::json(&answer)?;
        return Ok(Exit::Ok);
    }
    let screen = Screen::of(&command.display, environment);
    output::line(screen.told(&sentence(&client.read("get_ticket", ticket)?)))?;
    Ok(Exit::Ok)
}

/// Whole, not cut to a column: this sentence is all there is to print.
fn sentence(detail: &TicketDetailView) -> String {
    let ticket = &detail.ticket;
    let id = cell(&ticket.ticket_id);
    if let Some(sentence) = &detail.waiting_for {
        // The sentence about a ticket on hold begins with its state.
        if let Some(why) = sentence.strip_prefix(ON_HOLD) {
            return format!("{id} is on hold: {why}");
        }
        return format!("{id} is {}. {sentence}", cell(&ticket.state));
    }
    let resolution = cell_of(ticket.resolution.as_ref());
    format!("{id} is closed as {resolution}, so it waits for nothing.")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;
    use crate::domain::advice::Reader;
    use crate::domain::advice::Step;
    use crate::domain::advice::Way;
    use crate::wire::ticket::TicketView;

    #[test]
    fn the_sentence_is_the_reviewed_one() {
        let ticket = TicketView {
            ticket_id: "T-42".into(),
            state: "queued".into(),
            ..TicketView::default()
        };
        let waits = "All 2 workers of the queue build are busy.";
        let waits = format!("{waits} {}", "It is the third in line. ".repeat(10).trim_end());
        let queued =
            TicketDetailView { ticket, waiting_for: Some(waits), ..TicketDetailView::default() };
        let closed = TicketView {
            ticket_id: "T-7".into(),
            state: "closed".into(),
            resolution: Some("cancelled".into()),
            ..TicketView::default()
        };
        let closed = TicketDetailView { ticket: closed, ..TicketDetailView::default() };
        crate::snapshot::holds("why", &[sentence(&queued), sentence(&closed)].join("\n"));
    }

    #[test]
    fn advice_names_commands_that_are_there() {
        let cli = Cli::command();
        for step in Step::ALL {
            let Way::Run(command) = step.way(Reader::Shell) else { continue };
            let words: Vec<&str> = command.split(' ').collect();
            assert_eq!(words[0], "vibe-ensemble", "{step:?}");
            let found = cli.find_subcommand(words[1]).expect(command);
            for flag in words[2..].iter().filter_map(|word| word.strip_prefix("--")) {
                let has = found.get_arguments().any(|arg| arg.get_long() == Some(flag));
                assert!(has, "{command}");
            }
        }
    }
}
