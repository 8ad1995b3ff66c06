//! Where a ticket's worktree is: its directory, and its administration in the repository.
//!
//! Agents can write both. So the server passes git both places, by a directory that is held open,
//! and git discovers nothing itself. Whatever in them could lead elsewhere is repaired before
//! anything else happens: links, the `.git` file, and the administration's own statements about
//! where it belongs.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::command::Git;
use super::error::GitError;
use super::error::file_error;
use super::layout::NAMES;
use super::layout::SMALL;
use super::layout::full;
use super::repository::Repository;
use crate::beneath;
use crate::beneath::Access;
use crate::beneath::Found;
use crate::beneath::Kind;
use crate::domain::worktree::Worktree;

/// The index in which changes are gathered; the worktree's own may be locked, in conflict, or
/// wrong.
pub(super) const INDEX: &str = "vibe-ensemble-index";

/// A worktree as git sees it.
#[derive(Debug)]
pub(super) struct Site<'w> {
    pub(super) work: &'w Worktree,
    pub(super) path: &'w Path,
    /// The directory itself, whatever its path leads to by now.
    pub(super) top: Arc<OwnedFd>,
    /// Its directory in the repository's `worktrees`.
    pub(super) admin: PathBuf,
}

/// The contents of a worktree that matter before git looks at it.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Pipes, sockets and devices whose names git opens.
    pub(super) special: Vec<PathBuf>,
    /// Directories too deep for git to remove.
    pub(super) deep: Vec<PathBuf>,
    /// Directories that something is mounted on.
    mounts: Vec<PathBuf>,
    /// Directories whose `.git` is a file: submodules, and worktrees inside this one.
    pub(super) linked: Vec<PathBuf>,
}

