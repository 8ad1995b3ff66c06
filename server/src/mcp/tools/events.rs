//! Events: `list_events`, which can wait for the next one, and `mark_events_processed`.

use std::future::Future;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::comment::COORDINATOR;
use crate::domain::event::EventKind;
use crate::domain::id::EventSeq;
use crate::domain::names::Named;
use crate::domain::refusal::Refusal;
use crate::domain::text::Name;
use crate::mcp::call::Call;
use crate::mcp::page;
use crate::mcp::page::Room;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::service::id;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::store;
use crate::store::EventMarks;
use crate::store::EventPage;
use crate::store::EventQuery;
use crate::store::EventScope;
use crate::wire::event::EventView;
use crate::wire::event::Events;

/// Well within the idle timeouts of all known clients.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::waiting(
            "list_events",
            "List or await events",
            Effect::Reads,
            "Lists the events that you have not marked, oldest first. With wait_seconds it waits until there is one; an \
             empty list means that none came. Do not poll: wait, act, mark, wait again.",
            list,
        ),
        Tool::new(
            "mark_events_processed",
            "Mark events as processed",
            Effect::Settles,
            "Marks events, so that list_events no longer lists them. Give event_seqs or up_to_seq, and the `project`, \
             `kinds` and `ticket_id` that you gave to list_events: only what they let through is marked. Mark after you \
             have acted.",
            mark,
        ),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListOrWait {
    /// Only those with a higher seq.
    #[schemars(range(min = 0))]
    after: Option<i64>,
    /// Also marked ones. To wait with it, give `after`.
    include_processed: Option<bool>,
    /// Default: all; in Claude Code those that may need you (`ticket_on_hold`, `ticket_closed`, pauses).
    kinds: Option<Vec<String>>,
    /// Only those of this project.
    project: Option<String>,
    /// Only those of this ticket, such as T-42.
    ticket_id: Option<String>,
    /// At most 3600; default 0.
    #[schemars(range(min = 0, max = 3600))]
    wait_seconds: Option<i64>,
    /// Default 50, at most 200.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<i64>,
    /// Whose marks apply; default: your session's.
    consumer: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Mark {
    /// At most 1000.
    #[schemars(length(min = 1, max = 1000))]
    event_seqs: Option<Vec<i64>>,
    /// All up to and including it.
    #[schemars(range(min = 0))]
    up_to_seq: Option<i64>,
    /// Only those of this project.
    project: Option<String>,
    /// Default as in `list_events`; with `event_seqs` all.
    kinds: Option<Vec<String>>,
    /// Only those of this ticket.
    ticket_id: Option<String>,
    /// Whose marks; default as in `list_events`.
    consumer: Option<String>,
}

impl From<EventPage> for Events {
    fn from(page: EventPage) -> Self {
        let events = Room::new().fill(page.events.into_iter().map(EventView::from));
        Self { events, last_seq: page.last_seq.0 }
    }
}

#[derive(Serialize, JsonSchema)]
struct Marked {
    /// How many were newly marked.
    marked: i64,
}

/// What `list_events` returns to a coordinator that gives only a project.
pub(crate) async fn unprocessed(service: &Service, project: Option<String>) -> Result<Events> {
    let query = EventQuery {
        after: None,
        include_processed: false,
        scope: EventScope {
            project,
            kinds: default_kinds(service.consumer.is_some()),
            ..EventScope::default()
        },
        consumer: consumer(service, None).await?,
        limit: page::limit(None)?,
    };
    Ok(service.store.events(query).await?.into())
}

async fn list(service: Service, given: ListOrWait, call: Call) -> Result<Events> {
    let wait = wait(given.wait_seconds)?;
    let consumer = consumer(&service, given.consumer.as_deref()).await?;
    let query = query(&given, consumer, service.consumer.is_some())?;
    // Subscribed before the first look, so that no commit falls between a look and the wait.
    let mut level = service.store.level();
    level.mark_unchanged();
    let page = service.store.events(query.clone()).await?;
    if !page.events.is_empty() {
        return Ok(page.into());
    }
    // A misspelt filter would wait in vain, or look like silence.
    if let Some(project) = &query.scope.project {
        service.store.project(project).await?;
    }
    if let Some(ticket) = query.scope.ticket {
        service.store.find_ticket(ticket).await?;
    }
    // A seq from the future, as after a restored backup: the next events would have lower ones and be missed.
    let is_beyond = query.after.is_some_and(|after| after > page.last_seq);
    if wait.is_zero() || is_beyond {
        return Ok(page.into());
    }
    let most = service.waiting.most();
    let _seat = service.waiting.enter(call.caller).ok_or(Refusal::TooManyWaiting { most })?;
    let awaited =
        until_some(level, wait, &call, service.stopping(), || service.store.events(query.clone()));
    Ok(awaited.await?.unwrap_or(page).into())
}

/// Looks again whenever the level has risen, until there are events, and reports progress meanwhile. `None` when there
/// were none in time, or the client is gone.
async fn until_some<L, F, S>(
    mut level: watch::Receiver<L>,
    wait: Duration,
    call: &Call,
    stopping: S,
    look: impl Fn() -> F,
) -> Result<Option<EventPage>>
where
    F: Future<Output = std::result::Result<EventPage, store::Error>>,
    S: Future<Output = ()>,
{
    let begun = Instant::now();
    let deadline = begun + wait;
    let mut stopping = std::pin::pin!(stopping);
    call.report(Duration::ZERO, wait).await;
    let mut progress = tokio::time::interval_at(begun + PROGRESS_EVERY, PROGRESS_EVERY);
    loop {
        tokio::select! {
            biased;
            () = &mut stopping => return Ok(None),
            () = call.gone.cancelled() => return Ok(None),
            () = call.cancelled.cancelled() => return Ok(None),
            () = call.lapsed.cancelled() => return Ok(None),
            changed = level.changed() => {
                let page = look().await?;
                if changed.is_err() || !page.events.is_empty() {
                    return Ok(Some(page));
                }
            }
            () = tokio::time::sleep_until(deadline) => return Ok(None),
            _ = progress.tick() => call.report(begun.elapsed(), wait).await,
        }
    }
}

fn wait(seconds: Option<i64>) -> std::result::Result<Duration, Refusal> {
    let seconds = seconds.unwrap_or(0);
    u64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds <= 3600)
        .map(Duration::from_secs)
        .ok_or_else(|| {
            Refusal::invalid("wait_seconds", &seconds.to_string(), "a whole number from 0 to 3600")
        })
}

