//! One change of a repository at a time.

use std::collections::HashMap;
use std::collections::HashSet;
use std::fs::File;
use std::fs::TryLockError;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::OwnedMutexGuard;

use super::abandoned;
use super::abandoned::Found;
use super::command::Git;
use super::command::GitError;
use crate::telemetry::chain;

/// Held by whoever changes the repository for this product: another server, or a git that outlived its server.
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
}

/// A repository that is ours alone, as far as this product goes, until this is dropped.
#[derive(Debug)]
pub struct Repository {
    common: PathBuf,
    lock: File,
    _turn: OwnedMutexGuard<()>,
}

impl Repositories {
    /// Waits for the repository with this common git directory.
    pub async fn open(&self, common: &Path) -> Result<Repository, GitError> {
        let queue = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(queues.entry(common.to_owned()).or_default())
        };
        let turn = queue.lock_owned().await;
        let path = common.join(LOCK);
        let failed = |source| GitError::File { path: path.clone(), source };
        let lock = File::options().create(true).append(true).read(true).open(&path);
        let lock = lock.map_err(failed)?;
        let begun = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(LOOK).await;
                }
                Err(TryLockError::WouldBlock) => return Err(GitError::Busy { path }),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        match abandoned::clear(common, &lock) {
            Ok(Found::Nothing | Found::Cleared) => {}
            Ok(Found::Young) => self.look_again(common),
            // Git says what is in its way; this was only to help.
            Err(error) => {
                tracing::warn!(repository = %common.display(), %error, "could not look for abandoned locks");
            }
        }
        Ok(Repository { common: common.to_owned(), lock, _turn: turn })
    }

    /// Opens the repository once more when a lock in it may have become old. Nobody else may have a reason to, and the
    /// user would find it locked.
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
                tracing::warn!(error = %chain(&error), "could not look for abandoned locks");
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

    /// A command on the repository itself.
    pub(super) fn git(&self, verb: &str) -> Result<Git, GitError> {
        Ok(self.git_in(&self.common, verb)?.env("GIT_DIR", &self.common))
    }

    /// A command in one of its worktrees.
    pub(super) fn git_in(&self, worktree: &Path, verb: &str) -> Result<Git, GitError> {
        let lock = self.lock.try_clone();
        let lock =
            lock.map_err(|source| GitError::File { path: self.common.join(LOCK), source })?;
        Ok(Git::at(worktree, verb).holding(lock))
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
