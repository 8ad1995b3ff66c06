//! What a ticket changed, as a person reads it.

use std::path::Path;

use super::command::Git;
use super::error::GitError;

/// How a difference is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Line by line.
    Lines,
    /// One line per file, this many columns wide.
    Files(usize),
}

/// The difference between two commits of a repository, as git prints it without colour.
///
/// It runs no program that the repository configures: agents can write that configuration.
pub async fn difference(
    repository: &Path,
    from: &str,
    to: &str,
    shown: Shown,
) -> Result<String, GitError> {
    let git = Git::at(repository, "diff").args(["--no-ext-diff", "--no-textconv", "--no-color"]);
    let git = match shown {
        Shown::Lines => git,
        Shown::Files(columns) => git.arg(format!("--stat={columns}")),
    };
    let answer = git.arg("--end-of-options").args([from, to]).arg("--").run().await?;
    Ok(answer.text())
}
