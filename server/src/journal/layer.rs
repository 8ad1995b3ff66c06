//! Writes what is logged to the journal.
//!
//! The library sends values as they are, and has no means to change one. A record with a value that a terminal would act on
//! is therefore made and sent by our own writer, which shims use as well; all others are the library's.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io;

use shim_protocol::journal;
use shim_protocol::journal::Record;
use tracing::Event;
use tracing::Level;
use tracing::Metadata;
use tracing::Subscriber;
use tracing::field::Field;
use tracing::field::Visit;
use tracing::span;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::kinds;

/// Sends each event as one record: the fields of its spans, where in the code it is, what it says.
pub struct Journal {
    /// Absent where the journal is not that of this machine, as in a test.
    library: Option<Library>,
    own: journal::Journal,
}

/// The library has one set of constant fields for all events of a layer, and `MESSAGE_ID` differs by kind. So there is one
/// of its layers for each kind.
struct Library {
    other: tracing_journald::Layer,
    kinds: HashMap<&'static str, tracing_journald::Layer>,
}

impl Journal {
    /// Fails where no journal listens.
    pub fn open() -> io::Result<Self> {
        let mut kinds = HashMap::new();
        for (kind, number) in kinds::KINDS {
            kinds.insert(*kind, layer()?.with_custom_fields([("MESSAGE_ID", *number)]));
        }
        let library = Library { other: layer()?, kinds };
        Ok(Self { library: Some(library), own: journal::Journal::new()? })
    }
}

fn layer() -> io::Result<tracing_journald::Layer> {
    let layer = tracing_journald::layer()?.with_syslog_identifier("vibe-ensemble".to_owned());
    Ok(layer.with_field_prefix(Some("VIBE_ENSEMBLE".to_owned())))
}

/// The fields of a span, which each event in it has as well.
struct SpanFields(Record);

impl<S> tracing_subscriber::Layer<S> for Journal
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        if let Some(span) = context.span(id) {
            let mut record = Record::new();
            record.field("SPAN_NAME", span.name());
            put_origin(&mut record, "SPAN_", span.metadata());
            attributes.record(&mut Fields { record: &mut record });
            span.extensions_mut().insert(SpanFields(record));
        }
        if let Some(library) = &self.library {
            library.other.on_new_span(attributes, id, context);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(SpanFields(record)) = span.extensions_mut().get_mut()
        {
            values.record(&mut Fields { record });
        }
        if let Some(library) = &self.library {
            library.other.on_record(id, values, context);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut record = Record::new();
        for span in context.lookup_current().into_iter().flat_map(|span| span.scope().from_root()) {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                record.append(fields);
            }
        }
        let metadata = event.metadata();
        record.field("PRIORITY", priority(*metadata.level()));
        put_origin(&mut record, "", metadata);
        record.field("SYSLOG_IDENTIFIER", "vibe-ensemble");
        if let Some(number) = kinds::number(metadata.name()) {
            record.field("MESSAGE_ID", number);
        }
        event.record(&mut Fields { record: &mut record });
        match &self.library {
            Some(library) if !record.is_escaped() => {
                let layer = library.kinds.get(metadata.name()).unwrap_or(&library.other);
                layer.on_event(event, context);
            }
            Some(_) | None => {
                // A journal that is being restarted misses a record, and there is no other place to say so.
                let _missed = self.own.send(&record).is_err();
            }
        }
    }
}

/// The journal's number for a level.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "5",
        Level::DEBUG => "6",
        Level::TRACE => "7",
    }
}

fn put_origin(record: &mut Record, prefix: &str, metadata: &Metadata<'_>) {
    record.field(&format!("{prefix}TARGET"), metadata.target());
    if let Some(file) = metadata.file() {
        record.field(&format!("{prefix}CODE_FILE"), file);
    }
    if let Some(line) = metadata.line() {
        record.field(&format!("{prefix}CODE_LINE"), &line.to_string());
    }
}

/// Adds the fields of an event or a span.
struct Fields<'r> {
    record: &'r mut Record,
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record.field(&name(field.name()), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record.field(&name(field.name()), &format!("{value:?}"));
    }
}