/// The kinds of a list, and of a mark up to a number, that name none; empty for all. Both take the same, or a mark would
/// take events that the list before it did not show. A session pays for being woken, and for every event it reads.
fn default_kinds(is_session: bool) -> Vec<EventKind> {
    if is_session { EventKind::FOR_SOMEBODY.to_vec() } else { Vec::new() }
}

/// `is_session`: the call is of a session that is woken when it is answered.
fn query(given: &ListOrWait, consumer: String, is_session: bool) -> Result<EventQuery> {
    let mut kinds = kinds(given.kinds.as_deref().unwrap_or_default())?;
    if kinds.is_empty() {
        kinds = default_kinds(is_session);
    }
    Ok(EventQuery {
        after: given.after.map(EventSeq),
        include_processed: given.include_processed.unwrap_or(false),
        scope: EventScope {
            project: given.project.clone(),
            ticket: given.ticket_id.as_deref().map(|ticket| id("ticket_id", ticket)).transpose()?,
            kinds,
        },
        consumer,
        limit: page::limit(given.limit)?,
    })
}

fn kinds(given: &[String]) -> std::result::Result<Vec<EventKind>, Refusal> {
    let kind = |(at, name): (usize, &String)| {
        let allowed = || format!("one of {}", EventKind::NAMES.join(", "));
        EventKind::from_name(name)
            .ok_or_else(|| Refusal::invalid(format!("kinds[{at}]"), name, allowed()))
    };
    given.iter().enumerate().map(kind).collect()
}

/// The consumer that is named, or that of the session.
async fn consumer(service: &Service, given: Option<&str>) -> Result<String> {
    match (given, &service.consumer) {
        (Some(name), _) => Ok(Name::parse("consumer", name).map(Name::into_string)?),
        (None, Some(own)) => {
            service.store.begin_consumer(own, service.now()).await?;
            Ok(own.clone())
        }
        (None, None) => Ok(COORDINATOR.to_owned()),
    }
}

async fn mark(service: Service, given: Mark) -> Result<Marked> {
    let consumer = consumer(&service, given.consumer.as_deref()).await?;
    let mut kinds = kinds(given.kinds.as_deref().unwrap_or_default())?;
    // Events that are named one by one were shown, whatever their kinds.
    if kinds.is_empty() && given.event_seqs.is_none() {
        kinds = default_kinds(service.consumer.is_some());
    }
    let scope = EventScope {
        ticket: given.ticket_id.as_deref().map(|ticket| id("ticket_id", ticket)).transpose()?,
        kinds,
        project: given.project,
    };
    // A misspelt project would mark nothing, and look like success.
    if let Some(project) = &scope.project {
        service.store.check_project_was(project).await?;
    }
    let marks = marks(given.event_seqs, given.up_to_seq)?;
    let marked = service.store.mark_events(&consumer, scope, marks, service.now()).await?;
    Ok(Marked { marked })
}

