//! How far a notifier is.

use crate::domain::id::EventSeq;
use crate::domain::names::names;
use crate::domain::text::Name;
use crate::domain::time::Timestamp;

names! {
    /// What a notifier is doing.
    pub enum NotifierState {
        /// Nothing is in the way of its messages.
        Active = "active",
        /// It holds its messages until its quiet hours are over.
        Quiet = "quiet",
        /// Its last try failed; it tries again by itself.
        Failing = "failing",
        /// It failed too often, and waits for somebody.
        Paused = "paused",
    }
}

/// What the database keeps of a notifier. It outlives the configuration of the notifier, so that none that is configured
/// again has lost anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub key: i64,
    pub name: Name,
    pub is_configured: bool,
    /// Up to here, every event was delivered or is none of its own.
    pub cursor: EventSeq,
    /// The message that is being delivered. Each try sends the same one, whatever happened meanwhile.
    pub sending: Option<Message>,
    /// Failed tries of that message.
    pub tries: u32,
    /// The next try waits until then.
    pub not_before: Timestamp,
    /// Why the last try failed.
    pub error: Option<String>,
    pub failing_since: Option<Timestamp>,
    pub paused_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
}

/// A message, by the events that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The same at each try: by it, a receiver knows what it has.
    pub id: String,
    /// In order.
    pub events: Vec<EventSeq>,
}

impl Progress {
    #[must_use]
    pub fn state(&self, is_quiet: bool) -> NotifierState {
        if self.paused_at.is_some() {
            NotifierState::Paused
        } else if self.failing_since.is_some() {
            NotifierState::Failing
        } else if is_quiet {
            NotifierState::Quiet
        } else {
            NotifierState::Active
        }
    }
}
