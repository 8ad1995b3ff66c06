//! Work beside the pass, which ends with the server, and the bell that asks for another pass.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Cheap to clone; all clones share the same tasks and the same bell.
#[derive(Clone, Debug)]
pub(super) struct Background {
    tasks: TaskTracker,
    shutdown: CancellationToken,
    bell: Arc<Notify>,
}

impl Background {
    pub(super) fn new(shutdown: CancellationToken) -> Self {
        Self { tasks: TaskTracker::new(), shutdown, bell: Arc::new(Notify::new()) }
    }

    /// Runs a task that the server waits for when it stops. Tasks that need no wait are run by
    /// [`Self::spawn_until_shutdown`].
    pub(super) fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Runs a task that is dropped when the server stops.
    pub(super) fn spawn_until_shutdown<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(self.shutdown.clone().run_until_cancelled_owned(task));
    }

    /// The outcome of some work, or `None` if the server stops first.
    pub(super) async fn until_shutdown<F: Future>(&self, work: F) -> Option<F::Output> {
        self.shutdown.run_until_cancelled(work).await
    }

    pub(super) async fn shutdown(&self) {
        self.shutdown.cancelled().await;
    }

    /// Asks for another pass.
    pub(super) fn look_again(&self) {
        self.bell.notify_one();
    }

    /// Returns if another pass was requested since the last return.
    pub(super) async fn asked_to_look(&self) {
        self.bell.notified().await;
    }

    /// Waits for the tasks under way. Nothing may be spawned afterwards.
    pub(super) async fn end(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
