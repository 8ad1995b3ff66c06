//! The command line: what can be asked, and the words that explain it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;

use crate::config::Flags;

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

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// The agent to run: a path, or `claude` for the real one
    ///
    /// Without it a scripted agent is used, which needs neither an account nor a network and costs nothing.
    #[arg(long, value_name = "PATH")]
    pub agent: Option<PathBuf>,
    /// Path of vibe-ensemble-shim [default: beside this program, then in PATH]
    #[arg(long, value_name = "PATH")]
    pub shim: Option<PathBuf>,
    /// Keep the project and the server's files, and say where they are
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub flags: Flags,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CheckConfig {
    #[command(flatten)]
    pub flags: Flags,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which server to talk to.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which server")]
pub struct Connection {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// State directory of the server
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<String>,
    /// Runtime directory of the server
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<String>,
    /// Address of the server, such as `http://127.0.0.1:3276` [default: from http.addr in the runtime directory]
    ///
    /// Also as `VIBE_ENSEMBLE_URL`.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// File with the token [default: the one the server takes]
    ///
    /// Also as `VIBE_ENSEMBLE_TOKEN_FILE`.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl Connection {
    /// The part of these options that is configuration.
    #[must_use]
    pub fn flags(&self) -> Flags {
        let given = [("state_dir", &self.state_dir), ("runtime_dir", &self.runtime_dir)];
        let given =
            given.into_iter().filter_map(|(name, dir)| Some((name, dir.clone()?))).collect();
        Flags { config: self.config.clone(), given }
    }
}

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    pub connection: Connection,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Workers {
    /// Workers of this project only
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Workers in this state only: launching, idle, busy, stopping or stopped [default: all but stopped]
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// Stopped workers too
    #[arg(long, conflicts_with = "state")]
    pub all: bool,
    /// Print at most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct Tickets {
    /// Show this ticket with its comments and attempts, such as T-42
    #[arg(value_name = "TICKET", conflicts_with_all = ["project", "state", "stage", "limit"])]
    pub ticket: Option<String>,
    /// Tickets of this project only
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Tickets in this state only: blocked, scheduled, queued, running, `on_hold` or closed
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// Tickets at this stage only
    #[arg(long, value_name = "WORKER_TYPE")]
    pub stage: Option<String>,
    /// Print at most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct Why {
    /// The ticket, such as T-42
    #[arg(value_name = "TICKET")]
    pub ticket: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

/// What `usage` sums by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UsageBy {
    Day,
    Project,
    // As the tool has it, beside what this command line makes of it.
    #[value(alias = "worker_type")]
    WorkerType,
    Ticket,
    Stage,
    Attempt,
}

impl UsageBy {
    /// As `get_usage` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Project => "project",
            Self::WorkerType => "worker_type",
            Self::Ticket => "ticket",
            Self::Stage => "stage",
            Self::Attempt => "attempt",
        }
    }

    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Day => "DAY",
            Self::Project => "PROJECT",
            Self::WorkerType => "WORKER TYPE",
            Self::Ticket => "TICKET",
            Self::Stage => "STAGE",
            Self::Attempt => "ATTEMPT",
        }
    }
}

#[derive(Debug, Args)]
pub struct Usage {
    /// What to sum by
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = UsageBy::Day)]
    pub by: UsageBy,
    /// Attempts of this project only
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Attempts at this ticket only
    #[arg(long, value_name = "T-N")]
    pub ticket: Option<String>,
    /// Attempts of this worker type only
    #[arg(long, value_name = "WORKER_TYPE")]
    pub worker_type: Option<String>,
    /// Attempts of this day (2026-11-22, UTC) or instant (RFC 3339) and later
    #[arg(long, value_name = "DAY")]
    pub since: Option<String>,
    /// Attempts of before this day or instant
    #[arg(long, value_name = "DAY")]
    pub until: Option<String>,
    /// Print at most this many groups; the total is over all
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

