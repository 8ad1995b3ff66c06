//! What a commit holds, and what changed between two.

use std::path::Path;

use super::command::Git;
use super::error::GitError;
use super::repository::Repository;

/// The most changed files whose names are read. With more, everything may have changed.
const MOST_CHANGED: usize = 50_000;

/// A file in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileAt {
    Nothing,
    /// A directory, a symbolic link or a submodule.
    Odd,
    TooLarge,
    Content(Vec<u8>),
}

/// Whether a file in a checkout is as its commit has it; `None` outside of a repository.
pub async fn is_as_committed(directory: &Path, name: &str) -> Option<bool> {
    let status = Git::at(directory, "status").args([
        "--porcelain",
        "--untracked-files=all",
        "--ignored",
        "-z",
    ]);
    let answer = status.args(["--", name]).ask().await.ok()?;
    answer.is_success().then(|| answer.bytes().is_empty())
}

impl Repository {
    /// Reads a regular file of at most so many bytes. `path` is from the top of the repository.
    pub async fn file_at(&self, commit: &str, path: &str, most: usize) -> Result<FileAt, GitError> {
        let list = self.git("ls-tree")?.args(["-z", "--long", commit, "--", path]).run().await?;
        let text = list.text();
        let Some(line) = text.split('\0').find(|line| !line.is_empty()) else {
            return Ok(FileAt::Nothing);
        };
        let fields: Vec<&str> = line.split(['\t', ' ']).filter(|field| !field.is_empty()).collect();
        let (mode, object, size) = match fields.as_slice() {
            [mode, "blob", object, size, ..] => (*mode, *object, size.parse::<usize>()),
            [_, "tree" | "commit", ..] => return Ok(FileAt::Odd),
            _ => return Err(list.strange()),
        };
        if !matches!(mode, "100644" | "100755") {
            return Ok(FileAt::Odd);
        }
        if size.map_err(|_| list.strange())? > most {
            return Ok(FileAt::TooLarge);
        }
        let content = self.git("cat-file")?.args(["blob", object]).run().await?;
        Ok(FileAt::Content(content.bytes().to_vec()))
    }

    /// The files that differ between two commits, both names of a renamed one; `None` if there are too many to list.
    pub async fn changed_files(
        &self,
        from: &str,
        to: &str,
    ) -> Result<Option<Vec<String>>, GitError> {
        if from == to {
            return Ok(Some(Vec::new()));
        }
        let diff = self.git("diff-tree")?.args(["-r", "--no-renames", "--name-only", "-z"]);
        let list = diff.args(["--no-ext-diff", "--no-textconv", from, to]).run().await?;
        let names = list.bytes().split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let names: Vec<String> = names
            .take(MOST_CHANGED + 1)
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        Ok((names.len() <= MOST_CHANGED).then_some(names))
    }
}
