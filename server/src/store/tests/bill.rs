//! Limits that hold although attempts are killed, and although they are lowered under what runs.

use std::time::Duration;

use super::Bed;
use super::NOW;
use super::completed;
use super::ending;
use super::limits::failed;
use crate::domain::attempt::Spent;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::limits::Limit;
use crate::domain::outcome::Failure;
use crate::domain::outcome::Verdict;
use crate::domain::project_limits::ProjectLimits;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::TicketChange;
use crate::domain::ticket::TicketState;
use crate::domain::worker_type::WorkerTypeChange;
use crate::store::Claim;
use crate::store::EndReport;
use crate::store::Ending;
use crate::store::GroupBy;
use crate::store::Rules;
use crate::store::UsageFilter;

/// One that was stopped by TERM: no word of its cost, its session kept.
fn stopped(attempt: AttemptId, verdict: Verdict, seen: f64) -> Ending {
    let spent = Spent { seen_worth: Some(seen), ran: true, ..Spent::default() };
    Ending { spent, exit_code: Some(143), ..ending(attempt, verdict) }
}

fn lost() -> Verdict {
    Verdict::Lost { detail: "d".into() }
}

const INTERRUPTED: Verdict = Verdict::Interrupted { resume: false };

impl Bed {
    async fn stops(&self) -> Vec<AttemptId> {
        let stopping = self.store.enforce_limits(NOW).await.unwrap();
        stopping.iter().map(|one| one.attempt).collect()
    }

    async fn costs(&self, ticket: TicketId) -> (f64, f64) {
        let found = self.read(ticket).await;
        let cents = |usd: f64| (usd * 100.0).round() / 100.0;
        (cents(found.cost_usd), cents(found.assumed_usd))
    }
}

fn per_project(usd: f64) -> ProjectLimits {
    ProjectLimits { max_budget_usd: Some(usd), ..Default::default() }
}

fn per_ticket(usd: f64) -> ProjectLimits {
    ProjectLimits { max_budget_usd_per_ticket: Some(usd), ..Default::default() }
}

#[tokio::test]
async fn a_ticket_that_is_killed_again_and_again_comes_to_the_end_of_its_dollars() {
    let bed = Bed::new().await;
    bed.limit(per_ticket(10.0)).await;
    let ticket = bed.ticket(&["impl"]).await.id;
    let worker = bed.worker("impl").await;
    let mut runs = 0;
    while let Claim::Granted(granted) = bed.claim(worker, &format!("p{runs}")).await {
        runs += 1;
        let spent = Spent { seen_worth: Some(75_000.0), ran: true, ..Spent::default() };
        let ending = Ending { spent, record: None, ..ending(granted.attempt.id, lost()) };
        bed.store.end_attempt(ending, NOW).await.unwrap();
        bed.store.queue_due_tickets(NOW.after(Duration::from_secs(3600))).await.unwrap();
        // Resuming it each time does not get around its limit either.
        if matches!(bed.read(ticket).await.state, TicketState::OnHold(_)) {
            bed.store.resume_ticket(ticket, None, None, NOW).await.unwrap();
        }
    }
    // Three dollars each, at the dearest price while none is known.
    assert_eq!(runs, 4);
    assert_eq!(bed.costs(ticket).await, (0.0, 10.0));
    let reason = bed.hold_reason(ticket).await;
    assert!(reason.contains("$10.00 of that is assumed"), "{reason}");
    let usage = bed.store.usage(UsageFilter::default(), GroupBy::Day, 0, 9).await;
    let total = usage.unwrap().total;
    assert!((total.assumed_usd - 10.0).abs() < 1e-9, "{total:?}");
}

#[tokio::test]
async fn what_is_assumed_comes_from_what_others_paid_and_is_never_more_than_was_allowed() {
    let bed = Bed::new().await;
    let model = |model: &str| WorkerTypeChange {
        model: Some(model.to_owned()),
        ..WorkerTypeChange::default()
    };
    bed.store.update_worker_type("shop", "impl", model("haiku"), NOW).await.unwrap();
    let worker = bed.worker("impl").await;
    let told = bed.ticket(&["impl"]).await.id;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    let seen_worth = Some(100_000.0);
    let spent = Spent { cost_usd: Some(0.1), seen_worth, ran: true, ..Spent::default() };
    let ending = Ending { spent, ..ending(attempt, completed()) };
    bed.store.end_attempt(ending, NOW).await.unwrap();
    assert_eq!(bed.costs(told).await, (0.1, 0.0));
    let killed = async |pull: &str, worker| {
        let ticket = bed.ticket(&["impl"]).await.id;
        let attempt = bed.granted(worker, pull).await.attempt.id;
        bed.store.end_attempt(stopped(attempt, Verdict::Cancelled, 75_000.0), NOW).await.unwrap();
        bed.costs(ticket).await.1
    };
    assert!((killed("p2", worker).await - 0.1).abs() < 1e-9);
    bed.limit(per_ticket(0.04)).await;
    assert!((killed("p3", worker).await - 0.04).abs() < 1e-9);
    bed.limit(per_ticket(100.0)).await;
    // Nobody has paid for that model yet.
    bed.store.update_worker_type("shop", "impl", model("opus"), NOW).await.unwrap();
    assert!((killed("p4", worker).await - 3.0).abs() < 1e-9);
}

