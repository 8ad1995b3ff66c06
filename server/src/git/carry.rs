//! Copies ignored files of a project's checkout into a ticket's worktree: the `.env` that no commit has and no program runs
//! without.
//!
//! Invariant: only what is ignored is copied: by the checkout, or it would be a change of the user's own; and in the worktree,
//! or the next commit would have it.
//! Invariant: no name and no content of a file is logged.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;

use ignore::gitignore::Gitignore;
use ignore::gitignore::GitignoreBuilder;

use super::command::Git;
use super::error::GitError;
use super::error::file_error;
use super::repository::Repository;
use super::site::Site;
use super::site::remove;
use super::stand::Place;
use super::stand::Stood;
use crate::beneath;
use crate::beneath::Copied;
use crate::beneath::Copying;
use crate::beneath::Found;
use crate::domain::worktree::Worktree;

/// More patterns, in the checkout, as the lines of a `.gitignore`: a convention of several tools.
pub const INCLUDE: &str = ".worktreeinclude";

const INCLUDE_BYTES: u64 = 64 * 1024;
/// The most files and bytes that are copied into one worktree.
const MOST_FILES: usize = 20_000;
const MOST_BYTES: u64 = 2 << 30;
/// The most entries of ignored directories that are looked at.
const MOST_LOOKED_AT: usize = 500_000;
/// How many names of files that were left out are passed on.
const NAMED: usize = 10;

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    pub files: u64,
    pub bytes: u64,
    /// What was not, and why, as a clause about it.
    pub left: Vec<(String, &'static str)>,
}

/// The patterns match more than is copied, as a clause.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TooMuch(String);

/// The patterns, read.
#[derive(Debug)]
struct Wanted {
    patterns: Gitignore,
    /// The directories that a pattern leads into by name: only these are entered where they are ignored as a whole.
    led_into: Vec<PathBuf>,
}

impl Wanted {
    fn new(lines: &[String]) -> Self {
        let mut builder = GitignoreBuilder::new("");
        let mut led_into = Vec::new();
        for line in lines {
            // A line that is no pattern is passed over, as git does.
            if builder.add_line(None, line).is_ok() {
                led_into.extend(directory_of(line));
            }
        }
        let patterns = builder.build().unwrap_or_else(|_| Gitignore::empty());
        Self { patterns, led_into }
    }

    fn matches(&self, path: &Path, is_directory: bool) -> bool {
        self.patterns.matched_path_or_any_parents(path, is_directory).is_ignore()
    }

    /// Whether files in an ignored directory may match although the directory does not. A bare name such as `.env` does not
    /// lead anywhere: `node_modules` would have to be searched for it.
    fn leads_into(&self, directory: &Path) -> bool {
        self.led_into.iter().any(|led| led.starts_with(directory) || directory.starts_with(led))
    }
}

/// The directory that a pattern names before its first wildcard; `None` if it may match anywhere or excludes.
fn directory_of(line: &str) -> Option<PathBuf> {
    let pattern = line.trim_end().trim_end_matches('/');
    if pattern.starts_with(['!', '#']) || !pattern.trim_start_matches('/').contains('/') {
        return None;
    }
    let parts = pattern.trim_start_matches('/').split('/');
    let named: PathBuf = parts.take_while(|part| !part.contains(['*', '?', '[', '\\'])).collect();
    (!named.as_os_str().is_empty()).then_some(named)
}

