//! Logging: to the journal with its fields when standard error is the journal, else to standard error for people.

use std::error::Error;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::os::linux::fs::MetadataExt as _;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Environment;
use crate::journal::Journal;

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("{filter:?} is no log filter")]
    Filter { filter: String, source: tracing_subscriber::filter::ParseError },
    #[error("logging was set up twice")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
    #[error("the log filter could not be replaced")]
    Replace(#[source] reload::Error),
}

/// The filter of this process, so that a reload can change it.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Sets up logging for the process. Called once.
pub fn init(filter: &str, environment: &Environment) -> Result<(), TelemetryError> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let journal = is_journal(environment).then(|| Journal::open().ok()).flatten();
    // Without the journal's socket its stream still takes lines, and a container may have the one without the other.
    let plain = journal.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .compact()
            .with_target(false)
            .with_ansi(colour(environment))
            .with_writer(std::io::stderr)
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(journal)
        .with(plain)
        .try_init()
        .map_err(TelemetryError::AlreadySet)?;
    FILTER.get_or_init(|| handle);
    Ok(())
}

/// Logs by another filter from now on. Changes nothing before [`init`].
pub fn set_filter(filter: &str) -> Result<(), TelemetryError> {
    let parsed = parse(filter)?;
    FILTER.get().map_or(Ok(()), |handle| handle.reload(parsed)).map_err(TelemetryError::Replace)
}

/// Whether standard error takes colour: a terminal that does not ask for plain text.
#[must_use]
pub fn colour(environment: &Environment) -> bool {
    let plain = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !plain && environment.get("TERM") != Some("dumb")
}

/// An error and everything that caused it, on one line. The one way errors are written to logs.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        write!(line, ": {error}").unwrap_or_default();
        cause = error.source();
    }
    line
}

/// The MCP SDK tells of each request at `info`, which says nothing at 3 a.m.; a filter that names it still gets it.
fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(format!("rmcp=warn,{filter}"))
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })
}

/// Whether standard error is the stream systemd connected to the journal: it says which one in `JOURNAL_STREAM`, and a
/// child that redirected its output inherits the variable but not the stream.
fn is_journal(environment: &Environment) -> bool {
    let Some(named) = environment.get("JOURNAL_STREAM") else { return false };
    std::fs::metadata("/dev/stderr")
        .is_ok_and(|stream| named == format!("{}:{}", stream.st_dev(), stream.st_ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_every_cause_once() {
        let cause = std::io::Error::other("disk full");
        let error = crate::config::Problems(Vec::new());
        assert_eq!(chain(&cause), "disk full");
        assert!(chain(&error).starts_with("the configuration is refused"));
        let nested = TelemetryError::Filter {
            filter: "a=b=c".into(),
            source: EnvFilter::try_new("a=b=c").unwrap_err(),
        };
        assert!(chain(&nested).starts_with("\"a=b=c\" is no log filter: "), "{}", chain(&nested));
    }

    #[test]
    fn another_stream_than_the_named_one_is_no_journal() {
        assert!(!is_journal(&Environment::default()));
        assert!(!is_journal(&Environment::from_pairs([("JOURNAL_STREAM", "0:0")])));
    }
}
