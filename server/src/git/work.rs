//! A ticket's worktree and branch.
//!
//! The database says what was accepted (`head_commit`); here the repository is brought to it. Git is always told where
//! the worktree and its administration are: left to find out, it would take the repository around the state directory
//! for its own once an agent has removed the `.git` file.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use super::command::Git;
use super::command::GitError;
use super::nested;
use super::repository::Repository;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::worktree::DiffStat;
use crate::domain::worktree::Head;
use crate::domain::worktree::Worktree;

/// The namespace of the branches.
const BRANCHES: &str = "vibe-ensemble/";
/// Where changes that were not accepted are kept.
const ATTEMPTS: &str = "refs/vibe-ensemble/attempts/";
/// The index that changes are gathered in; the worktree's own may be locked, in conflict, or wrong.
const INDEX: &str = "vibe-ensemble-index";
/// Names tried before one is given up as taken.
const NAMES: u32 = 100;

/// What an agent may leave unfinished there. It would go on as if it were the next one's.
const UNFINISHED: [&str; 8] = [
    "rebase-merge",
    "rebase-apply",
    "sequencer",
    "MERGE_HEAD",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "BISECT_LOG",
    "BISECT_START",
];

/// Whose work it is; for messages of commits and names of refs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    pub ticket: TicketId,
    pub stage: String,
    pub attempt: AttemptId,
}

/// What became of a worktree that is no longer needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// `branch` is true when the branch went too, because another one has all of it.
    Done { branch: bool },
    /// It holds what is nowhere else; the sentence says what.
    Kept(String),
}

/// A worktree as git sees it.
#[derive(Debug)]
struct Site<'w> {
    work: &'w Worktree,
    path: &'w Path,
    /// Its directory in the repository's `worktrees`.
    admin: PathBuf,
}

/// Where the worktree stands.
#[derive(Debug)]
struct Standing {
    head: String,
    on_branch: bool,
    dirty: bool,
}

fn full(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> GitError + '_ {
    |source| GitError::File { path: path.to_owned(), source }
}

fn remove(path: &Path) -> Result<(), GitError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        // Where refs are kept in tables, `refs/heads` is a file and has nothing below it.
        Err(error)
            if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Err(file_error(path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Puts what is in the way of a new worktree aside. Git never made it, so it may be anything.
fn clear_the_way(path: &Path) -> Result<(), GitError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(file_error(parent))?;
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(file_error(path)(error)),
    };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    if names.iter().all(|name| name == ".git") {
        return remove(path);
    }
    let free = (1..NAMES)
        .map(|number| path.with_extension(format!("aside-{number}")))
        .find(|aside| !aside.exists());
    let Some(aside) = free else {
        let full = io::Error::from(io::ErrorKind::DirectoryNotEmpty);
        return Err(file_error(path)(full));
    };
    tracing::warn!(path = %path.display(), aside = %aside.display(), "files in the place of a worktree were put aside");
    fs::rename(path, &aside).map_err(file_error(path))
}

impl Site<'_> {
    fn clear(&self, names: &[&str]) -> Result<(), GitError> {
        names.iter().try_for_each(|name| remove(&self.admin.join(name)))
    }

    /// Clears away what a git that was killed leaves here: the lock of its index, of HEAD, of `AUTO_MERGE` or whatever
    /// else it was about to write. Nobody works there while we do.
    fn clear_locks(&self) -> Result<(), GitError> {
        for entry in fs::read_dir(&self.admin).map_err(file_error(&self.admin))? {
            let path = entry.map_err(file_error(&self.admin))?.path();
            if path.extension().is_some_and(|end| end == "lock") {
                remove(&path)?;
            }
        }
        remove(&self.admin.join(INDEX))
    }
}

impl Author {
    fn message(&self, subject: &str, body: &str) -> String {
        let Self { ticket, stage, attempt } = self;
        format!(
            "{ticket} {stage} ({attempt}): {subject}\n\n{body}\n\nVibe-Ensemble-Ticket: {ticket}\n\
             Vibe-Ensemble-Stage: {stage}\nVibe-Ensemble-Attempt: {attempt}\n"
        )
    }
}

