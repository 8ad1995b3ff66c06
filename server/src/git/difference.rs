//! What a ticket changed, as a person reads it.

use std::path::Path;

use super::command::Git;
use super::error::GitError;

/// How a difference is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'f> {
    /// Line by line.
    Lines,
    /// One line per file, this many columns wide.
    Files(usize),
    /// The lines added and removed of each file, for a program: parts that end with a NUL, renames as two files.
    Numbers,
    /// One file, line by line.
    File(&'f str),
}

/// The difference between two commits of a repository, as git prints it without colour.
///
/// It runs no program that the repository configures: agents can write that configuration.
pub async fn difference(
    repository: &Path,
    from: &str,
    to: &str,
    shown: Shown<'_>,
) -> Result<String, GitError> {
    let git = Git::at(repository, "diff").args(["--no-ext-diff", "--no-textconv", "--no-color"]);
    let git = match shown {
        Shown::Lines => git,
        Shown::Files(columns) => git.arg(format!("--stat={columns}")),
        Shown::Numbers => git.args(["--numstat", "-z", "--no-renames"]),
        Shown::File(_) => git.arg("--no-renames"),
    };
    let git = git.arg("--end-of-options").args([from, to]).arg("--");
    let git = match shown {
        Shown::Lines | Shown::Files(_) | Shown::Numbers => git,
        // As it is named, whatever characters it has: a path is no pattern.
        Shown::File(path) => git.arg(format!(":(top,literal){path}")),
    };
    let answer = git.run().await?;
    Ok(answer.text())
}
