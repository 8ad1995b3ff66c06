//! The run directory, as the shim makes it: its locks, the grant, the prompt.

use std::cell::Cell;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use shim_protocol::exit::ExitRecord;
use shim_protocol::grant::Grant;
use shim_protocol::plain_file;
use shim_protocol::run_dir;
use shim_protocol::run_dir::UnitPlace;

use crate::log;
use crate::seal;
use crate::seal::SealError;
use crate::seal_key::SealKey;

const PREPARE: faults::Sides = faults::points!("shim.prompt_written", "shim.prompt_named");
const STORE: faults::Sides = faults::points!("shim.grant_file_written", "shim.grant_file_named");
const SEAL: faults::Sides = faults::points!("shim.exit_written", "shim.exit_named");

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{name:?} is not a valid name for a file or directory of an attempt")]
    BadName { name: String },
    #[error("could not create the run directory {path}")]
    Create { path: PathBuf, source: io::Error },
    #[error("could not lock {path}")]
    Lock { path: PathBuf, source: io::Error },
    #[error("{path} is held by another process")]
    Held { path: PathBuf },
    #[error("could not write {path}")]
    Place { path: PathBuf, source: io::Error },
    #[error("{path} is no longer a directory")]
    Replaced { path: PathBuf },
    #[error("could not rename {path}, which this shim did not write")]
    Aside { path: PathBuf, source: io::Error },
    #[error("could not encode a record")]
    Encode(#[source] serde_json::Error),
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// How many foreign records are kept, each under a name of its own.
const FOREIGN_KEPT: u32 = 8;

/// Enough for nearly every exit record: most have a few KiB, and more only when the agent's report is long.
const RESERVE_BYTES: i64 = 64 << 10;

/// A run directory whose lock this process holds.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// The directory itself, whatever its path leads to by now.
    itself: OwnedFd,
    /// Held as long as this value exists: the attempt's shim is alive.
    _shim_lock: File,
    /// Whether the directory's own name is known to be durable.
    named: Cell<bool>,
}

/// What opening a run directory found.
#[derive(Debug)]
pub enum Opened {
    /// It is new and the attempt may run in it.
    Fresh(RunDir),
    /// Another process made it, for an unknown purpose, so nothing may run in it. A record in it
    /// cannot belong to this attempt, which is granted once and to this process.
    Foreign(RunDir),
}

/// Makes the run directory of an attempt, or finds out what the existing one means.
pub fn open(attempts_dir: &Path, attempt_id: &str) -> Result<Opened, StoreError> {
    let number = attempt_id.strip_prefix("A-").unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(StoreError::BadName { name: attempt_id.to_owned() });
    }
    let path = attempts_dir.join(attempt_id);
    faults::point!("shim.before_mkdir");
    let fresh = make_or_find(&path)?;
    let itself = hold(&path).map_err(|source| StoreError::Create { path: path.clone(), source })?;
    faults::point!("shim.after_mkdir");
    // The order matters to the server: a directory without a held lock and without a record was
    // abandoned.
    let shim_lock = lock(&path.join(run_dir::SHIM_LOCK))?;
    faults::point!("shim.after_locked");
    if fresh {
        return Ok(Opened::Fresh(RunDir::locked(path, itself, shim_lock)));
    }
    let dir = RunDir::locked(path, itself, shim_lock);
    // If it is held, a tree is running, and a record that nothing was started would be false.
    drop(dir.lock_tree()?);
    Ok(Opened::Foreign(dir))
}

impl RunDir {
    fn locked(path: PathBuf, itself: OwnedFd, shim_lock: File) -> Self {
        Self { path, itself, _shim_lock: shim_lock, named: Cell::new(false) }
    }