impl Repository {
    /// A ref beside which no ticket can have a branch, or no attempt what it left, as a clause with the step that makes
    /// room. Git keeps refs like files, and none is a directory as well.
    pub async fn leaves_no_room(&self) -> Result<Option<String>, GitError> {
        let (branches, attempts) = (BRANCHES.trim_end_matches('/'), ATTEMPTS.trim_end_matches('/'));
        let branch = full(branches);
        let above = attempts.rsplit_once('/').map_or(attempts, |(above, _)| above);
        for reference in [branch.as_str(), above, attempts] {
            let shown =
                self.git("show-ref")?.args(["--verify", "--quiet", reference]).ask().await?;
            if !shown.is_success() {
                continue;
            }
            let place = self.common().display();
            return Ok(Some(if reference == branch {
                format!(
                    "{place} has a branch named {branches}, beside which git can have none named {branches}/T-1. Rename it \
                     with git branch -m {branches} NEW_NAME"
                )
            } else {
                format!(
                    "{place} has a ref named {reference}, below which the changes of attempts are kept. Keep it under \
                     another name with git update-ref, and remove it with git update-ref -d {reference}"
                )
            }));
        }
        Ok(None)
    }

    /// The branch for a ticket that has none yet, and the directory below `place` for its worktree. What exists already
    /// under its name is somebody else's, or of a time that a restored database has forgotten.
    pub async fn free_names(
        &self,
        ticket: TicketId,
        place: &Path,
    ) -> Result<(String, PathBuf), GitError> {
        let mut name = ticket.to_string();
        for number in 2..NAMES {
            // What lies below the name takes it too.
            let branch = full(&format!("{BRANCHES}{name}"));
            let refs = self.git("for-each-ref")?.args(["--count=1", &branch]).run().await?;
            let taken = !refs.bytes().is_empty();
            if !taken && fs::symlink_metadata(place.join(&name)).is_err() {
                break;
            }
            name = format!("{ticket}-{number}");
        }
        Ok((format!("{BRANCHES}{name}"), place.join(name)))
    }

    /// Makes the branch and the worktree where they are missing, and clears away what a killed git left. Whatever work is
    /// there stays as it is.
    pub async fn stand_up(&self, work: &Worktree) -> Result<(), GitError> {
        let branch = full(&work.branch);
        remove(&self.common().join(format!("{branch}.lock")))?;
        if self.tip(&branch).await?.is_none() {
            self.move_ref(&branch, &work.head.commit, None, "vibe-ensemble: begin").await?;
        }
        let path = Path::new(&work.path);
        let site = if let Some(site) = self.site(work)? {
            site
        } else {
            clear_the_way(path)?;
            let add = self.git("worktree")?.args(["add", "--quiet", "--no-checkout"]);
            add.arg(path).arg(&work.branch).run().await?;
            self.site(work)?.ok_or_else(|| GitError::Strange {
                verb: "worktree".to_owned(),
                said: format!("{} was added and is not there", path.display()),
            })?
        };
        site.clear_locks()?;
        // Made and removed by `worktree add`; a lock of the user's says something else.
        let locked = site.admin.join("locked");
        if fs::read_to_string(&locked).is_ok_and(|why| why.trim() == "initializing") {
            remove(&locked)?;
        }
        let is_new = !site.admin.join("index").exists() || !path.is_dir();
        fs::create_dir_all(path).map_err(file_error(path))?;
        let link = path.join(".git");
        if !link.is_file() {
            remove(&link)?;
            let gitdir = format!("gitdir: {}\n", site.admin.display());
            fs::write(&link, gitdir).map_err(file_error(&link))?;
        }
        let head = self.at(&site, "rev-parse")?.args(["--verify", "--quiet", "HEAD^{commit}"]);
        if !head.ask().await?.is_success() {
            self.to_branch(&site).await?;
        }
        // Before its first checkout a worktree looks as if everything in it had been deleted.
        if is_new {
            self.at(&site, "reset")?.args(["--hard", "--quiet"]).run().await?;
        }
        Ok(())
    }

