//! Logging: to the journal with its fields when standard error is the journal, else to standard error for people.

use std::io::IsTerminal as _;
use std::os::linux::fs::MetadataExt as _;
use std::sync::OnceLock;

pub use shim_protocol::journal::chain;
pub use shim_protocol::journal::is_unseen;
pub use shim_protocol::journal::outside;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Environment;
use crate::journal::Journal;

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("{filter:?} is not a log filter")]
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
            .fmt_fields(format::debug_fn(write_field).delimited(" "))
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

/// Whether standard error takes colour.
#[must_use]
pub fn colour(environment: &Environment) -> bool {
    takes_colour(environment, std::io::stderr().is_terminal())
}

/// Whether a stream takes colour: `NO_COLOR` forbids it anywhere, `CLICOLOR_FORCE` asks for it anywhere, and otherwise a
/// terminal takes it that does not ask for plain text.
#[must_use]
pub fn takes_colour(environment: &Environment, is_terminal: bool) -> bool {
    let is_on = |name| environment.get(name).is_some_and(|value| !value.is_empty() && value != "0");
    let forbidden = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
    let plain = environment.get("TERM") == Some("dumb") || environment.get("CLICOLOR") == Some("0");
    !forbidden && (is_on("CLICOLOR_FORCE") || (is_terminal && !plain))
}

/// Writes one field of a record. Whatever its value holds, the record stays one line and moves no cursor.
fn write_field(
    writer: &mut format::Writer<'_>,
    field: &Field,
    value: &dyn std::fmt::Debug,
) -> std::fmt::Result {
    let value = outside(&format!("{value:?}"));
    if field.name() == "message" {
        return writer.write_str(&value);
    }
    if writer.has_ansi_escapes() {
        return write!(writer, "\x1b[3m{}\x1b[0m\x1b[2m=\x1b[0m{value}", field.name());
    }
    write!(writer, "{}={value}", field.name())
}

/// The MCP SDK logs each request at `info`, and at `warn` each that asks for what does not exist, which helps no reader and
/// which an agent could repeat without end; a filter that names it still gets it.
fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(format!("rmcp=error,{filter}"))
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
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::*;

    /// Takes what is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_from_outside_makes_a_line_of_its_own_or_moves_a_cursor() {
        let log = Log::default();
        let writer = log.clone();
        let layer = tracing_subscriber::fmt::layer()
            .compact()
            .without_time()
            .with_target(false)
            .fmt_fields(format::debug_fn(write_field).delimited(" "))
            .with_ansi(false)
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        let said = "W-1\n2026 ERROR forged\u{1b}[2J\u{9b}1m\u{202e}x";
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(worker = %said, shown = said, asked = ?said, "said {said}");
            tracing::warn!(long = %"y".repeat(10_000), "long");
        });
        let text = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines.iter().all(|line| !line.chars().any(is_unseen)), "{text}");
        let escaped = "W-1\\n2026 ERROR forged\\u{1b}[2J\\u{9b}1m\\u{202e}x";
        assert!(lines[0].contains(&format!("said {escaped} worker={escaped}")), "{text}");
        assert!(lines[0].contains(&format!("shown=\"{escaped}\"")), "{text}");
        assert!(lines[1].len() < 4_200, "{} bytes", lines[1].len());
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        let cause = std::io::Error::other("disk full");
        let error = crate::config::Problems(Vec::new());
        assert_eq!(chain(&cause), "disk full");
        assert!(chain(&error).starts_with("the configuration is not valid"));
        let nested = TelemetryError::Filter {
            filter: "a=b=c".into(),
            source: EnvFilter::try_new("a=b=c").unwrap_err(),
        };
        assert!(
            chain(&nested).starts_with("\"a=b=c\" is not a log filter: "),
            "{}",
            chain(&nested)
        );
    }

    #[test]
    fn another_stream_than_the_named_one_is_no_journal() {
        assert!(!is_journal(&Environment::default()));
        assert!(!is_journal(&Environment::from_pairs([("JOURNAL_STREAM", "0:0")])));
    }
}
