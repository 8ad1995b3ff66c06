//! Events are listed until marked, per consumer, and their numbers are never used again.

use super::*;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::id::EventSeq;
use crate::domain::id::ProjectKey;
use crate::domain::ticket::Resolution;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::store::EventMarks;
use crate::store::EventQuery;
use crate::store::EventScope;
use crate::store::rows::event;

fn query(consumer: &str) -> EventQuery {
    EventQuery {
        after: None,
        include_processed: false,
        scope: EventScope::default(),
        consumer: consumer.into(),
        limit: 50,
    }
}

fn of_project(name: &str) -> EventScope {
    EventScope { project: Some(name.into()), ..EventScope::default() }
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
    assert_eq!(
        bed.store.mark_events("a", EventScope::default(), seqs(&[2, 4, 4, 99]), NOW).await.unwrap(),
        2
    );
    assert_eq!(listed(&bed, "a").await, [1, 3, 5]);
    assert_eq!(listed(&bed, "b").await, [1, 2, 3, 4, 5]);
    assert_eq!(
        bed.store
            .mark_events("a", EventScope::default(), EventMarks::UpTo(EventSeq(4)), NOW)
            .await
            .unwrap(),
        2
    );
    assert_eq!(
        bed.store
            .mark_events("a", EventScope::default(), EventMarks::UpTo(EventSeq(4)), NOW)
            .await
            .unwrap(),
        0
    );
    assert_eq!(listed(&bed, "a").await, [5]);
    let all = bed.store.events(EventQuery { include_processed: true, ..query("a") }).await.unwrap();
    let processed: Vec<bool> = all.events.iter().map(|event| event.processed).collect();
    assert_eq!(processed, [true, true, true, true, false]);
}

#[tokio::test]
async fn a_mark_beyond_the_end_swallows_nothing_to_come() {
    let bed = Bed::new().await;
    bed.ticket(&["impl"]).await;
    bed.store
        .mark_events("a", EventScope::default(), EventMarks::UpTo(EventSeq(1_000_000)), NOW)
        .await
        .unwrap();
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
    let of_two = bed
        .store
        .events(EventQuery {
            scope: EventScope { ticket: Some(two.id), ..EventScope::default() },
            ..query("a")
        })
        .await
        .unwrap();
    assert_eq!(of_two.events.len(), 1);
    let closed = EventQuery {
        scope: EventScope { kinds: vec![EventKind::TicketClosed], ..EventScope::default() },
        ..query("a")
    };
    assert_eq!(bed.store.events(closed).await.unwrap().events[0].ticket, Some(one.id));
    let later = EventQuery { after: Some(EventSeq(2)), scope: of_project("shop"), ..query("a") };
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

/// A second project, `app`, and how many events each of the two has.
async fn two_projects() -> Bed {
    let bed = Bed::new().await;
    let app = NewProject {
        name: name("app"),
        path: "/srv/app".into(),
        directory: "/srv/app".into(),
        isolation: Isolation::Shared,
        on_complete: OnComplete::Keep,
        description: String::new(),
        rules: String::new(),
        patterns: String::new(),
        limits: ProjectLimitsChange::default(),
    };
    bed.store.create_project(app, NOW).await.unwrap();
    let settings = WorkerTypeSettings::with_prompt("Do.".into());
    bed.store.create_worker_type("app", name("impl"), settings, NOW).await.unwrap();
    for _ in 0..3 {
        bed.ticket(&["impl"]).await;
        let new = NewTicket { project: name("app"), ..Bed::new_ticket(&["impl"]) };
        let ticket = bed.store.create_ticket(new, NOW).await.unwrap();
        bed.store.close_ticket(ticket.id, Resolution::Completed, None, NOW).await.unwrap();
    }
    bed
}

async fn seqs(bed: &Bed, consumer: &str, scope: EventScope) -> Vec<i64> {
    let page = bed.store.events(EventQuery { scope, ..query(consumer) }).await.unwrap();
    page.events.iter().map(|event| event.seq.0).collect()
}

async fn rows(bed: &Bed, table: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM {table}");
    let found = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&bed.store.readers).await;
    found.unwrap()
}

