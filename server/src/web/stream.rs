//! What happens, told to browsers as it happens: server-sent events.
//!
//! One task reads the log and tells every stream. A stream that asks for more than is reasonable, or that is too slow, is
//! told that there is a gap: it then looks at everything anew.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::mcp::Visitor;
use crate::web::hub::Seat;
use crate::web::hub::Told;
use crate::web::site::Site;
use crate::web::visit::Visit;
use crate::wire::event::EventView;

/// Events that a stream that comes back receives one by one.
const MOST_CAUGHT_UP: i64 = 200;
/// Events that are read from the log at once.
const BATCH: i64 = 200;
/// Messages that wait for one browser.
const QUEUE: usize = 16;
/// How often a stream says that it lives, and what has no events is looked at again.
const TICK: Duration = Duration::from_secs(15);
/// How soon the log is read again when it could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// Follows the log for all streams, until the server stops.
pub(crate) async fn follow(site: Arc<Site>) {
    let mut level = site.desk.level();
    let mut last = loop {
        match site.desk.newest_event().await {
            Ok(seq) => break seq,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    };
    loop {
        tokio::select! {
            changed = level.changed() => if changed.is_err() { return },
            () = site.desk.stopping() => return,
        }
        // Without a stream nothing is read; one that begins catches up by itself.
        if site.hub.told.receiver_count() == 0 {
            last = site.desk.newest_event().await.unwrap_or(last);
            continue;
        }
        loop {
            let Ok((events, _)) = site.desk.events_after(last, BATCH).await else {
                tokio::time::sleep(AGAIN).await;
                break;
            };
            let Some(newest) = events.last() else { break };
            last = newest.seq;
            for event in &events {
                let told = Told { seq: event.seq, text: message(event).into() };
                if site.hub.told.send(told).is_err() {
                    // Nobody listens any more: the next one catches up.
                    break;
                }
            }
        }
    }
}

/// Opens a stream.
pub(crate) async fn events(
    State(site): State<Arc<Site>>,
    visit: Visit,
    headers: HeaderMap,
) -> Response {
    let Some(seat) = site.hub.enter() else {
        let after = [(header::RETRY_AFTER, HeaderValue::from_static("15"))];
        return (StatusCode::SERVICE_UNAVAILABLE, after, "Too many browsers follow this server.\n")
            .into_response();
    };
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let asked = || visit.query.get("after").and_then(|after| after.parse().ok());
    let after: Option<i64> = last.or_else(asked);
    let (send, receive) = mpsc::channel(QUEUE);
    // Subscribed before the log is read, so that no event falls between the two.
    let told = site.hub.told.subscribe();
    tokio::spawn(tell(site, visit.visitor, after, told, Sender { send, _seat: seat }));
    let about = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Proxies must not collect what is sent one by one.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (about, Body::new(Receiver(receive))).into_response()
}

struct Sender {
    send: mpsc::Sender<Bytes>,
    _seat: Seat,
}

/// The browser is gone.
struct Gone;

impl Sender {
    async fn say(&self, text: impl Into<Bytes>) -> Result<(), Gone> {
        self.send.send(text.into()).await.map_err(|_| Gone)
    }
}

/// Tells one browser, until it is gone, its session ends, or the server stops.
async fn tell(
    site: Arc<Site>,
    visitor: Visitor,
    after: Option<i64>,
    told: broadcast::Receiver<Told>,
    sender: Sender,
) {
    tokio::select! {
        // Either way it ends here; a browser comes back by itself.
        _ = telling(&site, &visitor, after, told, &sender) => {}
        () = site.desk.stopping() => {}
    }
}

async fn telling(
    site: &Site,
    visitor: &Visitor,
    after: Option<i64>,
    mut told: broadcast::Receiver<Told>,
    sender: &Sender,
) -> Result<(), Gone> {
    sender.say("retry: 1000\n\n").await?;
    let mut last = catch_up(site, after, sender).await?;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.reset();
    loop {
        tokio::select! {
            event = told.recv() => match event {
                Ok(event) if event.seq > last => {
                    last = event.seq;
                    sender.say(event.text.as_bytes().to_vec()).await?;
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => last = gap(site, sender).await?,
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            },
            _ = tick.tick() => {
                if !site.access.is_still_valid(visitor) {
                    return sender.say("event: locked\ndata: {}\n\n").await;
                }
                sender.say(tick_message(site).await).await?;
            }
            () = sender.send.closed() => return Err(Gone),
        }
    }
}

/// Tells what a browser has missed, or that there is a gap; returns up to where it knows.
async fn catch_up(site: &Site, after: Option<i64>, sender: &Sender) -> Result<i64, Gone> {
    let Some(after) = after else {
        return Ok(site.desk.newest_event().await.unwrap_or(i64::MAX - 1));
    };
    let Ok((events, newest)) = site.desk.events_after(after, MOST_CAUGHT_UP).await else {
        return gap(site, sender).await;
    };
    // One from the future is of another log: a backup was restored.
    let in_full = after <= newest
        && newest - after <= MOST_CAUGHT_UP
        && i64::try_from(events.len()).is_ok_and(|count| count < MOST_CAUGHT_UP);
    if !in_full {
        return gap(site, sender).await;
    }
    for event in &events {
        sender.say(message(event)).await?;
    }
    Ok(events.last().map_or(after, |event| event.seq))
}

/// Declares a gap; what the browser knows then is what it looks at next.
async fn gap(site: &Site, sender: &Sender) -> Result<i64, Gone> {
    let newest = site.desk.newest_event().await.unwrap_or(0);
    sender.say(format!("id: {newest}\nevent: gap\ndata: {}\n\n", json!({"seq": newest}))).await?;
    Ok(newest)
}

async fn tick_message(site: &Site) -> String {
    let at = site.desk.now().to_string();
    let data = match site.now().await {
        Ok(now) => {
            let running = now.status.tickets.running;
            json!({"at": at, "running": running, "inbox": now.inbox.items.len()})
        }
        Err(_) => json!({"at": at}),
    };
    format!("event: tick\ndata: {data}\n\n")
}

fn message(event: &EventView) -> String {
    let topics = topics(event);
    let summary = crate::web::text::safe(&event.summary);
    let data = json!({
        "seq": event.seq, "kind": event.kind, "at": event.at, "project": event.project, "ticket_id": event.ticket_id,
        "attempt_id": event.attempt_id, "worker_id": event.worker_id, "stage": event.stage, "summary": summary,
        "topics": topics,
    });
    format!("id: {}\nevent: change\ndata: {data}\n\n", event.seq)
}

/// The parts of pages that an event changes.
fn topics(event: &EventView) -> Vec<String> {
    let mut topics: Vec<String> = vec!["events".to_owned(), format!("project:{}", event.project)];
    let kind = event.kind.as_str();
    let mut add = |names: &[&str]| topics.extend(names.iter().map(|name| (*name).to_owned()));
    if kind.starts_with("ticket_") {
        add(&["tickets", "inbox", "queues", "server"]);
    }
    if kind.starts_with("worker_") {
        add(&["workers", "queues", "server"]);
    }
    if kind.ends_with("_paused") || kind.ends_with("_resumed") {
        add(&["inbox", "queues", "server", "tickets"]);
    }
    if event.attempt_id.is_some() {
        add(&["workers", "running", "usage"]);
    }
    topics.extend(event.ticket_id.iter().map(|ticket| format!("ticket:{ticket}")));
    topics.extend(event.attempt_id.iter().map(|attempt| format!("attempt:{attempt}")));
    topics.extend(event.worker_id.iter().map(|worker| format!("worker:{worker}")));
    topics.sort();
    topics.dedup();
    topics
}

/// The body of a stream.
struct Receiver(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Receiver {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str) -> EventView {
        EventView {
            seq: 7,
            kind: kind.to_owned(),
            project: "shop".to_owned(),
            ticket_id: Some("T-42".to_owned()),
            summary: "It\u{202e} is on hold.".to_owned(),
            ..EventView::default()
        }
    }

    #[test]
    fn an_event_names_the_parts_of_pages_that_it_changes() {
        let topics = topics(&event("ticket_on_hold"));
        for wanted in ["events", "inbox", "project:shop", "ticket:T-42", "tickets"] {
            assert!(topics.iter().any(|topic| topic == wanted), "{wanted} is not in {topics:?}");
        }
        assert!(!topics.iter().any(|topic| topic == "workers"));
    }

    #[test]
    fn a_message_is_one_event_of_the_stream_and_shows_what_is_unseen() {
        let text = message(&event("ticket_on_hold"));
        assert!(
            text.starts_with("id: 7\nevent: change\ndata: {") && text.ends_with("}\n\n"),
            "{text}"
        );
        assert_eq!(text.matches('\n').count(), 4);
        assert!(text.contains("⟨U+202E⟩"), "{text}");
    }
}