/// What is paused or resumed.
#[derive(Debug, Args)]
pub struct PauseScope {
    /// The project [default: everything]
    #[arg(value_name = "PROJECT")]
    pub project: Option<String>,
    /// Only the queue of this worker type
    #[arg(value_name = "WORKER_TYPE")]
    pub worker_type: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct Pause {
    #[command(flatten)]
    pub scope: PauseScope,
    /// Why, in one sentence
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct Resume {
    #[command(flatten)]
    pub scope: PauseScope,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Events {
    /// Wait for further events, for ever
    #[arg(long, short)]
    pub follow: bool,
    /// Begin after the event with this number [default: the beginning; with --follow: now]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub after: Option<i64>,
    /// Only events the coordinator has not marked as processed, from the oldest of them on
    #[arg(long, conflicts_with = "after")]
    pub unmarked: bool,
    /// Events of these kinds only, separated by commas, such as `ticket_on_hold,ticket_closed`
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub kinds: Vec<String>,
    /// With --follow: wait for a server that is not there yet, instead of failing
    #[arg(long, requires = "follow")]
    pub retry: bool,
    /// Events of this project only
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Events of this ticket only
    #[arg(long, value_name = "T-N")]
    pub ticket: Option<String>,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Logs {
    /// An attempt, such as A-17, or a ticket, such as T-42, for its latest attempt
    #[arg(value_name = "ATTEMPT|TICKET")]
    pub id: String,
    /// Print standard error of the agent instead
    #[arg(long)]
    pub stderr: bool,
    /// Go on until the attempt ends
    #[arg(long, short)]
    pub follow: bool,
    /// Print the lines as the agent wrote them
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
    /// Print one JSON object for each line: `attempt_id`, `stream`, and the agent's `message`, or `text` if it is no JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct Backup {
    /// The file to write; it must not be there yet
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// State directory of the server
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<String>,
}

impl Backup {
    /// The part of these options that is configuration.
    #[must_use]
    pub fn flags(&self) -> Flags {
        let given = self.state_dir.clone().map(|dir| ("state_dir", dir));
        Flags { config: self.config.clone(), given: given.into_iter().collect() }
    }
}

/// For whom Claude Code is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// Whoever runs claude in the directory
    Project,
    /// This user, in every directory
    User,
}

#[derive(Debug, Args)]
pub struct Connect {
    /// The directory claude will run in [default: the current one]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Set up one directory, or every directory of this user
    #[arg(long, value_enum, value_name = "SCOPE", default_value = "project")]
    pub scope: Scope,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct Headers {
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct RotateToken {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// State directory of the server
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<String>,
    /// Runtime directory of the server
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<String>,
}

impl RotateToken {
    /// These options as configuration.
    #[must_use]
    pub fn flags(&self) -> Flags {
        let given = [("state_dir", &self.state_dir), ("runtime_dir", &self.runtime_dir)];
        let given =
            given.into_iter().filter_map(|(name, dir)| Some((name, dir.clone()?))).collect();
        Flags { config: self.config.clone(), given }
    }
}

#[derive(Debug, Args)]
pub struct Drain {
    /// End the drain: start work again
    #[arg(long)]
    pub off: bool,
    /// Return at once, without waiting for busy workers
    #[arg(long, conflicts_with = "off")]
    pub no_wait: bool,
    /// Print JSON at the end: `draining`, and the workers that are `busy`
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct ScriptedAgent {
    /// Arguments meant for claude
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_is_the_reviewed_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli_help.txt");
        let help = Cli::command().term_width(100).render_long_help().to_string();
        if std::env::vars_os().any(|(name, _)| name == "UPDATE_SNAPSHOTS") {
            std::fs::write(path, &help).expect("writes");
        }
        let reviewed = std::fs::read_to_string(path).expect("reads the snapshot");
        assert!(
            help == reviewed,
            "run the tests with UPDATE_SNAPSHOTS=1 and look at the difference"
        );
    }

    #[test]
    fn the_help_of_each_command_is_the_reviewed_one() {
        let mut cli = Cli::command().term_width(100);
        cli.build();
        for command in cli.get_subcommands_mut() {
            // It takes the options of claude, and `--help` is one of them.
            if command.get_name() == "scripted-agent" || command.get_name() == "help" {
                continue;
            }
            let help = command.render_long_help().to_string();
            crate::snapshot::holds(&format!("help-{}", command.get_name()), &help);
        }
    }

    #[test]
    fn first_lines_end_without_a_full_stop() {
        for command in Cli::command().get_subcommands() {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(
                !about.is_empty() && !about.ends_with('.'),
                "{}: {about:?}",
                command.get_name()
            );
        }
    }

    #[test]
    fn the_scripted_agent_takes_what_claude_takes() {
        let given =
            ["vibe-ensemble", "scripted-agent", "-p", "--session-id", "x", "--version", "--help"];
        let command = Cli::try_parse_from(given).expect("parses").command;
        assert!(matches!(command, Command::ScriptedAgent(agent) if agent.arguments.len() == 5));
    }

    #[test]
    fn options_of_the_table_are_flags_of_serve() {
        let given = "vibe-ensemble serve --max-workers 3 --config x.toml --env-pass=A,B";
        let command = Cli::try_parse_from(given.split(' ')).expect("parses").command;
        let Command::Serve(Serve { flags }) = command else { panic!("expected serve") };
        assert_eq!(flags.config, Some("x.toml".into()));
        assert_eq!(
            (flags.given["max_workers"].as_str(), flags.given["env_pass"].as_str()),
            ("3", "A,B")
        );
        assert!(Cli::try_parse_from(["vibe-ensemble", "serve", "--env", "A=B"]).is_err());
    }
}
