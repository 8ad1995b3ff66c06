//! One thing the doctor looked at.

use crate::domain::names::names;

names! {
    pub(super) enum Verdict {
        Ok = "ok",
        Warn = "warn",
        Fail = "fail",
    }
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    pub(super) found: String,
    /// What to do; empty when there is nothing to do.
    pub(super) next: String,
}

impl Check {
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), next: String::new() }
    }

    pub(super) fn warn(
        name: &'static str,
        found: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { name, verdict: Verdict::Warn, found: found.into(), next: next.into() }
    }

    pub(super) fn fail(
        name: &'static str,
        found: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { name, verdict: Verdict::Fail, found: found.into(), next: next.into() }
    }
}
