//! Which workers have a link, and how to reach them.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use shim_protocol::message::ToShim;
use tokio::sync::mpsc;

use crate::domain::attempt::StopMode;
use crate::domain::id::AttemptId;
use crate::domain::id::WorkerId;
use crate::domain::time::Timestamp;

/// An order that was sent on a link. No order is sent twice on the same link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Order {
    Drain,
    Stop(AttemptId, StopModeKey),
    /// The limits that its worker type had at this time.
    Limits(AttemptId, Timestamp),
}

/// How an attempt is stopped, as far as shims distinguish it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum StopModeKey {
    Interrupt,
    Cancel,
    Kill,
}

impl StopModeKey {
    /// `None` for drain, which stops no attempt.
    pub(super) fn of(mode: StopMode) -> Option<Self> {
        match mode {
            StopMode::Drain => None,
            StopMode::Interrupt => Some(Self::Interrupt),
            StopMode::Cancel => Some(Self::Cancel),
            StopMode::Kill => Some(Self::Kill),
        }
    }
}

#[derive(Debug)]
struct Handle {
    serial: u64,
    outbox: mpsc::UnboundedSender<ToShim>,
    sent: HashSet<Order>,
}

/// The links of this server. A worker has at most one: a new one replaces the old, which its shim has given up.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    handles: Arc<Mutex<HashMap<WorkerId, Handle>>>,
    serials: Arc<AtomicU64>,
}

impl Links {
    fn lock(&self) -> MutexGuard<'_, HashMap<WorkerId, Handle>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a worker's new link. Dropping its receiver ends the old session, if there is one.
    pub(super) fn add(&self, worker: WorkerId) -> (u64, mpsc::UnboundedReceiver<ToShim>) {
        let (outbox, inbox) = mpsc::unbounded_channel();
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(worker, Handle { serial, outbox, sent: HashSet::new() });
        (serial, inbox)
    }

    /// Forgets a link, unless a newer one has taken its place.
    pub(super) fn remove(&self, worker: WorkerId, serial: u64) {
        let mut handles = self.lock();
        if handles.get(&worker).is_some_and(|handle| handle.serial == serial) {
            handles.remove(&worker);
        }
    }

    pub(super) fn has(&self, worker: WorkerId) -> bool {
        self.lock().contains_key(&worker)
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Sends an order once per link. A worker without a link receives it when it dials in.
    pub(super) fn order(&self, worker: WorkerId, order: Order, message: ToShim) {
        if let Some(handle) = self.lock().get_mut(&worker)
            && handle.sent.insert(order)
            && handle.outbox.send(message).is_err()
        {
            // The session is ending, and the next link starts with no order sent.
            handle.sent.remove(&order);
        }
    }
}
