//! Events are listed until marked, per consumer, and their numbers are never used again.

use super::*;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::id::EventSeq;
use crate::domain::id::ProjectKey;
use crate::store::EventMarks;
use crate::store::EventQuery;
use crate::store::rows::event;

fn query(consumer: &str) -> EventQuery {
    EventQuery {
        after: None,
        include_processed: false,
        kinds: Vec::new(),
        project: None,
        ticket: None,
        consumer: consumer.into(),
        limit: 50,
    }
}

async fn listed(bed: &Bed, consumer: &str) -> Vec<i64> {
    let page = bed.store.events(query(consumer)).await.unwrap();
    page.events.iter().map(|event| event.seq.0).collect()
}

#[tokio::test]
async fn each_consumer_marks_for_itself() {
    let bed = Bed::new().await;
    for _ in 0..5 {
        bed.ticket(&["impl"]).await;
    }
    let seqs = |seqs: &[i64]| EventMarks::Seqs(seqs.iter().map(|seq| EventSeq(*seq)).collect());
    assert_eq!(bed.store.mark_events("a", seqs(&[2, 4, 4, 99]), NOW).await.unwrap(), 2);
    assert_eq!(listed(&bed, "a").await, [1, 3, 5]);
    assert_eq!(listed(&bed, "b").await, [1, 2, 3, 4, 5]);
    assert_eq!(bed.store.mark_events("a", EventMarks::UpTo(EventSeq(4)), NOW).await.unwrap(), 2);
    assert_eq!(bed.store.mark_events("a", EventMarks::UpTo(EventSeq(4)), NOW).await.unwrap(), 0);
    assert_eq!(listed(&bed, "a").await, [5]);
    let all = bed.store.events(EventQuery { include_processed: true, ..query("a") }).await.unwrap();
    let processed: Vec<bool> = all.events.iter().map(|event| event.processed).collect();
    assert_eq!(processed, [true, true, true, true, false]);
}

#[tokio::test]
async fn a_mark_beyond_the_end_swallows_nothing_to_come() {
    let bed = Bed::new().await;
    bed.ticket(&["impl"]).await;
    bed.store.mark_events("a", EventMarks::UpTo(EventSeq(1_000_000)), NOW).await.unwrap();
    bed.ticket(&["impl"]).await;
    assert_eq!(listed(&bed, "a").await, [2]);
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let bed = Bed::new().await;
    let (one, two) = (bed.ticket(&["impl"]).await, bed.ticket(&["impl"]).await);
    bed.store
        .close_ticket(one.id, crate::domain::ticket::Resolution::Cancelled, None, NOW)
        .await
        .unwrap();
    let of_two = bed.store.events(EventQuery { ticket: Some(two.id), ..query("a") }).await.unwrap();
    assert_eq!(of_two.events.len(), 1);
    let closed = EventQuery { kinds: vec![EventKind::TicketClosed], ..query("a") };
    assert_eq!(bed.store.events(closed).await.unwrap().events[0].ticket, Some(one.id));
    let later = EventQuery { after: Some(EventSeq(2)), project: Some("shop".into()), ..query("a") };
    assert_eq!(bed.store.events(later).await.unwrap().events.len(), 1);
    assert_eq!(bed.store.events(query("a")).await.unwrap().last_seq, EventSeq(3));
}

#[tokio::test]
async fn every_kind_can_be_stored_and_read_back_and_no_number_comes_twice() {
    let bed = Bed::new().await;
    bed.store
        .writer
        .write(|connection| {
            Box::pin(async move {
                for kind in EventKind::ALL {
                    let event = NewEvent::new(kind, ProjectKey(1), "It happened.".into());
                    event::append(connection, event, NOW).await?;
                }
                Ok(())
            })
        })
        .await
        .unwrap();
    let kinds = EventKind::NAMES;
    assert_eq!(bed.kinds().await, kinds);
    bed.store
        .writer
        .write(|connection| {
            Box::pin(async move {
                sqlx::query("DELETE FROM event").execute(connection).await?;
                Ok(())
            })
        })
        .await
        .unwrap();
    bed.ticket(&["impl"]).await;
    assert_eq!(listed(&bed, "a").await, [i64::try_from(kinds.len()).unwrap() + 1]);
}
