//! Room on the disk: how much is left, and a reserve for the moment when none is.
//!
//! Work is stopped before the disk is full: below the watermark nothing is granted or launched, and running work
//! continues. If the disk fills up nevertheless, the ballast is deleted, so that the ends of running attempts can still
//! be committed.
//!
//! Invariant: work resumes automatically when the shortage ends, and never before.

mod ballast;
mod guard;

pub use self::ballast::BALLAST_BYTES;
pub use self::guard::Guard;
pub use self::guard::Room;
