//! Running requests, for a client that cancels one with `notifications/cancelled`.
//!
//! When a client disconnects, its connection shows it. A client that keeps its connection cancels a call by a request
//! of its own. There are no sessions, so a request is identified by its sender and its id. Two clients with one token
//! may use the same id: then the calls of both end, which costs the other client a repetition, since only waits check
//! for this, and a wait that ends early answers that nothing happened.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::mcp::call::Caller;

/// The sender of a request, and its id as JSON.
type Key = (Caller, String);

/// The requests that are being answered. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests(Arc<Mutex<Numbered>>);

#[derive(Debug, Default)]
struct Numbered {
    last: u64,
    running: HashMap<Key, Vec<(u64, CancellationToken)>>,
}

impl Requests {
    /// Registers a request until the guard is dropped. The guard travels with the request.
    pub(crate) fn begin(&self, caller: Caller, id: &Value) -> Arc<Running> {
        let (key, cancelled) = ((caller, id.to_string()), CancellationToken::new());
        let mut requests = self.lock();
        requests.last += 1;
        let number = requests.last;
        requests.running.entry(key.clone()).or_default().push((number, cancelled.clone()));
        drop(requests);
        Arc::new(Running { requests: self.clone(), key, number, cancelled })
    }

    /// Cancels a request; nothing happens if it is already answered or never arrived.
    pub(crate) fn cancel(&self, caller: Caller, id: &Value) {
        let requests = self.lock();
        let running = requests.running.get(&(caller, id.to_string()));
        for (_, cancelled) in running.into_iter().flatten() {
            cancelled.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Numbered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request that is being answered.
#[derive(Debug)]
pub(crate) struct Running {
    requests: Requests,
    key: Key,
    number: u64,
    cancelled: CancellationToken,
}

impl Running {
    pub(crate) fn cancelled(&self) -> CancellationToken {
        self.cancelled.clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut requests = self.requests.lock();
        if let Entry::Occupied(mut running) = requests.running.entry(self.key.clone()) {
            running.get_mut().retain(|(number, _)| *number != self.number);
            if running.get().is_empty() {
                running.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::id::AttemptId;

    #[test]
    fn a_request_is_cancelled_by_its_sender_and_forgotten_with_its_answer() {
        let requests = Requests::default();
        let worker = Caller::Worker(AttemptId::from_key(1));
        let (seven, text) = (json!(7), json!("7"));
        let one = requests.begin(Caller::Coordinator, &seven);
        let same = requests.begin(Caller::Coordinator, &seven);
        let other = requests.begin(Caller::Coordinator, &text);
        let theirs = requests.begin(worker, &seven);
        drop(requests.begin(Caller::Coordinator, &json!(8)));
        requests.cancel(Caller::Coordinator, &json!(8));
        let cancelled = || [&one, &same, &other, &theirs].map(|r| r.cancelled().is_cancelled());
        assert_eq!(cancelled(), [false; 4]);
        requests.cancel(Caller::Coordinator, &seven);
        assert_eq!(cancelled(), [true, true, false, false]);
        drop((one, same, other, theirs));
        assert!(requests.lock().running.is_empty());
    }
}
