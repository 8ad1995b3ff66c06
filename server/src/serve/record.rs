//! One record in the log for each change of state, made from the events of the database.
//!
//! It follows the event log instead of being called where state changes: what is logged was committed, and no code can
//! change state and forget to log it. Changes that are committed just before a server is killed are in the database
//! only.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::Level;

use crate::domain::event::Event;
use crate::domain::event::EventKind;
use crate::domain::hold::HoldKind;
use crate::domain::id::EventSeq;
use crate::domain::outcome::Failure;
use crate::domain::time::Timestamp;
use crate::journal;
use crate::store::EventQuery;
use crate::store::EventScope;
use crate::store::Result;
use crate::store::Store;
use crate::telemetry::chain;

/// Events that are read at a time.
const PAGE: i64 = 200;
/// Looks at the log are at least this far apart: a thousand commits a second cost a hundred looks, not a thousand, and
/// leave the processors to the calls that commit.
const GAP: Duration = Duration::from_millis(10);

/// Logs every event after `after`, until the server stops and then what is left.
pub(super) async fn follow(store: Store, mut after: EventSeq, stop: CancellationToken) {
    let mut level = store.level();
    let mut once = Once::default();
    loop {
        level.mark_unchanged();
        if let Err(error) = catch_up(&store, &mut after, &mut once).await {
            tracing::error!(error = %chain(&error), "the events could not be read to be logged");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = level.changed() => if changed.is_err() { break },
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(GAP) => {}
        }
    }
    if let Err(error) = catch_up(&store, &mut after, &mut once).await {
        tracing::debug!(error = %chain(&error), "the last events were not logged");
    }
}

/// The last change of the whole server that was logged: it has an event in each project, and one record.
#[derive(Debug, Default)]
struct Once {
    last: Option<(EventKind, Timestamp)>,
}

impl Once {
    /// Whether the event tells of a change that was logged for another project.
    fn has(&mut self, event: &Event) -> bool {
        let change = Some((event.kind, event.at));
        let known = is_of_server(event.kind) && self.last == change;
        if is_of_server(event.kind) {
            self.last = change;
        }
        known
    }
}

const fn is_of_server(kind: EventKind) -> bool {
    matches!(kind, EventKind::ServerPaused | EventKind::ServerResumed)
}

async fn catch_up(store: &Store, after: &mut EventSeq, once: &mut Once) -> Result<()> {
    loop {
        let query = EventQuery {
            after: Some(*after),
            include_processed: true,
            scope: EventScope::default(),
            // Nobody's marks are asked for.
            consumer: String::new(),
            limit: PAGE,
        };
        let page = store.events(query).await?;
        let Some(last) = page.events.last().map(|event| event.seq) else { return Ok(()) };
        for event in &page.events {
            let failed = event.attempt.filter(|_| event.kind == EventKind::TicketAttemptFailed);
            let failure = match failed {
                Some(attempt) => store.attempt(attempt).await?.and_then(|found| found.failure()),
                None => None,
            };
            if !once.has(event) {
                write(event, failure);
            }
        }
        *after = last;
    }
}

/// Reports what happened by kind and ids. Not by the event's summary, which contains titles and questions: those are
/// for the coordinator, and the journal has other readers.
fn write(event: &Event, failure: Option<Failure>) {
    use EventKind as K;
    let project = (!is_of_server(event.kind)).then(|| tracing::field::display(&event.project));
    macro_rules! record {
        ($level:ident, $name:expr, $words:literal) => {
            tracing::event!(
                name: $name,
                Level::$level,
                project,
                ticket = event.ticket.map(display),
                stage = event.stage.as_ref().map(display),
                attempt = event.attempt.map(display),
                worker = event.worker.map(display),
                failure = failure.map(Failure::name),
                hold_kind = event.hold_kind.map(HoldKind::name),
                seq = event.seq.0,
                $words
            )
        };
    }
    match event.kind {
        K::TicketCreated => record!(INFO, "ticket_created", "ticket created"),
        K::TicketStageStarted => record!(INFO, "ticket_stage_started", "stage started"),
        K::TicketStageCompleted => record!(INFO, "ticket_stage_completed", "stage completed"),
        K::TicketSentBack => record!(INFO, "ticket_sent_back", "ticket sent back to a stage"),
        K::TicketAttemptFailed if failure == Some(Failure::OutOfMemory) => {
            record!(ERROR, journal::OUT_OF_MEMORY, "attempt killed because it ran out of memory");
        }
        K::TicketAttemptFailed => record!(WARN, "ticket_attempt_failed", "attempt failed"),
        K::TicketOnHold => record!(WARN, "ticket_on_hold", "ticket on hold"),
        K::TicketResumed => record!(INFO, "ticket_resumed", "ticket resumed"),
        // It passes by itself; a wait that lasts is reported where it is waited.
        K::TicketWaits => record!(INFO, "ticket_waits", "ticket waits"),
        K::TicketUnblocked => record!(INFO, "ticket_unblocked", "ticket unblocked"),
        K::TicketClosed => record!(INFO, "ticket_closed", "ticket closed"),
        K::WorkerStarted => record!(INFO, "worker_started", "worker started"),
        K::WorkerStopped => record!(INFO, "worker_stopped", "worker stopped"),
        K::TicketUpdated => record!(INFO, "ticket_updated", "ticket changed"),
        K::QueuePaused => record!(WARN, "queue_paused", "queue paused"),
        K::QueueResumed => record!(INFO, "queue_resumed", "queue resumed"),
        K::ProjectPaused => record!(WARN, "project_paused", "project paused"),
        K::ProjectResumed => record!(INFO, "project_resumed", "project resumed"),
        K::ServerPaused => record!(WARN, "server_paused", "server paused"),
        K::ServerResumed => record!(INFO, "server_resumed", "server resumed"),
        K::GatePassed => record!(INFO, "gate_passed", "gate passed"),
        K::GateFailed => record!(WARN, "gate_failed", "gate failed"),
        K::SetupFailed => record!(WARN, "setup_failed", "setup of a worktree failed"),
        K::CleanupFailed => record!(WARN, "cleanup_failed", "cleanup of a worktree failed"),
        K::BudgetWarning => record!(WARN, "budget_warning", "a dollar limit is nearly spent"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::*;
    use crate::domain::id::AttemptId;
    use crate::domain::id::TicketId;
    use crate::domain::id::WorkerId;
    use crate::domain::text::Name;
    use crate::domain::time::Timestamp;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no writer panics").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_records_of_state_changes_are_the_reviewed_ones() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            for kind in EventKind::ALL {
                let event = Event {
                    seq: EventSeq(1),
                    at: Timestamp::from_millis(0),
                    kind,
                    project: Name::from_row("shop".to_owned()),
                    ticket: Some(TicketId::from_key(42)),
                    stage: Some(Name::from_row("impl".to_owned())),
                    attempt: Some(AttemptId::from_key(17)),
                    worker: Some(WorkerId::from_key(7)),
                    summary: "never in a record".to_owned(),
                    hold_kind: (kind == EventKind::TicketOnHold).then_some(HoldKind::Question),
                    processed: false,
                };
                let failure = (kind == EventKind::TicketAttemptFailed).then_some(Failure::NoResult);
                write(&event, failure);
                if failure.is_some() {
                    write(&event, Some(Failure::OutOfMemory));
                }
            }
        });
        let lines = String::from_utf8(lines.0.lock().expect("it is let go").clone());
        let lines = lines.expect("log lines are text");
        assert!(!lines.contains("never in a record"), "{lines}");
        crate::snapshot::holds("journal-records", &lines);
    }
}
