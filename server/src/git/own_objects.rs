//! Keeps accepted work in the repository's own object store.
//!
//! A repository may borrow objects from others (`objects/info/alternates`). A user who cloned with
//! `--shared` wants that. An agent can set it up as well: its commits then lie in a directory of
//! its own, the branch points to them, and when that directory is gone so is the accepted work. So
//! everything that an attempt adds is copied, wherever it lies.

use std::fs;

use super::error::GitError;
use super::error::file_error;
use super::repository::Repository;

/// A pack in transit from there to here. It lies beside the lock, because one step at a time works
/// in a repository.
const BUNDLE: &str = "vibe-ensemble.bundle";

impl Repository {
    /// Makes sure that everything that `branch`, a full name, adds to the commit `before` is in
    /// this repository's own store. Changes nothing in a repository that borrows no objects. Fails
    /// if an object is already missing.
    pub(super) async fn keep_objects(&self, branch: &str, before: &str) -> Result<(), GitError> {
        let alternates = self.real().join("objects/info/alternates");
        if alternates.symlink_metadata().is_err() || self.contains(before, branch).await? {
            return Ok(());
        }
        let bundle = self.real().join(BUNDLE);
        let path = bundle.to_string_lossy().into_owned();
        let without = format!("^{before}");
        let made = self.git("bundle")?.args(["create", "--quiet", &path, branch, &without]);
        let taken = match made.run().await {
            Ok(_) => self.git("bundle")?.args(["unbundle", &path]).run().await.map(drop),
            Err(error) => Err(error),
        };
        match fs::remove_file(&bundle) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(file_error(&bundle)(error));
            }
            Ok(()) | Err(_) => {}
        }
        taken
    }
}
