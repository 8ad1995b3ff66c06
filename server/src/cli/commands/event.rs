//! `event`: `list` and `mark`.

use clap::Args;
use clap::Subcommand;

use crate::cli::act;
use crate::cli::act::Act;
use crate::cli::act::Given;
use crate::cli::act::Place;
use crate::cli::commands::events;
use crate::cli::commands::events::Events;
use crate::cli::failure::BadCommandLine;
use crate::config::Environment;
use crate::exit::Exit;

#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Event {
    #[command(subcommand)]
    pub command: EventCommand,
}

#[derive(Debug, Subcommand)]
pub enum EventCommand {
    /// Print events, as `events` does
    #[command(visible_alias = "ls")]
    List(Events),
    /// Mark events as processed, for a consumer of your own
    ///
    /// A coordinator marks its own events; marks that you set in its name hide events from it.
    Mark(Given<MarkEvents>),
}

pub struct MarkEvents;
impl Act for MarkEvents {
    const TOOL: &'static str = "mark_events_processed";
    const PLACES: &'static [Place] = &[];
    const HELP: &'static [(&'static str, &'static str)] = &[
        ("consumer", "Whose marks these are [default: coordinator]"),
        ("kinds", "Mark only events of these kinds [default: all]"),
        ("event_seqs", "The events to mark, at most 1000"),
        ("up_to_seq", "Mark every event up to and including this one"),
        ("project", "Mark only events of this project"),
        ("ticket_id", "Mark only events of this ticket, such as T-42"),
    ];
}

pub async fn run(command: EventCommand, environment: &Environment) -> anyhow::Result<Exit> {
    match command {
        EventCommand::List(command) => events::run(&command, environment).await,
        EventCommand::Mark(command) => mark(&command, environment).await,
    }
}

async fn mark(command: &Given<MarkEvents>, environment: &Environment) -> anyhow::Result<Exit> {
    let given = |field| command.fields.contains_key(field);
    if given("event_seqs") == given("up_to_seq") {
        let words =
            "say which events to mark: either those of --event-seqs, or all up to --up-to-seq";
        return Err(BadCommandLine::new(words).into());
    }
    act::carry_out(command, environment, |_, answer| {
        let marked = answer["marked"].as_i64().unwrap_or(0);
        Ok(format!("Marked {marked} event{}.", if marked == 1 { "" } else { "s" }))
    })
    .await
}
