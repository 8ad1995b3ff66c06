//! Who gets which ticket, and that nobody gets one twice.

use super::*;
use crate::domain::attempt::StopMode;
use crate::domain::ticket::TicketState;
use crate::domain::worker::WorkerState;

#[tokio::test]
async fn tickets_go_by_priority_then_age() {
    let bed = Bed::new().await;
    let normal = bed.ticket(&["impl"]).await;
    let urgent = NewTicket { priority: Priority::Urgent, ..Bed::new_ticket(&["impl"]) };
    let urgent = bed.store.create_ticket(urgent, NOW).await.unwrap();
    let younger = bed.ticket(&["impl"]).await;
    let mut order = Vec::new();
    for pull in ["p1", "p2", "p3"] {
        let worker = bed.worker("impl").await;
        order.push(bed.granted(worker, pull).await.ticket.id);
    }
    assert_eq!(order, [urgent.id, normal.id, younger.id]);
}

#[tokio::test]
async fn a_repeated_pull_gets_the_same_attempt() {
    let bed = Bed::new().await;
    bed.ticket(&["impl"]).await;
    bed.ticket(&["impl"]).await;
    let worker = bed.worker("impl").await;
    let first = bed.granted(worker, "p1").await;
    let again = bed.granted(worker, "p1").await;
    assert_eq!(first.attempt, again.attempt);
    assert_eq!(bed.kinds().await.iter().filter(|kind| **kind == "ticket_stage_started").count(), 1);
    // Somebody else's pull id is worth nothing.
    let other = bed.worker("impl").await;
    assert_eq!(bed.claim(other, "p1").await, Claim::Leave);
}

#[tokio::test]
async fn a_worker_has_one_attempt_at_a_time() {
    let bed = Bed::new().await;
    bed.ticket(&["impl"]).await;
    bed.ticket(&["impl"]).await;
    let worker = bed.worker("impl").await;
    bed.granted(worker, "p1").await;
    assert_eq!(bed.claim(worker, "p2").await, Claim::Leave);
    assert_eq!(bed.store.worker(worker).await.unwrap().state, WorkerState::Busy);
}

#[tokio::test]
async fn one_ticket_claimed_by_many_at_once_is_granted_once() {
    let bed = Bed::new().await;
    bed.ticket(&["impl"]).await;
    bed.prepare().await;
    let mut claims = Vec::new();
    for n in 0..8 {
        let worker = bed.worker("impl").await;
        let store = bed.store.clone();
        claims.push(tokio::spawn(async move {
            store.claim(worker, &format!("p{n}"), "s".into(), NOW).await
        }));
    }
    let mut granted = 0;
    for claim in claims {
        granted += u32::from(matches!(claim.await.unwrap().unwrap(), Claim::Granted(_)));
    }
    assert_eq!(granted, 1);
}

#[tokio::test]
async fn a_worker_that_was_told_to_go_gets_nothing_more() {
    let bed = Bed::new().await;
    bed.ticket(&["impl"]).await;
    let worker = bed.worker("impl").await;
    bed.store.stop_worker(worker, StopMode::Drain, NOW).await.unwrap();
    assert_eq!(bed.claim(worker, "p1").await, Claim::Leave);
    let weaker = bed.store.stop_worker(worker, StopMode::Kill, NOW).await.unwrap();
    assert_eq!(weaker.stop, Some(StopMode::Kill));
    let refused = refusal(bed.store.stop_worker(worker, StopMode::Drain, NOW).await);
    assert_eq!(refused, Refusal::WorkerStopping { worker, mode: StopMode::Kill });
}

#[tokio::test]
async fn a_pull_whose_attempt_was_ended_meanwhile_gets_nothing() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await;
    let worker = bed.worker("impl").await;
    bed.granted(worker, "p1").await;
    bed.store
        .close_ticket(ticket.id, crate::domain::ticket::Resolution::Cancelled, None, NOW)
        .await
        .unwrap();
    assert_eq!(bed.claim(worker, "p1").await, Claim::Nothing);
}

#[tokio::test]
async fn a_grant_carries_what_the_stage_must_know() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["plan", "impl"]).await;
    let first = bed.worker("plan").await;
    let first = bed.granted(first, "p1").await;
    bed.end(first.attempt.id, completed()).await;
    bed.store.add_comment(ticket.id, "Mind the tax.".into(), NOW).await.unwrap();
    let worker = bed.worker("impl").await;
    let granted = bed.granted(worker, "p2").await;
    let said: Vec<_> =
        granted.comments.iter().map(|c| (c.author.as_str(), c.content.as_str())).collect();
    assert_eq!(said, [("plan", "the report"), ("coordinator", "Mind the tax.")]);
    assert_eq!(granted.ticket.state, TicketState::Running);
    assert_eq!(granted.attempt.stage_index, 1);
}
