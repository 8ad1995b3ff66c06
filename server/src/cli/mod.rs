//! The command line: what can be asked of `vibe-ensemble`, and the words that explain it.
//!
//! Invariant: data goes to standard output, words about it to standard error.

pub mod client;
pub mod commands;
pub mod connection;
pub mod failure;
pub mod output;
pub mod run;
#[cfg(test)]
mod tests;
pub mod transcript;

use clap::Parser;
use clap::Subcommand;

use crate::cli::commands::backup::Backup;
use crate::cli::commands::check_config::CheckConfig;
use crate::cli::commands::connect::Connect;
use crate::cli::commands::demo::Demo;
use crate::cli::commands::doctor::Doctor;
use crate::cli::commands::drain::Drain;
use crate::cli::commands::events::Events;
use crate::cli::commands::headers::Headers;
use crate::cli::commands::logs::Logs;
use crate::cli::commands::pause::Pause;
use crate::cli::commands::pause::Resume;
use crate::cli::commands::rotate_token::RotateToken;
use crate::cli::commands::scripted_agent::ScriptedAgent;
use crate::cli::commands::serve::Serve;
use crate::cli::commands::status::Status;
use crate::cli::commands::tickets::Tickets;
use crate::cli::commands::usage::Usage;
use crate::cli::commands::why::Why;
use crate::cli::commands::workers::Workers;

const EXAMPLES: &str = "\
Examples:
  vibe-ensemble demo                  See one ticket go through three workers, in a temporary place
  vibe-ensemble serve                 Run the server in the foreground
  vibe-ensemble connect               Make claude in this directory the coordinator
  vibe-ensemble doctor                Find out what is missing, and what to do about it
  vibe-ensemble status                What the running server is doing
  vibe-ensemble tickets --state on_hold
                                      The tickets that wait for a decision
  vibe-ensemble why T-42              Why T-42 is not running, and what would move it
  vibe-ensemble usage --by ticket     What each ticket has cost
  vibe-ensemble logs T-42 --follow    What the worker of T-42 is saying

Exit codes:
  0 ok   1 understood and failed   2 bad command line   69 server not reachable
  75 another instance holds the lock   78 bad configuration

'vibe-ensemble COMMAND --help' explains a command and its options.";

/// MCP server that lets Claude Code work through a queue of tickets with headless workers
///
/// A coordinator, an interactive Claude Code, creates projects, worker types and tickets over MCP. The server starts one
/// worker per ticket stage, supervises it, and keeps every ticket's state in one database. Killing or upgrading the
/// server stops no worker and loses no work.
#[derive(Debug, Parser)]
#[command(name = "vibe-ensemble", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server in the foreground
    ///
    /// Logs go to standard error, to the journal under systemd. Workers outlive the server: stop and start it at any time.
    /// Signals: TERM and INT stop it, HUP reloads the configuration, USR1 logs its state, USR2 toggles drain.
    Serve(Serve),
    /// Run one ticket through three workers, in a temporary place
    ///
    /// Starts a server on temporary state and a free port, makes a small git project with three worker types, runs one
    /// three-stage ticket through real workers, and prints each step as it happens. Everything is removed afterwards.
    Demo(Demo),
    /// Set Claude Code up as the coordinator
    ///
    /// Afterwards `claude` in the directory has this server's tools and the skills to use them. Writes .mcp.json,
    /// .claude/settings.local.json (which approves the server) and .claude/skills/vibe-*, and prints each. What it did not
    /// write it does not overwrite. No file holds the token: Claude Code runs `vibe-ensemble headers` to learn it.
    Connect(Connect),
    /// Check everything a server needs, and say what to do
    ///
    /// Looks and changes nothing. Exits 1 when a check failed; a warning is no failure.
    Doctor(Doctor),
    /// Check the configuration and show the values that count
    ///
    /// Takes the options of `serve`. Every problem is reported, with its place; exits 78 when there is one.
    CheckConfig(CheckConfig),
    /// Show what the running server is doing
    Status(Status),
    /// List the workers
    Workers(Workers),
    /// List tickets, or show one
    Tickets(Tickets),
    /// Say why a ticket is not running, and what would move it
    Why(Why),
    /// Sum up what the work has used: dollars, tokens, turns, time, memory
    ///
    /// Dollars are what claude reported, at its list prices. An attempt counts on the day it ended, in UTC.
    Usage(Usage),
    /// Start nothing new in a queue, a project or everything
    ///
    /// What runs goes on, and tickets stay queued until `resume`. Without a project everything is paused. Unlike `drain` it
    /// outlives a restart of the server.
    Pause(Pause),
    /// Let a queue, a project or everything go on
    ///
    /// Ends what `pause` paused, what a failure paused, and a usage limit's hold on everything.
    Resume(Resume),
    /// Print what happens, one line per event
    ///
    /// Only looks: no event is marked as processed. With --follow it goes on for ever, over restarts of the server.
    Events(Events),
    /// Print what a worker said during an attempt
    ///
    /// Reads the run directory, so it needs no running server.
    Logs(Logs),
    /// Write a checked copy of the database
    ///
    /// Works while the server runs and when it does not. To restore: stop the server, remove vibe-ensemble.db-wal and
    /// vibe-ensemble.db-shm from the state directory, copy the backup over vibe-ensemble.db, start the server. Leave
    /// everything else in the state directory: what ran since the backup is recognised by it.
    Backup(Backup),
    /// Print the HTTP header with the token, as JSON
    ///
    /// What Claude Code runs as `headersHelper`, so that no file of a repository holds the token.
    Headers(Headers),
    /// Give the coordinator another token, while the server runs
    ///
    /// The old one is refused from then on, also to calls that wait. Prints the token's file, never the token. Refused where
    /// the token comes from outside (`token_file`, a credential of systemd): whoever keeps that file replaces it.
    RotateToken(RotateToken),
    /// Let workers finish and start nothing new
    ///
    /// Waits until no worker is busy. Tickets stay queued; `drain --off` or a restart of the server goes on with them.
    Drain(Drain),
    /// The agent of the demo: does one fixed small job and reports like claude
    #[command(hide = true, disable_help_flag = true, disable_version_flag = true)]
    ScriptedAgent(ScriptedAgent),
}
