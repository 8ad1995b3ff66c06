//! The command line: the commands of `vibe-ensemble`, and their help.
//!
//! Invariant: data goes to standard output, messages about it to standard error.

pub mod act;
pub mod client;
pub mod commands;
pub mod connection;
pub mod details;
pub mod event_log;
pub mod failure;
pub mod here;
pub mod ids;
pub mod output;
pub mod pauses;
#[cfg(test)]
mod printed;
pub mod progress;
pub mod queues;
pub mod run;
pub mod slips;
pub mod terminal;
#[cfg(test)]
mod tests;
pub mod transcript;
pub mod waiting;
pub mod whole;

use clap::Parser;
use clap::Subcommand;

use crate::cli::commands::answer::Answer;
use crate::cli::commands::backup::Backup;
use crate::cli::commands::call::Call;
use crate::cli::commands::check_config::CheckConfig;
use crate::cli::commands::check_project::CheckProject;
use crate::cli::commands::completions::Completions;
use crate::cli::commands::connect::Connect;
use crate::cli::commands::connect::Disconnect;
use crate::cli::commands::dashboard::Dashboard;
use crate::cli::commands::demo::Demo;
use crate::cli::commands::diff::Diff;
use crate::cli::commands::doctor::Doctor;
use crate::cli::commands::drain::Drain;
use crate::cli::commands::event::Event;
use crate::cli::commands::events::Events;
use crate::cli::commands::gates::GateNoun;
use crate::cli::commands::gates::Gates;
use crate::cli::commands::headers::Headers;
use crate::cli::commands::inbox::Inbox;
use crate::cli::commands::logs::Logs;
use crate::cli::commands::notify::Notify;
use crate::cli::commands::pause::Pause;
use crate::cli::commands::pause::Resume;
use crate::cli::commands::project::Project;
use crate::cli::commands::queue::Queue;
use crate::cli::commands::restore::Restore;
use crate::cli::commands::rotate_token::RotateToken;
use crate::cli::commands::scripted_agent::ScriptedAgent;
use crate::cli::commands::serve::Serve;
use crate::cli::commands::status::Status;
use crate::cli::commands::stop::Stop;
use crate::cli::commands::ticket::Ticket;
use crate::cli::commands::tickets::Tickets;
use crate::cli::commands::top::Top;
use crate::cli::commands::usage::Usage;
use crate::cli::commands::why::Why;
use crate::cli::commands::worker::Worker;
use crate::cli::commands::worker_type::WorkerType;
use crate::cli::commands::workers::Workers;
use crate::cli::terminal::ColorWhen;

