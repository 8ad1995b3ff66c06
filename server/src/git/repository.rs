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
use super::furniture;
use super::neighbours;
use crate::beneath;
use crate::telemetry::chain;

/// Locked by the process that changes the repository for this product: this server, another one, or
/// a git that outlived its server.
const LOCK: &str = "vibe-ensemble.lock";

/// How long to wait for a repository, and how often to check meanwhile.
const PATIENCE: Duration = Duration::from_mins(15);
const LOOK: Duration = Duration::from_millis(20);

/// The repositories in which this server works. Cheap to clone; all clones share the locks.
#[derive(Clone, Debug, Default)]
pub struct Repositories {
    queues: Arc<Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>>,
    /// Repositories that will be looked at again for a lock that was too young.
    awaited: Arc<Mutex<HashSet<PathBuf>>>,
    bounds: Bounds,
    /// The marks of agents, which must not hold the locks.
    marks: Option<Marks>,
}

/// A repository that, as far as this product goes, belongs to its holder alone until this value is
/// dropped.
#[derive(Debug)]
pub struct Repository {
    common: PathBuf,
    /// The same path with links resolved. Below it no link is followed.
    real: PathBuf,
    lock: File,
    bounds: Bounds,
    _turn: OwnedMutexGuard<()>,
}

impl Repositories {
    /// The repositories of the server with this database in this place.
    #[must_use]
    pub fn of_server(server_id: &str, place_id: &str) -> Self {
        let marks = Marks { server_id: server_id.to_owned(), place_id: place_id.to_owned() };
        Self { marks: Some(marks), ..Self::default() }
    }

    /// The same, with less patience for a git that does nothing.
    #[cfg(test)]
    pub(super) fn with_idle(self, idle: Duration) -> Self {
        Self { bounds: Bounds { idle, ..Bounds::default() }, ..self }
    }

    /// Waits for the repository with this common git directory.
    pub async fn open(&self, common: &Path) -> Result<Repository, GitError> {
        self.open_telling(common, |_| {}).await
    }

    /// Like [`Self::open`]. Calls `held_by` with the holder's name, in words, whenever another
    /// process holds the repository for a while.
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
        furniture::straighten(&real)?;
        match abandoned::clear(common, &lock) {
            Ok(Found::Nothing | Found::Cleared) => {}
            Ok(Found::Young) => self.look_again(common),
            // Git will report what is in its way; this was only to help.
            Err(error) => {
                tracing::warn!(repository = %common.display(), %error, "a repository could not be searched for abandoned locks");
            }
        }
        Ok(Repository { common: common.to_owned(), real, lock, bounds: self.bounds, _turn: turn })
    }

    /// Waits for the lock. A hanging git whose server is gone is ended, because nothing else would
    /// ever end it. So is a process of an agent that has taken the lock: it could stop every ticket
    /// of the repository for as long as it likes.
    async fn locked(&self, path: &Path, held_by: impl Fn(&str)) -> Result<File, GitError> {
        let begun = Instant::now();
        let (mut looked, mut before, mut busy) = (begun, None, begun);
        loop {
            let lock = lock_file(path).map_err(file_error(path))?;
            match lock.try_lock() {
                // If the file no longer has that name, its lock protects nothing.
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
                        holders = %Holder::named(&holders),
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

    /// Opens the repository again once a lock in it may be old enough to remove. Otherwise, if no
    /// ticket opens it, the user would find it locked.
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

    /// A command that reads the administrations of all worktrees. Each agent can write its own, so
    /// whatever could block git there is removed first. The cost grows with the number of
    /// worktrees, so no other command does it.
    pub(super) fn git_of_worktrees(&self) -> Result<Git, GitError> {
        neighbours::clear(&self.real).map_err(file_error(&self.real.join("worktrees")))?;
        self.git("worktree")
    }

    /// A command with the lock of this repository, and its bounds.
    pub(super) fn equipped(&self, git: Git) -> Result<Git, GitError> {
        let lock = self.lock.try_clone().map_err(file_error(&self.real))?;
        Ok(git.holding(lock, &self.real).bounded(self.bounds))
    }

    /// Clears the lock of a branch other than a ticket's, if a killed git has left it.
    pub(super) fn clear_lock_of(&self, reference: &str) {
        let path = self.real.join(format!("{reference}.lock"));
        match abandoned::clear_one(&self.real, &self.lock, &path) {
            Ok(_) => {}
            // Git will report what is in its way; this was only to help.
            Err(error) => {
                tracing::warn!(reference, %error, "the lock of a branch could not be examined");
            }
        }
    }

    /// The commit a ref points to; `None` when there is no such ref.
    pub async fn tip(&self, reference: &str) -> Result<Option<String>, GitError> {
        if self.has_no_ref(reference) {
            return Ok(None);
        }
        let commit = format!("{reference}^{{commit}}");
        let asked = self.git("rev-parse")?.args(["--verify", "--quiet", &commit]).ask().await?;
        match asked.code {
            Some(0) => asked.commit().map(Some),
            Some(1) => Ok(None),
            _ => Err(asked.failed()),
        }
    }

    /// Moves a ref, but only from its expected commit; `None` for a ref that must not exist.
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

    /// Whether `newer` contains everything in `older`.
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

    /// Makes a commit from a tree, without any checkout.
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

/// Opens the lock file. The name belongs to this product alone, so anything else with that name is
/// in the way and holds nothing.
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
            tracing::warn!(path = %path.display(), "something other than a file was in the place of a lock file and was moved aside");
            beneath::make_room(path)?;
            open()
        }
        // An agent removed all permissions; it is still the same lock for its holder.
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