#[tokio::test]
async fn a_session_that_goes_on_pays_for_what_was_stopped_and_not_for_what_was_killed() {
    let bed = Bed::new().await;
    for (code, total) in [(Some(143), (0.9, 0.0)), (None, (0.9, 3.0))] {
        let ticket = bed.ticket(&["impl"]).await.id;
        let worker = bed.worker("impl").await;
        let first = bed.granted(worker, &format!("{code:?}1")).await.attempt.id;
        let resume = Verdict::Interrupted { resume: true };
        let ending = Ending { exit_code: code, ..stopped(first, resume, 75_000.0) };
        bed.store.end_attempt(ending, NOW).await.unwrap();
        assert_eq!(bed.costs(ticket).await, (0.0, 3.0));
        let second = bed.granted(worker, &format!("{code:?}2")).await.attempt;
        assert!(second.resumed);
        bed.ends_at(second.id, completed(), 0.9, NOW).await;
        assert_eq!(bed.costs(ticket).await, total, "{code:?}");
    }
}

#[tokio::test]
async fn a_session_whose_total_begins_anew_owes_it_in_full() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await.id;
    let worker = bed.worker("impl").await;
    // Running total of the session, dollars of the run alone, and what the ticket has cost by then.
    let runs = [
        (Some(1.0), None, 1.0),
        // An error that tells nothing begins nothing anew.
        (Some(0.0), None, 1.0),
        (Some(0.5), None, 1.5),
        (Some(0.75), None, 1.75),
        (Some(2.0), Some(2.0), 3.75),
        (Some(2.5), Some(0.5), 4.25),
        (None, Some(0.25), 4.5),
    ];
    for (run, (total, own, cost)) in runs.into_iter().enumerate() {
        let attempt = bed.granted(worker, &format!("p{run}")).await.attempt;
        assert_eq!(attempt.resumed, run > 0);
        let spent = Spent { cost_usd: total, own_usd: own, ran: true, ..Spent::default() };
        let resume = Verdict::Interrupted { resume: true };
        bed.store.end_attempt(Ending { spent, ..ending(attempt.id, resume) }, NOW).await.unwrap();
        assert_eq!(bed.costs(ticket).await, (cost, 0.0), "run {run}");
    }
}

#[tokio::test]
async fn what_is_used_after_the_last_word_on_dollars_is_assumed_on_top_of_it() {
    let bed = Bed::new().await;
    bed.limit(per_ticket(2.0)).await;
    let worker = bed.worker("impl").await;
    for (untold, told, assumed) in [(0.0, 0.4, 0.0), (15_000.0, 0.0, 1.6), (1e9, 0.0, 2.0)] {
        let ticket = bed.ticket(&["impl"]).await.id;
        let attempt = bed.granted(worker, &format!("p{untold}")).await.attempt.id;
        let spent = Spent {
            cost_usd: Some(0.4),
            own_usd: Some(0.4),
            // Too little to teach a price.
            seen_worth: Some(500.0),
            untold_worth: untold,
            ran: true,
            ..Spent::default()
        };
        bed.store.end_attempt(Ending { spent, ..ending(attempt, completed()) }, NOW).await.unwrap();
        assert_eq!(bed.costs(ticket).await, (told, assumed), "{untold}");
    }
}

#[tokio::test]
async fn where_nothing_was_spent_nothing_is_assumed() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await.id;
    let worker = bed.worker("impl").await;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    bed.store.attempt_started(attempt, 1, NOW, NOW).await.unwrap();
    let spent = Spent { seen_worth: Some(0.0), idle: true, ran: true, ..Spent::default() };
    let ending = Ending { spent, ..ending(attempt, failed(Failure::Authentication)) };
    bed.store.end_attempt(ending, NOW).await.unwrap();
    assert_eq!(bed.costs(ticket).await, (0.0, 0.0));
    let usage = bed.store.usage(UsageFilter::default(), GroupBy::Day, 0, 9).await.unwrap();
    assert_eq!(usage.total.unpriced, 0, "{usage:?}");
}

