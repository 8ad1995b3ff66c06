//! Ids as people and models type them: a letter, a dash, a number.

use std::fmt;
use std::str::FromStr;

/// Text that is not an id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a {noun} id; one looks like {prefix}-42")]
pub struct InvalidId {
    pub given: String,
    pub noun: &'static str,
    pub prefix: &'static str,
}

/// At a thousand per second, this is reached after 34 years.
const IMPLAUSIBLE: i64 = 1 << 40;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal, $noun:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// Wraps a key read from the database. Keys start at 1.
            #[must_use]
            pub const fn from_key(key: i64) -> Self {
                Self(key)
            }

            /// Whether the number can have been assigned. No counter gets this far; a counter that
            /// seemed to would leave the database without numbers.
            #[must_use]
            pub const fn is_plausible(self) -> bool {
                self.0 < IMPLAUSIBLE
            }

            /// The number alone, as the database stores it.
            #[must_use]
            pub const fn key(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "-{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = text.strip_prefix(concat!($prefix, "-"));
                // `parse` alone would take "+7", and two spellings of one id would break every comparison by text.
                let canonical = digits.filter(|d| d.bytes().all(|b| b.is_ascii_digit()) && !d.starts_with('0'));
                canonical.and_then(|d| d.parse().ok()).map(Self).ok_or_else(|| InvalidId {
                    given: text.chars().take(64).collect(),
                    noun: $noun,
                    prefix: $prefix,
                })
            }
        }
    )+};
}

ids! {
    /// A ticket, written `T-42`.
    TicketId, "T", "ticket";
    /// One execution of one stage, written `A-17`. The number only grows and is the fencing token:
    /// the holder of a lower number may change nothing any more.
    AttemptId, "A", "attempt";
    /// One shim process, written `W-7`.
    WorkerId, "W", "worker";
    /// A comment on a ticket, written `C-3`.
    CommentId, "C", "comment";
}

/// The key of a project's row. People use its name; rows use this, so that a name can be used again after deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectKey(pub i64);

/// A position in the event log. It only ever grows, across restarts and pruning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventSeq(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print() {
        let id = TicketId::from_key(42);
        assert_eq!(id.to_string(), "T-42");
        assert_eq!("T-42".parse(), Ok(id));
    }

    #[test]
    fn only_the_canonical_spelling_is_an_id() {
        for bad in [
            "",
            "42",
            "t-42",
            "T-",
            "T-0",
            "T-042",
            "T-+7",
            "T--7",
            "A-42",
            "T-9999999999999999999",
            "T-4 2",
        ] {
            assert!(bad.parse::<TicketId>().is_err(), "{bad:?} was taken for a ticket id");
        }
    }
}
