//! What one ticket may become through those its stages create: how many, and for how much.

use super::*;
use crate::domain::attempt::AttemptState;
use crate::domain::limits::Limit;
use crate::domain::outcome::Failure;
use crate::domain::planned;
use crate::domain::project_limits::ProjectLimits;
use crate::domain::ticket::TicketChange;
use crate::domain::ticket::TicketState;
use crate::store::Page;
use crate::store::TicketFilter;

impl Bed {
    async fn tickets(&self) -> Vec<Ticket> {
        let page = Page { after: None, limit: 200 };
        self.store.tickets(TicketFilter::default(), page).await.expect("a list").items
    }

    /// Runs the best ticket of the queue to a result that asks for so many tickets of one stage, and returns the attempt.
    async fn plans(&self, count: usize, stage: &str, usd: f64) -> AttemptId {
        let worker = self.worker("plan").await;
        let attempt = self.granted(worker, &uuid::Uuid::new_v4().to_string()).await.attempt.id;
        self.ends_at(attempt, asking_for(count, stage), usd, NOW).await;
        attempt
    }

    async fn failure(&self, attempt: AttemptId) -> Option<Failure> {
        let found = self.store.attempt(attempt).await.unwrap().expect("is there");
        let AttemptState::Ended(ended) = found.state else { panic!("must have ended") };
        ended.failure
    }
}

fn asking_for(count: usize, stage: &str) -> Verdict {
    let ticket =
        |n| serde_json::json!({"key": format!("k{n}"), "title": "More", "execution_plan": [stage]});
    let tickets = serde_json::Value::Array((0..count).map(ticket).collect());
    let tickets = planned::tickets(&tickets).expect("good by themselves");
    let (outcome, report) = (StageOutcome::Completed, "the plan".into());
    Verdict::Succeeded(StageResult { outcome, report, tickets })
}

fn key(id: i64) -> TicketId {
    TicketId::from_key(id)
}

#[tokio::test]
async fn a_family_of_planners_ends_at_the_limit_through_all_generations() {
    let bed = Bed::new().await;
    bed.limit(ProjectLimits { max_descendants: Some(5), ..Default::default() }).await;
    let first = bed.ticket(&["plan"]).await.id;
    bed.plans(2, "plan", 0.0).await;
    bed.plans(2, "plan", 0.0).await;
    assert!(bed.tickets().await.iter().skip(1).all(|ticket| ticket.root == Some(first)));
    let refused = bed.plans(2, "plan", 0.0).await;

    assert_eq!(bed.failure(refused).await, Some(Failure::TooManyTickets));
    assert_eq!(bed.tickets().await.len(), 5, "none of the two was created");
    let reason = bed.hold_reason(key(3)).await;
    for word in [
        "asked for 2 more",
        "T-1, which it comes from, has become 4",
        "may become 5 (max_descendants of the project)",
    ] {
        assert!(reason.contains(word), "{word}: {reason}");
    }
    assert_eq!(bed.read(key(3)).await.attempts_used, 0, "the work has not failed");
    let fits = bed.plans(1, "impl", 0.0).await;
    assert_eq!(bed.failure(fits).await, None, "one more still fits");
    assert_eq!(bed.tickets().await.len(), 6);

    // Another ticket of somebody's has a family of its own.
    let other = bed.ticket(&["plan"]).await;
    assert_eq!(other.root, None);
    // More may come of it: the session that planned continues.
    bed.limit(ProjectLimits { max_descendants: Some(7), ..Default::default() }).await;
    let resumed = bed.store.resume_ticket(key(3), None, None, NOW).await.unwrap();
    assert_eq!(resumed.resume.map(|hint| hint.asks_outcome), Some(false));
    bed.plans(2, "impl", 0.0).await;
    assert!(matches!(bed.read(key(3)).await.state, TicketState::Closed { .. }));
}

#[tokio::test]
async fn the_server_says_how_many_where_the_project_does_not() {
    let bed = Bed::new().await;
    let project = bed.store.project("shop").await.unwrap().key;
    assert_eq!(bed.store.project_limits(project).await.unwrap().max_descendants, Some(100));
    let first = bed.ticket(&["plan"]).await.id;
    bed.plans(100, "plan", 0.0).await;
    bed.plans(1, "plan", 0.0).await;
    assert_eq!(bed.tickets().await.len(), 101);
    assert_eq!(bed.hold_reason(key(2)).await.matches("100").count(), 2);
    assert!(matches!(bed.read(first).await.state, TicketState::Closed { .. }));
    bed.store.set_rules(Rules { max_descendants: 0, ..RULES });
    bed.limit(ProjectLimits { max_descendants: Some(-1), ..Default::default() }).await;
    let worker = bed.worker("plan").await;
    bed.ticket(&["plan"]).await;
    let attempt = bed.granted(worker, "none").await.attempt.id;
    bed.end(attempt, asking_for(1, "impl")).await;
    assert_eq!(bed.failure(attempt).await, Some(Failure::TooManyTickets));
}

