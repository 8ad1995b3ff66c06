//! The contract between the Vibe-Ensemble server and its shims.
//!
//! A shim outlives the server that launched it, so a server routinely talks to shims of an older
//! version, and the files of a run directory are read by servers that did not exist when they were
//! written. Everything here is therefore append-only: fields are added with a default, kinds are
//! added and answered if unknown, nothing is renamed.
//!
//! - [`message`]: what the two sides say over the Unix socket.
//! - [`frame`]: how a message becomes bytes, without I/O.
//! - [`grant`]: the work order, sent once and stored as `grant.json`.
//! - [`exit`]: the facts about a finished attempt, sealed as `exit.json`.
//! - [`journal`]: records that both write to the journal, with everything from outside escaped.
//! - [`plain_file`]: how a file is opened where agents can put anything.
//! - [`run_dir`]: the names of the files in `attempts/A-<n>/` and the one reader of each.
#![forbid(unsafe_code)]

pub mod exit;
pub mod frame;
pub mod grant;
pub mod journal;
pub mod json;
pub mod message;
pub mod plain_file;
pub mod run_dir;
pub mod tally;

/// The oldest protocol that this version speaks. A server raises it only once no shim of that age
/// can still be running.
pub const PROTOCOL_MIN: u16 = 1;
/// The newest protocol that this version speaks.
pub const PROTOCOL_MAX: u16 = 1;

/// Picks the newest protocol that both sides speak, or `None` if the ranges do not meet.
#[must_use]
pub fn negotiate(peer_min: u16, peer_max: u16) -> Option<u16> {
    let newest = peer_max.min(PROTOCOL_MAX);
    (newest >= peer_min.max(PROTOCOL_MIN)).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_protocol_is_chosen() {
        assert_eq!(negotiate(1, 1), Some(1));
        assert_eq!(negotiate(1, 9), Some(PROTOCOL_MAX));
        assert_eq!(negotiate(PROTOCOL_MAX + 1, PROTOCOL_MAX + 3), None);
        assert_eq!(negotiate(0, 0), None);
    }
}