    /// Commits what an accepted attempt left and moves the branch there. Done again, it comes to the same.
    pub async fn accept(&self, work: &Worktree, author: &Author) -> Result<Head, GitError> {
        self.stand_up(work).await?;
        let site = self.entered(work)?;
        let branch = full(&work.branch);
        let now = self.standing(&site).await?;
        let tip = self.tip(&branch).await?;
        let gathered = self.gather(&site, &now, author, /* accepted */ true).await?;
        let is_past = !now.on_branch
            && gathered == now.head
            && match &tip {
                Some(tip) => self.contains(tip, &now.head).await?,
                None => false,
            };
        // Somebody who looked at the past and did not come back has done nothing to the present.
        let result = if is_past { tip.clone().unwrap_or(gathered) } else { gathered };
        let paths = self.nested_since(&work.head.commit, &result).await?;
        if !paths.is_empty() {
            return Err(GitError::Nested { paths });
        }
        for before in tip.iter().chain([&work.head.commit]) {
            if !self.contains(&result, before).await? {
                self.keep(author, before).await?;
            }
        }
        let why = format!("vibe-ensemble: accept {}", author.attempt);
        self.move_ref(&branch, &result, tip.as_deref(), &why).await?;
        site.clear(&UNFINISHED)?;
        if !now.on_branch {
            self.to_branch(&site).await?;
        }
        if is_past {
            self.at(&site, "reset")?.args(["--hard", "--quiet"]).run().await?;
        } else if now.dirty || !now.on_branch {
            self.at(&site, "reset")?.args(["--mixed", "--quiet"]).run().await?;
        }
        let stat = self.stat(&work.base_commit, &result).await?;
        Ok(Head { commit: result, stat })
    }

    /// Keeps the changes of an attempt that was not accepted under a ref of its own, and leaves the worktree as it is.
    /// Returns the ref; `None` when there is nothing to keep.
    pub async fn put_aside(
        &self,
        work: &Worktree,
        author: &Author,
    ) -> Result<Option<String>, GitError> {
        self.stand_up(work).await?;
        let site = self.entered(work)?;
        let now = self.standing(&site).await?;
        let gathered = self.gather(&site, &now, author, /* accepted */ false).await?;
        let mut kept = None;
        if !self.contains(&work.head.commit, &gathered).await? {
            kept = Some(self.keep(author, &gathered).await?);
        }
        if let Some(tip) = self.tip(&full(&work.branch)).await?
            && !self.contains(&gathered, &tip).await?
            && !self.contains(&work.head.commit, &tip).await?
        {
            let tip = self.keep(author, &tip).await?;
            kept = kept.or(Some(tip));
        }
        Ok(kept)
    }

    /// Takes branch and worktree back to the accepted commit. Call [`Self::put_aside`] before.
    pub async fn put_back(&self, work: &Worktree) -> Result<(), GitError> {
        self.stand_up(work).await?;
        let site = self.entered(work)?;
        let branch = full(&work.branch);
        let tip = self.tip(&branch).await?;
        let why = "vibe-ensemble: back to what was accepted";
        self.move_ref(&branch, &work.head.commit, tip.as_deref(), why).await?;
        site.clear(&UNFINISHED)?;
        self.to_branch(&site).await?;
        self.at(&site, "reset")?.args(["--hard", "--quiet"]).run().await?;
        // What is ignored stays: it is caches mostly, and no attempt's result.
        self.at(&site, "clean")?.args(["--force", "-d", "--quiet"]).run().await?;
        // Git keeps no empty directories, and an agent has to start somewhere.
        let start = site.path.join(&work.prefix);
        fs::create_dir_all(&start).map_err(file_error(&start))
    }

