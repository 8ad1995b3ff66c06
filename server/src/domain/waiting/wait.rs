//! The shape of an answer: a cause, sentences, and what would move the ticket.

use super::cause::Cause;
use crate::domain::advice;
use crate::domain::advice::Advice;
use crate::domain::advice::Reader;
use crate::domain::text::Name;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;

/// Why a ticket is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    pub cause: Cause,
    /// Why, in whole sentences that name no step of any reader.
    pub why: String,
    /// What would move the ticket: any one of these suffices.
    pub advice: Vec<Advice>,
    /// When the wait ends by itself, if that is known.
    pub until: Option<Timestamp>,
}

impl Wait {
    pub(super) fn new(cause: Cause, why: impl Into<String>) -> Self {
        Self { cause, why: why.into(), advice: Vec::new(), until: None }
    }

    pub(super) fn or(mut self, advice: Advice) -> Self {
        self.advice.push(advice);
        self
    }

    /// The whole answer, worded for its reader.
    #[must_use]
    pub fn told(&self, reader: Reader) -> String {
        advice::told(&self.why, &self.advice, reader)
    }
}

/// A worker type of the ticket's project, as arguments of a command.
pub(super) fn place(ticket: &Ticket, worker_type: &Name) -> String {
    format!("{} {worker_type}", ticket.project_name)
}
