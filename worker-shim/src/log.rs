//! The shim's log: the journal in a unit, with fields; standard error elsewhere; nowhere when
//! detached.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Mutex;
use std::sync::PoisonError;

use shim_protocol::grant::Grant;
use shim_protocol::journal::Journal;
use shim_protocol::journal::Record;
pub use shim_protocol::journal::chain;
use shim_protocol::journal::outside;

/// What every record contains besides its message.
#[derive(Debug)]
struct About {
    journal: Option<Journal>,
    worker: Option<String>,
    /// Fields of the current attempt.
    attempt: Record,
}

static ABOUT: Mutex<About> =
    Mutex::new(About { journal: None, worker: None, attempt: Record::new() });

/// Sends records with fields from now on, if standard error is the journal's.
pub fn to_journal() {
    // The variable survives a redirection of the output; only the stream itself is proof.
    let named = std::env::vars_os().find(|(name, _)| name == "JOURNAL_STREAM");
    let stream = std::fs::metadata("/dev/stderr").map(|is| format!("{}:{}", is.dev(), is.ino()));
    if let (Some((_, named)), Ok(stream)) = (named, stream)
        && named == *stream
    {
        with(|about| about.journal = Journal::new().ok());
    }
}

/// Sets the worker that the following records are about.
pub fn of_worker(worker_id: &str) {
    with(|about| about.worker = Some(worker_id.to_owned()));
}

/// Sets the attempt that the following records are about.
pub fn of_attempt(grant: &Grant) {
    let fields = [
        ("PROJECT", &grant.project),
        ("TICKET", &grant.ticket_id),
        ("STAGE", &grant.stage),
        ("ATTEMPT", &grant.attempt_id),
    ];
    let mut attempt = Record::new();
    for (name, value) in fields {
        attempt.field(&format!("VIBE_ENSEMBLE_{name}"), value);
    }
    with(|about| about.attempt = attempt);
}

/// The following records are not about an attempt.
pub fn of_no_attempt() {
    with(|about| about.attempt.clear());
}

/// Logs a problem.
pub fn note(message: &str) {
    // 4 is a warning, to the journal.
    tell("4", message);
}

/// Logs an ordinary event.
pub fn info(message: &str) {
    tell("6", message);
}

fn tell(priority: &str, message: &str) {
    // Not waited for: a panic in here would come back here.
    let sent = ABOUT.try_lock().is_ok_and(|about| {
        let record = record(&about, priority, message);
        let journal = about.journal.as_ref();
        journal.is_some_and(|journal| journal.send(&record).is_ok())
    });
    if !sent {
        // A missing standard error must not end the process, so this is not `eprintln!`, which
        // panics.
        drop(writeln!(std::io::stderr(), "vibe-ensemble-shim: {}", outside(message)));
    }
}

fn record(about: &About, priority: &str, message: &str) -> Record {
    let mut record = Record::new();
    record.field("MESSAGE", message);
    record.field("PRIORITY", priority);
    record.field("SYSLOG_IDENTIFIER", "vibe-ensemble-shim");
    if let Some(worker) = &about.worker {
        record.field("VIBE_ENSEMBLE_WORKER", worker);
    }
    record.append(&about.attempt);
    record
}

fn with<T>(then: impl FnOnce(&mut About) -> T) -> T {
    then(&mut ABOUT.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_one_field_per_line_whatever_it_contains() {
        let mut attempt = Record::new();
        attempt.field("VIBE_ENSEMBLE_TICKET", "T-1");
        attempt.field("VIBE_ENSEMBLE_STAGE", "a\nPRIORITY=0");
        let about = About { journal: None, worker: Some("W-7".into()), attempt };
        let expected = "MESSAGE=two\\nlines\nPRIORITY=4\nSYSLOG_IDENTIFIER=vibe-ensemble-shim\n\
                        VIBE_ENSEMBLE_WORKER=W-7\nVIBE_ENSEMBLE_TICKET=T-1\nVIBE_ENSEMBLE_STAGE=a\\nPRIORITY=0\n";
        assert_eq!(record(&about, "4", "two\nlines").as_bytes(), expected.as_bytes());
    }
}
