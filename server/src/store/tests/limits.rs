use std::time::Duration;

use super::Bed;
use super::NOW;
use super::RULES;
use super::completed;
use super::ending;
use crate::domain::attempt::Spent;
use crate::domain::hold::Hold;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::limits::Limit;
use crate::domain::outcome::Failure;
use crate::domain::outcome::Verdict;
use crate::domain::project::ProjectChange;
use crate::domain::project_limits::ProjectLimits;
use crate::domain::project_limits::ProjectLimitsChange;
use crate::domain::ticket::TicketChange;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::domain::usage::UsageLimit;
use crate::domain::waiting;
use crate::domain::worker_type::WorkerTypeChange;
use crate::store::Claim;
use crate::store::Ending;
use crate::store::Rules;

impl Bed {
    pub(super) async fn limit(&self, limits: ProjectLimits) {
        let limits = ProjectLimitsChange {
            max_workers: limits.max_workers,
            max_budget_usd: limits.max_budget_usd,
            max_budget_usd_per_day: limits.max_budget_usd_per_day,
            max_budget_usd_per_ticket: limits.max_budget_usd_per_ticket,
            max_attempts_per_ticket: limits.max_attempts_per_ticket,
            max_descendants: limits.max_descendants,
        };
        let change = ProjectChange { limits, ..ProjectChange::default() };
        self.store.update_project("shop", change, NOW).await.unwrap();
    }

    pub(super) async fn ends_at(
        &self,
        attempt: AttemptId,
        verdict: Verdict,
        usd: f64,
        now: Timestamp,
    ) {
        let spent = Spent { cost_usd: Some(usd), ..Spent::default() };
        let ending = Ending { spent, ..ending(attempt, verdict) };
        self.store.end_attempt(ending, now).await.unwrap();
    }

    pub(super) async fn hold_reason(&self, ticket: TicketId) -> String {
        let state = self.read(ticket).await.state;
        let TicketState::OnHold(Hold { reason, .. }) = state else {
            panic!("expected a hold, got {state:?}")
        };
        reason
    }

    pub(super) async fn budget(&self, attempt: AttemptId) -> Option<(f64, Limit)> {
        self.store.attempt(attempt).await.unwrap().unwrap().budget
    }

    pub(super) async fn waits_for(&self, ticket: TicketId, now: Timestamp) -> &'static str {
        self.prepare().await;
        let detail =
            self.store.ticket_at(ticket, crate::store::History::default(), now).await.unwrap();
        let wait = waiting::waiting(&detail.ticket, &detail.surroundings);
        wait.map_or("", |wait| wait.cause.name())
    }
}

pub(super) fn failed(failure: Failure) -> Verdict {
    Verdict::Failed { failure, detail: "d".into() }
}

#[tokio::test]
async fn a_ticket_that_spent_its_dollars_goes_on_hold_once_and_goes_on_with_more() {
    let bed = Bed::new().await;
    let limits = ProjectLimits { max_budget_usd_per_ticket: Some(1.0), ..Default::default() };
    bed.limit(limits).await;
    let ticket = bed.ticket(&["plan", "impl"]).await.id;
    let worker = bed.worker("plan").await;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    assert_eq!(bed.budget(attempt).await, Some((1.0, Limit::Ticket)));
    bed.ends_at(attempt, completed(), 1.02, NOW).await;
    // Its first stage is done, and counts; the second is not begun.
    assert_eq!(bed.read(ticket).await.stage_index, 1);
    assert_eq!(bed.store.enforce_limits(NOW).await.unwrap(), []);
    let reason = bed.hold_reason(ticket).await;
    assert!(
        reason.contains("$1.02") && reason.contains("max_budget_usd of the ticket"),
        "{reason}"
    );
    bed.store.enforce_limits(NOW).await.unwrap();
    assert_eq!(bed.kinds().await.iter().filter(|kind| **kind == "ticket_on_hold").count(), 1);

    let change = TicketChange { max_budget_usd: Some(Some(2.0)), ..TicketChange::default() };
    bed.store.update_ticket(ticket, change, NOW).await.unwrap();
    bed.store.resume_ticket(ticket, None, None, NOW).await.unwrap();
    let worker = bed.worker("impl").await;
    let attempt = bed.granted(worker, "p2").await.attempt.id;
    assert_eq!(bed.budget(attempt).await, Some((0.98, Limit::Ticket)));
    // It ran into that, and not into a limit of its type.
    bed.ends_at(attempt, failed(Failure::MaxBudget), 0.99, NOW).await;
    let reason = bed.hold_reason(ticket).await;
    assert!(
        reason.contains("$0.98") && reason.contains("max_budget_usd of the ticket"),
        "{reason}"
    );
}

