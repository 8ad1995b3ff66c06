//! USR1: logs the state of everything.

use crate::dispatcher::Dispatcher;
use crate::store::Store;

/// Logs the state of everything.
pub(super) async fn dump(store: &Store, dispatcher: &Dispatcher) {
    let connected = dispatcher.connected();
    match store.counts().await {
        Ok(counts) => tracing::info!(?counts, connected, "state"),
        Err(error) => tracing::error!(%error, connected, "the state could not be read"),
    }
    match store.live_workers().await {
        Ok(workers) => {
            for w in workers {
                tracing::info!(
                    worker = %w.id,
                    queue = %w.worker_type,
                    state = w.state.name(),
                    attempt = w.attempt.map(tracing::field::display),
                    pid = w.pid,
                    "worker"
                );
            }
        }
        Err(error) => tracing::error!(%error, "the workers could not be read"),
    }
}
