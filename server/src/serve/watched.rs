//! What the server reports while it runs: what happens, to the log, and to systemd that it makes progress and how much
//! work it has.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Environment;
use crate::dispatcher::Dispatcher;
use crate::domain::id::EventSeq;
use crate::domain::text;
use crate::lifecycle;
use crate::lifecycle::Lifecycle;
use crate::serve::record;
use crate::store::Counts;
use crate::store::Store;
use crate::telemetry::chain;

/// The status line changes at most this often.
const STATUS_GAP: Duration = Duration::from_secs(1);

/// Starts reporting what happens after the event `begun_at`, and how the server is, to those that listen.
pub(super) fn start(
    lifecycle: &Lifecycle,
    store: &Store,
    dispatcher: &Dispatcher,
    begun_at: EventSeq,
    environment: &Environment,
) -> Vec<JoinHandle<()>> {
    let stop = lifecycle.shutdown_token();
    let recording = record::follow(store.clone(), begun_at, stop.clone());
    let mut tasks = vec![lifecycle.spawn("records", recording)];
    if environment.get("NOTIFY_SOCKET").is_none() {
        return tasks;
    }
    let showing = show(store.clone(), lifecycle.drain(), stop.clone());
    tasks.push(lifecycle.spawn("status line", showing));
    if let Some(limit) = lifecycle::watchdog() {
        let (store, dispatcher) = (store.clone(), dispatcher.clone());
        let probe = move || {
            let (store, dispatcher) = (store.clone(), dispatcher.clone());
            async move {
                let ((), answered) = tokio::join!(dispatcher.probe(), store.ping());
                // A refusal of the database is reported by the caller that needed it, and a restart would not fix it.
                // A database that does not answer is what the watchdog is for.
                if let Err(error) = answered {
                    tracing::debug!(error = %chain(&error), "the database refused a probe");
                }
            }
        };
        let feeding = feed(limit / 3, probe, lifecycle::feed_watchdog, stop);
        tasks.push(lifecycle.spawn("watchdog", feeding));
    }
    tasks
}

/// Feeds the watchdog after each answered probe. After a probe without an answer it is no longer fed, and systemd acts.
async fn feed<F: Future<Output = ()>>(
    every: Duration,
    mut probe: impl FnMut() -> F,
    mut feed: impl FnMut(),
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(probe()).await.is_some() {
        feed();
        if stop.run_until_cancelled(tokio::time::sleep(every)).await.is_none() {
            return;
        }
    }
}

/// Keeps the line of `systemctl status` up to date.
async fn show(
    store: Store,
    mut drain: tokio::sync::watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let mut level = store.level();
    let mut shown = String::new();
    loop {
        level.mark_unchanged();
        let draining = *drain.borrow_and_update();
        match store.counts().await {
            Ok(counts) => {
                let line = line(&counts, draining);
                if line != shown {
                    lifecycle::status(&line);
                    shown = line;
                }
            }
            Err(error) => {
                tracing::debug!(error = %chain(&error), "the status line was not updated");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(STATUS_GAP) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = level.changed() => if changed.is_err() { return },
            changed = drain.changed() => if changed.is_err() { return },
        }
    }
}

fn line(counts: &Counts, draining: bool) -> String {
    let tickets = &counts.tickets_by_state;
    format!(
        "{}: {}, {} running, {} queued, {} scheduled, {} blocked, {} on hold",
        if draining { "draining" } else { "serving" },
        text::counted(counts.workers_live, "worker"),
        text::counted(tickets.running, "ticket"),
        tickets.queued,
        tickets.scheduled,
        tickets.blocked,
        tickets.on_hold,
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_not_answered_stops_the_feed() {
        let (fed, probes) = (Cell::new(0), Cell::new(0));
        let stop = CancellationToken::new();
        let probe = || {
            probes.set(probes.get() + 1);
            let stuck = probes.get() > 3;
            async move {
                if stuck {
                    std::future::pending::<()>().await;
                }
            }
        };
        let count = || fed.set(fed.get() + 1);
        let feeding = feed(Duration::from_secs(20), probe, count, stop.clone());
        let watching = async {
            // Paused, hours pass at once.
            tokio::time::sleep(Duration::from_secs(4 * 3600)).await;
            stop.cancel();
        };
        tokio::join!(feeding, watching);
        assert_eq!((fed.get(), probes.get()), (3, 4));
    }
}
