//! The side of a call that is not in its arguments: who makes it, and how to reach them while it waits.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::advice::Reader;
use crate::domain::id::AttemptId;

/// Who sent a request, by its token. Travels with the request to the tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// A client with the coordinator's token, or any client when no token is required.
    Coordinator,
    /// The agent of an attempt, which may have ended since.
    Worker(AttemptId),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str("coordinator"),
            Self::Worker(attempt) => attempt.fmt(f),
        }
    }
}

/// An admitted request.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    /// Who reads the answers, as the request says.
    pub(crate) reader: Reader,
    /// The consumer of events of the session that the request is from, as the request says.
    pub(crate) consumer: Option<String>,
    /// Cancelled when the caller's token is no longer valid.
    pub(crate) lapsed: CancellationToken,
}

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Reports to the client of a waiting call how long it has waited, and how long it waits at most.
pub(crate) type Progress = Box<dyn Fn(Duration, Duration) -> BoxFuture<()> + Send + Sync>;

/// The side of a call that is not in its arguments.
pub(crate) struct Call {
    /// The caller.
    pub(crate) caller: Caller,
    /// Cancelled when the caller's token is no longer valid.
    pub(crate) lapsed: CancellationToken,
    /// Cancelled when the client disconnects.
    pub(crate) gone: CancellationToken,
    /// Cancelled when the client takes the call back.
    pub(crate) cancelled: CancellationToken,
    /// Present when the client asked for progress.
    pub(crate) progress: Option<Progress>,
}

impl Call {
    pub(crate) async fn report(&self, waited: Duration, of: Duration) {
        if let Some(progress) = &self.progress {
            progress(waited, of).await;
        }
    }
}
