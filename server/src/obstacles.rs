//! What is in the way of tickets and is not a row of the database. The parts that meet an obstacle write it here, and `why`
//! reads it.
//!
//! Nothing that lasts is decided by it. It is forgotten with the process, and met again by the next one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use crate::domain::id::TicketId;
use crate::domain::waiting::FailedLaunch;
use crate::domain::waiting::GitStep;
use crate::domain::waiting::HeldBack;

/// Cheap to clone; all clones share the same obstacles.
#[derive(Clone, Debug, Default)]
pub struct Obstacles {
    met: Arc<Mutex<Met>>,
}

#[derive(Debug, Default)]
struct Met {
    held_back: Option<HeldBack>,
    launches: Option<FailedLaunch>,
    offline_launches: Option<FailedLaunch>,
    shim_too_old: bool,
    git: HashMap<TicketId, (Instant, GitStep)>,
}

impl Obstacles {
    fn lock(&self) -> MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_held_back(&self, why: Option<HeldBack>) {
        self.lock().held_back = why;
    }

    #[must_use]
    pub fn held_back(&self) -> Option<HeldBack> {
        self.lock().held_back
    }

    /// The last launch failed, or, with `None`, succeeded.
    pub fn set_launches(&self, failed: Option<FailedLaunch>) {
        self.lock().launches = failed;
    }

    #[must_use]
    pub fn launches(&self) -> Option<FailedLaunch> {
        self.lock().launches.clone()
    }

    /// The same for workers without a network.
    pub fn set_offline_launches(&self, failed: Option<FailedLaunch>) {
        self.lock().offline_launches = failed;
    }

    #[must_use]
    pub fn offline_launches(&self) -> Option<FailedLaunch> {
        self.lock().offline_launches.clone()
    }

    /// Whether the shim that was launched last for setups and gates runs none of them.
    pub fn set_shim_too_old(&self, is_too_old: bool) {
        self.lock().shim_too_old = is_too_old;
    }

    #[must_use]
    pub fn is_shim_too_old(&self) -> bool {
        self.lock().shim_too_old
    }

    /// Takes the git steps of a ticket in hand, until what is returned is dropped. `None`: they are in hand already.
    #[must_use]
    pub fn begin_git(&self, ticket: TicketId) -> Option<InHand> {
        let mut met = self.lock();
        if met.git.contains_key(&ticket) {
            return None;
        }
        met.git.insert(ticket, (Instant::now(), GitStep::Queued));
        Some(InHand { obstacles: self.clone(), ticket })
    }

    /// The tickets that nobody waits for: their git steps fail and are tried again, or have taken so long already. What an
    /// agent left may keep git busy for minutes, and tickets whose worktrees are ready would wait behind it.
    #[must_use]
    pub fn passed_over(&self, patience: Duration) -> Vec<TicketId> {
        let met = self.lock();
        let is_long = |begun: &Instant, step: &GitStep| {
            matches!(step, GitStep::Failed { .. }) || begun.elapsed() >= patience
        };
        let long = met.git.iter().filter(|(_, (begun, step))| is_long(begun, step));
        long.map(|(ticket, _)| *ticket).collect()
    }

    /// Sets how far they are. Ignored for a ticket whose git steps are not in hand.
    pub fn set_git(&self, ticket: TicketId, step: GitStep) {
        if let Some((_, known)) = self.lock().git.get_mut(&ticket) {
            *known = step;
        }
    }

    #[must_use]
    pub fn git(&self, ticket: TicketId) -> Option<GitStep> {
        self.lock().git.get(&ticket).map(|(_, step)| step.clone())
    }
}

/// The git steps of a ticket, in hand as long as this exists.
#[derive(Debug)]
pub struct InHand {
    obstacles: Obstacles,
    ticket: TicketId,
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.obstacles.lock().git.remove(&self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_what_fails_or_has_taken_long() {
        let obstacles = Obstacles::default();
        let ticket = TicketId::from_key(1);
        let hour = Duration::from_hours(1);
        let in_hand = obstacles.begin_git(ticket).unwrap();
        obstacles.set_git(ticket, GitStep::Working);
        assert_eq!(obstacles.passed_over(hour), []);
        assert_eq!(obstacles.passed_over(Duration::ZERO), [ticket]);
        obstacles.set_git(ticket, GitStep::Failed { why: "the disk is full".to_owned() });
        assert_eq!(obstacles.passed_over(hour), [ticket]);
        drop(in_hand);
        assert_eq!(obstacles.passed_over(Duration::ZERO), []);
    }
}
