//! Planted bugs: the tests of crash safety are themselves tested by breaking what they guard.
//!
//! With the feature `planted-bugs`, `VIBE_ENSEMBLE_TEST_PLANT=name` chooses one bug. Without the feature
//! this compiles to nothing, and a build without debug assertions refuses the feature.

#[cfg(all(feature = "planted-bugs", not(debug_assertions)))]
compile_error!("planted bugs are for tests; a release build must not have them");

/// Every bug that can be planted in the shim.
#[cfg(any(test, feature = "planted-bugs"))]
pub const BUGS: &[&str] =
    &["no-fsync-of-the-directory", "group-asked-at-kill", "record-deleted-before-ack"];

/// Whether this bug is planted.
#[cfg(not(feature = "planted-bugs"))]
#[inline]
#[must_use]
pub const fn is(_name: &'static str) -> bool {
    false
}

/// Whether this bug is planted.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn is(name: &'static str) -> bool {
    use std::sync::LazyLock;

    static PLANTED: LazyLock<Option<String>> = LazyLock::new(|| variable("TEST_PLANT"));
    debug_assert!(BUGS.contains(&name), "{name} is not listed");
    PLANTED.as_deref() == Some(name)
}

#[cfg(feature = "planted-bugs")]
#[expect(
    clippy::disallowed_methods,
    reason = "a test chooses the bug; this is in no build that anybody runs, and no setting"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(format!("VIBE_ENSEMBLE_{name}")).ok()
}
