//! One server per state directory, and one per runtime directory.
//!
//! Both hold a lock file that the server never removes: if it did, two servers could each lock a
//! file of that name. Others can remove it, so the directory itself is locked as well, and a
//! missing file is restored.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::io::Seek as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use shim_evidence::locks;
use shim_evidence::process;
use shim_protocol::plain_file;

use crate::beneath;
use crate::domain::time::Timestamp;
use crate::state::durable;
use crate::state::durable::Existing;
use crate::state::error::StateError;
use crate::state::files::ADDRESS;
use crate::state::files::BELOW;
use crate::state::files::RUNTIME_LOCK;
use crate::state::files::STATE_LOCK;
use crate::state::files::make;
use crate::state::files::restore;
use crate::state::holder::Holder;
use crate::state::holder::TokenFile;
use crate::state::holder::read_holder;
use crate::state::owned;
use crate::state::owned::Owners;
use crate::telemetry::chain;

/// How often a held lock is tried again, and how long to wait in between: a command that asks which
/// server holds it takes it for a moment.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(30);

/// Both locks of a running server, and those of their directories: a lock file can be removed while
/// its directory is in use. Dropping this value lets the next server in.
#[derive(Debug)]
pub struct InstanceLock {
    state: Held,
    runtime: Held,
    holder: Holder,
    /// Whether the log has said that the address cannot be written again.
    is_reported: bool,
    /// The same of a directory.
    is_closed: bool,
}

/// One of the two directories, locked.
#[derive(Debug)]
struct Held {
    directory: PathBuf,
    name: &'static str,
    /// The flag that names another directory.
    option: &'static str,
    file: File,
    /// `None` if the file system cannot lock directories.
    itself: Option<File>,
    /// Whether the log has reported that the file is gone and cannot be created again.
    reported: bool,
}

impl InstanceLock {
    pub(super) fn take(
        state_dir: &Path,
        runtime_dir: &Path,
        token: TokenFile,
        now: Timestamp,
    ) -> Result<Self, StateError> {
        let mut state = Held::take(state_dir, STATE_LOCK, "--state-dir")?;
        let runtime = Held::take(runtime_dir, RUNTIME_LOCK, "--runtime-dir")?;
        let pid = i32::try_from(std::process::id()).ok();
        let before = read_holder(&mut state.file);
        let listened = before.listen.or(before.listened);
        let started_at = Some(now.to_string());
        let token = Some(token);
        let holder = Holder { pid, started_at, listened, token, ..Holder::default() };
        let mut lock = Self { state, runtime, holder, is_reported: false, is_closed: false };
        lock.sign()?;
        Ok(lock)
    }

    /// Where the previous server of this state directory listened.
    #[must_use]
    pub fn listened(&self) -> Option<SocketAddr> {
        self.holder.listened
    }

    /// Publishes where the server listens: in the lock files, and in `http.addr` for clients.
    pub fn publish(&mut self, listen: SocketAddr) -> Result<(), StateError> {
        self.holder.listen = Some(listen);
        self.sign()?;
        make_room(&self.runtime.held_directory().join(ADDRESS))?;
        self.write_address(listen)
    }

    /// Publishes whether the server drains, for `vibe-ensemble drain`, which must know the state before it toggles it.
    pub fn set_draining(&mut self, draining: bool) -> Result<(), StateError> {
        self.holder.draining = draining;
        self.sign()
    }

    /// Publishes the new place of the token.
    pub fn set_token(&mut self, token: TokenFile) -> Result<(), StateError> {
        let token = Some(token);
        if self.holder.token == token {
            return Ok(());
        }
        self.holder.token = token;
        self.sign()
    }