#[tokio::test]
async fn dollars_of_a_family_count_against_the_limit_of_its_first_ticket() {
    let bed = Bed::new().await;
    let first = bed.ticket(&["plan"]).await.id;
    let limit = TicketChange { max_budget_usd: Some(Some(2.0)), ..TicketChange::default() };
    bed.store.update_ticket(first, limit, NOW).await.unwrap();
    bed.plans(3, "impl", 0.5).await;
    assert!(matches!(bed.read(first).await.state, TicketState::Closed { .. }));

    let workers = [bed.worker("impl").await, bed.worker("impl").await];
    let attempt = bed.granted(workers[0], "i1").await.attempt.id;
    assert_eq!(bed.budget(attempt).await, Some((1.5, Limit::Family)), "what the first has left");
    assert_eq!(bed.claim(workers[1], "i2").await, Claim::Nothing, "it is given out");
    assert_eq!(bed.waits_for(key(3), NOW).await, "budget_reserved");
    bed.ends_at(attempt, completed(), 1.0, NOW).await;
    let attempt = bed.granted(workers[1], "i3").await.attempt.id;
    assert_eq!(bed.budget(attempt).await, Some((0.5, Limit::Family)));
    bed.ends_at(attempt, completed(), 0.51, NOW).await;

    bed.store.enforce_limits(NOW).await.unwrap();
    let reason = bed.hold_reason(key(4)).await;
    assert!(reason.starts_with("T-1 has cost $2.01 with all that it became"), "{reason}");
    assert!(reason.contains("max_budget_usd of the ticket"), "{reason}");
}

#[tokio::test]
async fn a_limit_that_is_lowered_stops_what_runs_in_the_family() {
    let bed = Bed::new().await;
    bed.ticket(&["plan"]).await;
    bed.plans(2, "impl", 0.5).await;
    let worker = bed.worker("impl").await;
    let attempt = bed.granted(worker, "i1").await.attempt.id;
    bed.limit(ProjectLimits { max_budget_usd_per_ticket: Some(0.5), ..Default::default() }).await;
    let over = bed.store.enforce_limits(NOW).await.unwrap();
    assert_eq!(over.iter().map(|stopping| stopping.attempt).collect::<Vec<_>>(), [attempt]);
    let found = bed.store.attempt(attempt).await.unwrap().unwrap();
    let reason = found.limit_reached.expect("it is stopped for good");
    assert!(reason.contains("T-1 and all that it became have cost $0.50"), "{reason}");
    assert!(bed.hold_reason(key(3)).await.contains("T-1 has cost $0.50"));
}

#[tokio::test]
async fn attempts_of_a_family_count_together() {
    let bed = Bed::new().await;
    bed.limit(ProjectLimits { max_attempts_per_ticket: Some(2), ..Default::default() }).await;
    bed.ticket(&["plan"]).await;
    bed.plans(2, "impl", 0.0).await;
    let worker = bed.worker("impl").await;
    let attempt = bed.granted(worker, "i1").await.attempt.id;
    bed.end(attempt, completed()).await;
    assert_eq!(bed.claim(worker, "i2").await, Claim::Nothing);
    let reason = bed.hold_reason(key(3)).await;
    assert!(reason.contains("T-1 has had 2 attempts, with all that it became"), "{reason}");
}

#[tokio::test]
async fn words_are_an_agents_until_the_coordinator_replaces_them() {
    let bed = Bed::new().await;
    let own = bed.ticket(&["plan"]).await;
    assert!(!own.planned.title && !own.planned.description);
    bed.plans(1, "impl", 0.0).await;
    let made = bed.read(key(2)).await.planned;
    assert!(made.title && made.description);
    let change = TicketChange { description: Some("Mine.".into()), ..TicketChange::default() };
    let changed = bed.store.update_ticket(key(2), change, NOW).await.unwrap().planned;
    assert!(changed.title && !changed.description);
}