impl Site<'_> {
    /// Whether its path still leads to the directory that is held open.
    fn is_there(&self) -> bool {
        let held = rustix::fs::fstat(&self.top);
        let found = rustix::fs::lstat(self.path);
        held.ok()
            .zip(found.ok())
            .is_some_and(|(held, found)| (held.st_dev, held.st_ino) == (found.st_dev, found.st_ino))
    }

    pub(super) fn clear(&self, names: &[&str]) -> Result<(), GitError> {
        names.iter().try_for_each(|name| remove(&self.admin.join(name)))
    }

    /// Removes the locks that a killed git leaves here: for its index, for HEAD, for `AUTO_MERGE`,
    /// or for whatever else it was about to write. Nothing else works there meanwhile.
    pub(super) fn clear_locks(&self) -> Result<(), GitError> {
        for entry in fs::read_dir(&self.admin).map_err(file_error(&self.admin))? {
            let path = entry.map_err(file_error(&self.admin))?.path();
            if path.extension().is_some_and(|end| end == "lock") {
                remove(&path)?;
            }
        }
        remove(&self.admin.join(INDEX))
    }

    /// Makes the administration say what it must say, and nothing else: git believes it, in this
    /// step and when the next agent uses it.
    pub(super) fn straighten(&self) -> Result<(), GitError> {
        let failed = |source| GitError::File { path: self.admin.clone(), source };
        let directory = beneath::make_directory(&self.admin).map_err(failed)?;
        let mut astray = Vec::new();
        beneath::walk(&directory, Access::Change, |path, kind| {
            // Submodules have whole repositories here, which are examined separately.
            let is_ours = path != Path::new("modules");
            if matches!(kind, Kind::Link | Kind::Special | Kind::Deep | Kind::Mount) {
                astray.push(path.to_owned());
            }
            is_ours
        })
        .map_err(failed)?;
        for path in astray {
            tracing::warn!(admin = %self.admin.display(), path = %path.display(), "a link or a pipe was removed from the administration of a worktree");
            remove(&self.admin.join(path))?;
        }
        let link = format!("{}\n", self.path.join(".git").display());
        let head = format!("ref: {}\n", full(&self.work.branch));
        for (name, right) in
            [("commondir", "../..\n"), ("gitdir", link.as_str()), ("HEAD", head.as_str())]
        {
            let said = beneath::read_text(&self.admin.join(name), SMALL);
            // The contents of HEAD are the agent's business; that HEAD can be read is ours.
            let is_right = match (name, &said) {
                ("HEAD", Ok(said)) => !said.trim().is_empty(),
                (_, Ok(said)) => said.trim_end_matches('\n') == right.trim_end_matches('\n'),
                (_, Err(_)) => false,
            };
            if !is_right {
                remove(&self.admin.join(name))?;
                beneath::write_new(&directory, name, right).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Makes the worktree's `.git` file name its administration: the next agent's git follows it.
    pub(super) fn connect(&self) -> Result<(), GitError> {
        let link = self.path.join(".git");
        let right = format!("gitdir: {}\n", self.admin.display());
        if beneath::read_text(&beneath::path_of(&self.top).join(".git"), SMALL)
            .is_ok_and(|said| said == right)
        {
            return Ok(());
        }
        if link.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            // A repository that an agent made here may have commits that exist nowhere else.
            put_aside(&link, &aside_of(self.path)?)?;
        }
        beneath::write_new(&self.top, ".git", &right).map_err(file_error(&link))
    }

    /// Examines everything in the worktree, and opens whatever its owner has closed to itself. A
    /// directory that something is mounted on is an error: git would commit, overwrite and remove the
    /// files there as if they were the ticket's.
    pub(super) async fn contents(&self, access: Access) -> Result<Contents, GitError> {
        let top = Arc::clone(&self.top);
        let looked = tokio::task::spawn_blocking(move || {
            let mut contents = Contents::default();
            beneath::walk(&top, access, |path, kind| {
                let name = path.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
                if kind == Kind::Special && name.starts_with(b".git") {
                    contents.special.push(path.to_owned());
                }
                if kind == Kind::Deep {
                    contents.deep.push(path.to_owned());
                }
                if kind == Kind::Mount {
                    contents.mounts.push(path.to_owned());
                }
                let inside = path.parent().filter(|inside| !inside.as_os_str().is_empty());
                if name == b".git"
                    && kind == Kind::File
                    && let Some(inside) = inside
                {
                    contents.linked.push(inside.to_owned());
                }
                // Git does not look inside another repository.
                name != b".git"
            })?;
            Ok(contents)
        });
        let looked = looked.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let contents = looked.map_err(file_error(self.path))?;
        if contents.mounts.is_empty() {
            return Ok(contents);
        }
        let paths = contents.mounts.iter().map(|below| self.path.join(below).display().to_string());
        Err(GitError::Mounted { paths: paths.collect() })
    }
}

impl Repository {
    /// The administration of the worktree, if the repository has one.
    pub(super) fn administration(&self, work: &Worktree) -> Result<Option<PathBuf>, GitError> {
        let path = Path::new(&work.path);
        let link = path.join(".git");
        let head = format!("ref: {}", full(&work.branch));
        let all = self.real().join("worktrees");
        // No link is followed below it: an agent could have put another repository there.
        match beneath::look(&all).map_err(file_error(&all))? {
            Found::Directory(_) => {}
            Found::Nothing => return Ok(None),
            Found::Link(path) => return Err(GitError::Led { path }),
            Found::Other(path) => return Err(GitError::Replaced { path }),
        }
        let is_directory =
            |admin: &Path| admin.symlink_metadata().is_ok_and(|found| found.is_dir());
        let says = |admin: &Path, name: &str| {
            beneath::read_text(&admin.join(name), SMALL)
                .unwrap_or_default()
                .trim_end_matches('\n')
                .to_owned()
        };
        let is_it = |admin: &Path| is_directory(admin) && Path::new(&says(admin, "gitdir")) == link;
        // Git gives it the name of the worktree, unless that name was taken. A repository may have
        // hundreds of them.
        let usual = path.file_name().map(|name| all.join(name));
        if let Some(admin) = usual.as_ref().filter(|admin| is_it(admin)) {
            return Ok(Some(admin.clone()));
        }
        for entry in fs::read_dir(&all).map_err(file_error(&all))? {
            let admin = entry.map_err(file_error(&all))?.path();
            if is_it(&admin) {
                return Ok(Some(admin));
            }
        }
        // An administration that was made to name another place still has our branch checked out,
        // and git would refuse to check it out again.
        Ok(usual.filter(|admin| is_directory(admin) && says(admin, "HEAD") == head))
    }

    /// A command in a worktree.
    pub(super) fn at(&self, site: &Site<'_>, verb: &str) -> Result<Git, GitError> {
        self.git_at(&site.top, site.path, &site.admin, verb)
    }

    /// A command in a directory that is held open, with this administration.
    pub(super) fn git_at(
        &self,
        top: &Arc<OwnedFd>,
        path: &Path,
        admin: &Path,
        verb: &str,
    ) -> Result<Git, GitError> {
        let git = self.equipped(Git::within(top, path, verb))?;
        Ok(git.env("GIT_DIR", admin).env("GIT_COMMON_DIR", self.real()).env("GIT_WORK_TREE", "."))
    }

    /// Asks git everything at once: whether it finds the worktree by itself, as the agent's git will, whether
    /// HEAD is a commit, and which commit the branch points to. Returns that commit; `None` if anything is not
    /// as it should be, and the caller then looks at one after the other.
    pub(super) async fn at_home_on(
        &self,
        site: &Site<'_>,
        branch: &str,
    ) -> Result<Option<String>, GitError> {
        let ask = self.equipped(Git::within(&site.top, site.path, "rev-parse"))?;
        let ask = ask.args(["--path-format=absolute", "--show-toplevel", "--git-dir"]);
        let ask = ask.args(["HEAD^{commit}", &format!("{branch}^{{commit}}")]).ask().await?;
        let right = format!("{}\n{}\n", site.path.display(), site.admin.display());
        let text = ask.text();
        let commits = text.strip_prefix(&right).filter(|_| ask.is_success());
        Ok(commits.and_then(|both| both.split_once('\n')).map(|(_, tip)| tip.to_owned()))
    }

    /// Lets git find out by itself where it is, as the agent's git will. If the repository's
    /// configuration leads elsewhere, the worktree's own configuration is made to correct it.
    pub(super) async fn assert_at_home(&self, site: &Site<'_>) -> Result<(), GitError> {
        let right = format!("{}\n{}", site.path.display(), site.admin.display());
        let (work, own) = (site.path.display().to_string(), site.admin.join("config.worktree"));
        for is_last in [false, true] {
            let ask = self.equipped(Git::within(&site.top, site.path, "rev-parse"))?;
            let ask =
                ask.args(["--path-format=absolute", "--show-toplevel", "--git-dir"]).ask().await?;
            let says = if ask.is_success() { ask.text() } else { ask.said() };
            if says == right {
                return Ok(());
            }
            if !site.is_there() {
                // It was removed at this very moment; the next try makes it anew.
                let source = io::ErrorKind::NotFound.into();
                return Err(GitError::File { path: site.path.to_owned(), source });
            }
            if is_last {
                let place = says.lines().next().unwrap_or_default().to_owned();
                return Err(GitError::Astray {
                    path: site.path.to_owned(),
                    place: super::names::shown(&place),
                });
            }
            for (key, value) in [("core.worktree", work.as_str()), ("core.bare", "false")] {
                let set = self.git("config")?.arg("--file").arg(&own);
                set.args(["--replace-all", key, value]).run().await?;
            }
        }
        Ok(())
    }
}

/// Removes whatever is there, without following a link. It is not an error if nothing is there.
pub(super) fn remove(path: &Path) -> Result<(), GitError> {
    beneath::remove(path).map_err(file_error(path))
}

/// A free name beside a worktree.
pub(super) fn aside_of(path: &Path) -> Result<PathBuf, GitError> {
    (1..NAMES)
        .map(|number| path.with_extension(format!("aside-{number}")))
        .find(|aside| aside.symlink_metadata().is_err())
        .ok_or_else(|| file_error(path)(io::Error::from(io::ErrorKind::DirectoryNotEmpty)))
}

/// Moves whatever is in the way of a worktree to another name beside it.
pub(super) fn put_aside(path: &Path, aside: &Path) -> Result<(), GitError> {
    tracing::warn!(path = %path.display(), aside = %aside.display(), "something was in the place of a worktree and was moved aside");
    fs::rename(path, aside).map_err(file_error(path))
}
