//! The command line: the commands of `vibe-ensemble`, and their help.
//!
//! Invariant: data goes to standard output, messages about it to standard error.

pub mod client;
pub mod commands;
pub mod connection;
pub mod event_log;
pub mod failure;
pub mod here;
pub mod output;
pub mod pauses;
pub mod progress;
pub mod run;
pub mod terminal;
#[cfg(test)]
mod tests;
pub mod transcript;

use clap::Parser;
use clap::Subcommand;

use crate::cli::commands::backup::Backup;
use crate::cli::commands::check_config::CheckConfig;
use crate::cli::commands::connect::Connect;
use crate::cli::commands::demo::Demo;
use crate::cli::commands::diff::Diff;
use crate::cli::commands::doctor::Doctor;
use crate::cli::commands::drain::Drain;
use crate::cli::commands::events::Events;
use crate::cli::commands::headers::Headers;
use crate::cli::commands::inbox::Inbox;
use crate::cli::commands::logs::Logs;
use crate::cli::commands::pause::Pause;
use crate::cli::commands::pause::Resume;
use crate::cli::commands::rotate_token::RotateToken;
use crate::cli::commands::scripted_agent::ScriptedAgent;
use crate::cli::commands::serve::Serve;
use crate::cli::commands::status::Status;
use crate::cli::commands::tickets::Tickets;
use crate::cli::commands::top::Top;
use crate::cli::commands::usage::Usage;
use crate::cli::commands::why::Why;
use crate::cli::commands::workers::Workers;
use crate::cli::terminal::ColorWhen;

const EXAMPLES: &str = "\
Examples:
  vibe-ensemble demo                  Watch one ticket go through three workers, in a temporary directory
  vibe-ensemble serve                 Run the server in the foreground
  vibe-ensemble connect               Make claude in this directory the coordinator
  vibe-ensemble doctor                Find out what is missing, and how to fix it
  vibe-ensemble status                Show what the running server is doing
  vibe-ensemble tickets --state on_hold
                                      List the tickets that need a decision
  vibe-ensemble why T-42              Explain why T-42 is not running, and what would start it
  vibe-ensemble usage --by ticket     Show what each ticket has cost
  vibe-ensemble logs T-42 --follow    Follow what the worker of T-42 is doing

Exit codes:
  0 success   1 failure   2 bad command line   69 server not reachable
  75 another instance holds the lock   78 bad configuration

'vibe-ensemble COMMAND --help' explains a command and its options.";

/// MCP server that lets Claude Code work through a queue of tickets with headless workers
///
/// A coordinator, which is an interactive Claude Code session, creates projects, worker types and tickets over MCP. The
/// server starts one worker per stage of a ticket, supervises it, and keeps the state of every ticket in one database.
/// Killing or upgrading the server stops no worker and loses no work.
#[derive(Debug, Parser)]
#[command(name = "vibe-ensemble", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// When to use colour: auto, always or never
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        global = true,
        help_heading = "Output",
        hide_possible_values = true
    )]
    pub color: ColorWhen,
    #[command(subcommand)]
    pub command: Command,
}

/// Every command; what it takes and does is in its file in [`commands`].
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server in the foreground
    ///
    /// The log goes to standard error, or to the journal under systemd. Workers outlive the server, so you can stop and
    /// start it at any time. Signals: TERM and INT stop it, HUP reloads the configuration, USR1 logs its state, USR2
    /// toggles drain.
    Serve(Serve),
    /// Run one ticket through three workers, in a temporary directory
    ///
    /// Starts a server with temporary state on a free port, creates a small git project with three worker types, runs one
    /// three-stage ticket through real workers, and prints each step as it happens. Everything is removed afterwards.
    Demo(Demo),
    /// Set up Claude Code as the coordinator
    ///
    /// Afterwards, `claude` in the directory has the tools of this server and the skills to use them. Writes .mcp.json,
    /// .claude/settings.local.json (which approves the server) and .claude/skills/vibe-*, and prints the name of each.
    /// Never overwrites a file or an entry that it did not write. No file contains the token: Claude Code runs
    /// `vibe-ensemble headers` to read it.
    Connect(Connect),
    /// Check everything that a server needs, and explain how to fix what is wrong
    ///
    /// Read-only. Exits with 1 when a check fails; a warning is not a failure.
    Doctor(Doctor),
    /// Validate the configuration and print the effective values
    ///
    /// Takes the options of `serve`. Reports every problem with its place, and exits with 78 when there is one.
    CheckConfig(CheckConfig),
    /// Show what the running server is doing
    Status(Status),
    /// Watch the workers: memory, processor, dollars, and what each did last
    ///
    /// Takes the whole screen until q or Ctrl-C is pressed. In a pipe, it prints one table and ends.
    Top(Top),
    /// List workers
    Workers(Workers),
    /// List open tickets, or show one
    Tickets(Tickets),
    /// Show what a ticket changed
    ///
    /// Compares the commit at which the work of the ticket began with the last one that was accepted, in the repository of
    /// its project. Works for open and closed tickets.
    Diff(Diff),
    /// List what waits for somebody, oldest first, with the commands that settle it
    Inbox(Inbox),
    /// Explain why a ticket is not running, and what would start it
    Why(Why),
    /// Sum up what the work has used: dollars, tokens, turns, time, memory
    ///
    /// Dollars are what claude reported, at its list prices. An attempt belongs to the day on which it ended, in UTC.
    Usage(Usage),
    /// Pause a queue, a project, or the whole server
    ///
    /// Nothing new starts; running work continues, and tickets stay queued until `resume`. Without a project, everything is
    /// paused. Unlike `drain`, a pause survives a restart of the server.
    Pause(Pause),
    /// Resume a queue, a project, or the whole server
    ///
    /// Ends the pauses that `pause` or a failure put on it. Without a project, it also ends a pause for a usage limit.
    Resume(Resume),
    /// Print events, one per line
    ///
    /// Read-only: does not mark events as processed. With --follow, it runs until interrupted, across restarts of the server.
    Events(Events),
    /// Print what agents did: of an attempt, or of a ticket over all its stages
    ///
    /// Reads the run directories of the attempts; without a running server, it cannot tell what became of them.
    Logs(Logs),
    /// Write a checked copy of the database
    ///
    /// Works with and without a running server. To restore a backup: stop the server, remove vibe-ensemble.db-wal and
    /// vibe-ensemble.db-shm from the state directory, copy the backup over vibe-ensemble.db, and start the server. Leave
    /// everything else in the state directory: from it, the server recognizes what ran since the backup.
    Backup(Backup),
    /// Print the HTTP header that contains the token, as JSON
    ///
    /// Claude Code runs this command as its `headersHelper`, so that no file of a repository contains the token.
    Headers(Headers),
    /// Rotate the coordinator's token without restarting the server
    ///
    /// From then on the old token is refused, also for calls that are waiting. Prints the path of the token file, never the
    /// token. Refused where the token comes from outside (`token_file`, a systemd credential): replace it there instead.
    RotateToken(RotateToken),
    /// Let workers finish and start nothing new
    ///
    /// Waits until no worker is busy. Tickets stay queued until `drain --off` or a restart of the server.
    Drain(Drain),
    /// The agent of the demo: does one fixed small job and reports like claude
    #[command(hide = true, disable_help_flag = true, disable_version_flag = true)]
    ScriptedAgent(ScriptedAgent),
}
