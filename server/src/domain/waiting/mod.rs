//! Why a ticket is not running, and what would move it: one answer, the same for the same facts.
//!
//! `get_ticket`'s `waiting_for`, `get_queue_status` and `vibe-ensemble why` all say what
//! [`waiting`] says. If there are several reasons, the answer is the one that would still apply if
//! all later ones were gone. A step that an answer names is never refused while the answer is true.
//!
//! - `answer`: the sentences of each state; `queued`: of a ticket in its queue; `checks`: of setup and gates; `paused`: of
//!   pauses.
//! - `wait`: the shape of an answer; `cause`: its kinds; `around`: everything that it depends on.

mod answer;
mod around;
mod cause;
mod checks;
mod paused;
mod queued;
mod wait;

pub use self::answer::ON_HOLD;
pub use self::answer::waiting;
pub use self::around::Brakes;
pub use self::around::CheckWait;
pub use self::around::FailedLaunch;
pub use self::around::GitStep;
pub use self::around::HeldBack;
pub use self::around::QueueSurroundings;
pub use self::around::Surroundings;
pub use self::cause::Cause;
pub use self::wait::Wait;

#[cfg(test)]
mod tests;
