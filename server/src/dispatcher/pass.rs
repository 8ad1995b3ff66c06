//! The loop: it looks at everything, again and again.

use std::time::Duration;
use std::time::Instant;

use super::agent::Lookout;
use super::background::Background;
use super::brakes::Brakes;
use super::disk_notice::DiskNotice;
use super::idle::Idle;
use super::launches::Launches;
use super::orders::Orders;
use super::pulse::Pulse;
use super::reconcile::Reconciler;
use super::silent::Silent;
use super::strangers::Strangers;
use super::worktrees::Worktrees;
use crate::clock::Clock;
use crate::obstacles::Obstacles;
use crate::store::Result;
use crate::store::Store;
use crate::telemetry::chain;

/// Passes are at least this far apart, so that a thousand commits a second cost a hundred passes
/// rather than a thousand.
const PASS_GAP: Duration = Duration::from_millis(10);
/// Without any commit, the dispatcher looks this often; a lost wake-up costs this much and no more.
const TICK: Duration = Duration::from_secs(5);
/// How often it looks while something is under way that no commit announces: a worker without a link, an attempt that
/// is being killed or is overdue, a start that is held back.
const WATCHFUL_TICK: Duration = Duration::from_millis(500);
/// How long until a failed pass is repeated.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// The loop over the level. There is exactly one.
#[derive(Debug)]
pub struct Pass {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) brakes: Brakes,
    pub(super) obstacles: Obstacles,
    pub(super) pulse: Pulse,
    pub(super) background: Background,
    pub(super) steps: Steps,
}

/// The steps of a pass. Whatever they remember from one pass to the next may be forgotten at any
/// restart.
#[derive(Debug)]
pub(super) struct Steps {
    pub(super) lookout: Lookout,
    pub(super) disk_notice: DiskNotice,
    pub(super) orders: Orders,
    pub(super) silent: Silent,
    pub(super) idle: Idle,
    pub(super) reconciler: Reconciler,
    pub(super) strangers: Strangers,
    pub(super) worktrees: Worktrees,
    pub(super) launches: Launches,
}

impl Pass {
    /// Looks and acts until the server stops.
    pub async fn run(mut self) {
        let mut level = self.store.level();
        let mut brakes = self.brakes.clone();
        let mut questions = self.pulse.questions();
        loop {
            level.mark_unchanged();
            let question = *questions.borrow_and_update();
            let wait = match Box::pin(self.once()).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(error = %chain(&error), "a pass of the dispatcher failed; it is repeated");
                    AFTER_ERROR
                }
            };
            self.pulse.answer(question);
            tokio::select! {
                () = self.background.shutdown() => break,
                () = tokio::time::sleep(wait) => {}
                Ok(()) = questions.changed() => {}
                () = self.background.asked_to_look() => {}
                changed = level.changed() => if changed.is_err() { break },
                () = brakes.changed() => {}
            }
            tokio::time::sleep(PASS_GAP).await;
        }
        self.background.end().await;
    }

    /// Makes one pass. Returns how long the loop may sleep unless a commit wakes it.
    async fn once(&mut self) -> Result<Duration> {
        let present = self.clock.present();
        let now = present.now;
        let steps = &mut self.steps;
        let due = self.store.queue_due_tickets(now).await?;
        let looking = steps.lookout.look().await?;
        steps.disk_notice.update(now).await;
        let pause_ends = self.store.lift_due_pauses(now).await?;
        let due = due.into_iter().chain(pause_ends).min();
        steps.orders.stop_over_limit(now).await?;
        steps.orders.deliver_limits().await?;
        let workers = self.store.live_workers().await?;
        steps.orders.deliver_stops(&workers).await?;
        let killing = steps.silent.kill_silent(&workers).await?;
        let overdue = steps.silent.end_overdue(&present).await?;
        let silent = steps.idle.end_silent(&workers, &present).await?;
        let unlinked = Box::pin(steps.reconciler.reconcile(&workers, now)).await?;
        let strangers = steps.strangers.await_gone(now).await?;
        let held_back = self.brakes.hold_back(strangers);
        self.obstacles.set_held_back(held_back);
        let may_start = self.brakes.may_start();
        steps.worktrees.tend(may_start).await?;
        if may_start {
            steps.launches.launch(&workers, now).await?;
            steps.launches.launch_checks(&workers, now).await?;
        }
        let is_watchful =
            unlinked || held_back.is_some() || killing || overdue || silent || looking;
        let tick = if is_watchful { WATCHFUL_TICK } else { TICK };
        let opens_in = steps.launches.opens_in(Instant::now());
        let tick = opens_in.map_or(tick, |opens| opens.min(tick));
        Ok(due.map_or(tick, |due| due.since(now).min(tick)))
    }
}
