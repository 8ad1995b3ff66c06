//! Starting shims.

mod plain;

use std::io;
use std::path::PathBuf;

use shim_protocol::frame::FrameError;
use shim_protocol::message::LaunchOrder;

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("could not start the shim {program}")]
    Spawn { program: PathBuf, source: io::Error },
    #[error("could not hand the shim its launch order")]
    Order(#[source] io::Error),
    #[error("could not encode the launch order")]
    Encode(#[from] FrameError),
    #[error("the shim left with {status} before it had detached")]
    Left { status: std::process::ExitStatus },
    #[error("the shim did not detach within {seconds} s")]
    Stuck { seconds: u64 },
}

/// How shims are started.
#[derive(Clone, Debug)]
pub enum Launcher {
    /// As a process of its own session, no child of ours. For a terminal, a container, a test.
    Plain { shim: PathBuf },
}

impl Launcher {
    /// Starts one shim. Success means that it has its order; it proves to be alive by saying hello.
    pub async fn launch(&self, order: LaunchOrder) -> Result<(), LaunchError> {
        match self {
            Self::Plain { shim } => plain::launch(shim, order).await,
        }
    }

    /// The launcher's name, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "plain",
        }
    }
}
