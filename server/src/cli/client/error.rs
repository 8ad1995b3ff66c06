//! Why a server did not answer, or did not say yes.

use std::io;
use std::path::PathBuf;

use reqwest::StatusCode;

use crate::state::StateError;
use crate::wire::wrong::WrongField;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "no server is running (there is no valid {address_file}); start one with `vibe-ensemble serve`, or give its directories with --state-dir and --runtime-dir"
    )]
    NotRunning { address_file: PathBuf },
    #[error("could not read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{given:?} is not a server URL; use one such as http://127.0.0.1:3276 (--url, VIBE_ENSEMBLE_URL)"
    )]
    Address { given: String },
    #[error("could not prepare the HTTP client")]
    Prepare(#[source] reqwest::Error),
    #[error(
        "the server at {url} does not answer; start it with `vibe-ensemble serve`, or run `vibe-ensemble doctor`"
    )]
    Unreachable { url: String, source: reqwest::Error },
    #[error("the connection to the server at {url} broke during {tool}")]
    Broken { url: String, tool: String, source: reqwest::Error },
    #[error(
        "the token file {path}, set by --token-file or VIBE_ENSEMBLE_TOKEN_FILE, does not exist"
    )]
    NoTokenFile { path: PathBuf },
    #[error(
        "the token was not sent, because the listener at {url} may not be your server: {who}. Start the server, or find out \
         which process has its port with `ss -ltnp`; to use another address, give --url"
    )]
    Stranger { url: String, who: String },
    #[error(
        "the server at {url} does not accept this token; give the right token file with --token-file"
    )]
    Unauthorized { url: String },
    #[error(
        "what you gave is longer than the server takes: 1 MiB for one text, 4 MiB for all together; shorten it, or put it \
         into a file of the project and name that file"
    )]
    TooLong,
    #[error("the server at {url} answered {status} to {tool}")]
    Status { url: String, tool: String, status: StatusCode },
    #[error("the server at {url} returned a response to {tool} that is not valid MCP: {what}")]
    NoMcp { url: String, tool: String, what: &'static str },
    #[error(
        "the server at {url} answered {tool} in a form that this version of vibe-ensemble does not know; install one \
         version of both"
    )]
    Unreadable { url: String, tool: String, source: serde_json::Error },
    #[error(transparent)]
    State(#[from] StateError),
    #[error("{tool} failed: {message}")]
    Protocol { tool: String, message: String },
    /// Arguments that the tool does not take, in parts.
    #[error("{}", .wrong.iter().map(|wrong| wrong.said(&wrong.field)).collect::<Vec<_>>().join("; "))]
    Wrong { tool: String, wrong: Vec<WrongField> },
    /// The server understood and said no, with the next step.
    #[error("{0}")]
    Refused(String),
}

impl ClientError {
    /// Whether no server could be reached.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::NotRunning { .. } | Self::Unreachable { .. } | Self::Stranger { .. })
    }

    /// Whether the same call may work once the server is back.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        let failing = matches!(self, Self::Status { status, .. } if status.is_server_error());
        failing || matches!(self, Self::Broken { .. }) || self.is_unreachable()
    }
}

/// Whether a command failed because no server runs here.
#[must_use]
pub fn is_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(
            cause.downcast_ref(),
            Some(ClientError::NotRunning { .. } | ClientError::Unreachable { .. })
        )
    })
}
