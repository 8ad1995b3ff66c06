//! How an attempt ended that ran commands instead of an agent.

use crate::domain::attempt::Outcome;
use crate::domain::judging::End;
use crate::domain::outcome::Failure;

/// How often attempts may end without a word about their commands before somebody must look.
pub const STRIKES: i64 = 3;

/// The facts about its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// Every command succeeded.
    Passed,
    /// The command at this place failed.
    Failed { at: usize, how: Exit },
    /// The time was up while the command at this place ran.
    TimedOut { at: usize },
    /// The command at this place could not be started, and would not be the next time either.
    NotStarted { at: usize, error: String },
    /// Stopped because it is not wanted.
    Cancelled,
    /// Stopped although it is still wanted.
    Interrupted,
    /// It says nothing about the commands: its shim died, or the machine could not run anything.
    Nothing { failure: Failure, detail: String },
}

/// How a command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// The kernel killed it, or one of its processes, for lack of memory.
    OutOfMemory,
}

impl Exit {
    /// As the end of "it …".
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Code(code) => format!("exited with {code}"),
            Self::Signal(signal) => format!("was ended by signal {signal}"),
            Self::OutOfMemory => "was killed for lack of memory".to_owned(),
        }
    }
}

impl Ran {
    /// The words of its row. A command that fails has run to its end.
    #[must_use]
    pub fn booked(&self) -> (Outcome, Option<Failure>, Option<String>) {
        match self {
            Self::Passed | Self::Failed { .. } => (Outcome::Succeeded, None, None),
            Self::TimedOut { .. } => {
                let detail = "it ran longer than it may".to_owned();
                (Outcome::TimedOut, Some(Failure::Timeout), Some(detail))
            }
            Self::NotStarted { error, .. } => {
                (Outcome::Failed, Some(Failure::NotStarted), Some(error.clone()))
            }
            Self::Cancelled => (Outcome::Cancelled, Some(Failure::Cancelled), None),
            Self::Interrupted => (Outcome::Interrupted, Some(Failure::Interrupted), None),
            Self::Nothing {
                failure: failure @ (Failure::Lost | Failure::NeverStarted),
                detail,
            } => (Outcome::Lost, Some(*failure), Some(detail.clone())),
            Self::Nothing { failure, detail } => {
                (Outcome::Failed, Some(*failure), Some(detail.clone()))
            }
        }
    }

    /// What went wrong, as the end of "the command …"; `None` if nothing is known to be wrong with it.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        match self {
            Self::Failed { how, .. } => Some(how.words()),
            Self::TimedOut { .. } => Some("did not end in time".to_owned()),
            Self::NotStarted { error, .. } => Some(format!("could not be started: {error}")),
            Self::Passed | Self::Cancelled | Self::Interrupted | Self::Nothing { .. } => None,
        }
    }

    /// The place of the command that did not succeed.
    #[must_use]
    pub const fn at(&self) -> Option<usize> {
        match self {
            Self::Failed { at, .. } | Self::TimedOut { at } | Self::NotStarted { at, .. } => {
                Some(*at)
            }
            Self::Passed | Self::Cancelled | Self::Interrupted | Self::Nothing { .. } => None,
        }
    }
}

impl Ran {
    /// The run as a gate is judged by it; `None` if it says nothing about its command.
    #[must_use]
    pub const fn end(&self) -> Option<End> {
        match self {
            Self::Passed => Some(End::Exited(0)),
            Self::Failed { how: Exit::Code(code), .. } => Some(End::Exited(*code)),
            Self::Failed { how: Exit::Signal(signal), .. } => Some(End::Signalled(*signal)),
            Self::Failed { how: Exit::OutOfMemory, .. } => Some(End::Signalled(9)),
            Self::TimedOut { .. } => Some(End::TimedOut),
            Self::NotStarted { .. } => Some(End::NotStarted),
            Self::Cancelled | Self::Interrupted | Self::Nothing { .. } => None,
        }
    }
}
