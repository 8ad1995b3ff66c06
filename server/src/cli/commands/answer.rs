//! `answer`: answer the question of a ticket that is on hold, and send it on.

use crate::cli::act::Act;
use crate::cli::act::Given;
use crate::cli::act::Place;
use crate::cli::act::Text;
use crate::cli::commands::ticket;
use crate::config::Environment;
use crate::exit::Exit;

/// The arguments of `answer`.
pub type Answer = Given<AnswerTicket>;

pub struct AnswerTicket;
impl Act for AnswerTicket {
    const TOOL: &'static str = "resume_ticket";
    const PLACES: &'static [Place] =
        &[Place::required("ticket_id", "TICKET"), Place::optional("comment", "ANSWER")];
    const TEXT: Option<Text> = Some(Text {
        field: "comment",
        required: true,
        asks: "Write the answer; the next attempt reads it.",
    });
    const HELP: &'static [(&'static str, &'static str)] =
        &[("comment", "The answer, which the next attempt reads; - is standard input")];
}

pub async fn run(command: &Answer, environment: &Environment) -> anyhow::Result<Exit> {
    ticket::moved(command, environment, "Answered").await
}
