//! One change of a repository at a time.

use std::collections::HashMap;
use std::collections::HashSet;
use std::fs::File;
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use rustix::fs::OFlags;
use tokio::sync::OwnedMutexGuard;

use super::abandoned;
use super::abandoned::Found;
use super::bounds;
use super::bounds::Bounds;
use super::bounds::Holder;
use super::bounds::Marks;
use super::command::Git;
use super::error::GitError;
use super::error::file_error;
use super::neighbours;
use crate::beneath;
use crate::telemetry::chain;

/// Held by the process that changes the repository for this product: this server, another one, or a git that outlived its
/// server.
const LOCK: &str = "vibe-ensemble.lock";

/// How long a repository is waited for, and how often it is looked at meanwhile.
const PATIENCE: Duration = Duration::from_mins(15);
const LOOK: Duration = Duration::from_millis(20);

/// The repositories this server works in. Cheap to clone; all clones share the locks.
#[derive(Clone, Debug, Default)]
pub struct Repositories {
    queues: Arc<Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>>,
    /// Those that are looked at again for a lock that was young.
    awaited: Arc<Mutex<HashSet<PathBuf>>>,
    bounds: Bounds,
    /// Of agents, which have no business with the locks.
    marks: Option<Marks>,
}

/// A repository that is ours alone, as far as this product goes, until this is dropped.
#[derive(Debug)]
pub struct Repository {
    common: PathBuf,
    /// The same without links on the way. Below it none is followed.
    real: PathBuf,
    lock: File,
    bounds: Bounds,
    _turn: OwnedMutexGuard<()>,
}

impl Repositories {
    /// Those of the server with this database in this place.
    #[must_use]
    pub fn of_server(server_id: &str, place_id: &str) -> Self {
        let marks = Marks { server_id: server_id.to_owned(), place_id: place_id.to_owned() };
        Self { marks: Some(marks), ..Self::default() }
    }

    /// As usual, but with less patience for a git that does nothing.
    #[cfg(test)]
    pub(super) fn with_idle(self, idle: Duration) -> Self {
        Self { bounds: Bounds { idle, ..Bounds::default() }, ..self }
    }

    /// Waits for the repository with this common git directory.
    pub async fn open(&self, common: &Path) -> Result<Repository, GitError> {
        self.open_telling(common, |_| {}).await
    }

    /// The same. `held_by` hears who holds the repository, in words, whenever that is another process for a while.
    pub async fn open_telling(
        &self,
        common: &Path,
        held_by: impl Fn(&str),
    ) -> Result<Repository, GitError> {
        let queue = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(queues.entry(common.to_owned()).or_default())
        };
        let turn = queue.lock_owned().await;
        let real = common.canonicalize().map_err(file_error(common))?;
        let lock = self.locked(&real.join(LOCK), held_by).await?;
        match abandoned::clear(common, &lock) {
            Ok(Found::Nothing | Found::Cleared) => {}
            Ok(Found::Young) => self.look_again(common),
            // Git says what is in its way; this was only to help.
            Err(error) => {
                tracing::warn!(repository = %common.display(), %error, "a repository could not be searched for abandoned locks");
            }
        }
        Ok(Repository { common: common.to_owned(), real, lock, bounds: self.bounds, _turn: turn })
    }

    /// Waits for the lock. A git that hangs and whose server is gone is ended: nothing else would end it, ever. So is a process
    /// of an agent that has taken the lock: it would stop every ticket of the repository for as long as it likes.
    async fn locked(&self, path: &Path, held_by: impl Fn(&str)) -> Result<File, GitError> {
        let begun = Instant::now();
        let (mut looked, mut before, mut busy) = (begun, None, begun);
        loop {
            let lock = lock_file(path).map_err(file_error(path))?;
            match lock.try_lock() {
                // A file that no longer has that name locks nothing.
                Ok(()) if is_at(&lock, path) => return Ok(lock),
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(file_error(path)(source)),
            }
            if looked.elapsed() >= self.bounds.look() {
                looked = Instant::now();
                let holders = bounds::holders(&lock);
                let words: Vec<String> = holders.iter().map(ToString::to_string).collect();
                if !words.is_empty() {
                    held_by(&words.join(" and "));
                }
                for holder in &holders {
                    if let Some(attempt) = self.marks.as_ref().and_then(|marks| marks.end(holder)) {
                        tracing::warn!(
                            %attempt, %holder, lock = %path.display(),
                            "a process of an agent held the lock of a repository, which is the server's; it was ended"
                        );
                    }
                }
                let done = Some((holders.clone(), Holder::work_done(&holders)));
                if done != before {
                    (before, busy) = (done, Instant::now());
                }
                // A running server holds it as well.
                let is_orphan =
                    !holders.is_empty() && holders.iter().all(|one| one.name.starts_with("git"));
                if is_orphan && busy.elapsed() >= self.bounds.idle {
                    tracing::error!(
                        ?holders,
                        "a git step of an earlier server hangs and holds its repository, so it is ended"
                    );
                    for holder in &holders {
                        holder.signal(Signal::SIGKILL);
                    }
                }
            }
            if begun.elapsed() >= PATIENCE {
                let holders = bounds::holders(&lock).iter().map(ToString::to_string).collect();
                return Err(GitError::Busy { path: path.to_owned(), holders });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Opens the repository once more when a lock in it may have become old. No ticket may give a reason to, and
    /// the user would find it locked.
    fn look_again(&self, common: &Path) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if !awaited.insert(common.to_owned()) {
            return;
        }
        let (repositories, common) = (self.clone(), common.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(abandoned::AGE + Duration::from_secs(1)).await;
            repositories.awaited.lock().unwrap_or_else(PoisonError::into_inner).remove(&common);
            if let Err(error) = Box::pin(repositories.open(&common)).await {
                tracing::warn!(error = %chain(&error), "a repository could not be searched for abandoned locks");
            }
        });
    }
}

