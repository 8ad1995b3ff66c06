//! What is kept with a ticket when it begins, and why it cannot begin.

use serde::Deserialize;
use serde::Serialize;

use super::file;
use super::problem::Problems;
use super::settings::Tables;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::text;

/// What a ticket's file said when the ticket began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The base commit at which the file was read; `None` for the project's directory.
    pub commit: Option<String>,
    /// Whether there was a file.
    pub found: bool,
    pub tables: Tables,
    /// What was copied into the worktree.
    pub copied: Option<Copied>,
}

/// What was copied into a worktree, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Copied {
    pub files: u64,
    pub bytes: u64,
    /// Files that were not, and why, a sentence each.
    pub left: Vec<String>,
}

/// Why a ticket cannot begin by its file, or by it together with what the coordinator set. `why` is a clause.
#[must_use]
pub fn unusable(commit: Option<&str>, why: &str) -> Hold {
    let (file, why) = (file::NAME, text::sentence(why));
    let reason = match commit {
        Some(commit) => {
            let commit = commit.get(..12).unwrap_or(commit);
            format!(
                "{file} at the commit {commit}, from which it begins, cannot be used: {why} Fix it, commit that on the branch \
                 that the project has checked out, and resume the ticket"
            )
        }
        None => format!(
            "{file} in the project's directory cannot be used: {why} Fix it, and resume the ticket"
        ),
    };
    Hold::new(HoldKind::Configuration, reason)
}

/// Why a ticket cannot begin by what the coordinator set over its file.
#[must_use]
pub fn incomplete(problems: &Problems) -> Hold {
    let why = text::sentence(&problems.first());
    let reason = format!(
        "the gates that were set for the project cannot be used: {why} Change that, and resume the ticket"
    );
    Hold::new(HoldKind::Configuration, reason)
}

/// Why a ticket cannot have its ports.
#[must_use]
pub fn without_ports(count: i64) -> Hold {
    let reason = format!(
        "no block of {count} ports is free for it, because open tickets have all of them. Close tickets or lower ports, \
         and resume the ticket"
    );
    Hold::new(HoldKind::Limit, reason)
}

/// Why a ticket's worktree cannot get the ignored files that it should. `why` is a clause.
#[must_use]
pub fn too_much_to_copy(why: &str) -> Hold {
    let why = text::clause(why);
    let reason = format!(
        "the ignored files that copy and .worktreeinclude name cannot be copied into its worktree: {why}. Name fewer, and \
         resume the ticket"
    );
    Hold::new(HoldKind::Configuration, reason)
}
