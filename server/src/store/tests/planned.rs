//! Tickets of a result come with its commit: all of them, once, or none.

use super::*;
use crate::domain::attempt::AttemptState;
use crate::domain::hold::Hold;
use crate::domain::outcome::Failure;
use crate::domain::planned;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::TicketState;
use crate::domain::worker_type::WorkerTypeChange;
use crate::store::Page;
use crate::store::TicketFilter;

impl Bed {
    /// A bed, and an attempt at a ticket whose first stage is `plan`.
    async fn planning(stages: &[&str]) -> (Self, Ticket, Granted) {
        let bed = Self::new().await;
        let ticket = bed.ticket(stages).await;
        let worker = bed.worker("plan").await;
        let granted = bed.granted(worker, "p1").await;
        (bed, ticket, granted)
    }

    async fn all_tickets(&self) -> Vec<Ticket> {
        let page = Page { after: None, limit: 200 };
        self.store.tickets(TicketFilter::default(), page).await.expect("a list").items
    }
}

fn asking_for(tickets: &serde_json::Value) -> Verdict {
    let tickets = planned::tickets(tickets).expect("good by themselves");
    let (outcome, report) = (StageOutcome::Completed, "the plan".into());
    Verdict::Succeeded(StageResult { outcome, report, tickets })
}

fn two() -> serde_json::Value {
    serde_json::json!([
        {"key": "ui", "title": "The page", "execution_plan": ["impl", "review"], "depends_on": ["api"]},
        {"key": "api", "title": "The service", "description": "All of it.", "execution_plan": ["impl"],
         "priority": "urgent"},
    ])
}

#[tokio::test]
async fn they_are_created_in_order_with_their_dependencies_and_events() {
    let (bed, parent, granted) = Bed::planning(&["plan"]).await;
    assert!(granted.settings.may_create_tickets);
    assert_eq!(granted.worker_types.len(), 3);
    assert_eq!(bed.end(granted.attempt.id, asking_for(&two())).await, EndReport::Accepted);

    let tickets = bed.all_tickets().await;
    let [closed, api, ui] = tickets.as_slice() else { panic!("three tickets: {tickets:?}") };
    assert_eq!(closed.state, TicketState::Closed { resolution: Resolution::Completed, at: NOW });
    assert_eq!((api.title.as_str(), api.description.as_str()), ("The service", "All of it."));
    assert_eq!((api.priority, &api.state), (Priority::Urgent, &TicketState::Queued));
    assert_eq!((ui.title.as_str(), &ui.state), ("The page", &TicketState::Blocked));
    assert_eq!(ui.depends_on, [api.id]);
    let comments = bed.store.ticket(parent.id).await.unwrap().comments;
    let said: Vec<_> = comments.iter().map(|c| (c.author.as_str(), c.content.as_str())).collect();
    assert_eq!(
        said,
        [
            ("plan", "the plan"),
            ("plan", "Tickets created:\n- T-2 (api): The service\n- T-3 (ui): The page"),
        ]
    );
    let kinds = bed.kinds().await;
    let after_start = kinds.iter().position(|kind| *kind == "ticket_stage_started").unwrap();
    assert_eq!(
        kinds[after_start + 1..],
        ["ticket_stage_completed", "ticket_created", "ticket_created", "ticket_closed"]
    );
}

#[tokio::test]
async fn the_same_result_again_creates_nothing() {
    let (bed, _, granted) = Bed::planning(&["plan", "review"]).await;
    let mut ends = Vec::new();
    for _ in 0..16 {
        let (store, attempt) = (bed.store.clone(), granted.attempt.id);
        ends.push(tokio::spawn(async move {
            store.end_attempt(ending(attempt, asking_for(&two())), NOW).await
        }));
    }
    let mut accepted = 0;
    for end in ends {
        accepted += u32::from(end.await.unwrap().unwrap() == EndReport::Accepted);
    }
    assert_eq!(accepted, 1);
    assert_eq!(bed.end(granted.attempt.id, asking_for(&two())).await, EndReport::Duplicate);
    assert_eq!(bed.all_tickets().await.len(), 3);
    assert_eq!(bed.kinds().await.iter().filter(|kind| **kind == "ticket_created").count(), 3);
}