#[tokio::test]
async fn what_ran_when_its_ticket_was_closed_is_paid_all_the_same() {
    let bed = Bed::new().await;
    bed.limit(per_project(5.0)).await;
    let ticket = bed.ticket(&["impl"]).await.id;
    let worker = bed.worker("impl").await;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    bed.store.attempt_started(attempt, 1, NOW, NOW).await.unwrap();
    bed.store.close_ticket(ticket, Resolution::Cancelled, None, NOW).await.unwrap();
    assert_eq!(bed.costs(ticket).await, (0.0, 5.0), "until its shim tells");
    let ended = bed.store.end_attempt(ending(attempt, completed()), NOW).await.unwrap();
    assert_eq!(ended, EndReport::Parked);
    assert_eq!(bed.costs(ticket).await, (0.25, 0.0));
    bed.store.end_attempt(ending(attempt, completed()), NOW).await.unwrap();
    assert_eq!(bed.costs(ticket).await, (0.25, 0.0), "the same report again");
    let next = bed.ticket(&["impl"]).await.id;
    let attempt = bed.granted(worker, "p2").await.attempt.id;
    assert_eq!(bed.budget(attempt).await, Some((4.75, Limit::Project)));
    // Its shim dies before it tells anything.
    bed.store.attempt_started(attempt, 1, NOW, NOW).await.unwrap();
    bed.store.close_ticket(next, Resolution::Cancelled, None, NOW).await.unwrap();
    let spent = Spent { seen_worth: Some(0.0), ran: true, ..Spent::default() };
    bed.store.attempt_settled(attempt, spent, NOW).await.unwrap();
    assert_eq!(bed.costs(next).await, (0.0, 0.75));
}

#[tokio::test]
async fn a_lowered_limit_cuts_the_newest_short_and_they_go_on_with_what_is_left() {
    let bed = Bed::new().await;
    let mut tickets = Vec::new();
    let mut attempts = Vec::new();
    let workers = [bed.worker("impl").await, bed.worker("impl").await];
    let type_budget = |usd| WorkerTypeChange { max_budget_usd: Some(usd), ..Default::default() };
    bed.store.update_worker_type("shop", "impl", type_budget(4.0), NOW).await.unwrap();
    for (worker, pull) in workers.into_iter().zip(["p1", "p2"]) {
        tickets.push(bed.ticket(&["impl"]).await.id);
        attempts.push(bed.granted(worker, pull).await.attempt);
    }
    assert_eq!(bed.stops().await, []);
    bed.limit(per_project(6.0)).await;
    assert_eq!(bed.stops().await, [attempts[1].id]);
    assert_eq!(bed.stops().await, [attempts[1].id], "until it has ended");
    bed.store.end_attempt(stopped(attempts[1].id, INTERRUPTED, 25_000.0), NOW).await.unwrap();
    // It had used up to a dollar and a half.
    let again = bed.granted(workers[1], "p3").await.attempt;
    assert_eq!(again.claude_session_id, attempts[1].claude_session_id);
    assert!(again.resumed && !again.asks_outcome);
    assert_eq!(bed.budget(again.id).await, Some((0.5, Limit::Project)));
    assert_eq!(bed.read(tickets[1]).await.attempts_used, 0);
    assert_eq!(bed.stops().await, []);
    // Its type may spend less, too.
    bed.store.update_worker_type("shop", "impl", type_budget(1.0), NOW).await.unwrap();
    assert_eq!(bed.stops().await, [attempts[0].id]);
    let events = bed.kinds().await;
    assert!(!events.contains(&"project_paused") && !events.contains(&"ticket_on_hold"));
}

#[tokio::test]
async fn a_first_limit_counts_for_those_that_run_without_any() {
    let bed = Bed::new().await;
    bed.ticket(&["impl"]).await;
    let worker = bed.worker("impl").await;
    let attempt = bed.granted(worker, "p1").await.attempt;
    assert_eq!((attempt.budget, bed.stops().await), (None, vec![]));
    bed.store.set_rules(Rules { max_usd_per_day: Some(50.0), ..super::RULES });
    assert_eq!(bed.stops().await, [attempt.id]);
    bed.store.end_attempt(stopped(attempt.id, INTERRUPTED, 0.0), NOW).await.unwrap();
    let again = bed.granted(worker, "p2").await.attempt;
    assert_eq!(again.claude_session_id, attempt.claude_session_id);
    assert_eq!(bed.budget(again.id).await, Some((49.25, Limit::ServerDay)));
    assert_eq!(bed.stops().await, []);
}

