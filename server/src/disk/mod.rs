//! Room on the disk: how much is left, and a reserve for the moment when nothing is.
//!
//! Work is stopped before the disk is full: below the watermark nothing is granted or launched, and running work
//! continues. When it fills up all the same, the ballast is given back to it, so that the ends of running attempts can still
//! be committed.
//!
//! Invariant: nothing but the end of the shortage starts work again, and it does so by itself.

mod ballast;
mod guard;

pub use self::ballast::BALLAST_BYTES;
pub use self::guard::Guard;
pub use self::guard::Room;
