//! The socket that shims dial.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::net::UnixStream;

use crate::beneath;

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("could not remove the socket {path} that an earlier server left")]
    Stale { path: PathBuf, source: io::Error },
    #[error(
        "another process listens on {path} already, most likely systemd with vibe-ensemble.socket. Start the server with `systemctl \
         start vibe-ensemble`, stop that socket first, or give this server its own --runtime-dir"
    )]
    Taken { path: PathBuf },
    #[error("could not listen on {path}")]
    Bind { path: PathBuf, source: io::Error },
}

/// How often and how long the server checks whether a listener disappears: a killed server releases its lock a moment
/// before its socket.
const LOOKS: u32 = 50;
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Where one of our own sockets is found.
#[derive(Debug)]
struct Name {
    path: PathBuf,
    /// Device and inode, by which a replacement is recognised; `None` if they could not be read.
    file: Option<(u64, u64)>,
}

impl Name {
    fn of(path: &Path) -> Self {
        let found = fs::symlink_metadata(path).ok();
        Self { path: path.to_owned(), file: found.map(|found| (found.dev(), found.ino())) }
    }
}

/// How often the name of one of our own sockets is checked.
const NAME_LOOK: Duration = Duration::from_secs(2);

/// The socket that shims dial. If its name is removed or replaced while the server runs, shims no longer find it, so it
/// is bound again. A socket that systemd keeps is left to systemd.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    /// `None` if it was passed.
    name: Option<Name>,
    /// Whether the log has said that the name cannot be bound again.
    is_reported: bool,
}

impl Listener {
    /// Binds the socket, for this user alone.
    ///
    /// The caller holds the instance lock, so a file that is there belongs to no running server. It may belong to
    /// systemd.
    pub fn bind(path: &Path) -> Result<Self, ListenError> {
        Ok(Self { socket: bind(path)?, name: Some(Name::of(path)), is_reported: false })
    }

    /// A listener that systemd made and keeps. Its file is systemd's too: nothing here removes it.
    pub fn of_passed(passed: std::os::unix::net::UnixListener) -> io::Result<Self> {
        passed.set_nonblocking(true)?;
        Ok(Self { socket: UnixListener::from_std(passed)?, name: None, is_reported: false })
    }

    /// Waits for the next shim that runs as our own user.
    pub async fn accept(&mut self) -> UnixStream {
        loop {
            tokio::select! {
                stream = accept(&self.socket) => return stream,
                () = tokio::time::sleep(NAME_LOOK), if self.name.is_some() => self.restore(),
            }
        }
    }

    /// Binds the socket again when something else or nothing has its name. Another socket that a program listens on
    /// stays: it belongs to systemd, if systemd was made to listen there meanwhile.
    fn restore(&mut self) {
        let Some(name) = &self.name else { return };
        let path = name.path.clone();
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(found) if name.file.is_none_or(|file| file == (found.dev(), found.ino())) => return,
            // This server's own socket is still listed, under the name that it had.
            Ok(found) if found.file_type().is_socket() && listeners_on(&path) > 1 => {
                return self.report(&ListenError::Taken { path });
            }
            Ok(_) => {}
            Err(source) => return self.report(&ListenError::Bind { path, source }),
        }
        match bind_again(&path) {
            Ok(socket) => {
                tracing::warn!(socket = %path.display(), "the shim socket was removed or replaced; the server has bound it again");
                self.socket = socket;
                self.name = Some(Name::of(&path));
                self.is_reported = false;
            }
            Err(error) => self.report(&error),
        }
    }

    /// Logs the problem once, when it begins.
    fn report(&mut self, error: &ListenError) {
        if !std::mem::replace(&mut self.is_reported, true) {
            let error = crate::telemetry::chain(error);
            tracing::error!(%error, "the shim socket was removed or replaced and could not be bound again, so no worker can report; the server keeps trying");
        }
    }
}

/// Binds where the socket or its directory was removed, or where something else is in its place.
fn bind_again(path: &Path) -> Result<UnixListener, ListenError> {
    let failed = |source| ListenError::Bind { path: path.to_owned(), source };
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory).map_err(failed)?;
    }
    match beneath::make_room(path) {
        // Only a file is in the way, and nobody relies on it.
        Ok(_) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        },
        Err(error) => return Err(failed(error)),
    }
    bind_free(path)
}

fn bind(path: &Path) -> Result<UnixListener, ListenError> {
    if (0..LOOKS).all(|look| {
        if look > 0 {
            std::thread::sleep(LOOK_PAUSE);
        }
        is_listened_on(path)
    }) {
        return Err(ListenError::Taken { path: path.to_owned() });
    }
    let cleared = beneath::make_room(path).and_then(|_| match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    });
    cleared.map_err(|source| ListenError::Stale { path: path.to_owned(), source })?;
    bind_free(path)
}

fn bind_free(path: &Path) -> Result<UnixListener, ListenError> {
    let failed = |source| ListenError::Bind { path: path.to_owned(), source };
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Whether a running process listens there.
fn is_listened_on(path: &Path) -> bool {
    listeners_on(path) > 0
}

/// How many sockets that were bound there listen. Read from the kernel's list: dialling would make systemd start a
/// server.
fn listeners_on(path: &Path) -> usize {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let Some(wanted) = real(path) else { return 0 };
    let listens = |line: &&str| {
        // Num RefCount Protocol Flags Type St Inode Path
        let mut fields = line.split_ascii_whitespace();
        let flags = fields.nth(3).and_then(|flags| u32::from_str_radix(flags, 16).ok());
        let path = fields.nth(3);
        flags.is_some_and(|flags| flags & ACCEPTS != 0)
            && path.is_some_and(|path| real(Path::new(path)).as_ref() == Some(&wanted))
    };
    sockets.lines().filter(listens).count()
}

/// `__SO_ACCEPTCON`: the socket listens.
const ACCEPTS: u32 = 1 << 16;

/// The path without symbolic links in its directory: `/var/run` is one on most systems.
fn real(path: &Path) -> Option<PathBuf> {
    Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
}

/// Accepts the next shim that runs as our own user. The directory's mode already keeps others out; this also holds if
/// an operator loosened it.
async fn accept(listener: &UnixListener) -> UnixStream {
    let own = rustix::process::geteuid().as_raw();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match stream.peer_cred() {
                Ok(peer) if peer.uid() == own => return stream,
                Ok(peer) => {
                    tracing::warn!(
                        uid = peer.uid(),
                        "a process of another user dialled the shim socket; the connection was closed"
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, "the kernel did not say who dialled the shim socket; the connection was closed");
                }
            },
            Err(error) => {
                // Out of descriptors or memory: trying again at once would only burn the processor.
                tracing::error!(%error, "a connection to the shim socket could not be accepted; the server keeps trying");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_servers_socket_is_replaced_and_a_live_listener_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shim.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists() && !is_listened_on(&path));
        let ours = bind(&path).unwrap();
        assert!(is_listened_on(&path));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(is_listened_on(&link.join("shim.sock")));
        let error = bind(&path).unwrap_err().to_string();
        assert!(error.contains("vibe-ensemble.socket"), "{error}");
        std::os::unix::net::UnixStream::connect(&path).expect("it still is the one to dial");
        drop(ours);
    }
}