#[tokio::test]
async fn a_limit_lowered_below_what_is_spent_pauses_once_and_holds_nobody() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["plan", "impl"]).await.id;
    let worker = bed.worker("plan").await;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    bed.ends_at(attempt, completed(), 5.0, NOW).await;
    let worker = bed.worker("impl").await;
    let first = bed.granted(worker, "p2").await.attempt;
    bed.limit(per_project(4.0)).await;
    assert_eq!(bed.stops().await, [first.id]);
    bed.store.end_attempt(stopped(first.id, INTERRUPTED, 25_000.0), NOW).await.unwrap();
    assert_eq!(bed.waits_for(ticket, NOW).await, "budget");
    assert_eq!(bed.stops().await, []);
    assert_eq!(bed.claim(worker, "p3").await, Claim::Nothing);
    bed.limit(per_project(20.0)).await;
    assert_eq!(bed.stops().await, []);
    let again = bed.granted(worker, "p4").await.attempt;
    assert_eq!(again.claude_session_id, first.claude_session_id);
    assert_eq!(bed.budget(again.id).await, Some((13.5, Limit::Project)));
    let told: Vec<&str> =
        bed.kinds().await.into_iter().filter(|k| k.starts_with("project_")).collect();
    assert_eq!(told, ["project_paused", "project_resumed"]);
}

#[tokio::test]
async fn a_spent_ticket_is_held_and_goes_on_in_its_session_with_more() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["plan", "impl"]).await.id;
    let worker = bed.worker("plan").await;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    bed.ends_at(attempt, completed(), 5.0, NOW).await;
    let worker = bed.worker("impl").await;
    let first = bed.granted(worker, "p2").await.attempt;
    let own = |usd| TicketChange { max_budget_usd: Some(Some(usd)), ..TicketChange::default() };
    bed.store.update_ticket(ticket, own(4.0), NOW).await.unwrap();
    assert_eq!(bed.stops().await, [first.id]);
    bed.store.end_attempt(stopped(first.id, INTERRUPTED, 25_000.0), NOW).await.unwrap();
    let reason = bed.hold_reason(ticket).await;
    assert!(reason.contains("$5.00 has been spent"), "{reason}");
    assert_eq!(bed.stops().await, []);
    let detail = bed.store.ticket(ticket).await.unwrap();
    assert_eq!(detail.comments.len(), 1, "the report of the stage that was done");
    bed.store.update_ticket(ticket, own(9.0), NOW).await.unwrap();
    bed.store.resume_ticket(ticket, None, None, NOW).await.unwrap();
    let again = bed.granted(worker, "p3").await.attempt;
    assert_eq!(again.claude_session_id, first.claude_session_id);
    assert_eq!(bed.budget(again.id).await, Some((2.5, Limit::Ticket)));
    // Asked for by name, the stage begins anew.
    bed.ends_at(again.id, failed(Failure::MaxBudget), 5.0, NOW).await;
    bed.store.update_ticket(ticket, own(99.0), NOW).await.unwrap();
    bed.store.resume_ticket(ticket, Some("impl".into()), None, NOW).await.unwrap();
    assert!(!bed.granted(worker, "p4").await.attempt.resumed);
}

#[tokio::test]
async fn a_budget_that_others_made_small_is_no_fault_and_no_end() {
    let bed = Bed::new().await;
    bed.limit(per_project(5.0)).await;
    let change = WorkerTypeChange { max_budget_usd: Some(4.0), ..Default::default() };
    bed.store.update_worker_type("shop", "impl", change, NOW).await.unwrap();
    let (big, small) = (bed.ticket(&["impl"]).await.id, bed.ticket(&["impl"]).await.id);
    let workers = [bed.worker("impl").await, bed.worker("impl").await];
    let first = bed.granted(workers[0], "p1").await.attempt.id;
    let second = bed.granted(workers[1], "p2").await.attempt;
    assert_eq!(bed.budget(second.id).await, Some((1.0, Limit::Project)));
    bed.ends_at(second.id, failed(Failure::MaxBudget), 1.1, NOW).await;
    assert_eq!(bed.read(small).await.attempts_used, 0);
    // The rest is set aside, and free when the other has ended: it overshot by ten cents of it, which stops nobody.
    assert_eq!(bed.waits_for(small, NOW).await, "budget_reserved");
    assert_eq!(bed.stops().await, []);
    bed.ends_at(first, completed(), 1.0, NOW).await;
    let again = bed.granted(workers[1], "p3").await.attempt;
    assert_eq!(again.claude_session_id, second.claude_session_id);
    assert_eq!(bed.budget(again.id).await, Some((2.9, Limit::Project)));
    assert!(matches!(bed.read(big).await.state, TicketState::Closed { .. }));
}

#[tokio::test]
async fn an_interrupt_is_no_limit() {
    let bed = Bed::new().await;
    bed.limit(per_project(5.0)).await;
    let ticket = bed.ticket(&["impl"]).await.id;
    let worker = bed.worker("impl").await;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    bed.store.end_attempt(stopped(attempt, INTERRUPTED, 0.0), NOW).await.unwrap();
    assert_eq!(bed.read(ticket).await.state, TicketState::Queued);
}
