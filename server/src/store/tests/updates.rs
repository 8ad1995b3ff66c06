use super::Bed;
use super::NOW;
use super::completed;
use super::name;
use super::refusal;
use crate::domain::refusal::Refusal;
use crate::domain::ticket::Plan;
use crate::domain::ticket::Priority;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::TicketChange;

fn plan(stages: &[&str]) -> Plan {
    Plan::new(stages.iter().map(|stage| name(stage)).collect()).expect("a plan")
}

#[tokio::test]
async fn words_priority_and_what_has_not_begun_can_be_changed() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["plan", "impl"]).await.id;
    let change = TicketChange {
        title: Some("Repair it".into()),
        description: Some("All of it.".into()),
        priority: Some(Priority::Urgent),
        // Nothing has begun: even the first stage may become another.
        plan: Some(plan(&["impl", "review"])),
        max_budget_usd: Some(Some(2.5)),
    };
    let changed = bed.store.update_ticket(ticket, change.clone(), NOW).await.unwrap();
    assert_eq!((changed.title.as_str(), changed.priority), ("Repair it", Priority::Urgent));
    assert_eq!(changed.current_stage().as_str(), "impl");
    assert_eq!(changed.max_budget_usd, Some(2.5));
    // The same again changes nothing, and says nothing.
    bed.store.update_ticket(ticket, change, NOW).await.unwrap();
    assert_eq!(bed.kinds().await.iter().filter(|kind| **kind == "ticket_updated").count(), 1);

    let worker = bed.worker("impl").await;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    let replan = |stages| TicketChange { plan: Some(plan(stages)), ..TicketChange::default() };
    let begun = bed.store.update_ticket(ticket, replan(&["plan", "review"]), NOW).await;
    assert!(matches!(refusal(begun), Refusal::StagesBegun { begun, .. } if begun == ["impl"]));
    let unknown = bed.store.update_ticket(ticket, replan(&["impl", "paint"]), NOW).await;
    assert!(matches!(refusal(unknown), Refusal::UnknownWorkerType { .. }));
    bed.store.update_ticket(ticket, replan(&["impl", "plan", "review"]), NOW).await.unwrap();
    bed.end(attempt, completed()).await;
    assert_eq!(bed.read(ticket).await.current_stage().as_str(), "plan");
    // What is before the current stage has begun too, also when the coordinator completed it.
    let short = bed.store.update_ticket(ticket, replan(&["impl"]), NOW).await;
    assert!(matches!(refusal(short), Refusal::StagesBegun { .. }));

    bed.store.close_ticket(ticket, Resolution::Cancelled, None, NOW).await.unwrap();
    let closed = bed.store.update_ticket(ticket, replan(&["impl", "review"]), NOW).await;
    assert!(matches!(refusal(closed), Refusal::TicketClosed { .. }));
}
