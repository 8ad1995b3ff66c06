//! The report of an attempt's end, and what it results in.

use crate::domain::attempt::Spent;
use crate::domain::hold::Hold;
use crate::domain::id::AttemptId;
use crate::domain::outcome::Verdict;
use crate::domain::usage::UsageLimit;
use crate::domain::worktree::Head;

/// The end of one attempt, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    pub attempt: AttemptId,
    pub verdict: Verdict,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub spent: Spent,
    /// Whether the agent announced its claude session; only then can another attempt continue it.
    pub had_session: bool,
    /// The last prose that the agent wrote.
    pub last_words: Option<String>,
    /// What the agent last learned of the account's usage limit.
    pub usage: Option<UsageLimit>,
    /// The exit record as it was written; absent when the server itself ends the attempt.
    pub record: Option<String>,
    pub work: Work,
    /// The attempt was cancelled. If its result came first, its ticket moves on and waits there.
    pub cancelled: bool,
}

/// What became of an attempt's changes before its end is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing to do: the attempt was not accepted, or it works in the project's directory.
    None,
    /// They are on the ticket's branch.
    Accepted(Head),
    /// The attempt was accepted and git could not commit them; the sentence says why. They stay where they are.
    Owed(Hold),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReport {
    /// This report ended the attempt.
    Accepted,
    /// The same record had been accepted before.
    Duplicate,
    /// Something else ended the attempt first; the record is kept aside and changes nothing.
    Parked,
}

impl EndReport {
    /// As a record of the log has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Parked => "parked",
        }
    }
}
