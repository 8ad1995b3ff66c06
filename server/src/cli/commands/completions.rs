//! `completions`: what a shell needs to complete this command line.

use std::io;
use std::io::Write as _;

use clap::Args;
use clap::Command;
use clap_complete::Shell;

use crate::exit::Exit;

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// `cli`: the whole command line.
pub fn run(command: &Completions, cli: &mut Command) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, cli, "vibe-ensemble", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(Exit::Ok)
}
