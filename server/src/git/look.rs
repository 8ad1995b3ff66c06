//! How a directory relates to git. Reads only.

use std::path::Path;
use std::path::PathBuf;

use super::command::Git;
use super::error::GitError;

/// A directory from which worktrees can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The repository's common git directory.
    pub repository: PathBuf,
    /// The directory's path in the repository, ending in `/`; empty at the top.
    pub prefix: String,
    /// The branch checked out there, as `refs/heads/…`; `None` when it is detached.
    pub branch: Option<String>,
    /// The commit checked out there.
    pub head: String,
}

/// Why no worktrees can be made from a directory, each with a clause that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoGround {
    /// It is in no repository, or in one without a commit to begin from.
    Nothing(String),
    /// It is in a repository that git refuses or cannot read. Everyone who works there has the same
    /// problem.
    Refused(String),
}

impl NoGround {
    #[must_use]
    pub fn said(&self) -> &str {
        match self {
            Self::Nothing(said) | Self::Refused(said) => said,
        }
    }
}

/// Whether the user made a repository of the directory or of one above it. Git gives the same
/// answer for a directory without a repository and for a repository that it cannot read.
#[must_use]
pub fn is_meant_as_repository(directory: &Path) -> bool {
    let has = |part: &str| directory.join(part).exists();
    directory.ancestors().any(|above| above.join(".git").symlink_metadata().is_ok())
        || (has("objects") && has("refs") && has("HEAD"))
}

/// Looks whether worktrees can be made from this directory.
pub async fn look(directory: &Path) -> Result<Result<Ground, NoGround>, GitError> {
    let place = directory.display();
    let nothing = |why: String| Ok(Err(NoGround::Nothing(why)));
    let refused = |why: String| Ok(Err(NoGround::Refused(why)));
    if let Some(ground) = look_once(directory).await? {
        return Ok(Ok(ground));
    }
    let asked = Git::at(directory, "rev-parse")
        .args(["--path-format=absolute", "--git-common-dir", "--show-prefix"])
        .args(["--is-inside-git-dir", "--is-bare-repository"])
        .ask()
        .await?;
    if !asked.is_success() {
        let failed = asked.failed();
        if failed.is_passing() {
            return Err(failed);
        }
        let said = asked.said();
        if is_meant_as_repository(directory) {
            return refused(format!("git does not use the repository at {place}: {said}"));
        }
        return nothing(format!("git takes {place} for no repository: {said}"));
    }
    let text = asked.text();
    let lines: Vec<&str> = text.lines().collect();
    // A bare repository has no prefix; some versions of git print not even an empty line for it.
    let (common, prefix, inside, bare) = match lines[..] {
        [common, prefix, inside, bare] => (common, prefix, inside, bare),
        [common, inside, bare] => (common, "", inside, bare),
        _ => return Err(asked.strange()),
    };
    if inside == "true" && bare != "true" {
        return nothing(format!("{place} is the inside of a repository, not a checkout of one"));
    }
    let head = Git::at(directory, "rev-parse")
        .args(["--verify", "--quiet", "HEAD^{commit}"])
        .ask()
        .await?;
    if !head.is_success() {
        if is_unborn(directory).await? {
            return nothing(format!("the repository of {place} has no commit yet"));
        }
        return refused(format!(
            "the repository of {place} is damaged: the commit that is checked out cannot be read"
        ));
    }
    let head = head.commit()?;
    if !prefix.is_empty() {
        let tree = format!("{head}:{}", prefix.trim_end_matches('/'));
        let known =
            Git::at(directory, "rev-parse").args(["--verify", "--quiet", &tree]).ask().await?;
        if !known.is_success() {
            return nothing(format!(
                "{place} is inside a repository, and no commit of that repository holds it"
            ));
        }
    }
    let branch = Git::at(directory, "symbolic-ref").args(["--quiet", "HEAD"]).ask().await?;
    let branch = branch.is_success().then(|| branch.text());
    Ok(Ok(Ground { repository: common.into(), prefix: prefix.to_owned(), branch, head }))
}

/// The same in one question, where nothing is unusual: the top of a checkout with a commit. `None` says nothing.
async fn look_once(directory: &Path) -> Result<Option<Ground>, GitError> {
    let asked = Git::at(directory, "rev-parse")
        .args(["--path-format=absolute", "--git-common-dir", "--show-prefix"])
        .args(["--is-inside-git-dir", "HEAD^{commit}", "--symbolic-full-name", "HEAD"])
        .ask()
        .await?;
    if !asked.is_success() {
        return Ok(None);
    }
    let text = asked.text();
    let lines: Vec<&str> = text.lines().collect();
    let [common, "", "false", head, branch] = lines[..] else { return Ok(None) };
    // Git shows a HEAD that names no branch as itself.
    let branch = Some(branch).filter(|branch| branch.starts_with("refs/")).map(str::to_owned);
    Ok(Some(Ground {
        repository: common.into(),
        prefix: String::new(),
        branch,
        head: head.to_owned(),
    }))
}

/// Whether HEAD names a branch that does not exist, as before the first commit.
async fn is_unborn(directory: &Path) -> Result<bool, GitError> {
    let branch = Git::at(directory, "symbolic-ref").args(["--quiet", "HEAD"]).ask().await?;
    if !branch.is_success() {
        return Ok(false);
    }
    // Git answers from the name alone, whether or not the commit can be read.
    let named = Git::at(directory, "rev-parse").args(["--verify", "--quiet", "HEAD"]).ask().await?;
    Ok(!named.is_success())
}

/// The version of the git in PATH, as git prints it, and its first two numbers.
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
