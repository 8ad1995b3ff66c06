//! Notifiers: each has its own place in the log, which a crash between any two commits leaves in order.

use std::time::Duration;

use super::*;
use crate::domain::event::EventKind;
use crate::domain::id::EventSeq;
use crate::domain::notify::After;
use crate::domain::notify::Message;
use crate::domain::notify::Notifier;
use crate::domain::notify::Progress;
use crate::store::EventMarks;
use crate::store::EventScope;
use crate::store::InboxQuery;

async fn progress(bed: &Bed, notifier: &str) -> Progress {
    bed.store.notifier(&name(notifier)).await.expect("readable").expect("it is configured")
}

fn message(id: &str, events: &[i64]) -> Message {
    Message { id: id.to_owned(), events: events.iter().copied().map(EventSeq).collect() }
}

/// The numbers of what comes next for a notifier of all tickets' beginnings.
async fn next(bed: &Bed, notifier: &str) -> Vec<i64> {
    let cursor = progress(bed, notifier).await.cursor;
    let next = bed.store.next_events(cursor, &[EventKind::TicketCreated], None, 100).await;
    next.expect("readable").events.into_iter().map(|seq| seq.0).collect()
}

#[tokio::test]
async fn a_new_notifier_begins_at_the_newest_event_and_one_that_comes_back_where_it_was() {
    let bed = Bed::new().await;
    bed.ticket(&["plan"]).await;
    let (phone, mail) = (name("phone"), name("mail"));
    bed.store.configure_notifiers(&[phone.clone(), mail.clone()]).await.expect("stored");
    assert_eq!(next(&bed, "phone").await, Vec::<i64>::new(), "nobody wanted to know that");
    bed.ticket(&["plan"]).await;
    let missed = next(&bed, "phone").await;
    assert_eq!(missed.len(), 1);
    bed.store.configure_notifiers(std::slice::from_ref(&mail)).await.expect("stored");
    assert!(!progress(&bed, "phone").await.is_configured);
    bed.ticket(&["plan"]).await;
    bed.store.configure_notifiers(&[mail, phone]).await.expect("stored");
    let all = next(&bed, "phone").await;
    assert_eq!((all.len(), all.first()), (2, missed.first()));
}

#[tokio::test]
async fn a_message_is_the_same_until_it_has_arrived() {
    let bed = Bed::new().await;
    let phone = name("phone");
    bed.store.configure_notifiers(std::slice::from_ref(&phone)).await.expect("stored");
    bed.ticket(&["plan"]).await;
    let before = progress(&bed, "phone").await.cursor;
    let first = message("msg_1", &next(&bed, "phone").await);
    assert!(bed.store.begin_message(&phone, before, &first).await.expect("written"));
    bed.ticket(&["plan"]).await;
    let other = message("msg_2", &next(&bed, "phone").await);
    assert!(
        !bed.store.begin_message(&phone, before, &other).await.expect("written"),
        "one at a time"
    );
    assert_eq!(progress(&bed, "phone").await.sending, Some(first.clone()));
    // What comes after it is late news of another message.
    bed.store.message_delivered(&phone, &other, NOW).await.expect("written");
    assert_eq!(progress(&bed, "phone").await.sending, Some(first.clone()));
    bed.store.message_delivered(&phone, &first, NOW).await.expect("written");
    let after = progress(&bed, "phone").await;
    assert_eq!((after.sending, Some(&after.cursor)), (None, first.events.last()));
    assert_eq!(after.delivered_at, Some(NOW));
    assert_eq!(next(&bed, "phone").await.len(), 1);
}

