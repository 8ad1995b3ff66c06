//! What a shim stores in a run directory: the grant, the prompt, the exit record.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;

use shim_protocol::exit::ExitRecord;
use shim_protocol::grant::Grant;
use shim_protocol::plain_file;
use shim_protocol::run_dir;
use shim_protocol::run_dir::UnitPlace;

use super::error::StoreError;
use super::lock::lock;
use super::make::FOREIGN_KEPT;
use super::make::make;
use crate::log;
use crate::seal;
use crate::seal::SealError;
use crate::seal_key::SealKey;

const PREPARE: faults::Sides = faults::points!("shim.prompt_written", "shim.prompt_named");
const STORE: faults::Sides = faults::points!("shim.grant_file_written", "shim.grant_file_named");
const SEAL: faults::Sides = faults::points!("shim.exit_written", "shim.exit_named");

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

impl RunDir {
    pub(super) fn locked(path: PathBuf, itself: OwnedFd, shim_lock: File) -> Self {
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

pub(super) fn is_plain_name(name: &str) -> bool {
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
