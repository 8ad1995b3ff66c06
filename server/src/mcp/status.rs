//! What the server as a whole is doing.

use crate::mcp::service::Service;
use crate::store;
use crate::store::AtWork;
use crate::wire::pause::PauseView;
use crate::wire::status::AtWorkView;
use crate::wire::status::ServerStatus;
use crate::wire::status::TodayView;

/// What runs, what is paused, and what today has cost. `ready`: whether the database answers.
pub(crate) async fn status(service: &Service, ready: bool) -> store::Result<ServerStatus> {
    let counts = service.store.counts().await?;
    let now = service.store.now_at_work(service.now()).await?;
    Ok(ServerStatus {
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ready,
        disk_low: service.room().is_some_and(|room| room.low),
        draining: service.is_draining(),
        tickets: counts.tickets_by_state.into(),
        pauses: now.pauses.into_iter().map(PauseView::from).collect(),
        at_work: now.at_work.into_iter().map(at_work).collect(),
        today: TodayView {
            cost_usd: now.today.cost_usd,
            assumed_usd: now.today.assumed_usd,
            limit_usd: now.today.limit_usd,
        },
    })
}

fn at_work(found: AtWork) -> AtWorkView {
    AtWorkView {
        ticket_id: found.ticket.to_string(),
        project: found.project,
        title: found.title,
        stage: found.stage,
        attempt_id: found.attempt.to_string(),
        worker_id: found.worker.to_string(),
        since: found.since.to_string(),
        cost_usd: found.cost_usd,
        assumed_usd: found.assumed_usd,
        budget_usd: found.budget_usd,
        memory_bytes: found.memory_bytes,
        progress: found.progress,
    }
}
