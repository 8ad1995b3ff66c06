//! The notifiers of a running server, for the tools.

use tokio::sync::watch;

use super::deliver::deliver;
use super::message;
use super::message::Outgoing;
use crate::clock;
use crate::clock::Clock;
use crate::domain::notify::Failed;
use crate::domain::notify::Notifier;
use crate::domain::text::Name;
use crate::domain::time::Timestamp;

/// Knows the notifiers that are configured now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Notifiers {
    configured: watch::Receiver<Vec<Notifier>>,
}

impl Default for Notifiers {
    /// None.
    fn default() -> Self {
        Self::new(watch::channel(Vec::new()).1)
    }
}

impl Notifiers {
    #[must_use]
    pub fn new(configured: watch::Receiver<Vec<Notifier>>) -> Self {
        Self { configured }
    }

    #[must_use]
    pub fn all(&self) -> Vec<Notifier> {
        self.configured.borrow().clone()
    }

    #[must_use]
    pub fn find(&self, name: &str) -> Option<Notifier> {
        self.configured.borrow().iter().find(|notifier| notifier.name.as_str() == name).cloned()
    }
}

/// Sends a message that is about no event. How far the notifier is does not change, nor does it wait for anything.
pub async fn test(notifier: &Notifier, clock: &Clock) -> Result<(), Failed> {
    let now = clock.now();
    let id = format!("test_{}", uuid::Uuid::new_v4());
    let outgoing = Outgoing { id, body: message::test(&notifier.name, now) };
    deliver(notifier, &outgoing, now).await
}

/// How long its quiet hours still last, in minutes.
#[must_use]
pub fn quiet_minutes(notifier: &Notifier, now: Timestamp) -> Option<u16> {
    notifier.quiet_hours.and_then(|hours| hours.left(clock::minute_of_day(now)))
}

/// The names of these.
pub(super) fn names(notifiers: &[Notifier]) -> Vec<Name> {
    notifiers.iter().map(|notifier| notifier.name.clone()).collect()
}