#[tokio::test]
async fn a_mark_reaches_no_further_than_the_filter_that_listed() {
    let bed = two_projects().await;
    assert_eq!(seqs(&bed, "a", of_project("shop")).await, [1, 4, 7]);
    assert_eq!(seqs(&bed, "a", of_project("app")).await, [2, 3, 5, 6, 8, 9]);
    let up_to = |seq| EventMarks::UpTo(EventSeq(seq));
    let marked = bed.store.mark_events("a", of_project("shop"), up_to(9), NOW).await.unwrap();
    assert_eq!(marked, 3);
    assert!(seqs(&bed, "a", of_project("shop")).await.is_empty());
    assert_eq!(seqs(&bed, "a", of_project("app")).await, [2, 3, 5, 6, 8, 9]);
    assert_eq!(listed(&bed, "a").await, [2, 3, 5, 6, 8, 9]);

    let closed = |project: Option<&str>| EventScope {
        kinds: vec![EventKind::TicketClosed],
        project: project.map(str::to_owned),
        ticket: None,
    };
    let marked = bed.store.mark_events("a", closed(Some("app")), up_to(6), NOW).await.unwrap();
    assert_eq!(marked, 2);
    assert_eq!(seqs(&bed, "a", closed(None)).await, [9]);
    assert_eq!(seqs(&bed, "a", of_project("app")).await, [2, 5, 8, 9]);
    let again = bed.store.mark_events("a", closed(Some("app")), up_to(6), NOW).await.unwrap();
    assert_eq!(again, 0);

    let of_ticket = EventScope { ticket: Some(TicketId::from_key(4)), ..EventScope::default() };
    let marked = bed.store.mark_events("a", of_ticket.clone(), up_to(9), NOW).await.unwrap();
    assert_eq!(marked, 1, "the other event of T-4 was marked before");
    assert!(seqs(&bed, "a", of_ticket).await.is_empty());
    assert_eq!(listed(&bed, "a").await, [2, 8, 9]);
    let single = EventMarks::Seqs(vec![EventSeq(1), EventSeq(2)]);
    bed.store.mark_events("b", of_project("shop"), single, NOW).await.unwrap();
    assert_eq!(listed(&bed, "b").await, [2, 3, 4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn marks_of_parts_leave_rows_for_the_parts_and_none_for_the_events() {
    let bed = two_projects().await;
    let scope = |project: &str| EventScope {
        kinds: vec![EventKind::TicketClosed, EventKind::TicketOnHold],
        ..of_project(project)
    };
    for round in 0..20_i64 {
        let new = NewTicket { project: name("app"), ..Bed::new_ticket(&["impl"]) };
        let ticket = bed.store.create_ticket(new, NOW).await.unwrap();
        bed.store.close_ticket(ticket.id, Resolution::Completed, None, NOW).await.unwrap();
        let last = bed.store.newest_event().await.unwrap();
        bed.store.mark_events("a", scope("app"), EventMarks::UpTo(last), NOW).await.unwrap();
        // The same by number, as a session does that marks only what it was shown.
        let closed = seqs(&bed, "b", scope("app")).await;
        let marks = EventMarks::Seqs(closed.into_iter().map(EventSeq).collect());
        bed.store.mark_events("b", EventScope::default(), marks, NOW).await.unwrap();
        assert!(seqs(&bed, "b", scope("app")).await.is_empty(), "round {round}");
    }
    assert_eq!(rows(&bed, "event_mark").await, 0);
    assert_eq!(rows(&bed, "event_watermark").await, 3, "two kinds of a, one of b");
    // What was left is marked: one number says it all again.
    let last = bed.store.newest_event().await.unwrap();
    for consumer in ["a", "b"] {
        for project in ["app", "shop"] {
            let all = of_project(project);
            bed.store.mark_events(consumer, all, EventMarks::UpTo(last), NOW).await.unwrap();
        }
        assert!(listed(&bed, consumer).await.is_empty());
    }
    assert_eq!(rows(&bed, "event_watermark").await, 0);
    bed.ticket(&["impl"]).await;
    assert_eq!(listed(&bed, "a").await.len(), 1);
}

#[tokio::test]
async fn a_sessions_consumer_begins_where_the_coordinator_is() {
    let bed = two_projects().await;
    let all = EventScope::default();
    let marks = EventMarks::UpTo(EventSeq(4));
    bed.store.mark_events("coordinator", all, marks, NOW).await.unwrap();
    bed.store.begin_consumer("dir-shop-1", NOW).await.unwrap();
    assert_eq!(listed(&bed, "dir-shop-1").await, [5, 6, 7, 8, 9]);
    let marks = EventMarks::UpTo(EventSeq(9));
    bed.store.mark_events("coordinator", EventScope::default(), marks, NOW).await.unwrap();
    bed.store.begin_consumer("dir-shop-1", NOW).await.unwrap();
    assert_eq!(listed(&bed, "dir-shop-1").await, [5, 6, 7, 8, 9], "it continues by itself");
}

#[tokio::test]
async fn what_a_session_did_itself_is_no_news_to_it_and_is_to_others() {
    let bed = Bed::new().await;
    bed.store.begin_consumer("mine", NOW).await.unwrap();
    bed.store.begin_consumer("other", NOW).await.unwrap();
    let first = bed.ticket(&["impl"]).await;
    let after = NewTicket { depends_on: vec![first.id], ..Bed::new_ticket(&["impl"]) };
    let waits = bed.store.create_ticket(after, NOW).await.unwrap();
    let before = listed(&bed, "mine").await;
    let mine = bed.store.caused_by("mine");
    mine.close_ticket(first.id, Resolution::Cancelled, None, NOW).await.unwrap();

    let page = |consumer: &str, all: bool| EventQuery { include_processed: all, ..query(consumer) };
    let kinds = async |query: EventQuery| -> Vec<(EventKind, bool)> {
        let events = bed.store.events(query).await.unwrap().events;
        let new = events.into_iter().filter(|event| !before.contains(&event.seq.0));
        new.map(|event| (event.kind, event.processed)).collect()
    };
    let (closed, held) = (EventKind::TicketClosed, EventKind::TicketOnHold);
    assert_eq!(kinds(page("mine", false)).await, [(held, false)], "{} waits", waits.id);
    assert_eq!(kinds(page("mine", true)).await, [(closed, true), (held, false)]);
    assert_eq!(kinds(page("other", false)).await, [(closed, false), (held, false)]);
}
