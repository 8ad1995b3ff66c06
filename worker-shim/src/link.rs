//! The socket to the server: connecting, frames in, frames out, never waiting.
//!
//! It knows nothing about the meaning of the messages and never redials by itself: the state
//! machine decides that.

use std::fs::OpenOptions;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::UnixAddr;
use nix::sys::socket::connect;
use nix::sys::socket::getsockopt;
use nix::sys::socket::socket;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::geteuid;
use shim_protocol::frame;
use shim_protocol::frame::Decoded;
use shim_protocol::frame::Decoder;
use shim_protocol::frame::FrameError;
use shim_protocol::message::ToServer;
use shim_protocol::message::ToShim;

use crate::clock;

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("could not connect to the server's socket")]
    Connect(#[source] io::Error),
    #[error("the server closed the link")]
    Closed,
    #[error("the link broke")]
    Broken(#[source] io::Error),
    #[error("the server sent an invalid message")]
    Frame(#[source] FrameError),
}

/// One connection.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    decoder: Decoder,
    outgoing: Vec<u8>,
}

impl Link {
    pub fn dial(path: &Path) -> Result<Self, LinkError> {
        let stream = connected(path).map_err(|error| LinkError::Connect(error.into()))?;
        Ok(Self {
            stream: UnixStream::from(stream),
            decoder: Decoder::default(),
            outgoing: Vec::new(),
        })
    }

    /// True while messages wait for the socket to accept them.
    #[must_use]
    pub fn is_backed_up(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Queues a message and sends what the socket accepts now.
    pub fn send(&mut self, message: &ToServer) -> Result<(), LinkError> {
        self.outgoing.extend(frame::encode(message).map_err(LinkError::Frame)?);
        self.flush()
    }

    pub fn flush(&mut self) -> Result<(), LinkError> {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LinkError::Broken(error)),
            }
        }
        // A completion with a long report is rare; its memory is not kept for heartbeats.
        self.outgoing.shrink_to(4 << 10);
        Ok(())
    }

    /// Gives the last messages a bounded time to leave.
    pub fn flush_within(&mut self, patience: Duration) -> Result<(), LinkError> {
        let until = clock::monotonic() + patience;
        loop {
            self.flush()?;
            let left = until.saturating_sub(clock::monotonic());
            if !self.is_backed_up() || left.is_zero() {
                return Ok(());
            }
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(LinkError::Broken(error.into())),
            }
        }
    }

    /// Reads what has arrived. Messages that arrived whole before the link broke are kept for
    /// [`Self::take`].
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<(), LinkError> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LinkError::Broken(error)),
            }
        }
    }

    /// Takes the next whole message that has arrived.
    pub fn take(&mut self) -> Result<Option<Decoded<ToShim>>, LinkError> {
        self.decoder.take().map_err(LinkError::Frame)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The path of the server's socket in the file that contains it. Anything else in its place is
/// ignored: it may be a pipe by now, or huge.
#[must_use]
pub fn address(file: &Path) -> Option<PathBuf> {
    const LONGEST: u64 = 4096;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits());
    let file = options.open(file).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    let path = PathBuf::from(text.trim_end_matches('\n'));
    path.is_absolute().then_some(path)
}

/// Non-blocking from the start: with a full backlog, a blocking connect would wait for the server
/// to accept, and everything else here with it.
fn connected(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    // The first thing sent on a link is the token. If somebody has loosened the directory's mode,
    // another user may have put a socket of their own there. Root is systemd, if that listens for
    // the server.
    let listener = getsockopt(&socket, PeerCredentials)?.uid();
    if listener != geteuid().as_raw() && listener != 0 {
        return Err(Errno::EPERM);
    }
    Ok(socket)
}
