//! Notifiers: who is notified of which events, when, and what a failure of theirs leads to.

mod backoff;
mod notifier;
mod progress;
mod quiet_hours;

pub use backoff::After;
pub use backoff::Failed;
pub use backoff::after_failure;
pub use notifier::Notifier;
pub use notifier::Target;
pub use notifier::Webhook;
pub use progress::Message;
pub use progress::NotifierState;
pub use progress::Progress;
pub use quiet_hours::QuietHours;
