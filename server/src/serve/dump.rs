//! USR1: logs the state of everything.

use crate::dispatcher::Dispatcher;
use crate::domain::project::TicketCounts;
use crate::store::Counts;
use crate::store::Store;

/// Logs the state of everything.
pub(super) async fn dump(store: &Store, dispatcher: &Dispatcher) {
    let connected = dispatcher.connected();
    match store.counts().await {
        Ok(Counts { tickets_by_state, workers_live, events }) => {
            let TicketCounts { blocked, scheduled, queued, running, on_hold, closed } =
                tickets_by_state;
            tracing::info!(
                blocked,
                scheduled,
                queued,
                running,
                on_hold,
                closed,
                workers = workers_live,
                connected,
                events,
                "state"
            );
        }
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