#[tokio::test]
async fn one_that_is_refused_fails_the_attempt_and_creates_none() {
    let (bed, parent, granted) = Bed::planning(&["plan"]).await;
    let cancelled = bed.ticket(&["impl"]).await;
    bed.store.close_ticket(cancelled.id, Resolution::Cancelled, None, NOW).await.unwrap();
    let before = bed.all_tickets().await.len();
    let good = serde_json::json!({"key": "good", "title": "Fine", "execution_plan": ["impl"]});
    let with = |field: &str, value: serde_json::Value| {
        let mut bad = serde_json::json!({"key": "bad", "title": "Not", "execution_plan": ["impl"]});
        bad[field] = value;
        serde_json::json!([good, bad])
    };
    let mut attempt = granted.attempt.id;
    let often = WorkerTypeChange { max_attempts: Some(4), ..WorkerTypeChange::default() };
    bed.store.update_worker_type("shop", "plan", often, NOW).await.unwrap();
    let wrong = [
        (with("execution_plan", serde_json::json!(["impl", "deploy"])), "execution_plan"),
        (with("depends_on", serde_json::json!(["T-99"])), "depends_on"),
        (with("depends_on", serde_json::json!(["T-2"])), "depends_on"),
        (with("execution_plan", serde_json::json!(["deploy"])), "execution_plan"),
    ];
    for (run, (tickets, field)) in wrong.iter().enumerate() {
        assert_eq!(bed.end(attempt, asking_for(tickets)).await, EndReport::Accepted);
        let detail = bed.store.ticket(parent.id).await.unwrap();
        let AttemptState::Ended(ended) = &detail.attempts[run].state else { panic!("must end") };
        assert_eq!(ended.failure, Some(Failure::MalformedResult));
        assert!(ended.detail.contains("\"bad\"") && ended.detail.contains(field), "{ended:?}");
        assert!(detail.comments.is_empty(), "a malformed result reports nothing");
        assert_eq!(bed.all_tickets().await.len(), before);
        if run + 1 < wrong.len() {
            let later = NOW.after(std::time::Duration::from_secs(3600));
            bed.store.queue_due_tickets(later).await.unwrap();
            let worker = bed.worker("plan").await;
            let again = bed.granted(worker, &format!("again {run}")).await;
            assert!(again.last_failure.unwrap().contains(field), "the next one hears of it");
            attempt = again.attempt.id;
        }
    }
    let TicketState::OnHold(Hold { reason, .. }) = bed.read(parent.id).await.state else {
        panic!("must be held")
    };
    assert!(reason.contains("malformed_result") && reason.contains("\"bad\""), "{reason}");
}

#[tokio::test]
async fn one_that_waits_for_the_planning_ticket_itself_goes_on_when_that_closes() {
    let (bed, parent, granted) = Bed::planning(&["plan"]).await;
    let tickets = serde_json::json!([
        {"key": "next", "title": "Then", "execution_plan": ["impl"], "depends_on": [parent.id.to_string()]},
    ]);
    bed.end(granted.attempt.id, asking_for(&tickets)).await;
    assert_eq!(bed.all_tickets().await[1].state, TicketState::Queued);
    assert_eq!(bed.kinds().await.last(), Some(&"ticket_unblocked"));
}

#[tokio::test]
async fn an_attempt_keeps_what_it_was_granted() {
    let (bed, _, granted) = Bed::planning(&["plan"]).await;
    let change =
        WorkerTypeChange { may_create_tickets: Some(false), ..WorkerTypeChange::default() };
    bed.store.update_worker_type("shop", "plan", change, NOW).await.unwrap();
    let again = bed.granted(granted.attempt.worker, "p1").await;
    assert!(again.settings.may_create_tickets, "the grant that is repeated is the same");
    let attempt = bed.store.attempt(granted.attempt.id).await.unwrap().unwrap();
    assert!(attempt.may_create_tickets);
}