impl Repository {
    /// Copies what the patterns, and those of the checkout's own `.worktreeinclude`, match. What is in the worktree already
    /// stays as it is, so this may be repeated.
    pub async fn carry(
        &self,
        work: &Worktree,
        checkout: &Path,
        patterns: &[String],
    ) -> Result<Result<Carried, TooMuch>, GitError> {
        let lines = match lines_of(checkout, patterns) {
            Ok(lines) => lines,
            Err(error) => return Ok(Err(TooMuch(format!("{INCLUDE} cannot be read: {error}")))),
        };
        if lines.is_empty() {
            return Ok(Ok(Carried::default()));
        }
        let ignored = ignored(checkout).await?;
        let Stood { site, .. } = self.stood_up(work, Place::Used).await?;
        let from = checkout.canonicalize().map_err(file_error(checkout))?;
        let to = site.path.join(&work.prefix);
        let aside = aside(site.path)?;
        let done = {
            let (aside, to) = (aside.clone(), to.clone());
            let copied = move || copied(&Wanted::new(&lines), &ignored, &from, &to, &aside);
            let copied = tokio::task::spawn_blocking(copied).await;
            copied.unwrap_or_else(|error| Err(io::Error::other(error)))
        };
        remove(&aside)?;
        let (mut carried, copied) = match done.map_err(file_error(&to))? {
            Ok(done) => done,
            Err(too_much) => return Ok(Err(too_much)),
        };
        if !copied.is_empty() {
            self.take_back_unignored(&site, &mut carried, &copied).await?;
        }
        let Carried { files, bytes, .. } = carried;
        tracing::info!(worktree = %site.path.display(), files, bytes, left = carried.left.len(), "ignored files were copied into a worktree");
        Ok(Ok(carried))
    }

    /// The files that a ticket's commits have added although they were copied from the checkout, which has them in no commit: by
    /// name, from the top of the repository. Also those that a later commit has removed: who gets the branch gets its history.
    pub async fn carried_in(
        &self,
        work: &Worktree,
        commit: &str,
        checkout: &Path,
        patterns: &[String],
    ) -> Result<Vec<String>, GitError> {
        // What cannot be read was not copied either.
        let lines = lines_of(checkout, patterns).unwrap_or_default();
        if lines.is_empty() || commit == work.base_commit {
            return Ok(Vec::new());
        }
        let log = self.git("log")?.args(["--format=", "--no-renames", "--name-only", "-z"]);
        let log = log.args([
            "--diff-filter=A",
            "--diff-merges=first-parent",
            "--no-ext-diff",
            "--no-color",
        ]);
        let range = format!("{}..{commit}", work.base_commit);
        let list = log.args(["--no-textconv", "--no-show-signature", &range]).run().await?;
        let wanted = Wanted::new(&lines);
        let is_carried = |name: &&str| {
            name.strip_prefix(work.prefix.as_str()).is_some_and(|below| {
                let below = Path::new(below);
                wanted.matches(below, /* is a directory */ false)
                    && checkout.join(below).symlink_metadata().is_ok()
            })
        };
        let names = list.bytes().split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let names: BTreeSet<String> = names.map(std::borrow::Cow::into_owned).collect();
        let carried = names.iter().map(String::as_str).filter(is_carried);
        Ok(carried.map(str::to_owned).collect())
    }

    /// Removes the copies that the worktree does not ignore: its base may not have the user's latest `.gitignore`.
    async fn take_back_unignored(
        &self,
        site: &Site<'_>,
        carried: &mut Carried,
        copied: &[(PathBuf, u64)],
    ) -> Result<(), GitError> {
        let list =
            self.at(site, "ls-files")?.args(["--others", "--exclude-standard", "-z"]).run().await?;
        let others: std::collections::HashSet<&[u8]> =
            list.bytes().split(|byte| *byte == 0).collect();
        for (path, bytes) in copied {
            let whole = Path::new(&site.work.prefix).join(path);
            if others.contains(whole.as_os_str().as_bytes()) {
                remove(&site.path.join(&whole))?;
                carried.files -= 1;
                carried.bytes -= bytes;
                leave(carried, path, "is not ignored at the commit from which the ticket begins");
            }
        }
        Ok(())
    }
}

