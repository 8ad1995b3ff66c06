//! Making, completing, closing and deleting, and what each refuses.

use super::*;
use crate::domain::hold::Hold;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::TicketState;

#[tokio::test]
async fn the_same_idempotency_key_returns_the_same_ticket() {
    let bed = Bed::new().await;
    let keyed = || NewTicket { idempotency_key: Some("k".into()), ..Bed::new_ticket(&["impl"]) };
    let first = bed.store.create_ticket(keyed(), NOW).await.unwrap();
    let second = bed.store.create_ticket(keyed(), NOW).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(bed.kinds().await, ["ticket_created"]);
}

#[tokio::test]
async fn a_refused_ticket_leaves_nothing() {
    let bed = Bed::new().await;
    let unknown = refusal(bed.store.create_ticket(Bed::new_ticket(&["impl", "deploy"]), NOW).await);
    assert!(
        matches!(unknown, Refusal::UnknownWorkerType { worker_type, .. } if worker_type == "deploy")
    );
    let orphan =
        NewTicket { depends_on: vec![TicketId::from_key(9)], ..Bed::new_ticket(&["impl"]) };
    let refused = refusal(bed.store.create_ticket(orphan, NOW).await);
    assert_eq!(refused, Refusal::UnknownDependency { ticket: TicketId::from_key(9) });
    assert_eq!(bed.kinds().await, Vec::<&str>::new());
    assert_eq!(bed.ticket(&["impl"]).await.id, TicketId::from_key(1));
}

#[tokio::test]
async fn a_ticket_waits_for_the_last_of_those_it_depends_on() {
    let bed = Bed::new().await;
    let (a, b) = (bed.ticket(&["impl"]).await, bed.ticket(&["impl"]).await);
    let waiting = NewTicket { depends_on: vec![a.id, b.id], ..Bed::new_ticket(&["impl"]) };
    let waiting = bed.store.create_ticket(waiting, NOW).await.unwrap();
    assert_eq!(waiting.state, TicketState::Blocked);
    bed.store.close_ticket(a.id, Resolution::Completed, None, NOW).await.unwrap();
    assert_eq!(bed.read(waiting.id).await.state, TicketState::Blocked);
    bed.store.close_ticket(b.id, Resolution::Completed, None, NOW).await.unwrap();
    assert_eq!(bed.read(waiting.id).await.state, TicketState::Queued);
    assert!(bed.kinds().await.contains(&"ticket_unblocked"));
}

#[tokio::test]
async fn a_cancelled_dependency_asks_the_coordinator() {
    let bed = Bed::new().await;
    let first = bed.ticket(&["impl"]).await;
    let waiting = NewTicket { depends_on: vec![first.id], ..Bed::new_ticket(&["impl"]) };
    let waiting = bed.store.create_ticket(waiting, NOW).await.unwrap();
    bed.store.close_ticket(first.id, Resolution::Cancelled, None, NOW).await.unwrap();
    let TicketState::OnHold(Hold { reason, .. }) = bed.read(waiting.id).await.state else {
        panic!("must be held")
    };
    assert!(reason.contains("T-1"));
    let late = NewTicket { depends_on: vec![first.id], ..Bed::new_ticket(&["impl"]) };
    let refused = refusal(bed.store.create_ticket(late, NOW).await);
    assert_eq!(refused, Refusal::DependencyCancelled { ticket: first.id });
    assert_eq!(
        bed.store.resume_ticket(waiting.id, None, None, NOW).await.unwrap().state,
        TicketState::Queued
    );
}

#[tokio::test]
async fn the_schema_itself_makes_a_cycle_impossible() {
    let bed = Bed::new().await;
    let (a, b) = (bed.ticket(&["impl"]).await, bed.ticket(&["impl"]).await);
    let written = bed
        .store
        .writer
        .write::<(), _>(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO ticket_dependency (ticket_id, depends_on_id) VALUES (?1, ?2)",
                )
                .bind(a.id.key())
                .bind(b.id.key())
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await;
    assert!(matches!(written, Err(Error::Failed(_))), "{written:?}");
}