/// A gate, as one is written.
const GATE: &str = "\
Example:
  [[gate]]
  name = \"test\"
  command = [\"cargo\", \"test\"]
  stages = [\"implement\"]       # default: after every stage that changed something

  What fails on the commit at which the ticket began is not the ticket's fault and lets it
  pass; with `baseline = false`, nothing is forgiven.";

const EXAMPLES: &str = "\
Examples:
  vibe-ensemble demo                  Watch one ticket go through three workers, in a temporary directory
  vibe-ensemble serve                 Run the server in the foreground
  vibe-ensemble connect               Make claude in this directory the coordinator
  vibe-ensemble doctor                Find out what is missing, and how to fix it
  vibe-ensemble status                Show what the running server is doing
  vibe-ensemble dashboard             Open its dashboard in your browser
  vibe-ensemble tickets --state on_hold
                                      List the tickets that need a decision
  vibe-ensemble why T-42              Explain why T-42 is not running, and what would start it
  vibe-ensemble usage --by ticket     Show what each ticket has cost
  vibe-ensemble logs T-42 --follow    Follow what the worker of T-42 is doing
  vibe-ensemble answer T-42 'No'      Answer the question of T-42, and send it on
  vibe-ensemble ticket create shop 'Refuse expired coupons' --plan implement,review
                                      Create a ticket

Exit codes:
  0 success   1 failure   2 bad command line   69 server not reachable
  75 another instance or program is in the way   78 bad configuration

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
    /// `disconnect` takes it all out again. Never overwrites a file or an entry that it did not write. No file contains the token: Claude Code runs
    /// `vibe-ensemble headers` to read it.
    Connect(Connect),
    /// Check everything that a server needs, and explain how to fix what is wrong
    ///
    /// Read-only. Exits with 1 when a check fails; a warning is not a failure.
    Doctor(Doctor),
    /// Validate the configuration and print the effective values
    ///
    /// Reports every problem with its place, and exits with 78 when there is one.
    CheckConfig(CheckConfig),
    /// Check a project's .vibe-ensemble.toml and print the settings that apply
    ///
    /// The file says what a new worktree needs and which commands decide whether a stage is done. A ticket reads it from the
    /// commit at which it begins, so commit it.
    ///
    /// Reads the file in the directory, without a server. Prints each key with its value and where that comes from, or each
    /// problem with its line and column and the key that was probably meant. Exits with 78 if the file is not valid.
    #[command(after_long_help = GATE)]
    CheckProject(CheckProject),
    /// Show what the running server is doing
    Status(Status),
    /// Watch the workers: memory, processor, dollars, and what each did last
    ///
    /// Takes the whole screen until q or Ctrl-C is pressed. In a pipe, it prints one table and ends; its CPU column has
    /// the average since each worker started.
    Top(Top),
    /// List workers
    Workers(Workers),
    /// Open the dashboard in your browser
    ///
    /// Makes a link that begins one session of the dashboard and is good once, within five minutes. Without a desktop, or
    /// with --print, prints the link. A session lasts as long as the server's option `session_hours` says.
    Dashboard(Dashboard),
    /// List open tickets, or show one
    Tickets(Tickets),
    /// Show what a ticket changed
    ///
    /// Compares the commit at which the work of the ticket began with the last one that was accepted, in the repository of
    /// its project. Works for open and closed tickets.
    Diff(Diff),
    /// Show the gates of a ticket, and what each found
    Gates(Gates),
    /// List, run and waive the gates of a ticket
    Gate(GateNoun),
    /// List what waits for somebody, oldest first, with the commands that settle it
    Inbox(Inbox),
    /// List, test and resume notifiers: commands and webhooks that receive events
    ///
    /// A notifier is a table `[[notify]]` of the configuration file. One whose messages do not arrive is paused after many tries; what
    /// happens meanwhile is kept for it.
    Notify(Notify),
    /// Explain why a ticket is not running, and what would start it
    Why(Why),
    /// Answer the question of a ticket that is on hold, and send it on
    ///
    /// Adds your answer as a comment and sends the ticket back to its queue; the next attempt reads it. Without an answer on
    /// the command line, your editor opens when VISUAL or EDITOR is set.
    Answer(Answer),
    /// Create, change, comment on, complete, close and resume tickets
    #[command(name = "ticket")]
    Ticket(Ticket),
    /// Create, show, change and delete projects
    #[command(alias = "projects")]
    Project(Project),
    /// Create, show, change and delete worker types
    #[command(name = "type", aliases = ["types", "worker-type", "worker-types"])]
    WorkerType(WorkerType),
    /// Start, show and stop workers
    Worker(Worker),
    /// Show and empty queues
    #[command(alias = "queues")]
    Queue(Queue),
    /// List events, and mark them as processed
    Event(Event),
    /// Call any tool of the coordinator, with its arguments as JSON
    ///
    /// Prints the tool's answer as JSON. Without a tool, lists the tools.
    Call(Call),
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
    /// Ends the pauses that `pause`, `stop` or a failure put on it, and says what stays paused, and why. Without a project,
    /// it also ends a pause for a usage limit. `resume T-42` sends a ticket on hold back to its queue.
    Resume(Resume),
    /// Stop one agent, those of a project, or all of them, and keep them stopped
    ///
    /// The tickets go on hold, and a project or the server is paused too. Works without a server as well: then the agents
    /// that it left running are stopped, and its next start finds the pause. What an agent completed before it heard of the
    /// stop is kept.
    Stop(Stop),
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
    /// Works with and without a running server. `vibe-ensemble restore` puts it back.
    Backup(Backup),
    /// Put a backup in the place of the database
    ///
    /// Refused while a server runs. Checks the backup first, and keeps the database that was there. Leave everything else in
    /// the state directory: from it, the server recognizes what ran since the backup.
    Restore(Restore),
    /// Take out what `connect` put into a directory, or into the settings of this user
    ///
    /// Removes the entry of the server, its approval, and the skills that nobody changed. Everything else stays as it is.
    Disconnect(Disconnect),
    /// Print the completions of a shell
    ///
    /// For bash, for example: vibe-ensemble completions bash > ~/.local/share/bash-completion/completions/vibe-ensemble
    Completions(Completions),
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
