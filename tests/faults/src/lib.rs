//! The test equipment inside the two programs: points at which a test kills the process, and a
//! trace of durable steps.
//!
//! Production code names this crate only by its macros and by the two types that pass points on to
//! where they are reached ([`Points`], [`Sides`]). Without the feature `crash-points` the macros
//! expand to nothing and the types have no size; a release build refuses the feature.
//!
//! With the feature, a process whose environment contains `VIBE_ENSEMBLE_CRASH_AT=name` (or
//! `name:N`, for the Nth time) kills itself at that point with SIGKILL, so that nothing gets a
//! chance to clean up. With `VIBE_ENSEMBLE_CRASH_ONCE=path` it does so only if it is the process
//! that creates this file: its successor passes the point unharmed. `VIBE_ENSEMBLE_TEST_TRACE=path`
//! names a file to which each durable step is appended once it is done, so that a test can check
//! the order of steps of several processes.
//!
//! There is no list of the points: `e2e::points` reads them from the source, and
//! `tests/crash-points` fails for a point that it never reaches.
#![forbid(unsafe_code)]

mod points;

pub use points::Points;
pub use points::Sides;

#[cfg(feature = "crash-points")]
mod armed;

#[cfg(feature = "crash-points")]
#[doc(hidden)]
pub use armed::reach;
#[cfg(feature = "crash-points")]
#[doc(hidden)]
pub use armed::trace;

#[cfg(all(feature = "crash-points", not(debug_assertions)))]
compile_error!("crash points are for tests; a release build must not have them");

/// A point at which a test may kill the process.
#[cfg(feature = "crash-points")]
#[macro_export]
macro_rules! point {
    ($name:literal) => {
        $crate::reach($name)
    };
}

/// A point at which a test may kill the process.
#[cfg(not(feature = "crash-points"))]
#[macro_export]
macro_rules! point {
    ($name:literal) => {};
}

/// The points around one step: for a write to the database, from the prefix of their names
/// ([`Points`]); for anything else, from the names of its two [`Sides`].
#[macro_export]
macro_rules! points {
    ($prefix:literal) => {
        $crate::Points::named([
            concat!($prefix, ".before_begin"),
            concat!($prefix, ".before_commit"),
            concat!($prefix, ".after_commit"),
        ])
    };
    ($before:literal, $after:literal) => {
        $crate::Sides::named([$before, $after])
    };
}

/// Appends a finished step and its subject to the trace.
#[cfg(feature = "crash-points")]
#[macro_export]
macro_rules! trace {
    ($step:literal, $subject:expr) => {
        $crate::trace($step, &$subject)
    };
}

/// Appends a finished step and its subject to the trace.
#[cfg(not(feature = "crash-points"))]
#[macro_export]
macro_rules! trace {
    ($step:literal, $subject:expr) => {
        // Never evaluated, yet used: a value that is only traced must not be reported as unused.
        if false {
            let _ = &$subject;
        }
    };
}
