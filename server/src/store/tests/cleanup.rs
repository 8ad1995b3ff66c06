//! The cleanup of a worktree that is due for removal: it is tried once, and never keeps the worktree.

use std::time::Duration;

use super::gates::RED;
use super::gates::ended;
use super::*;
use crate::domain::gates::kind::AttemptKind;
use crate::domain::gates::kind::CleanupStep;
use crate::domain::gates::ran::Ran;
use crate::domain::outcome::Failure;
use crate::domain::pause::Scope;
use crate::domain::ticket::Resolution;
use crate::store::CheckClaim;
use crate::store::GrantedCheck;

const DAY: Duration = Duration::from_hours(24);
const FILE: &str = "[worktree]\ncleanup = [[\"docker\", \"compose\", \"down\"]]\nsetup_timeout_seconds = 60\nports = 3\n";

fn nothing() -> Ran {
    Ran::Nothing { failure: Failure::Lost, detail: "its shim died".to_owned() }
}

impl Bed {
    /// A closed ticket whose worktree is due for removal.
    async fn due(&self) -> TicketId {
        let id = self.gated(&["impl"], FILE).await;
        self.store.close_ticket(id, Resolution::Cancelled, None, NOW).await.expect("closed");
        self.store.begin_cleanup(id, NOW).await.expect("begun");
        id
    }

    async fn claimed(&self, pull: &str, now: Timestamp) -> GrantedCheck {
        let worker = self.check_worker().await;
        match self.store.claim_check(worker, pull, now).await.expect("a claim") {
            CheckClaim::Granted(granted) => *granted,
            other @ (CheckClaim::Nothing | CheckClaim::Changed | CheckClaim::Leave) => {
                panic!("{other:?}")
            }
        }
    }

    /// Runs the cleanup that is next to this end.
    async fn cleaned(&self, pull: &str, ran: Ran, now: Timestamp) {
        let attempt = self.claimed(pull, now).await.attempt.id;
        let end = self.store.end_check(ended(attempt, ran), now).await.expect("an end");
        assert_eq!(end, EndReport::Accepted);
    }

    async fn step(&self, id: TicketId) -> CleanupStep {
        self.store.cleanup(id).await.expect("readable").expect("it is due").step
    }

    /// How many cleanups have failed.
    async fn failures(&self) -> i64 {
        let sql = "SELECT COUNT(*) FROM event WHERE kind = 'cleanup_failed'";
        sqlx::query_scalar(sql).fetch_one(&self.store.readers).await.expect("readable")
    }
}

/// One event of the kind about cleanups.
pub(super) async fn tell(bed: &Bed) {
    bed.due().await;
    bed.cleaned("cleanup", RED, NOW).await;
}

#[tokio::test]
async fn a_cleanup_is_an_attempt_of_its_closed_ticket_and_runs_once() {
    let bed = Bed::new().await;
    let id = bed.gated(&["impl"], FILE).await;
    let ports = bed.store.ports_of(id).await.unwrap().expect("it has ports");
    bed.store.begin_cleanup(id, NOW).await.unwrap();
    assert_eq!(bed.store.cleanup(id).await.unwrap(), None, "it is open");
    bed.store.close_ticket(id, Resolution::Completed, None, NOW).await.unwrap();
    bed.store.begin_cleanup(id, NOW).await.unwrap();
    bed.store.begin_cleanup(id, NOW).await.unwrap();
    let (due, _) = bed.store.due_checks(NOW).await.unwrap();
    assert_eq!(due.iter().map(|project| project.due).collect::<Vec<_>>(), [1]);
    let granted = bed.claimed("p", NOW).await;
    let attempt = &granted.attempt;
    let command = ["docker", "compose", "down"].map(str::to_owned).to_vec();
    assert_eq!((attempt.kind, attempt.timeout_seconds), (AttemptKind::Cleanup, Some(60)));
    assert_eq!(attempt.check.as_ref().unwrap().commands, [command]);
    assert_eq!(granted.first_port, Some(ports.0), "what is cleaned up may be named after it");
    assert_eq!(bed.step(id).await, CleanupStep::Running);
    let shown = bed.store.ticket(id).await.unwrap().attempts;
    assert_eq!(shown.iter().map(|shown| shown.kind).collect::<Vec<_>>(), [AttemptKind::Cleanup]);
    bed.store.end_check(ended(attempt.id, Ran::Passed), NOW).await.unwrap();
    assert_eq!((bed.step(id).await, bed.failures().await), (CleanupStep::Over, 0));
    let (due, _) = bed.store.due_checks(NOW).await.unwrap();
    assert_eq!(due, []);
    bed.store.worktree_removed(id, NOW).await.unwrap();
    assert_eq!(bed.store.cleanup(id).await.unwrap(), None);
}

#[tokio::test]
async fn a_cleanup_that_was_cut_off_is_repeated_and_whatever_else_happened_is_its_result() {
    let bed = Bed::new().await;
    let id = bed.due().await;
    bed.cleaned("cut off", Ran::Interrupted, NOW).await;
    assert_eq!(bed.step(id).await, CleanupStep::Due);
    // What says nothing about the commands is repeated as well, but not for ever.
    let mut now = NOW;
    for (pull, step) in [("a", CleanupStep::Due), ("b", CleanupStep::Due), ("c", CleanupStep::Over)]
    {
        bed.cleaned(pull, nothing(), now).await;
        assert_eq!((pull, bed.step(id).await), (pull, step));
        now = now.after(DAY);
    }
    assert_eq!(bed.failures().await, 1);
    for (pull, ran) in [("d", RED), ("e", Ran::TimedOut { at: 0 }), ("f", Ran::Cancelled)] {
        let id = bed.due().await;
        bed.cleaned(pull, ran, NOW).await;
        assert_eq!(bed.step(id).await, CleanupStep::Over);
    }
    assert_eq!(bed.failures().await, 4);
}

#[tokio::test]
async fn a_cleanup_that_finds_no_worker_for_a_day_is_given_up_unless_everything_is_paused() {
    let bed = Bed::new().await;
    let id = bed.due().await;
    let give_up =
        async |now: Timestamp| bed.store.give_up_cleanup(id, now.before(DAY), now).await.unwrap();
    assert!(!give_up(NOW.after(DAY)).await, "not yet");
    bed.store.pause(Scope::Everything, Some("lunch".into()), NOW).await.unwrap();
    assert!(!give_up(NOW.after(DAY * 2)).await, "somebody keeps it from running");
    bed.store.resume(Scope::Everything, false, NOW).await.unwrap();
    assert!(give_up(NOW.after(DAY * 2)).await);
    assert_eq!((bed.step(id).await, bed.failures().await), (CleanupStep::Over, 1));
}
