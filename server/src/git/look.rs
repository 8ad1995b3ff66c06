//! What a directory has to do with git. Reads only.

use std::path::Path;
use std::path::PathBuf;

use super::command::Git;
use super::command::GitError;

/// A directory from which worktrees can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The repository's common git directory.
    pub repository: PathBuf,
    /// Where in the repository the directory is, ending in `/`; empty at its top.
    pub prefix: String,
    /// The branch checked out there, as `refs/heads/…`; `None` when it is detached.
    pub branch: Option<String>,
    /// The commit checked out there.
    pub head: String,
}

/// Looks whether worktrees can be made from this directory; the sentence of a refusal says why not.
pub async fn look(directory: &Path) -> Result<Result<Ground, String>, GitError> {
    let place = directory.display();
    let asked = Git::at(directory, "rev-parse")
        .args(["--path-format=absolute", "--git-common-dir", "--show-prefix"])
        .args(["--is-inside-git-dir", "--is-bare-repository"])
        .ask()
        .await?;
    if !asked.is_success() {
        return Ok(Err(format!("git takes {place} for no repository: {}", asked.said())));
    }
    let text = asked.text();
    let lines: Vec<&str> = text.lines().collect();
    // A bare repository has no prefix to show, in some versions not even an empty one.
    let (common, prefix, inside, bare) = match lines[..] {
        [common, prefix, inside, bare] => (common, prefix, inside, bare),
        [common, inside, bare] => (common, "", inside, bare),
        _ => return Err(asked.strange()),
    };
    if inside == "true" && bare != "true" {
        return Ok(Err(format!("{place} is the inside of a repository, not a checkout of one")));
    }
    let head = Git::at(directory, "rev-parse")
        .args(["--verify", "--quiet", "HEAD^{commit}"])
        .ask()
        .await?;
    if !head.is_success() {
        return Ok(Err(format!("the repository of {place} has no commit yet")));
    }
    let head = head.commit()?;
    if !prefix.is_empty() {
        let tree = format!("{head}:{}", prefix.trim_end_matches('/'));
        let known =
            Git::at(directory, "rev-parse").args(["--verify", "--quiet", &tree]).ask().await?;
        if !known.is_success() {
            return Ok(Err(format!(
                "{place} is inside a repository, and no commit of that repository holds it"
            )));
        }
    }
    let branch = Git::at(directory, "symbolic-ref").args(["--quiet", "HEAD"]).ask().await?;
    let branch = branch.is_success().then(|| branch.text());
    Ok(Ok(Ground { repository: common.into(), prefix: prefix.to_owned(), branch, head }))
}

/// The version of the git in PATH, as it says itself, and its first two numbers.
pub async fn version() -> Result<(String, (u32, u32)), GitError> {
    let answer = Git::at(Path::new("/"), "version").run().await?;
    let text = answer.text();
    let said = text.trim_start_matches("git version ").trim().to_owned();
    let mut numbers = said.split(['.', ' ']).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((said, (major, minor))),
        _ => Err(answer.strange()),
    }
}
