//! Records for systemd's journal: which fields they have, and the numbers that name their kinds.
//!
//! Every field is sent as `VIBE_ENSEMBLE_<FIELD>`: an event about a ticket has `VIBE_ENSEMBLE_TICKET`, and so on. A record
//! of a kind in [`kinds`] also has that kind's `MESSAGE_ID`, which never changes: `journalctl MESSAGE_ID=…` and whatever
//! alerts on it keep working when words change.
//!
//! Invariant: no prompt, report, comment or token is a field or a message of anything that is logged.
//! Invariant: no value has a character that a terminal acts on, wherever the value came from.

mod kinds;
mod layer;

pub use self::kinds::ATTEMPT_OVERDUE;
pub use self::kinds::ATTEMPT_SUSPECT;
pub use self::kinds::DISK_LOW;
pub use self::kinds::DISK_RECOVERED;
pub use self::kinds::NOTIFIER_PAUSED;
pub use self::kinds::OUT_OF_MEMORY;
pub use self::kinds::SERVER_STARTED;
pub use self::kinds::SERVER_STOPPING;
pub use self::kinds::WORKER_LOST;
pub use self::kinds::WORKER_NOT_LAUNCHED;
pub use self::layer::Journal;