    /// Removes a worktree nobody needs any more, and its branch when another one has all of it.
    pub async fn remove(&self, work: &Worktree) -> Result<Removal, GitError> {
        let branch = full(&work.branch);
        let tip = self.tip(&branch).await?;
        if let Some(site) = self.site(work)? {
            if site.path.is_dir() && site.admin.join("index").exists() {
                let now = self.standing(&site).await?;
                if now.dirty {
                    return Ok(Removal::Kept(format!("{} has uncommitted changes", work.path)));
                }
                let held = match &tip {
                    Some(tip) => self.contains(tip, &now.head).await?,
                    None => self.contains(&work.head.commit, &now.head).await?,
                };
                if !held {
                    return Ok(Removal::Kept(format!("{} has commits of no branch", work.path)));
                }
                let staged = self.at(&site, "ls-files")?.args(["--stage", "-z"]).run().await?;
                let inside = nested::present(&String::from_utf8_lossy(staged.bytes()), site.path);
                if let Some(nested) = inside.first() {
                    let path = &work.path;
                    return Ok(Removal::Kept(format!(
                        "{path} has a repository of its own in {nested}"
                    )));
                }
            }
            let remove = self.git("worktree")?.args(["remove", "--force"]);
            remove.arg(site.path).run().await?;
        }
        let Some(tip) = tip else { return Ok(Removal::Done { branch: true }) };
        let heads = self.git("for-each-ref")?.args(["--format=%(refname)", "--contains", &tip]);
        let heads = heads.args(["refs/heads", "refs/remotes", "refs/tags"]).run().await?.text();
        let own = full(BRANCHES);
        if !heads.lines().any(|name| !name.starts_with(&own)) {
            return Ok(Removal::Done { branch: false });
        }
        self.git("update-ref")?.args(["-d", &branch, &tip]).run().await?;
        Ok(Removal::Done { branch: true })
    }

