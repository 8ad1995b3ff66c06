//! The summary of every kind of event, for review.

use std::collections::BTreeSet;

use super::*;
use crate::domain::attempt::StopMode;
use crate::domain::event::EventKind;
use crate::domain::outcome::Failure;
use crate::domain::pause::Scope;
use crate::domain::stopping::Gone;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::TicketChange;
use crate::store::EventQuery;

/// An hour after [`NOW`].
const LATER: Timestamp = Timestamp::from_millis(4_600_000);

/// One stage of a ticket of its own, ended with this verdict.
async fn attempted(bed: &Bed, pull: &str, verdict: Verdict) -> TicketId {
    let ticket = bed.ticket(&["impl", "review"]).await.id;
    let worker = bed.worker("impl").await;
    let attempt = bed.granted(worker, pull).await.attempt.id;
    bed.end(attempt, verdict).await;
    bed.store.worker_stopped(worker, Gone::Said("the queue is empty".into()), NOW).await.unwrap();
    ticket
}

/// Every way an attempt can end without a result; a new failure class is among them.
fn ends() -> Vec<Verdict> {
    let failed =
        |failure: &Failure| Verdict::Failed { failure: *failure, detail: "the detail".into() };
    let mut ends: Vec<Verdict> = Failure::ALL.iter().map(failed).collect();
    ends.extend([
        Verdict::TimedOut { failure: Failure::Timeout, detail: "the detail".into() },
        Verdict::Cancelled,
        Verdict::Interrupted { resume: true },
        Verdict::Interrupted { resume: false },
        Verdict::Lost { detail: "the detail".into() },
    ]);
    ends
}

/// Attempts that end in each way, each on a server of its own, so that no pause of one hides another.
async fn of_ends(texts: &mut BTreeSet<String>, seen: &mut BTreeSet<&'static str>) {
    for verdict in ends() {
        let bed = Bed::new().await;
        attempted(&bed, "p1", verdict).await;
        collect(&bed, texts, seen).await;
    }
}

async fn of_the_coordinator(bed: &Bed) {
    let queue = || Scope::Queue { project: name("shop"), worker_type: name("impl") };
    for scope in [Scope::Everything, Scope::Project(name("shop")), queue()] {
        bed.store
            .pause(scope.clone(), Some("the disks are being moved".into()), NOW)
            .await
            .unwrap();
        bed.store.resume(scope, false, NOW).await.unwrap();
    }
    bed.store.hold_for_usage_limit("the account is used up".into(), LATER, NOW).await.unwrap();
    bed.store.lift_due_pauses(LATER).await.unwrap();
    let first = bed.ticket(&["impl"]).await.id;
    let new = NewTicket { depends_on: vec![first], ..Bed::new_ticket(&["impl"]) };
    bed.store.create_ticket(new, NOW).await.unwrap();
    let change = TicketChange {
        title: Some("Fix it well".into()),
        description: Some("All of it.".into()),
        priority: Some(Priority::High),
        plan: Some(Plan::new(vec![name("impl"), name("review")]).unwrap()),
        max_budget_usd: Some(Some(2.0)),
    };
    bed.store.update_ticket(first, change, NOW).await.unwrap();
    bed.store.ticket_waits(first, "git add failed: No space left on device", NOW).await.unwrap();
    bed.store.close_ticket(first, Resolution::Completed, None, NOW).await.unwrap();
    let cancelled = bed.ticket(&["impl"]).await.id;
    let new = NewTicket { depends_on: vec![cancelled], ..Bed::new_ticket(&["impl"]) };
    bed.store.create_ticket(new, NOW).await.unwrap();
    bed.store.close_ticket(cancelled, Resolution::Cancelled, None, NOW).await.unwrap();
}

async fn of_stages(bed: &Bed) {
    let question = || Some("Red or blue?".to_owned());
    for (pull, outcome) in [
        ("s1", StageOutcome::Completed),
        ("s2", StageOutcome::Blocked { question: question() }),
        ("s3", StageOutcome::Blocked { question: None }),
    ] {
        let ticket = attempted(bed, pull, said(outcome)).await;
        if pull == "s2" {
            bed.store.resume_ticket(ticket, None, Some("Red.".into()), NOW).await.unwrap();
        }
        bed.store.close_ticket(ticket, Resolution::Completed, None, NOW).await.unwrap();
    }
    let ticket = attempted(bed, "s4", completed()).await;
    let worker = bed.worker("review").await;
    let attempt = bed.granted(worker, "s5").await.attempt.id;
    bed.end(attempt, said(StageOutcome::Rework { stage: None })).await;
    let result = StageResult {
        outcome: StageOutcome::Completed,
        report: "The report.".into(),
        tickets: Vec::new(),
    };
    bed.store.complete_stage(ticket, "impl", result, NOW).await.unwrap();
    bed.store.stop_worker(worker, StopMode::Drain, NOW).await.unwrap();
    bed.store.worker_stopped(worker, Gone::Said("it was done".into()), NOW).await.unwrap();
}

async fn collect(bed: &Bed, texts: &mut BTreeSet<String>, seen: &mut BTreeSet<&'static str>) {
    let query = EventQuery {
        after: None,
        include_processed: true,
        scope: crate::store::EventScope::default(),
        consumer: "test".into(),
        limit: 1000,
    };
    for event in bed.store.events(query).await.unwrap().events {
        seen.insert(event.kind.name());
        texts.insert(format!("{}: {}", event.kind.name(), event.summary));
    }
}

#[tokio::test]
async fn the_summaries_are_the_reviewed_ones_and_every_kind_has_one() {
    let (mut texts, mut seen) = (BTreeSet::new(), BTreeSet::new());
    of_ends(&mut texts, &mut seen).await;
    let bed = Bed::new().await;
    of_stages(&bed).await;
    collect(&bed, &mut texts, &mut seen).await;
    let bed = Bed::new().await;
    of_the_coordinator(&bed).await;
    collect(&bed, &mut texts, &mut seen).await;
    let bed = Bed::new().await;
    super::gates::tell(&bed).await;
    super::cleanup::tell(&bed).await;
    collect(&bed, &mut texts, &mut seen).await;
    let bed = Bed::new().await;
    super::warnings::tell(&bed).await;
    collect(&bed, &mut texts, &mut seen).await;
    let missing: Vec<&str> =
        EventKind::NAMES.into_iter().filter(|name| !seen.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "a kind of event without an example");
    let texts: Vec<String> = texts.into_iter().collect();
    crate::snapshot::holds("events", &texts.join("\n"));
}
