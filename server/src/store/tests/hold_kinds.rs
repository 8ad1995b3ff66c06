//! Every hold says what it waits for: on the ticket, in the list, and in the event.

use super::*;
use crate::domain::event::EventKind;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::outcome::Failure;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::TicketState;
use crate::store::EventQuery;
use crate::store::EventScope;
use crate::store::Page;
use crate::store::TicketFilter;

fn failed(failure: Failure) -> Verdict {
    Verdict::Failed { failure, detail: "it went wrong".into() }
}

/// A ticket whose only attempt ended so.
async fn after(bed: &Bed, pull: &str, verdict: Verdict) -> TicketId {
    let ticket = bed.ticket(&["impl"]).await.id;
    let worker = bed.worker("impl").await;
    let granted = bed.granted(worker, pull).await;
    assert_eq!(granted.ticket.id, ticket);
    bed.end(granted.attempt.id, verdict).await;
    ticket
}

async fn kind_of(bed: &Bed, ticket: TicketId) -> HoldKind {
    let state = bed.read(ticket).await.state;
    let TicketState::OnHold(Hold { kind, .. }) = state else { panic!("{ticket}: {state:?}") };
    kind
}

async fn of_kind(bed: &Bed, kind: HoldKind) -> Vec<TicketId> {
    for project in [None, Some("shop".to_owned())] {
        let filter = TicketFilter { project, hold_kind: Some(kind), ..TicketFilter::default() };
        let listed = bed.store.tickets(filter, Page { after: None, limit: 50 }).await.unwrap();
        let found: Vec<TicketId> = listed.items.iter().map(|ticket| ticket.id).collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

#[tokio::test]
async fn each_hold_has_the_kind_of_what_it_waits_for() {
    let bed = Bed::new().await;
    let mut expected = Vec::new();
    let asks = StageOutcome::Blocked { question: Some("Red or blue?".into()) };
    expected.push((after(&bed, "a", said(asks)).await, HoldKind::Question));
    let backwards = StageOutcome::Rework { stage: None };
    expected.push((after(&bed, "b", said(backwards)).await, HoldKind::Failures));
    expected.push((after(&bed, "c", Verdict::Cancelled).await, HoldKind::Operator));
    let too_many = failed(Failure::TooManyTickets);
    expected.push((after(&bed, "d", too_many).await, HoldKind::Limit));

    let unmade = bed.ticket(&["plan"]).await.id;
    let why = Hold::new(HoldKind::Conflict, "the result of T-1 conflicts in a.rs");
    bed.store.worktree_failed(unmade, why, NOW).await.unwrap();
    expected.push((unmade, HoldKind::Conflict));

    let waited_for = bed.ticket(&["plan"]).await.id;
    let new = NewTicket { depends_on: vec![waited_for], ..Bed::new_ticket(&["plan"]) };
    let waiting = bed.store.create_ticket(new, NOW).await.unwrap().id;
    bed.store.close_ticket(waited_for, Resolution::Cancelled, None, NOW).await.unwrap();
    expected.push((waiting, HoldKind::Operator));

    let typeless = bed.ticket(&["review"]).await.id;
    bed.store.delete_worker_type("shop", "review", true, NOW).await.unwrap();
    expected.push((typeless, HoldKind::Configuration));

    for (ticket, kind) in &expected {
        assert_eq!(kind_of(&bed, *ticket).await, *kind, "{ticket}");
        assert!(of_kind(&bed, *kind).await.contains(ticket), "{ticket}");
        let query = EventQuery {
            after: None,
            include_processed: true,
            scope: EventScope {
                kinds: vec![EventKind::TicketOnHold],
                ticket: Some(*ticket),
                project: None,
            },
            consumer: "test".into(),
            limit: 10,
        };
        let page = bed.store.events(query).await.unwrap();
        assert_eq!(page.events.last().unwrap().hold_kind, Some(*kind), "{ticket}");
    }
    assert!(of_kind(&bed, HoldKind::Checkout).await.is_empty());
}

#[tokio::test]
async fn a_ticket_that_leaves_its_hold_takes_no_kind_along() {
    let bed = Bed::new().await;
    let ask = || StageResult {
        outcome: StageOutcome::Blocked { question: None },
        report: "Red or blue?".into(),
        tickets: Vec::new(),
    };
    let done = || StageResult { outcome: StageOutcome::Completed, ..ask() };
    let [resumed, moved, closed] = [
        bed.ticket(&["plan", "impl"]).await.id,
        bed.ticket(&["plan", "impl"]).await.id,
        bed.ticket(&["plan", "impl"]).await.id,
    ];
    for ticket in [resumed, moved, closed] {
        bed.store.complete_stage(ticket, "plan", ask(), NOW).await.unwrap();
        assert_eq!(kind_of(&bed, ticket).await, HoldKind::Question);
    }
    bed.store.resume_ticket(resumed, None, None, NOW).await.unwrap();
    bed.store.complete_stage(moved, "plan", done(), NOW).await.unwrap();
    bed.store.close_ticket(closed, Resolution::Completed, None, NOW).await.unwrap();
    let left: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM ticket WHERE hold_kind IS NOT NULL OR held_at IS NOT NULL",
    )
    .fetch_one(&bed.store.readers)
    .await
    .unwrap();
    assert_eq!(left, 0);
    assert!(of_kind(&bed, HoldKind::Question).await.is_empty());
}
