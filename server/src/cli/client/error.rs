//! Why a server did not answer, or did not say yes.

use std::io;
use std::path::PathBuf;

use reqwest::StatusCode;

use crate::state::StateError;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "no server is running with {address_file}; start one with `vibe-ensemble serve`, or name its directories with --state-dir and --runtime-dir"
    )]
    NotRunning { address_file: PathBuf },
    #[error("could not read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{given:?} is no address of a server; one looks like http://127.0.0.1:3276 (--url, VIBE_ENSEMBLE_URL)"
    )]
    Address { given: String },
    #[error("could not prepare the HTTP client")]
    Prepare(#[source] reqwest::Error),
    #[error(
        "the server at {url} does not answer; look at `vibe-ensemble doctor`, or start it with `vibe-ensemble serve`"
    )]
    Unreachable { url: String, source: reqwest::Error },
    #[error("the server at {url} did not answer {tool} to the end")]
    Broken { url: String, tool: String, source: reqwest::Error },
    #[error("there is no token file {path}, which --token-file or VIBE_ENSEMBLE_TOKEN_FILE names")]
    NoTokenFile { path: PathBuf },
    #[error(
        "the token was not sent, because the one who listens at {url} may be a stranger: {who}. Start the server, or see \
         who has its port with `ss -ltnp`; name another address with --url"
    )]
    Stranger { url: String, who: String },
    #[error("the server at {url} wants another token; name its file with --token-file")]
    Unauthorized { url: String },
    #[error("the server at {url} answered {status} to {tool}")]
    Status { url: String, tool: String, status: StatusCode },
    #[error("the server at {url} answered {tool} with something that is no MCP: {what}")]
    NoMcp { url: String, tool: String, what: &'static str },
    #[error(transparent)]
    State(#[from] StateError),
    #[error("{tool} failed: {message}")]
    Protocol { tool: String, message: String },
    /// The server understood and said no, with the next step.
    #[error("{0}")]
    Refused(String),
}

impl ClientError {
    /// Whether there is nobody to talk to.
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
