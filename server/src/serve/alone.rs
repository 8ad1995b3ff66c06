//! One server at a time for a database and all its copies.
//!
//! A copy and its original have the same tickets, branches and numbers. Two servers would do the work twice and undo each
//! other's branches, even while no agent of either is running. A copy knows the directory that it was made from; an
//! original knows nothing of its copies. So each server holds a name that it derives from the database's identity, as a
//! socket without a file: the kernel gives the name to one process of this machine and takes it back when the process ends.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::Backlog;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::UnixAddr;
use nix::sys::socket::sockopt::PeerCredentials;
use sha2::Digest as _;
use sha2::Sha256;

use crate::domain::text;
use crate::shim::processes;

/// How often a name that is taken is tried again, and how long to wait in between: a process that is just being started
/// holds what its parent holds until it executes its program.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(30);

/// Holds the name until it is dropped.
#[derive(Debug)]
pub(super) struct Alone {
    _socket: Option<OwnedFd>,
}

/// Takes the name of a database. The inner error is the process of the server that has it.
///
/// A process that is no server, or another user's, may have the name to keep this server from starting; the log reports
/// it, and this server starts without the name.
pub(super) fn alone(server_id: &str) -> Result<Alone, i32> {
    let taken = take(&name_of(server_id));
    match taken {
        Ok(Ok(socket)) => Ok(Alone { _socket: Some(socket) }),
        Ok(Err(Some((pid, user)))) => {
            if user == nix::unistd::geteuid().as_raw() && processes::is_this_program(pid) {
                return Err(pid);
            }
            tracing::warn!(
                pid,
                user,
                "a process that is no server of this user has taken the name of this database, so a copy of it would not be noticed"
            );
            Ok(Alone { _socket: None })
        }
        Ok(Err(None)) => {
            tracing::warn!(
                "the name of this database is taken, and the kernel does not say by whom, so a copy of it would not be noticed"
            );
            Ok(Alone { _socket: None })
        }
        Err(error) => {
            tracing::warn!(%error, "could not take the name of this database, so a copy of it would not be noticed");
            Ok(Alone { _socket: None })
        }
    }
}

/// A name that reveals nothing about the identity: every user can list such names.
fn name_of(server_id: &str) -> String {
    let digest = Sha256::digest(format!("vibe-ensemble database {server_id}").as_bytes());
    format!("vibe-ensemble/{}", text::hex(&digest))
}

/// The name, or who has it: its process and user.
fn take(name: &str) -> io::Result<Result<OwnedFd, Option<(i32, u32)>>> {
    let address = UnixAddr::new_abstract(name.as_bytes())?;
    for attempt in 1.. {
        let own = unconnected()?;
        match socket::bind(own.as_raw_fd(), &address) {
            Ok(()) => {
                socket::listen(&own, Backlog::new(1)?)?;
                return Ok(Ok(own));
            }
            Err(Errno::EADDRINUSE) if attempt < TRIES => std::thread::sleep(PAUSE),
            Err(Errno::EADDRINUSE) => break,
            Err(error) => return Err(error.into()),
        }
    }
    // Never accepted: the kernel knows who listens as soon as the connection is queued.
    let asking = unconnected()?;
    match socket::connect(asking.as_raw_fd(), &address) {
        Ok(()) => {
            let peer = socket::getsockopt(&asking, PeerCredentials)?;
            Ok(Err(Some((peer.pid(), peer.uid()))))
        }
        Err(_) => Ok(Err(None)),
    }
}

/// It never waits, even for a listener whose queue is full.
fn unconnected() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_has_one_server_at_a_time() {
        let id = format!("test {}", std::process::id());
        let held = alone(&id).expect("it is free");
        let who = take(&name_of(&id)).expect("asks").expect_err("it is taken").expect("seen");
        assert_eq!(who, (std::process::id().cast_signed(), nix::unistd::geteuid().as_raw()));
        assert_eq!(alone(&id).expect_err("it is taken"), who.0);
        drop(alone("another test").expect("another database"));
        assert!(!name_of(&id).contains(&id));
        drop(held);
        // A process that another test starts at this moment may hold it for a moment longer.
        assert!((0..100).any(|_| alone(&id).is_ok()));
    }
}