/// The journal's name of a field.
fn name(field: &str) -> String {
    if field == "message" {
        return "MESSAGE".to_owned();
    }
    let allowed = |c: char| match c {
        '.' => Some('_'),
        c => (c == '_' || c.is_ascii_alphanumeric()).then(|| c.to_ascii_uppercase()),
    };
    let name: String = field.chars().filter_map(allowed).collect();
    format!("VIBE_ENSEMBLE_{}", name.trim_start_matches('_'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::net::UnixDatagram;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Logs with a journal of our own, and returns the records that it got.
    fn logged(log: impl FnOnce()) -> Vec<Vec<(String, String)>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let listener = UnixDatagram::bind(&path).unwrap();
        let journal = Journal { library: None, own: journal::Journal::at(&path).unwrap() };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), log);
        listener.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 1 << 20];
        let mut records = Vec::new();
        while let Ok(length) = listener.recv(&mut buffer) {
            let text = std::str::from_utf8(&buffer[..length]).unwrap();
            let fields = text.lines().map(|line| line.split_once('=').expect("a field"));
            records.push(fields.map(|(name, value)| (name.into(), value.into())).collect());
        }
        records
    }

    fn of(records: &[Vec<(String, String)>]) -> BTreeMap<&str, &str> {
        let [record] = records else { panic!("{records:?}") };
        let fields: BTreeMap<_, _> =
            record.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(fields.len(), record.len(), "no field comes twice: {record:?}");
        fields
    }

    #[test]
    fn a_record_has_all_its_fields_and_the_number_of_its_kind() {
        let line = line!() + 2;
        let records = logged(|| {
            tracing::error!(
                name: super::kinds::ATTEMPT_SUSPECT,
                attempt = %"A-7", ticket = "T-1", wait_s = 5_u64, share = 0.5, ok = true,
                stage = tracing::field::Empty, worker = Some("W-1"), none = None::<u64>, dotted.name = ?"x",
                "an attempt is {}", "stuck"
            );
        });
        let expected = BTreeMap::from([
            ("PRIORITY", "3"),
            ("TARGET", "vibe_ensemble_server::journal::layer::tests"),
            ("CODE_FILE", file!()),
            ("CODE_LINE", &*line.to_string().leak()),
            ("SYSLOG_IDENTIFIER", "vibe-ensemble"),
            ("MESSAGE_ID", "1662cc9cbb0b4edaa068f587f39016ed"),
            ("MESSAGE", "an attempt is stuck"),
            ("VIBE_ENSEMBLE_ATTEMPT", "A-7"),
            ("VIBE_ENSEMBLE_TICKET", "T-1"),
            ("VIBE_ENSEMBLE_WAIT_S", "5"),
            ("VIBE_ENSEMBLE_SHARE", "0.5"),
            ("VIBE_ENSEMBLE_OK", "true"),
            ("VIBE_ENSEMBLE_WORKER", "W-1"),
            ("VIBE_ENSEMBLE_DOTTED_NAME", "\"x\""),
        ]);
        assert_eq!(of(&records), expected);
    }

    #[test]
    fn every_level_has_the_journals_number_and_other_kinds_have_none() {
        let records = logged(|| {
            tracing::error!("e");
            tracing::warn!("w");
            tracing::info!("i");
            tracing::debug!("d");
            tracing::trace!("t");
        });
        let field = |record: &Vec<(String, String)>, wanted: &str| {
            record.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
        };
        let seen: Vec<_> = records
            .iter()
            .map(|r| (field(r, "MESSAGE").unwrap(), field(r, "PRIORITY").unwrap()))
            .collect();
        let expected = [("e", "3"), ("w", "4"), ("i", "5"), ("d", "6"), ("t", "7")];
        assert_eq!(seen, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert!(records.iter().all(|record| field(record, "MESSAGE_ID").is_none()));
    }

    #[test]
    fn an_event_has_the_fields_of_its_spans() {
        let records = logged(|| {
            let span = tracing::info_span!("outer", request = 7, late = tracing::field::Empty);
            span.record("late", "said");
            span.in_scope(|| tracing::info!("inside"));
        });
        let fields = of(&records);
        for (name, value) in [
            ("SPAN_NAME", "outer"),
            ("SPAN_TARGET", "vibe_ensemble_server::journal::layer::tests"),
            ("VIBE_ENSEMBLE_REQUEST", "7"),
            ("VIBE_ENSEMBLE_LATE", "said"),
            ("MESSAGE", "inside"),
        ] {
            assert_eq!(fields.get(name), Some(&value), "{fields:?}");
        }
    }

    #[test]
    fn nothing_from_outside_makes_a_field_of_its_own_or_moves_a_cursor() {
        let said = "W-1\nMESSAGE=forged\nPRIORITY=0\u{1b}[2J\u{9b}1m\u{202e}\0x";
        let escaped = "W-1\\nMESSAGE=forged\\nPRIORITY=0\\u{1b}[2J\\u{9b}1m\\u{202e}\\u{0}x";
        let path = std::path::Path::new("/tmp/a\n\u{1b}]0;owned\u{7}");
        let error = std::io::Error::other(said);
        let records = logged(|| {
            tracing::warn!(worker = %said, shown = said, path = %path.display(), %error, "said {said}");
        });
        let fields = of(&records);
        assert_eq!(fields["VIBE_ENSEMBLE_WORKER"], escaped);
        assert_eq!(fields["VIBE_ENSEMBLE_SHOWN"], escaped);
        assert_eq!(fields["VIBE_ENSEMBLE_ERROR"], escaped);
        assert_eq!(fields["VIBE_ENSEMBLE_PATH"], "/tmp/a\\n\\u{1b}]0;owned\\u{7}");
        assert_eq!(fields["MESSAGE"], format!("said {escaped}"));
        assert_eq!(fields["PRIORITY"], "4");
        assert!(fields.values().all(|value| !value.chars().any(journal::is_unseen)));
    }
}