    /// Removes the address, on a clean stop.
    pub fn withdraw(&mut self) -> Result<(), StateError> {
        let path = self.runtime.held_directory().join(ADDRESS);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StateError::Write { path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Restores files that were removed or replaced while the server runs: the lock files, without which a second
    /// server would not see the first, and the address, without which no client finds this server.
    pub fn restore(&mut self) {
        self.restore_directories();
        let mut restored = self.state.restore();
        restored |= self.runtime.restore();
        let address = self.runtime.directory.join(ADDRESS);
        let listen = self.holder.listen.filter(|listen| !says(&address, *listen));
        let written = match listen {
            Some(listen) => make_room(&address).and_then(|()| self.write_address(listen)),
            None => Ok(()),
        };
        let failed = written.is_err();
        if let Err(error) = written.and_then(|()| if restored { self.sign() } else { Ok(()) }) {
            // It is retried again and again, and logged once.
            if !self.is_reported {
                tracing::error!(error = %chain(&error), "files of the running server were removed or replaced and could not be restored");
            }
        } else if listen.is_some() {
            tracing::warn!(file = %address.display(), "the address file of the running server was removed or replaced, and has been restored");
        }
        self.is_reported = failed;
    }

    /// Restores directories that were removed, or that an agent has closed to its own user: no worker could start, and no
    /// ticket's worktree be made.
    fn restore_directories(&mut self) {
        let state = &self.state.directory;
        let below = BELOW.map(|name| state.join(name));
        let mut failed = None;
        for path in [state, &self.runtime.directory].into_iter().chain(&below) {
            match restore(path) {
                Ok(false) => {}
                Ok(true) => {
                    tracing::warn!(directory = %path.display(), "a directory of the running server was removed or closed, and has been restored");
                }
                Err(error) => failed = Some(error),
            }
        }
        match &failed {
            Some(error) if !self.is_closed => {
                tracing::error!(error = %chain(error), "a directory of the running server was removed or closed and could not be restored");
            }
            Some(_) | None => {}
        }
        self.is_closed = failed.is_some();
    }

    fn write_address(&self, listen: SocketAddr) -> Result<(), StateError> {
        let place = self.runtime.held_directory().join(ADDRESS);
        durable::write(&place, listen.to_string().as_bytes(), Existing::Replace).map_err(|source| {
            StateError::Write { path: self.runtime.directory.join(ADDRESS), source }
        })
    }

    /// Writes into the locks which server holds them. It writes in place: a renamed file would be
    /// another lock.
    fn sign(&mut self) -> Result<(), StateError> {
        let text = serde_json::json!(self.holder).to_string();
        for held in [&mut self.state, &mut self.runtime] {
            let (name, file) = (held.name, &mut held.file);
            let signed = file
                .rewind()
                .and_then(|()| file.set_len(0))
                .and_then(|()| file.write_all(text.as_bytes()));
            signed.map_err(|source| StateError::Write { path: name.into(), source })?;
        }
        Ok(())
    }
}

impl Held {
    fn take(
        directory: &Path,
        name: &'static str,
        option: &'static str,
    ) -> Result<Self, StateError> {
        let path = directory.join(name);
        let itself = match lock_directory(directory) {
            Ok(itself) => itself,
            // It keeps no other server away, so the file has to.
            Err(TryLockError::WouldBlock) if is_a_strangers(directory) => None,
            Err(TryLockError::WouldBlock) => {
                let said = plain_file::open(&path).map(|mut file| read_holder(&mut file));
                let holder = said.unwrap_or_default().into();
                return Err(StateError::Held { path, holder, directory: option });
            }
            // Some network file systems cannot lock directories; the file must suffice.
            Err(TryLockError::Error(_)) => None,
        };
        // Nobody else is here, so whatever has the name of the file was put there by an agent of a server that is dead.
        make_room(&path)?;
        let file = take(&path, option)?;
        let directory = directory.to_owned();
        Ok(Self { directory, name, option, file, itself, reported: false })
    }

    /// A path of the very directory that is held, whatever has its name by now.
    fn held_directory(&self) -> PathBuf {
        self.itself.as_ref().map_or_else(|| self.directory.clone(), beneath::path_of)
    }

    /// Creates the lock file again if it is gone or was replaced. Returns whether it did.
    fn restore(&mut self) -> bool {
        let path = self.directory.join(self.name);
        if is_same(&self.file, &path) {
            return false;
        }
        let again = if is_missing(&self.directory) { make(&self.directory) } else { Ok(()) };
        match again.and_then(|()| make_room(&path)).and_then(|()| self.take_again()) {
            Ok((itself, file)) => {
                tracing::warn!(file = %path.display(), "the server's lock file was removed or replaced and has been restored");
                self.file = file;
                if itself.is_some() {
                    self.itself = itself;
                }
                self.reported = false;
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.reported, true) {
                    tracing::error!(
                        file = %path.display(), error = %chain(&error),
                        "the server's lock file was removed or replaced and cannot be restored"
                    );
                }
                false
            }
        }
    }

    /// The new file, and its directory if that is new too; otherwise the old directory is still
    /// held.
    fn take_again(&self) -> Result<(Option<File>, File), StateError> {
        let is_held = self.itself.as_ref().is_some_and(|held| is_same(held, &self.directory));
        let itself =
            if is_held { None } else { lock_directory(&self.directory).unwrap_or_default() };
        Ok((itself, take(&self.directory.join(self.name), self.option)?))
    }
}

/// Locks a directory itself, so that nobody can replace it unnoticed.
fn lock_directory(directory: &Path) -> Result<Option<File>, TryLockError> {
    let file = File::open(directory).map_err(TryLockError::Error)?;
    for attempt in 1.. {
        match file.try_lock() {
            Ok(()) => break,
            // A process that is just being started holds it until it executes its program.
            Err(TryLockError::WouldBlock) if attempt < LOCK_TRIES => std::thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(file))
}

/// Whether the lock was taken by processes that are no server and no command about one. An agent can wait for the lock, and
/// would keep every server from starting after this one.
fn is_a_strangers(path: &Path) -> bool {
    let takers = locks::takers(path);
    let is_one = |pid: &i32| process::is_this_program(*pid);
    if takers.is_empty() || takers.iter().any(is_one) {
        return false;
    }
    let pids = takers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    tracing::warn!(path = %path.display(), pids, "a process that is no server holds a lock of the server's, which is not respected");
    true
}

/// Whether the path leads to this very file.
fn is_same(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(found)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    held.ino() == found.ino() && held.dev() == found.dev()
}

/// Whether the file says that the server listens at this address.
fn says(path: &Path, listen: SocketAddr) -> bool {
    /// The longest address has fewer bytes.
    const MOST: u64 = 256;
    plain_file::read(path, MOST).is_ok_and(|text| text == listen.to_string().as_bytes())
}

fn make_room(path: &Path) -> Result<(), StateError> {
    let made = beneath::make_room(path).map(drop);
    made.map_err(|source| StateError::Write { path: path.to_owned(), source })
}

fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The server that runs with this runtime directory; `None` if there is none.
pub fn holder(runtime_dir: &Path) -> Result<Option<Holder>, StateError> {
    let path = runtime_dir.join(RUNTIME_LOCK);
    let mut file = match plain_file::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Read { path, source }),
    };
    owned::check_file(&path, &file, Owners::of_client(runtime_dir))?;
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(read_holder(&mut file))),
        Err(TryLockError::Error(source)) => Err(StateError::Lock { path, source }),
    }
}

