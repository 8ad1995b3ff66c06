//! What only pages ask: a board, a table in any order, a search, the log backwards, failures by day.

use super::*;
use crate::domain::event::EventKind;
use crate::domain::id::EventSeq;
use crate::domain::outcome::Failure;
use crate::domain::ticket::Resolution;
use crate::store::EventScope;
use crate::store::SortBy;
use crate::store::TableQuery;

/// Tickets with these titles, oldest first.
async fn titled(bed: &Bed, titles: &[&str]) -> Vec<TicketId> {
    let mut made = Vec::new();
    for title in titles {
        let new = NewTicket { title: (*title).to_owned(), ..Bed::new_ticket(&["impl"]) };
        made.push(bed.store.create_ticket(new, NOW).await.expect("a ticket").id);
    }
    made
}

async fn found(bed: &Bed, query: TableQuery) -> (Vec<String>, i64) {
    let page = bed.store.table(&query, 0, 10).await.expect("a page");
    (page.tickets.into_iter().map(|ticket| ticket.title).collect(), page.total)
}

#[tokio::test]
async fn a_table_has_any_order_and_its_parts_are_the_whole() {
    let bed = Bed::new().await;
    let made = titled(&bed, &["b", "C", "a"]).await;
    bed.store.close_ticket(made[0], Resolution::Cancelled, None, NOW).await.expect("closed");
    let by = |sort, descending| TableQuery { sort, descending, ..TableQuery::default() };
    assert_eq!(found(&bed, by(SortBy::Id, true)).await, (vec!["a".into(), "C".into()], 2));
    assert_eq!(found(&bed, by(SortBy::Title, false)).await, (vec!["a".into(), "C".into()], 2));
    assert_eq!(found(&bed, by(SortBy::Title, true)).await, (vec!["C".into(), "a".into()], 2));
    let closed = TableQuery { states: vec!["closed", "queued"], ..by(SortBy::Title, false) };
    assert_eq!(
        found(&bed, closed.clone()).await,
        (vec!["b".into(), "C".into(), "a".into()], 3),
        "by age"
    );
    let mut parts = Vec::new();
    for skip in 0..3 {
        let page = bed.store.table(&closed, skip, 1).await.expect("a page");
        assert_eq!((page.tickets.len(), page.more), (1, skip < 2));
        parts.push(page.tickets[0].id);
    }
    assert_eq!(parts, made);
    let after = bed.store.matching(&closed, Some(made[0]), 1).await.expect("some");
    assert_eq!(after, [made[1]]);
}

#[tokio::test]
async fn a_table_is_filtered_by_words_priority_stage_and_project() {
    let bed = Bed::new().await;
    let made = titled(&bed, &["Refuse expired coupons", "Other"]).await;
    let urgent = crate::domain::ticket::TicketChange {
        priority: Some(Priority::Urgent),
        ..Default::default()
    };
    bed.store.update_ticket(made[1], urgent, NOW).await.expect("changed");
    let query = |change: &dyn Fn(&mut TableQuery)| {
        let mut query = TableQuery::default();
        change(&mut query);
        query
    };
    assert_eq!(found(&bed, query(&|q| q.text = Some("coup".into()))).await.1, 1);
    assert_eq!(found(&bed, query(&|q| q.priority = Some(Priority::Urgent))).await.0, ["Other"]);
    assert_eq!(found(&bed, query(&|q| q.stage = Some("review".into()))).await.1, 0);
    assert_eq!(found(&bed, query(&|q| q.project = Some("shop".into()))).await.1, 2);
    let unknown = query(&|q| q.project = Some("zoo".into()));
    assert!(matches!(
        refusal(bed.store.table(&unknown, 0, 1).await),
        Refusal::UnknownProject { .. }
    ));
}

#[tokio::test]
async fn a_board_counts_open_tickets_by_stage_and_state() {
    let bed = Bed::new().await;
    let made = titled(&bed, &["a", "b", "c"]).await;
    bed.ticket(&["plan"]).await;
    bed.store.close_ticket(made[0], Resolution::Cancelled, None, NOW).await.expect("closed");
    let mut counts: Vec<(String, String, i64)> = Vec::new();
    for count in bed.store.open_by_stage(Some("shop")).await.expect("counts") {
        counts.push((count.stage, count.state, count.tickets));
    }
    assert_eq!(counts, [("impl".into(), "queued".into(), 2), ("plan".into(), "queued".into(), 1)]);
    assert_eq!(bed.store.open_by_stage(None).await.expect("counts").len(), 2);
}