#[tokio::test]
async fn the_coordinator_completes_only_the_current_stage_that_nobody_runs() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["plan", "impl"]).await;
    let done = || StageResult {
        outcome: StageOutcome::Completed,
        report: "done manually".into(),
        tickets: Vec::new(),
    };
    let wrong = refusal(bed.store.complete_stage(ticket.id, "impl", done(), NOW).await);
    assert!(matches!(wrong, Refusal::StageNotCurrent { current, .. } if current == "plan"));
    let rework = StageResult {
        outcome: StageOutcome::Rework { stage: None },
        report: "r".into(),
        tickets: Vec::new(),
    };
    let nowhere = refusal(bed.store.complete_stage(ticket.id, "plan", rework, NOW).await);
    assert!(matches!(nowhere, Refusal::NotAnEarlierStage { .. }));
    bed.store.complete_stage(ticket.id, "plan", done(), NOW).await.unwrap();
    let worker = bed.worker("impl").await;
    bed.granted(worker, "p1").await;
    let running = refusal(bed.store.complete_stage(ticket.id, "impl", done(), NOW).await);
    assert!(matches!(running, Refusal::TicketRunning { .. }));
}

#[tokio::test]
async fn rework_runs_in_laps_and_stops_at_the_limit() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl", "review"]).await;
    let done = || StageResult {
        outcome: StageOutcome::Completed,
        report: "r".into(),
        tickets: Vec::new(),
    };
    let again = || StageResult {
        outcome: StageOutcome::Rework { stage: None },
        report: "r".into(),
        tickets: Vec::new(),
    };
    for lap in 1..=3 {
        bed.store.complete_stage(ticket.id, "impl", done(), NOW).await.unwrap();
        let sent = bed.store.complete_stage(ticket.id, "review", again(), NOW).await.unwrap();
        assert_eq!((sent.rework_laps, sent.stage_index), (lap, 0));
    }
    bed.store.complete_stage(ticket.id, "impl", done(), NOW).await.unwrap();
    let held = bed.store.complete_stage(ticket.id, "review", again(), NOW).await.unwrap();
    assert!(matches!(held.state, TicketState::OnHold(_)));
}

#[tokio::test]
async fn deleting_refuses_while_in_use_and_loses_nothing_when_forced() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["plan", "impl"]).await;
    let in_use = refusal(bed.store.delete_worker_type("shop", "impl", false, NOW).await);
    assert_eq!(
        in_use,
        Refusal::WorkerTypeInUse { worker_type: "impl".into(), tickets: vec![ticket.id] }
    );
    bed.store.delete_worker_type("shop", "impl", true, NOW).await.unwrap();
    assert!(matches!(bed.read(ticket.id).await.state, TicketState::OnHold(_)));
    let busy = refusal(bed.store.delete_project("shop", false, NOW).await);
    assert!(matches!(busy, Refusal::ProjectInUse { open_tickets: 1, .. }));
    bed.store.delete_project("shop", true, NOW).await.unwrap();
    assert!(matches!(bed.read(ticket.id).await.state, TicketState::Closed { .. }));
    assert!(matches!(refusal(bed.store.project("shop").await), Refusal::UnknownProject { .. }));
}

#[tokio::test]
async fn deleting_a_queue_holds_its_tickets() {
    let bed = Bed::new().await;
    let waiting = bed.ticket(&["impl"]).await;
    let queue = bed.store.delete_queue("shop", "impl", false, NOW).await.unwrap();
    assert_eq!(queue.depth, 0);
    assert!(matches!(bed.read(waiting.id).await.state, TicketState::OnHold(_)));
    bed.ticket(&["impl"]).await;
    let worker = bed.worker("impl").await;
    bed.granted(worker, "p1").await;
    let busy = refusal(bed.store.delete_queue("shop", "impl", false, NOW).await);
    assert!(matches!(busy, Refusal::QueueBusy { workers, .. } if workers == [worker]));
}
