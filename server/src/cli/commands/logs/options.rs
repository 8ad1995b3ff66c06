//! What `logs` takes.

use clap::Args;

use super::places::Subject;
use crate::cli::connection::Connection;
use crate::cli::terminal::Display;
use crate::cli::terminal::Since;
use crate::cli::whole;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[expect(clippy::doc_markdown, reason = "clap prints these comments as they are")]
pub struct Logs {
    /// An attempt, such as A-17, or a ticket, such as T-42, for all its attempts
    #[arg(value_name = "ATTEMPT|TICKET")]
    pub id: Subject,
    /// Keep printing until the attempt ends or, of a ticket, until it is closed or on hold; waits for the first attempt
    #[arg(long, short)]
    pub follow: bool,
    /// Only the last N lines of what there is
    #[arg(long, short = 'n', allow_negative_numbers = true, value_name = "N", value_parser = whole::at_least(0_usize))]
    pub limit: Option<usize>,
    /// Only what was written since then: so long ago (90s, 30m, 2h, 7d), a day (2026-11-22, UTC) or an instant (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
    /// Print what tools returned, too
    #[arg(long, short)]
    pub verbose: bool,
    /// Print the standard error of the agent instead
    #[arg(long)]
    pub stderr: bool,
    /// Print the lines as the agent wrote them
    #[arg(long, conflicts_with_all = ["json", "verbose"])]
    pub raw: bool,
    /// Print one JSON object per line: attempt_id, stream, and message (a line of JSON) or text (any other line)
    #[arg(long, conflicts_with = "verbose")]
    pub json: bool,
    #[command(flatten)]
    pub display: Display,
    #[command(flatten)]
    pub connection: Connection,
}
