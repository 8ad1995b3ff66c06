//! The side of a call that is not in its arguments: who makes it, and how to reach them while it waits.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::id::AttemptId;

/// Who a request comes from, as its token says. Travels with the request to the tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// Whoever holds the coordinator's token, or anybody when no token is asked for.
    Coordinator,
    /// The agent of an attempt. Whether that may still speak is another question.
    Worker(AttemptId),
}

/// A request that was let in.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    /// Cancelled when what the caller showed no longer counts.
    pub(crate) lapsed: CancellationToken,
}

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Tells the client of a waiting call how long it has waited, and of how long.
pub(crate) type Progress = Box<dyn Fn(Duration, Duration) -> BoxFuture<()> + Send + Sync>;

/// The side of a call that is not in its arguments.
pub(crate) struct Call {
    /// Who calls.
    pub(crate) caller: Caller,
    /// Cancelled when what the caller showed no longer counts.
    pub(crate) lapsed: CancellationToken,
    /// Cancelled when the client goes away.
    pub(crate) gone: CancellationToken,
    /// Cancelled when the client says that it no longer wants the answer.
    pub(crate) cancelled: CancellationToken,
    /// There when the client asked for progress.
    pub(crate) progress: Option<Progress>,
}

impl Call {
    pub(crate) async fn report(&self, waited: Duration, of: Duration) {
        if let Some(progress) = &self.progress {
            progress(waited, of).await;
        }
    }
}
