//! `serve`: runs the server in the foreground.

use clap::Args;

use crate::config::Environment;
use crate::config::Flags;
use crate::exit::Exit;
use crate::serve;

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    pub flags: Flags,
}

pub fn run(command: &Serve, environment: &Environment) -> anyhow::Result<Exit> {
    serve::serve(&command.flags, environment)
}
