//! Which server a command is about: the options that many commands have.

use std::path::PathBuf;

use clap::Args;

use crate::config::Flags;

// Plain comments instead of doc comments on these: clap would print a doc comment of a flattened struct as the summary of
// the command that it is flattened into.

// Where the state of a server is, for commands that read files and need no running server.
#[derive(Clone, Debug, Default, Args)]
pub struct StateArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// State directory of the server
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<String>,
}

impl StateArgs {
    /// These options as configuration.
    #[must_use]
    pub fn flags(&self) -> Flags {
        let given = self.state_dir.clone().map(|dir| ("state_dir", dir));
        Flags { config: self.config.clone(), given: given.into_iter().collect() }
    }
}

// Both directories of a server, for commands that also look whether it runs.
#[derive(Clone, Debug, Default, Args)]
pub struct DirectoryArgs {
    #[command(flatten)]
    pub state: StateArgs,
    /// Runtime directory of the server
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<String>,
}

impl DirectoryArgs {
    /// These options as configuration.
    #[must_use]
    pub fn flags(&self) -> Flags {
        let mut flags = self.state.flags();
        flags.given.extend(self.runtime_dir.clone().map(|dir| ("runtime_dir", dir)));
        flags
    }
}

// Which server to talk to.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which server")]
#[expect(clippy::doc_markdown, reason = "clap prints these comments as they are")]
pub struct Connection {
    #[command(flatten)]
    pub directories: DirectoryArgs,
    /// URL of the server, such as `http://127.0.0.1:3276` [default: from http.addr in the runtime directory]
    ///
    /// Environment variable: VIBE_ENSEMBLE_URL.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// File that contains the token [default: the token file of the server]
    ///
    /// Environment variable: VIBE_ENSEMBLE_TOKEN_FILE.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl Connection {
    /// Whether a certain server is meant, and not the one that runs here.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.url.is_some() || self.token_file.is_some()
    }

    /// The part of these options that is configuration.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.directories.flags()
    }
}
