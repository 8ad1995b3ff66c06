//! What `tickets` takes.

use clap::Args;

use crate::cli::connection::Connection;
use crate::cli::ids;
use crate::cli::ids::Noun;
use crate::cli::terminal::Display;
use crate::cli::whole;

/// Tickets that are listed unless told otherwise: some screens, and no more.
const MOST: u32 = 100;

#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "clap prints these comments as they are")]
pub struct Tickets {
    /// Show this ticket with its comments and attempts, such as T-42
    #[arg(value_name = "TICKET", value_parser = ids::parser(Noun::Ticket), conflicts_with_all = ["project", "state", "all", "stage", "limit"])]
    pub ticket: Option<String>,
    /// Only tickets of this project
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Only tickets in this state: blocked, scheduled, queued, running, on_hold or closed; may be repeated [default: all
    /// but closed]
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state())]
    pub state: Vec<String>,
    /// Include closed tickets
    #[arg(long, short, conflicts_with = "state")]
    pub all: bool,
    /// Only tickets at this stage
    #[arg(long, value_name = "WORKER_TYPE")]
    pub stage: Option<String>,
    /// Maximum number of tickets to print, newest first
    #[arg(long, allow_negative_numbers = true, short = 'n', value_name = "N", default_value_t = MOST, value_parser = whole::at_least(1_u32))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub display: Display,
    #[command(flatten)]
    pub connection: Connection,
}

/// The names of states, and the words that people use for them.
fn state() -> impl clap::builder::TypedValueParser<Value = String> {
    use clap::builder::PossibleValue;
    use clap::builder::PossibleValuesParser;
    use clap::builder::TypedValueParser as _;

    use crate::domain::ticket::TicketState;

    PossibleValuesParser::new(TicketState::NAMES.map(|name| {
        let value = PossibleValue::new(name);
        if name == "on_hold" { value.aliases(["on-hold", "onhold", "hold", "held"]) } else { value }
    }))
    .map(|name| if name.contains("hold") || name == "held" { "on_hold".to_owned() } else { name })
}
