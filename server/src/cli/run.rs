//! From a parsed command line to the command.

use std::future::Future;

use anyhow::Context as _;
use clap::CommandFactory as _;
use tokio::runtime::Builder;

use crate::cli::Cli;
use crate::cli::Command;
use crate::cli::commands::answer;
use crate::cli::commands::backup;
use crate::cli::commands::call;
use crate::cli::commands::check_config;
use crate::cli::commands::check_project;
use crate::cli::commands::completions;
use crate::cli::commands::connect;
use crate::cli::commands::dashboard;
use crate::cli::commands::demo;
use crate::cli::commands::diff;
use crate::cli::commands::doctor;
use crate::cli::commands::drain;
use crate::cli::commands::event;
use crate::cli::commands::events;
use crate::cli::commands::gates;
use crate::cli::commands::headers;
use crate::cli::commands::inbox;
use crate::cli::commands::logs;
use crate::cli::commands::notify;
use crate::cli::commands::pause;
use crate::cli::commands::project;
use crate::cli::commands::queue;
use crate::cli::commands::restore;
use crate::cli::commands::rotate_token;
use crate::cli::commands::scripted_agent;
use crate::cli::commands::serve;
use crate::cli::commands::status;
use crate::cli::commands::stop;
use crate::cli::commands::ticket;
use crate::cli::commands::tickets;
use crate::cli::commands::top;
use crate::cli::commands::usage;
use crate::cli::commands::why;
use crate::cli::commands::worker;
use crate::cli::commands::worker_type;
use crate::cli::commands::workers;
use crate::cli::failure;
use crate::config::Environment;
use crate::exit::Exit;

/// Runs one command.
pub fn run(cli: Cli, environment: &Environment) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Serve(command) => serve::run(&command, environment),
        Command::CheckConfig(command) => check_config::run(&command, environment),
        Command::CheckProject(command) => client(check_project::run(&command, environment)),
        Command::ScriptedAgent(command) => scripted_agent::run(&command, environment),
        Command::Headers(command) => client(headers::run(&command, environment)),
        Command::Completions(command) => completions::run(&command, &mut Cli::command()),
        Command::Restore(command) => client(restore::run(&command, environment)),
        Command::Disconnect(command) => client(connect::disconnect(&command, environment)),
        Command::Connect(command) => client(connect::run(&command, environment)),
        Command::RotateToken(command) => client(rotate_token::run(&command, environment)),
        Command::Dashboard(command) => client(dashboard::run(&command, environment)),
        Command::Demo(command) => client(demo::run(&command, environment)),
        Command::Doctor(command) => client(doctor::run(&command, environment)),
        Command::Status(command) => client(status::run(&command, environment)),
        Command::Top(command) => client(top::run(&command, environment)),
        Command::Workers(command) => client(workers::run(&command, environment)),
        Command::Tickets(command) => client(tickets::run(&command, environment)),
        Command::Diff(command) => client(diff::run(&command, environment)),
        Command::Gates(command) => client(gates::list(&command, environment)),
        Command::Gate(command) => client(gates::gate(command, environment)),
        Command::Inbox(command) => client(inbox::run(&command, environment)),
        Command::Notify(command) => client(notify::run(command, environment)),
        Command::Why(command) => client(why::run(&command, environment)),
        Command::Usage(command) => client(usage::run(&command, environment)),
        Command::Pause(command) => client(pause::pause(&command, environment)),
        Command::Stop(command) => client(stop::run(&command, environment)),
        Command::Resume(command) => client(pause::resume(&command, environment)),
        Command::Answer(command) => client(answer::run(&command, environment)),
        Command::Ticket(command) => client(ticket::run(command, environment)),
        Command::Project(command) => client(project::run(command, environment)),
        Command::WorkerType(command) => client(worker_type::run(command, environment)),
        Command::Worker(command) => client(worker::run(command, environment)),
        Command::Queue(command) => client(queue::run(command, environment)),
        Command::Event(command) => client(event::run(command.command, environment)),
        // A user who types fields reads of fields.
        Command::Call(command) => wait(call::run(&command, environment)),
        Command::Events(command) => client(events::run(&command, environment)),
        Command::Logs(command) => client(logs::run(&command, environment)),
        Command::Backup(command) => client(backup::run(&command, environment)),
        Command::Drain(command) => client(drain::run(&command, environment)),
    }
}

fn client(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    wait(command).map_err(failure::worded)
}

fn wait(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context("could not start the runtime")?.block_on(command)
}
