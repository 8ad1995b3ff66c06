//! No call holds the one write connection for long: what may concern any number of rows goes in batches, each a commit.

use super::*;
use crate::domain::event::EventKind;
use crate::domain::id::EventSeq;
use crate::domain::project::ProjectChange;
use crate::domain::project_limits::ProjectLimitsChange;
use crate::domain::ticket::Resolution;
use crate::store::EventMarks;
use crate::store::EventScope;
use crate::store::PRUNE_BATCH;

const TICKETS: usize = 260;

/// Rows that one commit may change, those that triggers change included: a few milliseconds of work.
const MOST: i64 = 1_500;

/// A store with many queued tickets, and rows counted from here on.
async fn full() -> Bed {
    let bed = Bed::new().await;
    for _ in 0..TICKETS {
        bed.ticket(&["impl"]).await;
    }
    bed.store.writer.most_rows();
    bed
}

/// What the largest write since the last look changed; it changed something.
fn most_rows(bed: &Bed) -> i64 {
    let most = bed.store.writer.most_rows();
    assert!(most > 0, "nothing was written");
    most
}

async fn in_state(bed: &Bed, state: &str) -> usize {
    let sql = "SELECT COUNT(*) FROM ticket WHERE state = ?1";
    let count: i64 =
        sqlx::query_scalar(sql).bind(state).fetch_one(&bed.store.readers).await.expect("a count");
    usize::try_from(count).expect("a count")
}

#[tokio::test]
async fn a_project_is_deleted_in_batches() {
    let bed = full().await;
    bed.store.delete_project("shop", true, NOW).await.unwrap();
    assert_eq!(in_state(&bed, "closed").await, TICKETS);
    let most = most_rows(&bed);
    assert!(most < MOST && most < i64::try_from(TICKETS).unwrap() * 3, "{most} rows at once");
    let refused = refusal(bed.store.project("shop").await);
    assert!(matches!(refused, Refusal::UnknownProject { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_deletion_that_was_interrupted_goes_on_when_it_is_asked_for_again() {
    let bed = full().await;
    {
        let deleting = bed.store.delete_project("shop", true, NOW);
        tokio::pin!(deleting);
        // Dropped as soon as some tickets are closed, as when the server dies between two commits.
        loop {
            tokio::select! {
                biased;
                _ = &mut deleting => panic!("it was not interrupted"),
                () = tokio::task::yield_now() => {}
            }
            if in_state(&bed, "closed").await > 0 {
                break;
            }
        }
    }
    assert!(bed.store.project("shop").await.is_ok(), "deleted before its tickets are closed");
    assert!(in_state(&bed, "queued").await > 0);
    bed.store.delete_project("shop", true, NOW).await.unwrap();
    assert_eq!(in_state(&bed, "closed").await, TICKETS);
    let closed = bed.count_of(EventKind::TicketClosed).await;
    assert_eq!(closed, TICKETS, "each ticket is closed once");
}

#[tokio::test]
async fn a_queue_is_emptied_in_batches() {
    let bed = full().await;
    let queue = bed.store.delete_queue("shop", "impl", true, NOW).await.unwrap();
    assert_eq!(queue.depth, 0);
    assert_eq!(in_state(&bed, "on_hold").await, TICKETS);
    let most = most_rows(&bed);
    assert!(most < i64::try_from(TICKETS).unwrap(), "{most} rows at once");
}

#[tokio::test]
async fn tickets_over_a_limit_go_on_hold_in_batches() {
    let bed = full().await;
    sqlx::query("UPDATE ticket SET cost_usd = 5.0").execute(&mut bed.raw().await).await.unwrap();
    let limits = ProjectLimitsChange {
        max_budget_usd_per_ticket: Some(1.0),
        ..ProjectLimitsChange::default()
    };
    let change = ProjectChange { limits, ..ProjectChange::default() };
    bed.store.update_project("shop", change, NOW).await.unwrap();
    bed.store.writer.most_rows();
    let mut held = 0;
    while held < TICKETS {
        bed.store.enforce_limits(NOW).await.unwrap();
        let now_held = in_state(&bed, "on_hold").await;
        assert!(now_held > held, "{now_held} are on hold, and the next look finds no more");
        held = now_held;
    }
    let most = most_rows(&bed);
    assert!(most < i64::try_from(TICKETS).unwrap(), "{most} rows at once");
}

#[tokio::test]
async fn tickets_that_are_due_are_queued_in_batches() {
    let bed = full().await;
    sqlx::query("UPDATE ticket SET state = 'scheduled', not_before = 5")
        .execute(&mut bed.raw().await)
        .await
        .unwrap();
    assert_eq!(bed.store.queue_due_tickets(NOW).await.unwrap(), None);
    assert_eq!(in_state(&bed, "queued").await, TICKETS);
    // Each row is also counted by state, off one and on another.
    let most = most_rows(&bed);
    assert!(most < i64::try_from(TICKETS).unwrap() * 3, "{most} rows at once");
}

#[tokio::test]
async fn marks_and_old_events_go_in_batches() {
    let bed = full().await;
    sqlx::query(
        "INSERT INTO event (at, kind, project_id, summary)
         WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 5000)
         SELECT 1000000, 'ticket_created', (SELECT project_id FROM project), 'made' FROM n",
    )
    .execute(&mut bed.raw().await)
    .await
    .unwrap();
    let last = bed.store.newest_event().await.unwrap();
    let odd = (1..=last.0).step_by(2).map(EventSeq).collect();
    bed.store
        .mark_events("coordinator", EventScope::default(), EventMarks::Seqs(odd), NOW)
        .await
        .unwrap();
    bed.store.writer.most_rows();
    bed.store
        .mark_events("coordinator", EventScope::default(), EventMarks::UpTo(last), NOW)
        .await
        .unwrap();
    let most = most_rows(&bed);
    assert!(most <= 1_001, "{most} rows at once");
    let later = Timestamp::from_millis(NOW.millis() + 1);
    let mut gone = 0;
    loop {
        let now_gone = bed.store.prune_events(later, later).await.unwrap();
        gone += now_gone;
        if now_gone == 0 {
            break;
        }
    }
    assert_eq!(i64::try_from(gone).unwrap(), last.0);
    let most = most_rows(&bed);
    assert!(most <= i64::try_from(PRUNE_BATCH).unwrap() * 2, "{most} rows at once");
}

#[tokio::test]
async fn closing_counts_what_is_open() {
    let bed = full().await;
    let first = TicketId::from_key(1);
    bed.store.close_ticket(first, Resolution::Cancelled, None, NOW).await.unwrap();
    let refused = refusal(bed.store.delete_project("shop", false, NOW).await);
    let open = i64::try_from(TICKETS).unwrap() - 1;
    assert!(
        matches!(refused, Refusal::ProjectInUse { open_tickets, .. } if open_tickets == open),
        "{refused:?}"
    );
}
