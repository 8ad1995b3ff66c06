//! What can go wrong with a step in a repository.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use super::bounds::Hung;
use super::names::listed;
use super::room;
use super::room::Shortage;
use crate::domain::hold::HoldKind;

#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("could not run git in {place}")]
    Run { place: PathBuf, source: io::Error },
    #[error("git {verb} {hung}, and was ended with everything it had begun")]
    Hung { verb: String, hung: Hung },
    /// Git waited for something in the worktree of another ticket, which has been removed.
    #[error(
        "git {verb} waited for what an agent had left in another worktree's administration; that was removed"
    )]
    Disturbed { verb: String },
    /// With the last lines of its output, and the resource that it may have lacked without naming
    /// it.
    #[error("git {verb} failed: {said}{}{}", lacking(.short.as_ref()), marked(.said.contains("Operation not permitted")))]
    Failed { verb: String, said: String, short: Option<Shortage> },
    #[error("git {verb} answered {said:?}, which is not understood")]
    Strange { verb: String, said: String },
    #[error("could not use {path}{}", marked(.source.raw_os_error() == Some(EPERM)))]
    File { path: PathBuf, source: io::Error },
    #[error("{path} has been in use by another git step for too long{}", named(.holders))]
    Busy { path: PathBuf, holders: Vec<String> },
    /// The user may be working in that checkout at this moment.
    #[error("git could not fast-forward {branch} in {checkout}: {said}{}", lacking(.short.as_ref()))]
    NotForwarded { branch: String, checkout: PathBuf, said: String, short: Option<Shortage> },
    /// The accepted work is not where it should be, and the target of the link must be left alone.
    #[error("{path} is a symbolic link in the place of a directory; it was not followed")]
    Led { path: PathBuf },
    #[error("{path} is not a directory, and this server had made one there")]
    Replaced { path: PathBuf },
    /// The work in it would be another ticket's.
    #[error("another directory was put in the place of {path} at that moment")]
    Exchanged { path: PathBuf },
    #[error("{} in it {}, which holds nothing and which git would wait for; remove it", listed(.paths), one_or_many(.paths, "is a named pipe, a socket or a device", "are named pipes, sockets or devices"))]
    Special { paths: Vec<String> },
    /// Whatever is mounted there is not the ticket's.
    #[error("something is mounted on {}, and its files belong to another place; unmount it", listed(.paths))]
    Mounted { paths: Vec<String> },
    /// Git would copy it until the disk is full, or for so long that every other ticket of the
    /// repository waits.
    #[error(
        "{path} in it has {} and is not ignored, and {why}; remove it, or name it in .gitignore", amount(*.bytes)
    )]
    Large { path: String, bytes: u64, why: String },
    /// The same for the number of files.
    #[error(
        "{count} new or changed files in it are not ignored, {path} among them, and no more than {most} are committed; \
         remove them, or name their directory in .gitignore"
    )]
    Many { count: usize, most: usize, path: String },
    #[error("{what}")]
    Unfinished { what: String },
    /// Git would commit only a link to it, and removing the worktree would remove its files.
    #[error(
        "{} in it is a git repository of its own, so its files are on no branch; remove its .git directory (and \
         `git rm --cached` it where it was committed), or make it a submodule whose commits are somewhere else", paths.join(" and ")
    )]
    Nested { paths: Vec<String> },
    /// A worktree of the same repository, inside the ticket's worktree.
    #[error(
        "{path} in it is another worktree of this repository, with {what}; commit that there and merge it, or discard it \
         with git worktree remove --force"
    )]
    Inner { path: String, what: &'static str },
    #[error("the submodule {path} in it {what}")]
    Submodule { path: String, what: String },
    /// An agent's git would change files somewhere else.
    #[error(
        "git in {path} works on {place} instead, by core.worktree, core.bare or extensions.worktreeConfig in the \
         repository's configuration; unset them there (git config --unset), or set the project's isolation to shared"
    )]
    Astray { path: PathBuf, place: String },
}