#[tokio::test]
async fn dollars_are_set_aside_while_attempts_run_and_a_spent_project_is_paused_once() {
    let bed = Bed::new().await;
    bed.limit(ProjectLimits { max_budget_usd: Some(3.0), ..Default::default() }).await;
    let change = WorkerTypeChange { max_budget_usd: Some(2.0), ..WorkerTypeChange::default() };
    bed.store.update_worker_type("shop", "impl", change, NOW).await.unwrap();
    let mut tickets = Vec::new();
    let mut workers = Vec::new();
    for _ in 0..3 {
        tickets.push(bed.ticket(&["impl"]).await.id);
        workers.push(bed.worker("impl").await);
    }
    let first = bed.granted(workers[0], "p1").await.attempt.id;
    let second = bed.granted(workers[1], "p2").await.attempt.id;
    assert_eq!(bed.budget(first).await, Some((2.0, Limit::Attempt)));
    assert_eq!(bed.budget(second).await, Some((1.0, Limit::Project)));
    assert_eq!(bed.claim(workers[2], "p3").await, Claim::Nothing);
    assert_eq!(bed.waits_for(tickets[2], NOW).await, "budget_reserved");
    assert_eq!(bed.store.waiting_queues(NOW).await.unwrap().0, []);
    bed.ends_at(first, completed(), 2.0, NOW).await;
    bed.store.enforce_limits(NOW).await.unwrap();
    assert_eq!(bed.waits_for(tickets[2], NOW).await, "budget_reserved");
    bed.ends_at(second, completed(), 1.01, NOW).await;
    for _ in 0..2 {
        bed.store.enforce_limits(NOW).await.unwrap();
    }
    assert_eq!(bed.waits_for(tickets[2], NOW).await, "budget");
    assert_eq!(bed.claim(workers[2], "p4").await, Claim::Nothing);
    // More dollars take effect at once, without a resume.
    bed.limit(ProjectLimits { max_budget_usd: Some(10.0), ..Default::default() }).await;
    bed.store.enforce_limits(NOW).await.unwrap();
    assert!(matches!(bed.claim(workers[2], "p5").await, Claim::Granted(_)));
    let told: Vec<&str> =
        bed.kinds().await.into_iter().filter(|kind| kind.starts_with("project_")).collect();
    assert_eq!(told, ["project_paused", "project_resumed"]);
}

#[tokio::test]
async fn a_day_ends_at_midnight() {
    let bed = Bed::new().await;
    let rules = Rules { max_usd_per_day: Some(1.0), ..RULES };
    bed.store.set_rules(rules);
    let ticket = bed.ticket(&["plan", "impl"]).await.id;
    let worker = bed.worker("plan").await;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    assert_eq!(bed.budget(attempt).await, Some((1.0, Limit::ServerDay)));
    bed.ends_at(attempt, completed(), 1.0, NOW).await;
    bed.store.enforce_limits(NOW).await.unwrap();
    assert_eq!(bed.waits_for(ticket, NOW).await, "budget");
    let tomorrow = Timestamp::from_millis(24 * 3_600_000);
    assert_eq!(bed.store.lift_due_pauses(NOW).await.unwrap(), Some(tomorrow));
    bed.store.lift_due_pauses(tomorrow).await.unwrap();
    bed.store.enforce_limits(tomorrow).await.unwrap();
    assert_eq!(bed.waits_for(ticket, tomorrow).await, "next");
}

#[tokio::test]
async fn attempts_of_a_whole_life_are_counted_over_stages_and_resumes() {
    let bed = Bed::new().await;
    bed.limit(ProjectLimits { max_attempts_per_ticket: Some(2), ..Default::default() }).await;
    let ticket = bed.ticket(&["plan", "impl"]).await.id;
    let worker = bed.worker("plan").await;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    // An overload is nobody's fault and no attempt.
    bed.ends_at(attempt, failed(Failure::Overloaded), 0.0, NOW).await;
    let later = NOW.after(Duration::from_secs(3600));
    bed.store.queue_due_tickets(later).await.unwrap();
    let attempt = bed.granted(worker, "p2").await.attempt.id;
    bed.ends_at(attempt, failed(Failure::MaxTurns), 0.0, NOW).await;
    bed.store.queue_due_tickets(later).await.unwrap();
    let attempt = bed.granted(worker, "p3").await.attempt.id;
    bed.ends_at(attempt, completed(), 0.0, NOW).await;
    let next = bed.worker("impl").await;
    assert_eq!(bed.claim(next, "p4").await, Claim::Nothing);
    assert!(bed.hold_reason(ticket).await.contains("max_attempts_per_ticket"));
}

#[tokio::test]
async fn fewer_workers_count_at_once() {
    let bed = Bed::new().await;
    for _ in 0..3 {
        bed.ticket(&["impl"]).await;
    }
    let workers = [bed.worker("impl").await, bed.worker("impl").await];
    bed.granted(workers[0], "p1").await;
    bed.limit(ProjectLimits { max_workers: Some(1), ..Default::default() }).await;
    assert_eq!(bed.claim(workers[1], "p2").await, Claim::Leave);
    let (queues, live) = bed.store.waiting_queues(NOW).await.unwrap();
    assert_eq!(crate::domain::queue::launches(&queues, live, 16), []);
}

