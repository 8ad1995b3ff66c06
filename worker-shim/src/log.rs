//! What the shim tells people: the journal in a unit, with fields; standard error elsewhere; nowhere when detached.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::sync::PoisonError;

use shim_protocol::grant::Grant;

/// Where the journal takes records with fields.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// What every record says besides its message.
#[derive(Debug)]
struct About {
    journal: Option<UnixDatagram>,
    worker: Option<String>,
    /// Fields of the attempt at hand, encoded.
    attempt: String,
}

static ABOUT: Mutex<About> =
    Mutex::new(About { journal: None, worker: None, attempt: String::new() });

/// Sends records with fields from now on, if standard error is the journal's.
pub fn to_journal() {
    // The variable is inherited by whatever redirects its output; only the stream itself tells.
    let named = std::env::vars_os().find(|(name, _)| name == "JOURNAL_STREAM");
    let stream = std::fs::metadata("/dev/stderr").map(|is| format!("{}:{}", is.dev(), is.ino()));
    if let (Some((_, named)), Ok(stream)) = (named, stream)
        && named == *stream
    {
        with(|about| about.journal = UnixDatagram::unbound().ok());
    }
}

/// Says whose records follow.
pub fn of_worker(worker_id: &str) {
    with(|about| about.worker = Some(worker_id.to_owned()));
}

/// Says which attempt the records that follow are about.
pub fn of_attempt(grant: &Grant) {
    let fields = [
        ("PROJECT", &grant.project),
        ("TICKET", &grant.ticket_id),
        ("STAGE", &grant.stage),
        ("ATTEMPT", &grant.attempt_id),
    ];
    let encoded = fields.map(|(name, value)| field(&format!("VIBE_ENSEMBLE_{name}"), value));
    with(|about| about.attempt = encoded.concat());
}

/// The attempt is over.
pub fn of_no_attempt() {
    with(|about| about.attempt.clear());
}

/// Tells of trouble.
pub fn note(message: &str) {
    // 4 is a warning, to the journal.
    tell('4', message);
}

/// Tells of the ordinary course of things.
pub fn info(message: &str) {
    tell('6', message);
}

fn tell(priority: char, message: &str) {
    // Not waited for: a panic in here would come back here.
    let sent = ABOUT.try_lock().is_ok_and(|about| {
        let record = record(&about, priority, message);
        let journal = about.journal.as_ref();
        journal.is_some_and(|journal| journal.send_to(record.as_bytes(), JOURNAL).is_ok())
    });
    if !sent {
        // A standard error that is gone must not end the process, so this is not `eprintln!`, which panics.
        drop(writeln!(std::io::stderr(), "vibe-ensemble-shim: {}", escaped(message)));
    }
}

fn record(about: &About, priority: char, message: &str) -> String {
    let mut record = field("MESSAGE", message);
    write!(record, "PRIORITY={priority}\nSYSLOG_IDENTIFIER=vibe-ensemble-shim\n")
        .unwrap_or_default();
    if let Some(worker) = &about.worker {
        record.push_str(&field("VIBE_ENSEMBLE_WORKER", worker));
    }
    record.push_str(&about.attempt);
    record
}

/// One field, in the journal's form for values of one line.
fn field(name: &str, value: &str) -> String {
    format!("{name}={}\n", escaped(value))
}

/// Puts a string on one line, without anything that a terminal interprets: an agent may have written it.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c {
            '\n' | '\r' | '\t' => escaped.push(' '),
            c if c.is_control() || turns => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    escaped
}

fn with<T>(then: impl FnOnce(&mut About) -> T) -> T {
    then(&mut ABOUT.lock().unwrap_or_else(PoisonError::into_inner))
}

/// An error with its causes, outermost first.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_one_field_a_line_whatever_is_in_it() {
        let attempt =
            field("VIBE_ENSEMBLE_TICKET", "T-1") + &field("VIBE_ENSEMBLE_STAGE", "a\nPRIORITY=0");
        let about = About { journal: None, worker: Some("W-7".into()), attempt };
        let expected = "MESSAGE=two lines\nPRIORITY=4\nSYSLOG_IDENTIFIER=vibe-ensemble-shim\n\
                        VIBE_ENSEMBLE_WORKER=W-7\nVIBE_ENSEMBLE_TICKET=T-1\nVIBE_ENSEMBLE_STAGE=a PRIORITY=0\n";
        assert_eq!(record(&about, '4', "two\nlines"), expected);
        assert_eq!(field("A", "\u{1b}[2J\u{9b}1m\u{202e}é"), "A=\\u{1b}[2J\\u{9b}1m\\u{202e}é\n");
    }
}