impl Repository {
    /// Its common git directory.
    #[must_use]
    pub fn common(&self) -> &Path {
        &self.common
    }

    pub(super) fn real(&self) -> &Path {
        &self.real
    }

    /// Its lock file, which nothing else changes now.
    pub(super) fn lock(&self) -> &File {
        &self.lock
    }

    /// A command on the repository itself.
    pub(super) fn git(&self, verb: &str) -> Result<Git, GitError> {
        Ok(self.equipped(Git::at(&self.real, verb))?.env("GIT_DIR", &self.real))
    }

    /// A command that reads the administrations of all worktrees. Agents can write each its own, so whatever could stop git
    /// there is removed first; and the time this takes grows with the worktrees, so nothing else does it.
    pub(super) fn git_of_worktrees(&self) -> Result<Git, GitError> {
        neighbours::clear(&self.real).map_err(file_error(&self.real.join("worktrees")))?;
        self.git("worktree")
    }

    /// A command with the lock of this repository, and its bounds.
    pub(super) fn equipped(&self, git: Git) -> Result<Git, GitError> {
        let lock = self.lock.try_clone().map_err(file_error(&self.real))?;
        Ok(git.holding(lock, &self.real).bounded(self.bounds))
    }

    /// Clears the lock of a branch that is not a ticket's, when a killed git has left it.
    pub(super) fn clear_lock_of(&self, reference: &str) {
        let path = self.real.join(format!("{reference}.lock"));
        match abandoned::clear_one(&self.real, &self.lock, &path) {
            Ok(_) => {}
            // Git says what is in its way; this was only to help.
            Err(error) => {
                tracing::warn!(reference, %error, "the lock of a branch could not be looked at");
            }
        }
    }

    /// The commit a ref points to; `None` when there is no such ref.
    pub async fn tip(&self, reference: &str) -> Result<Option<String>, GitError> {
        let commit = format!("{reference}^{{commit}}");
        let asked = self.git("rev-parse")?.args(["--verify", "--quiet", &commit]).ask().await?;
        match asked.code {
            Some(0) => asked.commit().map(Some),
            Some(1) => Ok(None),
            _ => Err(asked.failed()),
        }
    }

    /// Moves a ref, but only from where it is believed to be; `None` for a ref that must not exist.
    pub(super) async fn move_ref(
        &self,
        reference: &str,
        to: &str,
        from: Option<&str>,
        why: &str,
    ) -> Result<(), GitError> {
        if from == Some(to) {
            return Ok(());
        }
        let from = from.unwrap_or("");
        let command = self.git("update-ref")?.args(["-m", why, "--create-reflog"]);
        command.args([reference, to, from]).run().await?;
        Ok(())
    }

    /// Whether everything in `older` is in `newer` too.
    pub async fn contains(&self, newer: &str, older: &str) -> Result<bool, GitError> {
        if newer == older {
            return Ok(true);
        }
        let asked = self.git("merge-base")?.args(["--is-ancestor", older, newer]).ask().await?;
        match asked.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(asked.failed()),
        }
    }

    pub(super) async fn tree_of(&self, commit: &str) -> Result<String, GitError> {
        let tree = format!("{commit}^{{tree}}");
        self.git("rev-parse")?.args(["--verify", &tree]).run().await?.commit()
    }

    /// Makes a commit of a tree, without any checkout.
    pub(super) async fn commit(
        &self,
        tree: &str,
        parents: &[&str],
        message: &str,
    ) -> Result<String, GitError> {
        let mut command = self.git("commit-tree")?.args([tree, "--no-gpg-sign", "-m", message]);
        for parent in parents {
            command = command.args(["-p", *parent]);
        }
        command.run().await?.commit()
    }
}

/// Opens the lock file. It is this product's alone, so whatever else has its name is in the way and holds nothing.
fn lock_file(path: &Path) -> io::Result<File> {
    let open = || {
        File::options()
            .create(true)
            .append(true)
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(path)
    };
    let opened = open();
    if opened.as_ref().is_ok_and(|file| file.metadata().is_ok_and(|found| found.is_file())) {
        return opened;
    }
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => {
            tracing::warn!(path = %path.display(), "something that was not a file was moved away from the place of a lock file");
            beneath::make_room(path)?;
            open()
        }
        // Closed by an agent to everybody; it is still the same lock for whoever holds it.
        Ok(_) if is_denied(&opened) => {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            open()
        }
        _ => opened,
    }
}

fn is_denied(opened: &io::Result<File>) -> bool {
    opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), path.symlink_metadata()) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}