#[tokio::test]
async fn a_session_without_a_result_is_asked_before_it_is_run_again() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await.id;
    let worker = bed.worker("impl").await;
    let first = bed.granted(worker, "p1").await.attempt;
    bed.ends_at(first.id, failed(Failure::Crashed), 0.3, NOW).await;
    assert_eq!(bed.read(ticket).await.attempts_used, 1);
    let granted = bed.granted(worker, "p2").await;
    assert!(granted.last_failure.unwrap().starts_with("crashed: "), "what the question is about");
    let asked = granted.attempt;
    assert!(asked.asks_outcome && asked.resumed);
    assert_eq!(asked.claude_session_id, first.claude_session_id);
    // The session's cost is a running total.
    // The service has no room, and says so; the question is put again.
    let busy = Ending {
        spent: Spent { cost_usd: Some(0.3), ..Spent::default() },
        last_words: Some("API Error: 529".to_owned()),
        ..ending(asked.id, failed(Failure::Overloaded))
    };
    bed.store.end_attempt(busy, NOW).await.unwrap();
    bed.store.queue_due_tickets(NOW.after(Duration::from_secs(3600))).await.unwrap();
    let asked = bed.granted(worker, "p2 again").await.attempt;
    assert!(asked.asks_outcome, "it was not answered");
    let ended = Ending {
        spent: Spent { cost_usd: Some(0.35), ..Spent::default() },
        last_words: Some("The tests are missing.".to_owned()),
        ..ending(asked.id, failed(Failure::NoResult))
    };
    bed.store.end_attempt(ended, NOW).await.unwrap();
    let after = bed.read(ticket).await;
    assert_eq!(after.attempts_used, 1, "the question is free");
    assert!((after.cost_usd - 0.35).abs() < 1e-9, "{}", after.cost_usd);
    assert!(matches!(after.state, TicketState::Scheduled { .. }));
    bed.store.queue_due_tickets(NOW.after(Duration::from_secs(3600))).await.unwrap();
    let granted = bed.granted(worker, "p3").await;
    assert!(granted.last_failure.unwrap().starts_with("crashed: "), "not how the question ended");
    let said: Vec<&str> = granted.comments.iter().map(|said| said.content.as_str()).collect();
    assert_eq!(said, ["The tests are missing."], "what is missing is what it has to do");
    let again = granted.attempt;
    assert!(!again.asks_outcome && !again.resumed, "the work is done anew");
    assert_ne!(again.claude_session_id, first.claude_session_id);
}

#[tokio::test]
async fn what_the_service_cut_off_goes_on_in_its_session() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await.id;
    let worker = bed.worker("impl").await;
    let first = bed.granted(worker, "p1").await.attempt;
    let reset = NOW.after(Duration::from_secs(7200));
    let usage = UsageLimit {
        rejected: true,
        resets_at: Some(reset),
        utilization: Some(1.0),
        models: Vec::new(),
        told_at: None,
    };
    let ending = Ending { usage: Some(usage), ..ending(first.id, failed(Failure::UsageLimit)) };
    bed.store.end_attempt(ending, NOW).await.unwrap();
    let after = bed.read(ticket).await;
    assert_eq!(after.state, TicketState::Scheduled { not_before: reset });
    assert_eq!(after.attempts_used, 0);
    let other = bed.ticket(&["impl"]).await.id;
    assert_eq!(bed.waits_for(other, NOW).await, "usage_limit");
    bed.store.lift_due_pauses(reset).await.unwrap();
    bed.store.queue_due_tickets(reset).await.unwrap();
    let second = bed.granted(worker, "p2").await.attempt;
    assert_eq!(second.claude_session_id, first.claude_session_id);
    assert!(second.resumed && !second.asks_outcome);
}

#[tokio::test]
async fn a_session_outlives_an_attempt_that_ends_before_it_goes_on_in_it() {
    let bed = Bed::new().await;
    bed.ticket(&["impl"]).await;
    let worker = bed.worker("impl").await;
    let first = bed.granted(worker, "p1").await.attempt;
    bed.ends_at(first.id, Verdict::Interrupted { resume: true }, 0.1, NOW).await;
    for pull in ["p2", "p3"] {
        let again = bed.granted(worker, pull).await.attempt;
        assert!(again.resumed, "{pull}");
        assert_eq!(again.claude_session_id, first.claude_session_id, "{pull}");
        let verdict = Verdict::Interrupted { resume: true };
        let ending = Ending { had_session: false, ..ending(again.id, verdict) };
        bed.store.end_attempt(ending, NOW).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_killed_from_outside_again_and_again_ends_on_hold() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await.id;
    let worker = bed.worker("impl").await;
    for run in 1..=3 {
        let attempt = bed.granted(worker, &format!("p{run}")).await.attempt.id;
        let ending = Ending { had_session: false, ..ending(attempt, failed(Failure::HangAtStart)) };
        bed.store.end_attempt(ending, NOW).await.unwrap();
        bed.store.queue_due_tickets(NOW.after(Duration::from_secs(3600))).await.unwrap();
    }
    assert_eq!(bed.read(ticket).await.attempts_used, 0);
    assert!(bed.hold_reason(ticket).await.contains("hang_at_start"));
}
