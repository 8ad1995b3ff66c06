//! The end of an attempt counts exactly once, however often it is reported and by which side.

use super::*;
use crate::domain::attempt::AttemptState;
use crate::domain::attempt::Outcome;
use crate::domain::hold::Hold;
use crate::domain::outcome::Failure;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::TicketState;
use crate::domain::worker::WorkerState;
use crate::domain::worker_type::WorkerTypeChange;

#[tokio::test]
async fn a_ticket_goes_through_its_stages_and_closes() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["plan", "impl", "review"]).await;
    for stage in ["plan", "impl", "review"] {
        let worker = bed.worker(stage).await;
        let granted = bed.granted(worker, stage).await;
        assert_eq!(bed.end(granted.attempt.id, completed()).await, EndReport::Accepted);
    }
    let detail = bed.store.ticket(ticket.id).await.unwrap();
    assert_eq!(
        detail.ticket.state,
        TicketState::Closed { resolution: Resolution::Completed, at: NOW }
    );
    let authors: Vec<_> = detail.comments.iter().map(|c| c.author.as_str()).collect();
    assert_eq!(authors, ["plan", "impl", "review"]);
    assert!((detail.ticket.cost_usd - 0.75).abs() < 1e-9);
    let about_tickets: Vec<_> =
        bed.kinds().await.into_iter().filter(|kind| kind.starts_with("ticket")).collect();
    assert_eq!(
        about_tickets,
        [
            "ticket_created",
            "ticket_stage_started",
            "ticket_stage_completed",
            "ticket_stage_started",
            "ticket_stage_completed",
            "ticket_stage_started",
            "ticket_stage_completed",
            "ticket_closed",
        ]
    );
}

#[tokio::test]
async fn a_result_that_came_before_a_cancel_counts_and_its_ticket_waits_at_the_next_stage() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl", "review"]).await;
    let cancelled = |attempt| Ending { cancelled: true, ..ending(attempt, completed()) };
    let worker = bed.worker("impl").await;
    let first = bed.granted(worker, "p1").await.attempt.id;
    bed.store.end_attempt(cancelled(first), NOW).await.unwrap();
    let held = bed.store.ticket(ticket.id).await.unwrap();
    assert!(matches!(held.ticket.state, TicketState::OnHold(_)), "{:?}", held.ticket.state);
    assert_eq!(held.ticket.current_stage().as_str(), "review");
    assert_eq!(held.comments.len(), 1, "the report is kept");

    bed.store.resume_ticket(ticket.id, None, None, NOW).await.unwrap();
    let worker = bed.worker("review").await;
    let last = bed.granted(worker, "p2").await.attempt.id;
    bed.store.end_attempt(cancelled(last), NOW).await.unwrap();
    assert_eq!(
        bed.read(ticket.id).await.state,
        TicketState::Closed { resolution: Resolution::Completed, at: NOW },
        "nothing is left to wait for"
    );
}

#[tokio::test]
async fn the_same_end_again_is_a_duplicate_and_changes_nothing() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["plan", "impl"]).await;
    let worker = bed.worker("plan").await;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    assert_eq!(bed.end(attempt, completed()).await, EndReport::Accepted);
    let (events, after) = (bed.kinds().await, bed.store.ticket(ticket.id).await.unwrap());
    assert_eq!(bed.end(attempt, completed()).await, EndReport::Duplicate);
    assert_eq!(bed.kinds().await, events);
    assert_eq!(bed.store.ticket(ticket.id).await.unwrap(), after);
}

#[tokio::test]
async fn ends_that_race_are_accepted_once() {
    let bed = Bed::new().await;
    bed.ticket(&["impl", "review"]).await;
    let worker = bed.worker("impl").await;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    let mut ends = Vec::new();
    for _ in 0..16 {
        let store = bed.store.clone();
        ends.push(tokio::spawn(async move {
            store.end_attempt(ending(attempt, completed()), NOW).await
        }));
    }
    let mut accepted = 0;
    for end in ends {
        accepted += u32::from(end.await.unwrap().unwrap() == EndReport::Accepted);
    }
    assert_eq!(accepted, 1);
}

#[tokio::test]
async fn a_report_after_a_cancel_is_parked_and_settles_the_attempt() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await;
    let worker = bed.worker("impl").await;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    bed.store.close_ticket(ticket.id, Resolution::Cancelled, None, NOW).await.unwrap();
    let unsettled = bed.store.unsettled().await.unwrap();
    assert_eq!(
        unsettled.iter().map(|u| (u.attempt, u.ended)).collect::<Vec<_>>(),
        [(attempt, true)]
    );
    assert_eq!(bed.end(attempt, completed()).await, EndReport::Parked);
    let detail = bed.store.ticket(ticket.id).await.unwrap();
    assert_eq!(
        detail.ticket.state,
        TicketState::Closed { resolution: Resolution::Cancelled, at: NOW }
    );
    assert!(detail.comments.is_empty());
    let AttemptState::Ended(ended) = &detail.attempts[0].state else { panic!("must have ended") };
    assert_eq!(ended.outcome, Outcome::Cancelled);
    assert_eq!(bed.store.unsettled().await.unwrap(), []);
    assert_eq!(bed.store.worker(worker).await.unwrap().state, WorkerState::Idle);
}

#[tokio::test]
async fn a_report_for_an_attempt_never_granted_is_parked() {
    let bed = Bed::new().await;
    assert_eq!(bed.end(AttemptId::from_key(99), completed()).await, EndReport::Parked);
}

