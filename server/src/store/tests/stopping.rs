//! Stopping work and keeping it stopped.

use super::*;
use crate::domain::attempt::StopMode;
use crate::domain::pause::Scope;
use crate::domain::stopping::StopWhat;
use crate::domain::ticket::TicketState;

#[tokio::test]
async fn a_ticket_that_waits_goes_on_hold_and_one_that_runs_is_cancelled() {
    let bed = Bed::new().await;
    let worker = bed.worker("impl").await;
    let running = bed.ticket(&["impl"]).await.id;
    let waiting = bed.ticket(&["impl"]).await.id;
    assert!(matches!(bed.claim(worker, "p1").await, Claim::Granted(_)));
    let stop = |id| bed.store.stop_work(StopWhat::Ticket(id), "enough".into(), NOW);

    let stopped = stop(waiting).await.unwrap();
    assert_eq!((stopped.tickets, stopped.workers), (vec![waiting], vec![]));
    let found = bed.store.find_ticket(waiting).await.unwrap();
    assert!(matches!(&found.state, TicketState::OnHold(hold) if hold.reason == "enough"));
    assert_eq!(stop(waiting).await.unwrap().tickets, [waiting], "twice is once");

    let stopped = stop(running).await.unwrap();
    assert_eq!((stopped.tickets, stopped.workers), (vec![running], vec![worker]));
    assert_eq!(bed.store.worker(worker).await.unwrap().stop, Some(StopMode::Cancel));
    assert!(bed.store.all_pauses().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_project_and_the_server_are_paused_too() {
    let bed = Bed::new().await;
    let worker = bed.worker("impl").await;
    let ticket = bed.ticket(&["impl"]).await.id;
    assert!(matches!(bed.claim(worker, "p1").await, Claim::Granted(_)));
    let project = StopWhat::Project(name("shop"));
    let stopped = bed.store.stop_work(project, "enough".into(), NOW).await.unwrap();
    assert_eq!((stopped.tickets, stopped.workers), (vec![ticket], vec![worker]));
    let stopped = bed.store.stop_work(StopWhat::Everything, "all".into(), NOW).await.unwrap();
    assert_eq!(stopped.workers, [worker]);
    let scopes: Vec<Scope> =
        bed.store.all_pauses().await.unwrap().into_iter().map(|pause| pause.scope).collect();
    assert_eq!(scopes, [Scope::Everything, Scope::Project(name("shop"))]);
}
