//! Keeps one consumer at work for each notifier of the configuration.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::consumer::Consumer;
use super::notifiers;
use crate::clock::Clock;
use crate::domain::notify::Notifier;
use crate::store::Store;
use crate::telemetry::chain;

/// How often consumers that ended are looked for; none should.
const TICK: Duration = Duration::from_secs(30);

/// How long until the notifiers are stored again after that failed.
const AGAIN: Duration = Duration::from_secs(2);

/// The notifiers of a server.
#[derive(Debug)]
pub struct Room {
    store: Store,
    clock: Clock,
    /// What the configuration says; replaced by a reload.
    configured: watch::Receiver<Vec<Notifier>>,
    shutdown: CancellationToken,
    working: Vec<Working>,
}

#[derive(Debug)]
struct Working {
    notifier: Notifier,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Room {
    #[must_use]
    pub fn new(
        store: Store,
        clock: Clock,
        configured: watch::Receiver<Vec<Notifier>>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { store, clock, configured, shutdown, working: Vec::new() }
    }

    /// Works until the server stops.
    pub async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        let mut is_stored = false;
        while !shutdown.is_cancelled() {
            if self.configured.has_changed().unwrap_or(false) {
                is_stored = false;
            }
            let configured = self.configured.borrow_and_update().clone();
            if !is_stored {
                is_stored = self.store(&configured).await;
            }
            if is_stored {
                self.follow(&configured).await;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(if is_stored { TICK } else { AGAIN }) => {}
                changed = self.configured.changed() => {
                    is_stored = false;
                    if changed.is_err() {
                        // Nobody can change it any more.
                        shutdown.cancelled().await;
                    }
                }
            }
        }
        for working in self.working {
            stop(working).await;
        }
    }

    /// Keeps which notifiers there are. Returns whether that succeeded.
    async fn store(&self, configured: &[Notifier]) -> bool {
        let stored = self.store.configure_notifiers(&notifiers::names(configured)).await;
        stored
            .inspect_err(|error| {
                tracing::error!(error = %chain(error), "the notifiers could not be stored; that is tried again");
            })
            .is_ok()
    }

    /// Ends what is not configured like this any more, and begins what is missing.
    async fn follow(&mut self, configured: &[Notifier]) {
        let (kept, ended): (Vec<_>, Vec<_>) = std::mem::take(&mut self.working)
            .into_iter()
            .partition(|one| configured.contains(&one.notifier) && !one.task.is_finished());
        self.working = kept;
        for working in ended {
            stop(working).await;
        }
        for notifier in configured {
            if self.working.iter().any(|one| one.notifier == *notifier) {
                continue;
            }
            let stop = self.shutdown.child_token();
            let consumer = Consumer {
                notifier: notifier.clone(),
                store: self.store.clone(),
                clock: self.clock.clone(),
                stop: stop.clone(),
                next: Instant::now(),
            };
            let task = tokio::spawn(consumer.run());
            self.working.push(Working { notifier: notifier.clone(), stop, task });
        }
    }
}

async fn stop(working: Working) {
    working.stop.cancel();
    if let Err(error) = working.task.await {
        let notifier = working.notifier.name.as_str();
        tracing::error!(notifier, error = %chain(&error), "a notifier died; it begins again");
    }
}