#[tokio::test]
async fn failures_are_counted_scheduled_and_end_on_hold() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await;
    let failed =
        || Verdict::Failed { failure: Failure::MalformedResult, detail: "it exited".into() };
    for used in 1..=3 {
        let worker = bed.worker("impl").await;
        let granted = bed.granted(worker, &format!("p{used}")).await;
        assert_eq!(granted.last_failure.is_some(), used > 1);
        bed.end(granted.attempt.id, failed()).await;
        assert_eq!(bed.read(ticket.id).await.attempts_used, used);
        let due = bed.store.queue_due_tickets(NOW).await.unwrap();
        assert_eq!(due.is_some(), used < 3);
        let later = NOW.after(std::time::Duration::from_secs(3600));
        assert_eq!(bed.store.queue_due_tickets(later).await.unwrap(), None);
    }
    let TicketState::OnHold(Hold { reason, .. }) = bed.read(ticket.id).await.state else {
        panic!("must be held")
    };
    assert!(reason.contains("3 of 3") && reason.contains("it exited"), "{reason}");
    let resumed =
        bed.store.resume_ticket(ticket.id, None, Some("Try again.".into()), NOW).await.unwrap();
    assert_eq!((resumed.state, resumed.attempts_used), (TicketState::Queued, 0));
}

#[tokio::test]
async fn an_interrupted_ticket_is_queued_uncharged_and_a_restart_goes_to_its_worker() {
    let bed = Bed::new().await;
    let first = bed.ticket(&["impl"]).await;
    let worker = bed.worker("impl").await;
    let attempt = bed.granted(worker, "p1").await.attempt;
    let urgent = NewTicket { priority: Priority::Urgent, ..Bed::new_ticket(&["impl"]) };
    bed.store.create_ticket(urgent, NOW).await.unwrap();
    bed.end(attempt.id, Verdict::Interrupted { resume: true }).await;
    assert_eq!(bed.read(first.id).await.attempts_used, 0);
    let again = bed.granted(worker, "p2").await;
    assert_eq!(again.ticket.id, first.id);
    assert!(again.attempt.resumed);
    assert_eq!(again.attempt.claude_session_id, attempt.claude_session_id);
    // claude reports a running total, so the second attempt owes what came on top.
    let total = Ending {
        spent: Spent { cost_usd: Some(0.40), ..Spent::default() },
        ..ending(again.attempt.id, completed())
    };
    bed.store.end_attempt(total, NOW).await.unwrap();
    assert!((bed.read(first.id).await.cost_usd - 0.40).abs() < 1e-9);
}

#[tokio::test]
async fn a_missing_login_pauses_the_queue_once() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await;
    bed.ticket(&["impl"]).await;
    let (one, two) = (bed.worker("impl").await, bed.worker("impl").await);
    let (a, b) = (bed.granted(one, "p1").await, bed.granted(two, "p2").await);
    let refused = || Verdict::Failed { failure: Failure::Authentication, detail: "401".into() };
    bed.end(a.attempt.id, refused()).await;
    bed.end(b.attempt.id, refused()).await;
    assert_eq!(bed.kinds().await.iter().filter(|kind| **kind == "queue_paused").count(), 1);
    assert_eq!(bed.read(ticket.id).await.attempts_used, 0);
    let later = NOW.after(std::time::Duration::from_secs(3600));
    bed.store.queue_due_tickets(later).await.unwrap();
    assert_eq!(bed.claim(one, "p3").await, Claim::Nothing);
    let nothing = WorkerTypeChange::default();
    bed.store.update_worker_type("shop", "impl", nothing, NOW).await.unwrap();
    assert!(matches!(bed.claim(one, "p4").await, Claim::Granted(_)));
}

#[tokio::test]
async fn every_outcome_and_failure_can_be_stored_and_read_back() {
    for failure in Failure::ALL {
        let bed = Bed::new().await;
        let ticket = bed.ticket(&["impl"]).await;
        let worker = bed.worker("impl").await;
        let attempt = bed.granted(worker, "p1").await.attempt.id;
        bed.end(attempt, Verdict::Failed { failure, detail: "d".into() }).await;
        let detail = bed.store.ticket(ticket.id).await.unwrap();
        let AttemptState::Ended(ended) = &detail.attempts[0].state else {
            panic!("must have ended")
        };
        assert_eq!(ended.failure, Some(failure));
    }
    for (verdict, outcome) in [
        (completed(), Outcome::Succeeded),
        (Verdict::TimedOut { failure: Failure::Timeout, detail: "d".into() }, Outcome::TimedOut),
        (Verdict::Cancelled, Outcome::Cancelled),
        (Verdict::Interrupted { resume: false }, Outcome::Interrupted),
        (Verdict::Lost { detail: "d".into() }, Outcome::Lost),
    ] {
        let bed = Bed::new().await;
        let ticket = bed.ticket(&["impl"]).await;
        let worker = bed.worker("impl").await;
        let attempt = bed.granted(worker, "p1").await.attempt.id;
        bed.end(attempt, verdict).await;
        let detail = bed.store.ticket(ticket.id).await.unwrap();
        let AttemptState::Ended(ended) = &detail.attempts[0].state else {
            panic!("must have ended")
        };
        assert_eq!(ended.outcome, outcome);
    }
}
