//! Turns queued tickets into running attempts, and their ends into the next stage.
//!
//! The dispatcher is a loop over a level: whenever something was committed, or a tick has passed, it looks at the
//! database and does what is due. It holds no queue of its own, so a crash at any point costs one more look. Each
//! connected shim has a session, which claims for its worker and takes its reports.
//!
//! - [`pass`]: the loop, and the order of its steps.
//! - [`parts`], [`places`], [`settings`], [`brakes`], [`background`], [`pulse`]: what the steps share.
//! - [`launches`], [`gate`], [`started`], [`agent`]: workers are launched, and queues are tried again.
//! - [`sessions`], [`session`], [`claims`], [`grant`], [`links`]: workers with a link.
//! - [`checks`]: attempts of setup and gate, which have no agent.
//! - [`completion`], [`heard`]: from an exit record to the end of its attempt.
//! - [`worktrees`]: git's steps beside the pass.
//! - [`orders`], [`silent`], [`idle`]: stops and limits are delivered, and enforced on shims that do nothing.
//! - [`reconcile`], [`strangers`], [`looks`], [`proof`]: workers and attempts without a link, by evidence.
//!
//! Each part is a struct with the few things that it may touch.
//!
//! Invariant: an attempt is committed before its grant leaves, and its end is committed before the ack leaves.
//! Invariant: an attempt is given up only on evidence (see [`reconcile`]), never because time passed.

mod agent;
mod background;
mod brakes;
mod checks;
mod claims;
mod completion;
mod disk_notice;
mod gate;
mod grant;
mod heard;
mod hellos;
mod idle;
mod launches;
mod links;
mod looks;
mod offline;
mod orders;
mod parts;
mod pass;
mod places;
mod proof;
mod pulse;
mod reconcile;
mod session;
mod sessions;
mod settings;
mod silent;
mod started;
mod strangers;
mod worktrees;

pub use self::brakes::Brakes;
pub use self::parts::Assembled;
pub use self::parts::Dispatcher;
pub use self::parts::Parts;
pub use self::places::Places;
pub use self::settings::Settings;