/// The patterns of what is copied: those that are set, and those of the checkout's own file.
fn lines_of(checkout: &Path, patterns: &[String]) -> io::Result<Vec<String>> {
    let mut lines = patterns.to_vec();
    match beneath::read_text(&checkout.join(INCLUDE), INCLUDE_BYTES) {
        Ok(text) => lines.extend(text.lines().map(str::to_owned)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    lines.retain(|line| !line.trim().is_empty() && !line.starts_with('#'));
    Ok(lines)
}

/// Something that the checkout ignores, by its path below the checkout.
#[derive(Debug)]
struct Ignored {
    path: PathBuf,
    /// It is ignored as a whole.
    is_directory: bool,
}

/// What the checkout ignores.
async fn ignored(checkout: &Path) -> Result<Vec<Ignored>, GitError> {
    let list = Git::at(checkout, "ls-files")
        .args(["--others", "--ignored", "--exclude-standard", "--directory", "-z"])
        .run()
        .await?;
    let paths = list.bytes().split(|byte| *byte == 0).filter(|path| !path.is_empty());
    let ignored = paths.map(|path| match path.strip_suffix(b"/") {
        Some(directory) => {
            Ignored { path: OsStr::from_bytes(directory).into(), is_directory: true }
        }
        None => Ignored { path: OsStr::from_bytes(path).into(), is_directory: false },
    });
    Ok(ignored.collect())
}

/// A directory beside the worktree, where a file is written before it is in its place.
fn aside(worktree: &Path) -> Result<PathBuf, GitError> {
    let path = worktree.with_extension("copying");
    remove(&path)?;
    Ok(path)
}

type Done = (Carried, Vec<(PathBuf, u64)>);

fn copied(
    wanted: &Wanted,
    ignored: &[Ignored],
    from: &Path,
    to: &Path,
    aside: &Path,
) -> io::Result<Result<Done, TooMuch>> {
    let Found::Directory(source) = beneath::look(from)? else {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    };
    let source = opened(&source)?;
    let files = match selected(wanted, ignored, &source)? {
        Ok(files) => files,
        Err(too_much) => return Ok(Err(too_much)),
    };
    let (target, fresh) =
        (opened(&beneath::make_directory(to)?)?, opened(&beneath::make_directory(aside)?)?);
    let copying = Copying { from: &source, to: &target, aside: &fresh };
    let (mut carried, mut copied) = (Carried::default(), Vec::new());
    for path in files {
        match copying.copy(&path, MOST_BYTES - carried.bytes)? {
            Copied::Whole(bytes) => {
                carried.files += 1;
                carried.bytes += bytes;
                copied.push((path, bytes));
            }
            Copied::There | Copied::Gone => {}
            Copied::Astray => leave(
                &mut carried,
                &path,
                "is a link that leads out of the checkout, or lies behind one",
            ),
            Copied::Special => leave(&mut carried, &path, "is not a regular file"),
            Copied::Denied => leave(&mut carried, &path, "may not be read by the server"),
            Copied::TooLarge => {
                let most = MOST_BYTES >> 30;
                return Ok(Err(TooMuch(format!("the files have more than {most} GiB"))));
            }
        }
    }
    Ok(Ok((carried, copied)))
}

/// A directory for reading, not only for being there.
fn opened(directory: &OwnedFd) -> io::Result<OwnedFd> {
    use rustix::fs::OFlags;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, ".", flags, rustix::fs::Mode::empty())?)
}

/// The files that the patterns match.
fn selected(
    wanted: &Wanted,
    ignored: &[Ignored],
    from: &OwnedFd,
) -> io::Result<Result<Vec<PathBuf>, TooMuch>> {
    let (mut files, mut left) = (Vec::new(), MOST_LOOKED_AT);
    for Ignored { path, is_directory } in ignored {
        if !is_directory {
            files.extend(wanted.matches(path, false).then(|| path.clone()));
        } else if wanted.matches(path, true) || wanted.leads_into(path) {
            let Some(below) = beneath::files_below(from, path, left)? else {
                let why = format!(
                    "the directories that they lead into have more than {MOST_LOOKED_AT} entries"
                );
                return Ok(Err(TooMuch(why)));
            };
            left -= below.len();
            files.extend(below.into_iter().filter(|path| wanted.matches(path, false)));
        }
        if files.len() > MOST_FILES {
            return Ok(Err(TooMuch(format!("there are more than {MOST_FILES} files"))));
        }
    }
    files.sort_unstable();
    Ok(Ok(files))
}

fn leave(carried: &mut Carried, path: &Path, why: &'static str) {
    if carried.left.len() < NAMED {
        carried.left.push((super::names::shown(&path.display().to_string()), why));
    }
}
