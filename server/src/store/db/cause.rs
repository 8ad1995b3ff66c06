//! Whose call a write is. Not an argument of every move, because it changes nothing about what a write does: only the
//! events that the write appends name it.

use std::future::Future;
use std::sync::Arc;

tokio::task_local! {
    static CAUSE: Option<Arc<str>>;
}

/// The consumer of events of the session whose call the running write is.
pub(crate) fn cause() -> Option<Arc<str>> {
    CAUSE.try_with(Clone::clone).ok().flatten()
}

/// Runs a write as part of the call of the session with this consumer of events.
pub(super) async fn scope<F: Future>(cause: Option<Arc<str>>, write: F) -> F::Output {
    CAUSE.scope(cause, write).await
}
