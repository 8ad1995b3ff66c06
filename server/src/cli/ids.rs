//! Ids as people type them in a shell: `T-42`, `t-42`, or `42` where only a ticket can be meant.

use crate::domain::id::AttemptId;
use crate::domain::id::CommentId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    Ticket,
    Worker,
    Comment,
}

impl Noun {
    /// The noun whose id a field of a tool holds.
    #[must_use]
    pub fn of_field(field: &str) -> Option<Self> {
        match field {
            "ticket_id" => Some(Self::Ticket),
            "worker_id" => Some(Self::Worker),
            "comment_id" => Some(Self::Comment),
            _ => None,
        }
    }

    /// As a usage has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ticket => "TICKET",
            Self::Worker => "WORKER",
            Self::Comment => "COMMENT",
        }
    }

    const fn letter(self) -> &'static str {
        match self {
            Self::Ticket => "T",
            Self::Worker => "W",
            Self::Comment => "C",
        }
    }

    /// The id in its one spelling.
    ///
    /// # Errors
    ///
    /// When it is no id of this noun, with what would be one.
    pub fn parse(self, typed: &str) -> Result<String, String> {
        let letter = self.letter();
        let upper = typed.trim().to_ascii_uppercase();
        let digits = upper
            .strip_prefix(letter)
            .map_or(upper.as_str(), |rest| rest.strip_prefix('-').unwrap_or(rest));
        let id = format!("{letter}-{digits}");
        let good = match self {
            Self::Ticket => id.parse::<TicketId>().is_ok(),
            Self::Worker => id.parse::<WorkerId>().is_ok(),
            Self::Comment => id.parse::<CommentId>().is_ok(),
        };
        let noun = self.name().to_lowercase();
        if good {
            Ok(id)
        } else {
            Err(format!("it must be the id of a {noun}, such as {letter}-42"))
        }
    }
}

/// Reads an id of `noun` from the command line.
pub fn parser(
    noun: Noun,
) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    move |typed| noun.parse(typed)
}

/// What somebody may mean by a word: something with an id, or a project's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    Ticket(String),
    Worker(String),
    Attempt(String),
    Project(String),
}

/// Reads a word that may be an id. A bare number is a name here.
#[must_use]
pub fn named(word: &str) -> Named {
    let upper = word.to_ascii_uppercase();
    if upper.parse::<TicketId>().is_ok() {
        Named::Ticket(upper)
    } else if upper.parse::<WorkerId>().is_ok() {
        Named::Worker(upper)
    } else if upper.parse::<AttemptId>().is_ok() {
        Named::Attempt(upper)
    } else {
        Named::Project(word.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_typed_in_several_ways_and_has_one_spelling() {
        for typed in ["T-42", "t-42", "42", "T42", " t-42 "] {
            assert_eq!(Noun::Ticket.parse(typed).as_deref(), Ok("T-42"), "{typed}");
        }
        for wrong in ["", "W-7", "T-0", "T-4x", "create", "T-"] {
            let error = Noun::Ticket.parse(wrong).unwrap_err();
            assert!(error.contains("T-42"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_word_is_an_id_or_the_name_of_a_project() {
        assert_eq!(named("t-4"), Named::Ticket("T-4".into()));
        assert_eq!(named("W-7"), Named::Worker("W-7".into()));
        assert_eq!(named("A-7"), Named::Attempt("A-7".into()));
        assert_eq!(named("42"), Named::Project("42".into()));
        assert_eq!(named("shop"), Named::Project("shop".into()));
    }
}