    /// The worktree, when git knows it.
    fn site<'w>(&self, work: &'w Worktree) -> Result<Option<Site<'w>>, GitError> {
        let path = Path::new(&work.path);
        let link = path.join(".git");
        let all = self.common().join("worktrees");
        let is_it = |admin: &Path| {
            let points_at = fs::read_to_string(admin.join("gitdir")).unwrap_or_default();
            Path::new(points_at.trim_end_matches('\n')) == link
        };
        // Git names it like the worktree, unless that name was taken. A repository may have hundreds of them.
        let usual = path.file_name().map(|name| all.join(name));
        if let Some(admin) = usual.filter(|admin| is_it(admin)) {
            return Ok(Some(Site { work, path, admin }));
        }
        let entries = match fs::read_dir(&all) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file_error(&all)(error)),
        };
        for entry in entries {
            let admin = entry.map_err(file_error(&all))?.path();
            if is_it(&admin) {
                return Ok(Some(Site { work, path, admin }));
            }
        }
        Ok(None)
    }

    fn entered<'w>(&self, work: &'w Worktree) -> Result<Site<'w>, GitError> {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        self.site(work)?.ok_or_else(|| file_error(Path::new(&work.path))(missing))
    }

    /// A command in a worktree.
    fn at(&self, site: &Site<'_>, verb: &str) -> Result<Git, GitError> {
        let git = self.git_in(site.path, verb)?;
        Ok(git.env("GIT_DIR", &site.admin).env("GIT_WORK_TREE", site.path))
    }

    async fn to_branch(&self, site: &Site<'_>) -> Result<(), GitError> {
        let branch = full(&site.work.branch);
        self.at(site, "symbolic-ref")?.args(["HEAD", &branch]).run().await?;
        Ok(())
    }

    async fn standing(&self, site: &Site<'_>) -> Result<Standing, GitError> {
        let status = self.at(site, "status")?.args(["--porcelain=v2", "--branch", "-z"]);
        let status = status.arg("--untracked-files=normal").run().await?;
        let text = String::from_utf8_lossy(status.bytes()).into_owned();
        let mut lines = text.split('\0').filter(|line| !line.is_empty()).peekable();
        let (mut head, mut on_branch) = (None, false);
        while let Some(header) = lines.next_if(|line| line.starts_with("# ")) {
            if let Some(oid) = header.strip_prefix("# branch.oid ") {
                head = Some(oid.to_owned());
            } else if let Some(name) = header.strip_prefix("# branch.head ") {
                on_branch = name == site.work.branch;
            }
        }
        let dirty = lines.next().is_some();
        let head = head.filter(|oid| oid.len() >= 40).ok_or_else(|| status.strange())?;
        Ok(Standing { head, on_branch, dirty })
    }

    /// The commit that has everything in the worktree: where it stands, or a new one on top of that.
    async fn gather(
        &self,
        site: &Site<'_>,
        now: &Standing,
        author: &Author,
        accepted: bool,
    ) -> Result<String, GitError> {
        if !now.dirty {
            return Ok(now.head.clone());
        }
        let tree = self.tree_of_files(site, accepted).await?;
        if tree == self.tree_of(&now.head).await? {
            return Ok(now.head.clone());
        }
        let message = if accepted {
            author.message("commit what the worker left", "Accepted with the stage's result.")
        } else {
            author.message("keep what the attempt left", "The attempt was not accepted.")
        };
        self.commit(&tree, &[&now.head], &message).await
    }

    /// The tree of the files as they are, without what is ignored. Neither the index nor a hook takes part.
    ///
    /// With `all` it is all of them or an error; otherwise what git can take, which is better than nothing.
    async fn tree_of_files(&self, site: &Site<'_>, all: bool) -> Result<String, GitError> {
        let index = site.admin.join(INDEX);
        remove(&index)?;
        // A copy of the real index knows which files are unchanged, so that they are not read again.
        let own = site.admin.join("index");
        if own.exists() {
            fs::copy(&own, &index).map_err(file_error(&index))?;
            // Git reads a file anew that is not older than its index: it may have been changed in the same tick of the
            // clock. A copy that looks younger than it is would hide such a change, and it would be in no commit.
            let written = fs::metadata(&own).and_then(|found| found.modified());
            let copy = fs::File::options().write(true).open(&index);
            let dated = written.and_then(|written| copy?.set_modified(written));
            dated.map_err(file_error(&index))?;
        }
        let with = |verb| self.at(site, verb).map(|git| git.env("GIT_INDEX_FILE", &index));
        // A new worktree is as sparse as the user's checkout, and an agent may write where that has nothing.
        let added = with("add")?.args(["--all", "--sparse", "."]).ask().await?;
        if !added.is_success() {
            if all {
                remove(&index)?;
                return Err(added.failed());
            }
            let said = added.said();
            tracing::warn!(path = %site.path.display(), said, "not everything in a worktree can be committed");
            with("add")?.args(["--all", "--sparse", "--ignore-errors", "."]).ask().await?;
        }
        let tree = with("write-tree")?.run().await?.commit()?;
        remove(&index)?;
        Ok(tree)
    }

    /// Makes sure that a commit stays, under the attempt's name. The same one again is the same ref.
    async fn keep(&self, author: &Author, commit: &str) -> Result<String, GitError> {
        let mut name = format!("{ATTEMPTS}{}", author.attempt);
        for number in 2..NAMES {
            let Some(there) = self.tip(&name).await? else {
                let why = format!("vibe-ensemble: keep {}", author.attempt);
                self.move_ref(&name, commit, None, &why).await?;
                return Ok(name);
            };
            if there == commit || self.shape(&there).await? == self.shape(commit).await? {
                return Ok(name);
            }
            name = format!("{ATTEMPTS}{}-{number}", author.attempt);
        }
        Err(GitError::Busy { path: self.common().join(name) })
    }

    /// Tree and parents: what tells two keepings of the same files, made at different times, from different ones.
    async fn shape(&self, commit: &str) -> Result<String, GitError> {
        let (tree, parents) = (format!("{commit}^{{tree}}"), format!("{commit}^@"));
        Ok(self.git("rev-parse")?.args([&tree, &parents]).run().await?.text())
    }

    async fn stat(&self, base: &str, head: &str) -> Result<DiffStat, GitError> {
        if base == head {
            return Ok(DiffStat::default());
        }
        let diff = self.git("diff-tree")?.args(["-r", "-M", "--shortstat", base, head]);
        let text = diff.run().await?.text();
        let count = |noun: &str| {
            let part = text.split(',').find(|part| part.contains(noun));
            part.and_then(|part| part.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Ok(DiffStat {
            files_changed: count("file"),
            insertions: count("insertion"),
            deletions: count("deletion"),
        })
    }
}
