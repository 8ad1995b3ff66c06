//! From a parsed command line to the command.

use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Builder;

use crate::cli::Cli;
use crate::cli::Command;
use crate::cli::Serve;
use crate::commands::activation;
use crate::commands::backup;
use crate::commands::check_config;
use crate::commands::connect;
use crate::commands::demo;
use crate::commands::doctor;
use crate::commands::drain;
use crate::commands::events;
use crate::commands::headers;
use crate::commands::logs;
use crate::commands::pause;
use crate::commands::rotate_token;
use crate::commands::scripted_agent;
use crate::commands::serve;
use crate::commands::status;
use crate::commands::tickets;
use crate::commands::usage;
use crate::commands::why;
use crate::commands::workers;
use crate::config;
use crate::config::Environment;
use crate::exit::Exit;
use crate::lifecycle;
use crate::lifecycle::Lifecycle;
use crate::telemetry;

/// How long blocking work may go on after the server has ended.
const LEFTOVERS: Duration = Duration::from_millis(500);

/// Runs one command.
pub fn run(cli: Cli, environment: &Environment) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Serve(command) => server(&command, environment),
        Command::CheckConfig(command) => check_config::run(&command, environment),
        Command::ScriptedAgent(command) => scripted_agent::run(&command, environment),
        Command::Headers(command) => client(headers::run(&command, environment)),
        Command::Connect(command) => client(connect::run(&command, environment)),
        Command::RotateToken(command) => client(rotate_token::run(&command, environment)),
        Command::Demo(command) => client(demo::run(&command, environment)),
        Command::Doctor(command) => client(doctor::run(&command, environment)),
        Command::Status(command) => client(status::run(&command, environment)),
        Command::Workers(command) => client(workers::run(&command, environment)),
        Command::Tickets(command) => client(tickets::run(&command, environment)),
        Command::Why(command) => client(why::run(&command, environment)),
        Command::Usage(command) => client(usage::run(&command, environment)),
        Command::Pause(command) => client(pause::pause(&command, environment)),
        Command::Resume(command) => client(pause::resume(&command, environment)),
        Command::Events(command) => client(events::run(&command, environment)),
        Command::Logs(command) => client(logs::run(&command, environment)),
        Command::Backup(command) => client(backup::run(&command, environment)),
        Command::Drain(command) => client(drain::run(&command, environment)),
    }
}

fn client(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context("could not start the runtime")?.block_on(command)
}

fn server(command: &Serve, environment: &Environment) -> anyhow::Result<Exit> {
    let held = lifecycle::hold_signals().context("could not hold back signals")?;
    let config = config::load(&command.flags, environment)?;
    telemetry::init(&config.log, environment)?;
    let passed = activation::take(environment)?;
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("could not start the runtime")?;
    let ended = runtime.block_on(async {
        let lifecycle = Lifecycle::start(&held).context("could not take over the signals")?;
        let over = lifecycle.ended();
        tokio::select! {
            ended = serve::run(config, passed, lifecycle) => ended,
            exit = over => Ok(exit),
        }
    });
    // A blocked thread must not keep a process that has ended.
    runtime.shutdown_timeout(LEFTOVERS);
    ended
}
