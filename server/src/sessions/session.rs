//! One session, as those see it who ask whether it may do something.

use std::fmt;
use std::str::FromStr;

use crate::domain::names::names;
use crate::domain::time::Timestamp;

names! {
    /// What a session may do.
    #[derive(Hash)]
    pub enum Role {
        /// Everything that the coordinator may do.
        Full = "full",
        /// Look at everything and change nothing.
        ReadOnly = "read-only",
    }
}

/// The number of a session, written `S-3`. It opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S-{}", self.0)
    }
}

impl FromStr for SessionId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix("S-").unwrap_or(text).parse().map(Self)
    }
}

/// A session that is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub role: Role,
    pub begun_at: Timestamp,
    pub ends_at: Timestamp,
    /// The token that forms of its pages carry.
    pub csrf: String,
}

/// A session that a link has just opened.
#[derive(Debug)]
pub struct Opened {
    pub session: Session,
    /// The value of its cookie.
    pub secret: String,
}