fn take(path: &Path, directory: &'static str) -> Result<File, StateError> {
    let failed = |source| StateError::Lock { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    // Not truncated: until we have the lock, the text belongs to its holder.
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = plain_file::open_own(&mut options, path).map_err(failed)?;
    owned::check_file(path, &file, Owners::of_server())?;
    for attempt in 1.. {
        match file.try_lock() {
            Ok(()) if is_same(&file, path) => break,
            // Somebody removed it in between; a lock on a file that nobody can find protects
            // nothing.
            Ok(()) => file = plain_file::open_own(&mut options, path).map_err(failed)?,
            Err(TryLockError::WouldBlock) if attempt < LOCK_TRIES => std::thread::sleep(LOCK_PAUSE),
            // The lock is on a file of that name; another one of that name is free.
            Err(TryLockError::WouldBlock) if attempt < 2 * LOCK_TRIES && is_a_strangers(path) => {
                if is_same(&file, path) {
                    fs::remove_file(path).map_err(failed)?;
                }
                file = plain_file::open_own(&mut options, path).map_err(failed)?;
            }
            Err(TryLockError::WouldBlock) => {
                let holder = read_holder(&mut file).into();
                return Err(StateError::Held { path: path.to_owned(), holder, directory });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::holder::Origin;

    const NOW: Timestamp = Timestamp::from_millis(1_795_305_600_000);

    #[test]
    fn a_removed_lock_file_lets_nobody_in_and_is_restored() {
        let dir = tempfile::tempdir().unwrap();
        let (state, runtime) = (dir.path().join("state"), dir.path().join("run"));
        fs::create_dir(&state).unwrap();
        fs::create_dir(&runtime).unwrap();
        let take = || {
            InstanceLock::take(
                &state,
                &runtime,
                TokenFile { path: "t".into(), origin: Origin::Own },
                NOW,
            )
        };
        let mut first = take().unwrap();
        first.publish("127.0.0.1:3276".parse().unwrap()).unwrap();
        for path in [state.join(STATE_LOCK), runtime.join(RUNTIME_LOCK), runtime.join(ADDRESS)] {
            fs::remove_file(path).unwrap();
        }
        assert!(matches!(take(), Err(StateError::Held { .. })), "the directory is in use");
        first.restore();
        let own = i32::try_from(std::process::id()).ok();
        assert_eq!(holder(&runtime).unwrap().and_then(|holder| holder.pid), own);
        assert_eq!(fs::read_to_string(runtime.join(ADDRESS)).unwrap(), "127.0.0.1:3276");
        let error = take().unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");

        fs::remove_dir_all(&runtime).unwrap();
        first.restore();
        assert_eq!(holder(&runtime).unwrap().and_then(|holder| holder.pid), own);
        assert_eq!(fs::read_to_string(runtime.join(ADDRESS)).unwrap(), "127.0.0.1:3276");
        // A file with another name is not used either: nothing about the server is written
        // elsewhere.
        let (lock, precious) = (state.join(STATE_LOCK), dir.path().join("precious"));
        fs::write(&precious, "precious").unwrap();
        fs::remove_file(&lock).unwrap();
        fs::hard_link(&precious, &lock).unwrap();
        first.restore();
        first.set_draining(true).unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        assert!(fs::read_to_string(&lock).unwrap().contains("draining"));
        // If another directory has its name, nothing is written or removed there.
        let (moved, foreign) = (dir.path().join("moved"), dir.path().join("foreign"));
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join(ADDRESS), "theirs").unwrap();
        fs::rename(&runtime, &moved).unwrap();
        std::os::unix::fs::symlink(&foreign, &runtime).unwrap();
        first.publish("127.0.0.1:3277".parse().unwrap()).unwrap();
        assert_eq!(fs::read_to_string(moved.join(ADDRESS)).unwrap(), "127.0.0.1:3277");
        first.withdraw().unwrap();
        assert_eq!(fs::read_to_string(foreign.join(ADDRESS)).unwrap(), "theirs");
        assert!(!moved.join(ADDRESS).exists());
        fs::remove_file(&runtime).unwrap();
        fs::rename(&moved, &runtime).unwrap();
        // A replacement in its place is not ours, and is not taken while somebody holds it.
        let lock = runtime.join(RUNTIME_LOCK);
        fs::remove_file(&lock).unwrap();
        fs::write(&lock, "").unwrap();
        first.restore();
        assert_eq!(holder(&runtime).unwrap().and_then(|holder| holder.pid), own);
    }
}