#[tokio::test]
async fn a_notifier_that_fails_too_often_is_in_the_inbox_until_it_is_resumed() {
    let bed = Bed::new().await;
    let phone = name("phone");
    bed.store.configure_notifiers(std::slice::from_ref(&phone)).await.expect("stored");
    bed.ticket(&["plan"]).await;
    let cursor = progress(&bed, "phone").await.cursor;
    let sent = message("msg_1", &next(&bed, "phone").await);
    bed.store.begin_message(&phone, cursor, &sent).await.expect("written");
    let later = NOW.after(Duration::from_secs(1));
    let fails = async |after: After| {
        bed.store.message_failed(&phone, &sent, "it is down", after, NOW).await.expect("written");
    };
    fails(After::Retry(later)).await;
    let failing = progress(&bed, "phone").await;
    assert_eq!((failing.tries, failing.not_before, failing.paused_at), (1, later, None));
    assert_eq!(failing.failing_since, Some(NOW));
    let waiting = async || {
        let query = InboxQuery { limit: 50, ..InboxQuery::default() };
        bed.store.inbox_of(query, NOW).await.expect("readable")
    };
    assert_eq!(waiting().await.items, []);
    fails(After::Pause).await;
    let found = waiting().await;
    assert_eq!(found.counts.get("notification"), Some(&1));
    let (_, item) = found.items.first().expect("an item");
    assert_eq!((item.id().as_str(), item.kind()), ("notify:phone", "notification"));
    assert!(item.sentence().contains("it is down") || item.sentence().contains("It is down"));
    // A page that begins after it does not have it again.
    let after = InboxQuery { after: Some(found.items[0].0), limit: 50, ..InboxQuery::default() };
    assert_eq!(bed.store.inbox_of(after, NOW).await.expect("readable").items, []);

    let resumed = bed.store.resume_notifier(&phone).await.expect("written").expect("configured");
    assert_eq!((resumed.paused_at, resumed.tries), (None, 0));
    assert_eq!(resumed.sending, Some(sent), "it continues with the same message");
    assert_eq!(waiting().await.items, []);
    assert_eq!(bed.store.resume_notifier(&name("nobody")).await.expect("written"), None);
    bed.store.configure_notifiers(&[]).await.expect("stored");
    assert_eq!(bed.store.resume_notifier(&phone).await.expect("written"), None);
}

#[tokio::test]
async fn retention_keeps_what_a_notifier_still_has_to_pass_on() {
    let bed = Bed::new().await;
    let phone = name("phone");
    bed.store.configure_notifiers(std::slice::from_ref(&phone)).await.expect("stored");
    let from = progress(&bed, "phone").await.cursor;
    for _ in 0..3 {
        bed.ticket(&["plan"]).await;
    }
    let newest = bed.store.newest_event().await.expect("readable");
    let marked =
        bed.store.mark_events("coordinator", EventScope::default(), EventMarks::UpTo(newest), NOW);
    marked.await.expect("marked");
    let (processed, never) = (NOW.after(Duration::from_secs(9)), Timestamp::from_millis(0));
    bed.store.prune_events(processed, never).await.expect("pruned");
    assert_eq!(next(&bed, "phone").await.len(), 3);
    bed.store.skip_events(&phone, from, newest).await.expect("written");
    assert!(bed.store.prune_events(processed, never).await.expect("pruned") >= 3);
    // Whatever nobody reads for four times as long goes all the same.
    bed.ticket(&["plan"]).await;
    assert_eq!(bed.store.prune_events(never, processed).await.expect("pruned"), 1);
}

#[tokio::test]
async fn events_are_chosen_by_kind_and_project() {
    let bed = Bed::new().await;
    let phone = name("phone");
    bed.store.configure_notifiers(std::slice::from_ref(&phone)).await.expect("stored");
    let ticket = bed.ticket(&["plan"]).await.id;
    bed.store
        .close_ticket(ticket, crate::domain::ticket::Resolution::Cancelled, None, NOW)
        .await
        .expect("closed");
    let found = async |kinds: &[EventKind], projects: Option<&[Name]>| {
        let next = bed.store.next_events(EventSeq(0), kinds, projects, 100).await;
        let events = bed.store.events_numbered(&next.expect("readable").events).await;
        events.expect("readable").into_iter().map(|event| event.kind.name()).collect::<Vec<_>>()
    };
    assert_eq!(found(&Notifier::usual_events(), None).await, ["ticket_closed"]);
    let both = [EventKind::TicketClosed, EventKind::TicketCreated];
    assert_eq!(found(&both, None).await, ["ticket_created", "ticket_closed"], "in their order");
    assert_eq!(found(&both, Some(&[name("shop")])).await.len(), 2);
    assert_eq!(found(&both, Some(&[name("other")])).await, Vec::<&str>::new());
}
