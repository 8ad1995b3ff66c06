//! Carries out what tools asked of workers.
//!
//! Tools only commit a request. Here it becomes a message, sent again on every new link, until the
//! worker's row says that it is done.

use shim_protocol::message;
use shim_protocol::message::ToShim;

use super::grant::Grants;
use super::links::Links;
use super::links::Order;
use super::links::StopModeKey;
use crate::domain::attempt::StopMode;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::store::Result;
use crate::store::Store;

/// Sends orders over links.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) store: Store,
    pub(super) links: Links,
    pub(super) grants: Grants,
}

impl Orders {
    /// Delivers requests to every linked worker, and stops children whose attempt has ended without
    /// them.
    pub(super) async fn deliver_stops(&self, workers: &[Worker]) -> Result<()> {
        for worker in workers {
            let Some(mode) = worker.stop else { continue };
            self.links.order(worker.id, Order::Drain, ToShim::Drain {});
            if let (Some(attempt), Some(key)) = (worker.attempt, StopModeKey::of(mode)) {
                let message = ToShim::Stop { attempt_id: attempt.to_string(), mode: wire(mode) };
                self.links.order(worker.id, Order::Stop(attempt, key), message);
            }
        }
        for left in self.store.unsettled().await?.into_iter().filter(|left| left.ended) {
            let order = Order::Stop(left.attempt, StopModeKey::Cancel);
            let attempt_id = left.attempt.to_string();
            let message = ToShim::Stop { attempt_id, mode: message::StopMode::Cancel };
            self.links.order(left.worker, order, message);
        }
        Ok(())
    }

    /// Delivers to running attempts the limits that were changed since they were granted.
    pub(super) async fn deliver_limits(&self) -> Result<()> {
        for changed in self.store.changed_limits().await? {
            let limits = Box::new(self.grants.limits(&changed.settings));
            let attempt_id = changed.attempt.to_string();
            let order = Order::Limits(changed.attempt, changed.at);
            self.links.order(changed.worker, order, ToShim::Limits { attempt_id, limits });
        }
        Ok(())
    }

    /// Acts on limits that are reached or were lowered, and stops the attempts that they do not
    /// cover. When those attempts have ended, their tickets go on hold, or wait to continue with
    /// less; their workers take other work.
    pub(super) async fn stop_over_limit(&self, now: Timestamp) -> Result<()> {
        for over in self.store.enforce_limits(now).await? {
            let order = Order::Stop(over.attempt, StopModeKey::Interrupt);
            let attempt_id = over.attempt.to_string();
            let message = ToShim::Stop { attempt_id, mode: message::StopMode::Interrupt };
            self.links.order(over.worker, order, message);
        }
        Ok(())
    }
}

fn wire(mode: StopMode) -> message::StopMode {
    match mode {
        StopMode::Drain | StopMode::Interrupt => message::StopMode::Interrupt,
        StopMode::Cancel => message::StopMode::Cancel,
        StopMode::Kill => message::StopMode::Kill,
    }
}