#[tokio::test]
async fn a_search_finds_what_is_written_now_and_marks_it() {
    let bed = Bed::new().await;
    let made = titled(&bed, &["Refuse expired coupons", "Coupons of the Größe 7"]).await;
    bed.store.add_comment(made[0], "We keep vouchers.".into(), NOW).await.expect("said");
    let tickets = async |words: &str| {
        let hits = bed.store.search_tickets(words, 0, 10).await.expect("hits");
        hits.into_iter().map(|hit| (hit.ticket, hit.excerpt)).collect::<Vec<_>>()
    };
    let hits = tickets("COUPON").await;
    assert_eq!(
        hits.iter().map(|hit| hit.0).collect::<Vec<_>>(),
        [made[1], made[0]],
        "newest first"
    );
    assert_eq!(hits[1].1, "Refuse expired \u{2}coupons\u{3}");
    assert_eq!(tickets("groß").await.len(), 1);
    assert!(tickets("vouchers").await.is_empty() && tickets("\" OR *").await.is_empty());
    let said = bed.store.search_comments("vouch", 0, 10).await.expect("hits");
    assert_eq!((said.len(), said[0].ticket), (1, made[0]));
    let change =
        crate::domain::ticket::TicketChange { title: Some("Zebra".into()), ..Default::default() };
    bed.store.update_ticket(made[0], change, NOW).await.expect("changed");
    assert_eq!((tickets("expired").await.len(), tickets("zebra").await.len()), (0, 1));
}

#[tokio::test]
async fn the_log_is_read_backwards_and_says_whose_call_it_was() {
    let bed = Bed::new().await;
    titled(&bed, &["a", "b"]).await;
    let named = bed.store.caused_by("dashboard.S-3");
    named.create_ticket(Bed::new_ticket(&["impl"]), NOW).await.expect("a ticket");
    let all = bed.store.past_events(&EventScope::default(), None, 10).await.expect("events");
    assert!(all.windows(2).all(|pair| pair[0].event.seq > pair[1].event.seq));
    assert_eq!(all[0].caused_by.as_deref(), Some("dashboard.S-3"));
    assert_eq!(all[1].caused_by, None);
    let older = bed
        .store
        .past_events(&EventScope::default(), Some(all[0].event.seq), 1)
        .await
        .expect("events");
    assert_eq!(older, [all[1].clone()]);
    let kinds = vec![EventKind::TicketCreated, EventKind::WorkerStarted];
    for scope in [
        EventScope { kinds: kinds.clone(), ..EventScope::default() },
        EventScope { project: Some("shop".into()), ..EventScope::default() },
        EventScope { project: Some("shop".into()), kinds, ..EventScope::default() },
    ] {
        let found = bed.store.past_events(&scope, None, 2).await.expect("events");
        assert_eq!(found, all[..2], "{scope:?}");
    }
    let of_one = EventScope { ticket: all[1].event.ticket, ..EventScope::default() };
    assert_eq!(
        bed.store.past_events(&of_one, Some(EventSeq(i64::MAX)), 9).await.expect("events").len(),
        1
    );
}

#[tokio::test]
async fn failures_are_counted_by_day_and_class() {
    let bed = Bed::new().await;
    bed.ticket(&["impl"]).await;
    let worker = bed.worker("impl").await;
    let granted = bed.granted(worker, "p1").await;
    let attempt = granted.attempt.id;
    let verdict =
        Verdict::Failed { failure: Failure::NoResult, detail: "it ended without a result".into() };
    bed.end(attempt, verdict).await;
    let rows = bed.store.failures(0, None).await.expect("failures");
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].failure.as_str(), rows[0].attempts, rows[0].newest),
        ("no_result", 1, attempt)
    );
    assert!(
        bed.store.failures(1, Some("shop")).await.expect("failures").is_empty(),
        "it was on day 0"
    );
}