    /// A path to the directory itself for this process, even if its agent has put a link in its
    /// place.
    #[must_use]
    pub fn held_path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.itself.as_raw_fd()).into()
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn tree_lock(&self) -> PathBuf {
        self.path.join(run_dir::TREE_LOCK)
    }

    /// Takes the tree's lock. The child inherits the descriptor; the caller closes its own copy
    /// after the spawn, so that from then on the lock is held exactly as long as something of the
    /// tree is alive.
    pub fn lock_tree(&self) -> Result<File, StoreError> {
        lock(&self.tree_lock())
    }

    /// Reserves space for the exit record, so that the end of an agent that fills the disk can
    /// still be recorded.
    pub fn reserve(&self) -> Result<(), StoreError> {
        Ok(seal::reserve(&self.path.join(run_dir::EXIT_RESERVE), RESERVE_BYTES)?)
    }

    /// Stores which unit contains the attempt. Not durably: the unit does not survive the end of
    /// the machine.
    pub fn store_place(&self, place: &UnitPlace) -> Result<(), StoreError> {
        let json = serde_json::to_vec_pretty(place).map_err(StoreError::Encode)?;
        let path = self.path.join(run_dir::UNIT);
        let written = seal::replace(&self.path, run_dir::UNIT, &json);
        written.map_err(|source| StoreError::Place { path, source })
    }

    /// Stores the prompt and the extra files for the agent, and the grant durably.
    ///
    /// Prompt and files are the agent's input rather than a record: whatever loses them ends the
    /// agent too. The grant is evidence, because without one no child was ever started.
    pub fn store_grant(&self, grant: &mut Grant) -> Result<(), StoreError> {
        let prompt = std::mem::take(&mut grant.prompt);
        let json = serde_json::to_vec_pretty(grant).map_err(StoreError::Encode)?;
        seal::write_passing(&self.path, run_dir::PROMPT, prompt.as_bytes(), PREPARE)?;
        for (name, content) in &grant.files {
            if !is_plain_name(name) {
                return Err(StoreError::BadName { name: name.clone() });
            }
            seal::write_passing(&self.path, name, content.as_bytes(), PREPARE)?;
        }
        // Last, so that a directory with a grant is complete.
        self.write_record(run_dir::GRANT, &json, STORE)?;
        faults::point!("shim.grant_stored");
        Ok(())
    }

    /// Opens the prompt for the child to read.
    pub fn prompt(&self) -> io::Result<File> {
        plain_file::open(&self.path.join(run_dir::PROMPT))
    }

    /// Seals the exit record. From here on the attempt has ended.
    ///
    /// A directory that was removed is made again: the result matters more than the lost rest. A
    /// record that another process wrote is renamed: it is a forgery, and never belongs to this
    /// attempt.
    pub fn seal(&self, record: &ExitRecord, key: &SealKey) -> Result<(), StoreError> {
        let json = serde_json::to_vec_pretty(record).map_err(StoreError::Encode)?;
        let file = key.seal(&json);
        self.restore()?;
        // The agent may have filled the disk; the space reserved for this moment is needed now.
        seal::release(&self.path.join(run_dir::EXIT_RESERVE))?;
        match self.write_record(run_dir::EXIT, &file, SEAL) {
            Err(StoreError::Seal(SealError::Exists { .. })) => {}
            written => return written,
        }
        if run_dir::read_exit_file(&self.path)
            .is_ok_and(|found| found.is_some_and(|(_, bytes)| key.has_sealed(&bytes)))
        {
            // An earlier try named it and could not make the name durable.
            return Ok(seal::sync_dir(&self.path)?);
        }
        let path = self.put_aside()?;
        log::note(&format!(
            "an exit record that this shim did not write was renamed to {}",
            path.display()
        ));
        self.write_record(run_dir::EXIT, &file, SEAL)
    }

    /// Makes the directory again if it is gone. Nothing is written through what has taken its
    /// place, such as a symbolic link.
    fn restore(&self) -> Result<(), StoreError> {
        let path = self.path.clone();
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(StoreError::Replaced { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.named.set(false);
                make(&path).map_err(|source| StoreError::Create { path, source })
            }
            Err(source) => Err(StoreError::Create { path, source }),
        }
    }

    /// Renames whatever is called `exit.json`.
    fn put_aside(&self) -> Result<PathBuf, StoreError> {
        let path = self.path.join(run_dir::EXIT);
        let aside = |number: u32| self.path.join(format!("{}.foreign.{number}", run_dir::EXIT));
        for number in 1..=FOREIGN_KEPT {
            match seal::rename_new(&path, &aside(number)) {
                Ok(()) => return Ok(aside(number)),
                Err(SealError::Exists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let path = aside(FOREIGN_KEPT);
        std::fs::rename(self.path.join(run_dir::EXIT), &path)
            .map_err(|source| StoreError::Aside { path: path.clone(), source })?;
        Ok(path)
    }

    /// Writes a record durably. The first record makes the directory's name durable too: most file
    /// systems write both together, so this causes no further wait for the disk.
    fn write_record(
        &self,
        name: &str,
        json: &[u8],
        sides: faults::Sides,
    ) -> Result<(), StoreError> {
        seal::write_new(&self.path, name, json, sides)?;
        if let Some(attempts_dir) = self.path.parent().filter(|_| !self.named.get()) {
            seal::sync_dir(attempts_dir)?;
            self.named.set(true);
        }
        Ok(())
    }
}

/// Makes a run directory; returns false if one exists already. Anything else, such as a symbolic
/// link, was put there by a process that guessed the number: it is renamed, and nothing is written
/// through it.
fn make_or_find(path: &Path) -> Result<bool, StoreError> {
    let failed = |source| StoreError::Create { path: path.to_owned(), source };
    for number in 1..=FOREIGN_KEPT {
        match make(path) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed(source)),
        }
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(failed(source)),
        }
        let aside = path.with_extension(format!("foreign.{number}"));
        match seal::rename_new(path, &aside) {
            Ok(()) => log::note(&format!(
                "a file in the place of a run directory was renamed to {}",
                aside.display()
            )),
            Err(SealError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Replaced { path: path.to_owned() })
}

/// Opens a directory itself, through no link.
fn hold(path: &Path) -> io::Result<OwnedFd> {
    let flags = nix::libc::O_DIRECTORY | nix::libc::O_NOFOLLOW;
    Ok(OpenOptions::new().read(true).custom_flags(flags).open(path)?.into())
}

/// Makes a run directory, and its parents if they were removed too.
fn make(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    let made = builder.mode(0o700).create(path);
    match (made, path.parent()) {
        (Err(error), Some(above)) if error.kind() == io::ErrorKind::NotFound => {
            builder.recursive(true).create(above)?;
            builder.recursive(false).create(path)
        }
        (made, _) => made,
    }
}

/// Takes a lock file's lock for as long as the file stays open, here or in a process that inherits
/// it.
pub fn lock(path: &Path) -> Result<File, StoreError> {
    let failed = |source| StoreError::Lock { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = plain_file::open_own(&mut options, path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Held { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn is_plain_name(name: &str) -> bool {
    let reserved = [
        run_dir::EXIT,
        run_dir::EXIT_RESERVE,
        run_dir::SHIM_LOCK,
        run_dir::TREE_LOCK,
        run_dir::GRANT,
        run_dir::UNIT,
    ];
    !name.is_empty()
        && name != run_dir::PROMPT
        && !name.starts_with('.')
        && !name.contains(['/', '\0'])
        && !reserved.contains(&name)
        && run_dir::Stream::Stdout.number_of(name).is_none()
        && run_dir::Stream::Stderr.number_of(name).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_id_can_only_name_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        for id in ["", "A-", "A-1/..", "../A-1", "A-x", "T-1", "."] {
            assert!(matches!(open(dir.path(), id), Err(StoreError::BadName { .. })), "{id}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn anything_in_the_place_of_a_directory_is_renamed_and_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        for (attempt, led) in [("A-1", true), ("A-2", false)] {
            let path = dir.path().join(attempt);
            if led {
                std::os::unix::fs::symlink(elsewhere.path(), &path).unwrap();
            } else {
                std::fs::write(&path, "a file").unwrap();
            }
            let Opened::Fresh(fresh) = open(dir.path(), attempt).unwrap() else { panic!("new") };
            assert!(std::fs::symlink_metadata(&path).unwrap().is_dir());
            drop(fresh.lock_tree().unwrap());
            assert!(std::fs::symlink_metadata(path.with_extension("foreign.1")).is_ok());
            // Its agent puts a link there while it runs.
            std::fs::rename(&path, dir.path().join("moved")).unwrap();
            std::os::unix::fs::symlink(elsewhere.path(), &path).unwrap();
            std::fs::write(fresh.held_path().join("segment"), "x").unwrap();
            assert!(dir.path().join("moved/segment").exists());
            std::fs::remove_dir_all(dir.path().join("moved")).unwrap();
        }
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_attempt_runs_only_in_a_new_directory() {
        let dir = tempfile::tempdir().unwrap();
        let Opened::Fresh(fresh) = open(dir.path(), "A-1").unwrap() else { panic!("new") };
        assert!(matches!(open(dir.path(), "A-1"), Err(StoreError::Held { .. })));
        let tree = fresh.lock_tree().unwrap();
        drop(fresh);
        assert!(matches!(open(dir.path(), "A-1"), Err(StoreError::Held { .. })), "a tree lives");
        drop(tree);
        assert!(matches!(open(dir.path(), "A-1").unwrap(), Opened::Foreign(_)));
    }

    #[test]
    fn links_in_the_place_of_files_are_never_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let Opened::Fresh(fresh) = open(dir.path(), "A-1").unwrap() else { panic!("new") };
        let precious = dir.path().join("precious");
        std::fs::write(&precious, "precious").unwrap();
        let place = UnitPlace {
            unit: "w.service".to_owned(),
            cgroup: "/w.service".into(),
            inode: 1,
            boot_id: None,
            extra: serde_json::Map::new(),
        };
        let own = format!(".{}.{}.tmp", run_dir::UNIT, std::process::id());
        for name in [run_dir::UNIT, ".unit.json.tmp", &own] {
            let link = fresh.path().join(name);
            let _none = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(&precious, &link).unwrap();
            // A link with the very name of this moment is in the way, once.
            assert_eq!(fresh.store_place(&place).is_err(), name == own, "{name}");
            assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious", "{name}");
        }
        fresh.store_place(&place).unwrap();
        assert!(std::fs::symlink_metadata(fresh.path().join(run_dir::UNIT)).unwrap().is_file());
    }

    #[test]
    fn a_prompt_that_is_a_pipe_or_a_link_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let Opened::Fresh(fresh) = open(dir.path(), "A-1").unwrap() else { panic!("new") };
        let path = fresh.path().join(run_dir::PROMPT);
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(fresh.prompt().is_err());
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        let (said, hears) = std::sync::mpsc::channel();
        std::thread::spawn(move || said.send(fresh.prompt().is_err()));
        let refused = hears.recv_timeout(std::time::Duration::from_secs(60));
        assert_eq!(refused, Ok(true), "it was waited for");
    }

    #[test]
    fn the_space_for_the_record_is_reserved_at_once_and_released_for_it() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let Opened::Fresh(fresh) = open(dir.path(), "A-1").unwrap() else { panic!("new") };
        fresh.reserve().unwrap();
        let reserve = fresh.path().join(run_dir::EXIT_RESERVE);
        assert!(std::fs::metadata(&reserve).unwrap().blocks() * 512 >= 64 << 10);
        seal::release(&reserve).unwrap();
        assert!(!reserve.exists());
        seal::release(&reserve).unwrap();
    }

    #[test]
    fn names_the_shim_needs_for_itself_are_refused() {
        for name in [
            "exit.json",
            "unit.json",
            "grant.json",
            "prompt.md",
            "a/b",
            "",
            ".x",
            "stdout.000001.jsonl",
        ] {
            assert!(!is_plain_name(name), "{name}");
        }
        assert!(is_plain_name("settings.json"));
    }
}