fn marks(
    event_seqs: Option<Vec<i64>>,
    up_to_seq: Option<i64>,
) -> std::result::Result<EventMarks, Refusal> {
    match (event_seqs, up_to_seq) {
        (Some(seqs), None) => Ok(EventMarks::Seqs(seqs.into_iter().map(EventSeq).collect())),
        (None, Some(seq)) => Ok(EventMarks::UpTo(EventSeq(seq))),
        (Some(_), Some(seq)) => {
            Err(Refusal::invalid("up_to_seq", &seq.to_string(), "left out beside event_seqs"))
        }
        (None, None) => {
            Err(Refusal::missing("event_seqs", "a list of events, unless up_to_seq is given"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::domain::event::Event;
    use crate::mcp::call::Caller;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// Seconds waited, and of how many.
    type Told = Arc<Mutex<Vec<(u64, u64)>>>;

    /// A call that records the progress it is sent.
    fn call() -> (Call, Told) {
        let told = Told::default();
        let teller = Arc::clone(&told);
        let call = Call {
            caller: Caller::Coordinator,
            lapsed: CancellationToken::new(),
            gone: CancellationToken::new(),
            cancelled: CancellationToken::new(),
            progress: Some(Box::new(move |waited, of| {
                teller.lock().unwrap().push((waited.as_secs(), of.as_secs()));
                Box::pin(std::future::ready(()))
            })),
        };
        (call, told)
    }

    fn page(events: usize) -> EventPage {
        let event = Event {
            seq: EventSeq(1),
            kind: EventKind::TicketCreated,
            at: crate::domain::time::Timestamp::from_millis(0),
            project: Name::from_row("shop".to_owned()),
            ticket: None,
            stage: None,
            attempt: None,
            worker: None,
            summary: String::new(),
            hold_kind: None,
            processed: false,
        };
        EventPage { events: vec![event; events], last_seq: EventSeq(1) }
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_of_waiting_tells_progress_at_once_and_every_fifteen_seconds() {
        let (_keep, level) = watch::channel(0_u64);
        let (call, told) = call();
        let look = || std::future::ready(Ok(page(0)));
        let found = until_some(level, HOUR, &call, std::future::pending(), look).await.unwrap();
        assert_eq!(found, None);
        let wanted: Vec<(u64, u64)> = (0..3_600).step_by(15).map(|at| (at, 3_600)).collect();
        assert_eq!(*told.lock().unwrap(), wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_level_that_rises_for_somebody_else_goes_on_waiting() {
        let (rise, level) = watch::channel(0_u64);
        let (call, _) = call();
        let looks = Mutex::new(0);
        let look = || {
            let mut looks = looks.lock().unwrap();
            *looks += 1;
            std::future::ready(Ok(page(usize::from(*looks == 3))))
        };
        let rising = async {
            for risen in 1..=3 {
                tokio::time::sleep(Duration::from_secs(60)).await;
                rise.send_replace(risen);
            }
            std::future::pending::<()>().await;
        };
        let waiting = until_some(level, HOUR, &call, std::future::pending(), look);
        let found = tokio::select! { found = waiting => found.unwrap(), () = rising => None };
        assert_eq!(found, Some(page(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_for_a_client_that_left_or_takes_it_back_a_token_that_lapsed_and_a_server_that_stops()
     {
        let (_keep, level) = watch::channel(0_u64);
        let look = || std::future::ready(Ok(page(1)));
        let (left, _) = call();
        left.gone.cancel();
        let (revoked, _) = call();
        revoked.lapsed.cancel();
        let (taken_back, _) = call();
        taken_back.cancelled.cancel();
        for call in [left, revoked, taken_back] {
            let ended = until_some(level.clone(), HOUR, &call, std::future::pending(), look).await;
            assert_eq!(ended.unwrap(), None);
        }
        let (call, _) = call();
        let ended = until_some(level, HOUR, &call, std::future::ready(()), look).await;
        assert_eq!(ended.unwrap(), None);
    }

    #[test]
    fn exactly_one_way_of_marking_is_taken() {
        assert!(
            matches!(marks(Some(vec![1]), None), Ok(EventMarks::Seqs(seqs)) if seqs == [EventSeq(1)])
        );
        assert!(matches!(marks(None, Some(7)), Ok(EventMarks::UpTo(EventSeq(7)))));
        assert!(marks(Some(vec![1]), Some(7)).is_err());
        assert!(marks(None, None).is_err());
    }

    #[test]
    fn a_session_hears_of_what_may_need_it_and_others_of_everything() {
        let asked = |given, is_session| {
            let given = serde_json::from_value::<ListOrWait>(given).unwrap();
            query(&given, "test".to_owned(), is_session)
        };
        let kinds = |given, is_session| asked(given, is_session).unwrap().scope.kinds;
        let waits = || serde_json::json!({"wait_seconds": 60});
        assert_eq!(kinds(waits(), true), EventKind::FOR_SOMEBODY);
        assert!(kinds(waits(), false).is_empty());
        assert_eq!(kinds(serde_json::json!({}), true), EventKind::FOR_SOMEBODY);
        assert!(kinds(serde_json::json!({}), false).is_empty());
        let told = serde_json::json!({"kinds": ["ticket_created"], "wait_seconds": 60});
        assert_eq!(kinds(told, true), [EventKind::TicketCreated]);
        let plain = asked(serde_json::json!({}), false).unwrap();
        assert!(!plain.include_processed && plain.limit == 50);
        assert!(asked(serde_json::json!({"kinds": ["ticket_exploded"]}), false).is_err());
        assert!(wait(Some(3601)).is_err() && wait(Some(-1)).is_err());
    }
}
