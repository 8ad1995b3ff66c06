//! From an error to the exit code that stands for it.

use std::io;

use crate::cli::client::ClientError;
use crate::cli::client::WrongField;
use crate::config::Problem;
use crate::config::Problems;
use crate::exit::Exit;
use crate::serve::PortTaken;
use crate::state::StateError;

/// A command line that can be parsed and is wrong all the same.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadCommandLine(String);

impl BadCommandLine {
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

/// The exit code of an error that ended a command.
#[must_use]
pub fn exit_of(error: &anyhow::Error) -> Exit {
    let refused = |cause: &(dyn std::error::Error + 'static)| {
        if let Some(Problems(problems)) = cause.downcast_ref() {
            // What is wrong with the command line alone is not wrong with the configuration.
            let typed = !problems.is_empty() && problems.iter().all(Problem::is_of_flag);
            return Some(if typed { Exit::Usage } else { Exit::Config });
        }
        if cause.is::<PortTaken>() {
            return Some(Exit::Locked);
        }
        if cause.is::<BadCommandLine>() {
            return Some(Exit::Usage);
        }
        match cause.downcast_ref() {
            Some(
                StateError::Held { .. } | StateError::Elsewhere { .. } | StateError::Copied { .. },
            ) => {
                return Some(Exit::Locked);
            }
            Some(
                StateError::Token(_) | StateError::Foreign { .. } | StateError::Changeable { .. },
            ) => return Some(Exit::Config),
            Some(_) | None => {}
        }
        let client: &ClientError = cause.downcast_ref()?;
        if matches!(
            client,
            ClientError::Address { .. }
                | ClientError::NoTokenFile { .. }
                | ClientError::Wrong { .. }
                | ClientError::TooLong
        ) {
            return Some(Exit::Usage);
        }
        if matches!(client, ClientError::State(StateError::Foreign { .. })) {
            return Some(Exit::Config);
        }
        client.is_unreachable().then_some(Exit::Unreachable)
    };
    error.chain().find_map(refused).unwrap_or(Exit::Failed)
}

/// The error in the words of a command: its user knows no fields.
#[must_use]
pub fn worded(error: anyhow::Error) -> anyhow::Error {
    let name = |field: &str| {
        let field = field.strip_suffix("_id").unwrap_or(field);
        format!("the {}", field.replace('_', " "))
    };
    reworded(error, |wrong| wrong.said(&name(wrong.root())))
}

/// The same with words for each wrong field.
pub(super) fn reworded(
    error: anyhow::Error,
    said: impl Fn(&WrongField) -> String,
) -> anyhow::Error {
    let Some(ClientError::Wrong { wrong, .. }) = error.downcast_ref() else { return error };
    let said: Vec<String> = wrong.iter().map(said).collect();
    BadCommandLine::new(said.join("; ")).into()
}

/// Whether the reader of standard output went away, as `head` does: not a failure, and nobody is left to read a message.
#[must_use]
pub fn is_closed_output(error: &anyhow::Error) -> bool {
    let closed = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref().is_some_and(closed)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::cli::client::WrongField;
    use crate::config::Fault;
    use crate::config::Source;

    #[test]
    fn each_kind_of_error_has_its_code_however_deep() {
        let held =
            StateError::Held { path: "x".into(), holder: Box::default(), directory: "--state-dir" };
        let wrapped = Err::<(), _>(held).context("could not start").unwrap_err();
        assert_eq!(exit_of(&wrapped), Exit::Locked);
        assert_eq!(exit_of(&Problems(Vec::new()).into()), Exit::Config);
        let absent = ClientError::NotRunning { address_file: "x".into() };
        assert_eq!(exit_of(&absent.into()), Exit::Unreachable);
        let garbage = ClientError::Address { given: "x".into() };
        assert_eq!(exit_of(&garbage.into()), Exit::Usage);
        assert_eq!(exit_of(&anyhow::anyhow!("disk full")), Exit::Failed);
    }

    #[test]
    fn what_a_flag_names_is_configuration_and_what_it_says_is_the_command_line() {
        let problem =
            |source, fault| Problem { option: None, source, message: String::new(), fault };
        let flag = || Source::Flag("--any".to_owned());
        let exit = |problems: Vec<Problem>| exit_of(&Problems(problems).into());
        assert_eq!(exit(vec![problem(flag(), Fault::Value)]), Exit::Usage);
        assert_eq!(exit(vec![problem(flag(), Fault::Named)]), Exit::Config);
        let both = vec![problem(flag(), Fault::Value), problem(Source::Default, Fault::Value)];
        assert_eq!(exit(both), Exit::Config);
    }

    #[test]
    fn a_wrong_value_is_told_without_the_names_of_fields() {
        let wrong = |field: &str| WrongField {
            field: field.to_owned(),
            given: Some("x y".to_owned()),
            allowed: Some("a name".to_owned()),
            nearest: None,
        };
        let wrong = vec![wrong("worker_type"), wrong("ticket_id")];
        let told = worded(ClientError::Wrong { tool: "list_tickets".to_owned(), wrong }.into());
        assert_eq!(
            told.to_string(),
            "the worker type cannot be \"x y\"; it must be a name; the ticket cannot be \"x y\"; it must be a name"
        );
        assert_eq!(exit_of(&told), Exit::Usage);
    }
}
