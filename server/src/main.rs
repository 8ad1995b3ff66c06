//! `vibe-ensemble`: parses the command line, runs the command, maps its end to an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::Parser as _;
use vibe_ensemble_server::cli::Cli;
use vibe_ensemble_server::cli::failure;
use vibe_ensemble_server::cli::output;
use vibe_ensemble_server::cli::run;
use vibe_ensemble_server::cli::slips;
use vibe_ensemble_server::config::Environment;
use vibe_ensemble_server::exit::Exit;
use vibe_ensemble_server::telemetry;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(words) => {
            let typed: Vec<String> = std::env::args().skip(1).collect();
            let words = slips::helped(words, &Cli::command(), &typed);
            // Help and version are errors to clap; that they could not be printed changes nothing.
            words.print().unwrap_or_default();
            return if words.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    let environment = cli.color.applied(&Environment::of_process());
    match run::run(cli, &environment) {
        Ok(exit) => exit.into(),
        Err(error) if failure::is_closed_output(&error) => Exit::Ok.into(),
        Err(error) => {
            let (red, plain) =
                if telemetry::colour(&environment) { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
            let words = output::said(format_args!("{error:#}"), "error: ".len());
            writeln!(std::io::stderr(), "{red}error:{plain} {words}").unwrap_or_default();
            failure::exit_of(&error).into()
        }
    }
}