/// What must change before a failed step can succeed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cure {
    /// The work itself, which cannot be accepted as it is.
    Work,
    /// Something around the work, which a person must change.
    Surroundings,
    /// Only time: a full disk, a lock that is held.
    Time,
}

impl GitError {
    fn cure(&self) -> Cure {
        match self {
            Self::Led { .. }
            | Self::Replaced { .. }
            | Self::Special { .. }
            | Self::Large { .. }
            | Self::Many { .. }
            | Self::Unfinished { .. }
            | Self::Nested { .. }
            | Self::Inner { .. }
            | Self::Submodule { .. } => Cure::Work,
            Self::Hung { .. } | Self::Mounted { .. } | Self::Astray { .. } => Cure::Surroundings,
            Self::Run { .. }
            | Self::Disturbed { .. }
            | Self::Failed { .. }
            | Self::Strange { .. }
            | Self::File { .. }
            | Self::Busy { .. }
            | Self::Exchanged { .. }
            | Self::NotForwarded { .. } => Cure::Time,
        }
    }

    /// What the ticket of this step waits for.
    #[must_use]
    pub fn hold_kind(&self) -> HoldKind {
        if let Self::NotForwarded { .. } = self {
            return HoldKind::Checkout;
        }
        match self.cure() {
            Cure::Work => HoldKind::Unfinished,
            Cure::Surroundings | Cure::Time => HoldKind::Configuration,
        }
    }

    /// Whether the step keeps failing in the same way until a person changes something.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.cure() != Cure::Time
    }

    /// Whether the work itself cannot be accepted as it is, so that the stage may be repeated.
    #[must_use]
    pub fn is_of_the_work(&self) -> bool {
        self.cure() == Cure::Work
    }

    /// Whether the cause passes by itself: the machine had no room for another process or file at
    /// that moment, or another ticket's agent was in the way.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Disturbed { .. } => true,
            Self::Run { source, .. } | Self::File { source, .. } => room::passes(source),
            Self::Failed { said, short, .. } | Self::NotForwarded { said, short, .. } => {
                short.is_some() || room::is_said(said)
            }
            Self::Hung { .. }
            | Self::Strange { .. }
            | Self::Busy { .. }
            | Self::Exchanged { .. }
            | Self::Led { .. }
            | Self::Replaced { .. }
            | Self::Special { .. }
            | Self::Mounted { .. }
            | Self::Large { .. }
            | Self::Many { .. }
            | Self::Unfinished { .. }
            | Self::Nested { .. }
            | Self::Inner { .. }
            | Self::Submodule { .. }
            | Self::Astray { .. } => false,
        }
    }
}

fn named(holders: &[String]) -> String {
    if holders.is_empty() {
        String::new()
    } else {
        format!("; it is held by {}", holders.join(" and "))
    }
}

fn lacking(short: Option<&Shortage>) -> String {
    short.map(|short| format!(" ({short})")).unwrap_or_default()
}

const EPERM: i32 = nix::errno::Errno::EPERM as i32;

/// What keeps the owner of a file from changing it, if not its mode: only root can mark it so, and unmark it.
fn marked(is_forbidden: bool) -> &'static str {
    if is_forbidden {
        " (it may be marked immutable or append-only, as lsattr shows; root removes that with chattr -i -a)"
    } else {
        ""
    }
}

/// A size for people.
fn amount(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    if bytes >= GIB { format!("{} GiB", bytes / GIB) } else { format!("{} MiB", bytes >> 20) }
}

fn one_or_many<T>(of: &[T], one: &'static str, many: &'static str) -> &'static str {
    if of.len() == 1 { one } else { many }
}

pub(super) fn file_error(path: &Path) -> impl FnOnce(io::Error) -> GitError + '_ {
    |source| GitError::File { path: path.to_owned(), source }
}
