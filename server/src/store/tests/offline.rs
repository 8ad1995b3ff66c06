//! Gates that must have no network: which workers run them, what is set up for them first, and what keeps them from running.

use super::gates::FILE;
use super::gates::RED;
use super::*;
use crate::domain::gates::kind::AttemptKind;
use crate::domain::gates::kind::Step;
use crate::domain::gates::offline::Unkept;
use crate::domain::gates::ran::Exit;
use crate::domain::gates::ran::Ran;
use crate::domain::hold::HoldKind;
use crate::domain::ticket::TicketState;
use crate::store::BaseWait;
use crate::store::CheckClaim;
use crate::store::DueChecks;

fn offline() -> String {
    format!("{FILE}network = false\n")
}

/// The same, compared with the base commit, where something has to be set up.
fn compared() -> String {
    let file = offline().replace("baseline = false", "baseline = true");
    format!("{file}[worktree]\nsetup = [[\"npm\", \"ci\"]]\nsetup_timeout_seconds = 77\n")
}

impl Bed {
    /// How often something is due for workers with or without a network.
    async fn due_kinds(&self) -> Vec<(bool, i64)> {
        let (due, _) = self.store.due_checks(NOW).await.expect("readable");
        due.into_iter().map(|DueChecks { has_network, due, .. }| (has_network, due)).collect()
    }

    async fn offline_worker(&self) -> WorkerId {
        self.check_worker_of(/* has network */ false).await
    }

    /// A ticket whose gate was red at its own commit and now runs on the base commit.
    async fn on_base(&self, pull: &str) -> TicketId {
        let id = self.gated(&["impl"], &compared()).await;
        self.judged(&format!("{pull}-setup"), Ran::Passed).await;
        self.work("impl", pull).await;
        self.plan(id).await;
        let attempt = self.check(self.offline_worker().await, &format!("{pull}-gate")).await;
        self.ran(attempt.attempt.id, RED).await;
        id
    }
}

#[tokio::test]
async fn a_gate_without_network_runs_in_a_worker_without_one_and_nothing_else_does() {
    let bed = Bed::new().await;
    let file = format!("{}[worktree]\nsetup = [[\"npm\", \"ci\"]]\n", offline());
    let id = bed.gated(&["impl"], &file).await;
    let (with, without) = (bed.check_worker().await, bed.offline_worker().await);
    assert_eq!(bed.due_kinds().await, [(true, 1)], "a setup fetches things");
    assert_eq!(bed.store.claim_check(without, "a", NOW).await.unwrap(), CheckClaim::Nothing);
    let setup = bed.check(with, "a").await.attempt;
    bed.ran(setup.id, Ran::Passed).await;
    bed.work("impl", "p").await;
    bed.plan(id).await;
    assert_eq!(bed.due_kinds().await, [(false, 1)]);
    assert_eq!(bed.store.claim_check(with, "b", NOW).await.unwrap(), CheckClaim::Nothing);
    let workers = [with, without].map(|worker| bed.store.worker(worker));
    let [with, without] = workers;
    assert!(!bed.store.has_checks(&with.await.unwrap(), NOW).await.unwrap());
    assert!(bed.store.has_checks(&without.await.unwrap(), NOW).await.unwrap());
    let gate = bed.check(bed.offline_worker().await, "b").await.attempt;
    assert_eq!(gate.kind, AttemptKind::Gate);
    bed.ran(gate.id, Ran::Passed).await;
    assert!(matches!(bed.read(id).await.state, TicketState::Closed { .. }));
}

#[tokio::test]
async fn a_base_commit_is_set_up_with_a_network_before_the_gate_runs_there_without() {
    let bed = Bed::new().await;
    let id = bed.on_base("p").await;
    let commit = "b".repeat(40);
    let worktree = BaseWait::Worktree { commit: commit.clone() };
    assert_eq!(bed.store.judge_by_base(id, NOW).await.unwrap(), worktree);
    bed.store.base_ready(id).await.unwrap();
    assert_eq!(bed.due_kinds().await, [(true, 1)]);
    let setup = bed.check(bed.check_worker().await, "base-setup").await.attempt;
    let check = setup.check.clone().unwrap();
    assert_eq!((setup.kind, setup.timeout_seconds), (AttemptKind::Setup, Some(77)));
    assert_eq!((check.is_base, check.commit), (true, Some(commit.clone())));
    assert_eq!(check.commands, [["npm", "ci"]]);
    bed.ran(setup.id, Ran::Passed).await;
    assert_eq!(bed.due_kinds().await, [(false, 1)]);
    let base = bed.check(bed.offline_worker().await, "base").await.attempt;
    let check = base.check.clone().unwrap();
    assert_eq!((base.kind, check.is_base, check.commit), (AttemptKind::Gate, true, Some(commit)));
    assert_eq!(check.commands, [["make", "test"]]);
    bed.ran(base.id, RED).await;
    assert!(matches!(bed.read(id).await.state, TicketState::Closed { .. }), "it failed before");
    // What was found there serves others.
    let other = bed.on_base("q").await;
    assert!(matches!(bed.read(other).await.state, TicketState::Closed { .. }));
}

#[tokio::test]
async fn a_base_commit_that_cannot_be_set_up_excuses_nothing_and_is_left_to_others() {
    let bed = Bed::new().await;
    let id = bed.on_base("p").await;
    let other = bed.on_base("q").await;
    bed.store.judge_by_base(id, NOW).await.unwrap();
    assert_eq!(bed.store.judge_by_base(other, NOW).await.unwrap(), BaseWait::Busy);
    bed.store.base_ready(id).await.unwrap();
    let setup = bed.check(bed.check_worker().await, "base-setup").await.attempt;
    assert_eq!(bed.store.judge_by_base(other, NOW).await.unwrap(), BaseWait::Busy);
    bed.ran(setup.id, Ran::Failed { at: 0, how: Exit::Code(1) }).await;
    let told = bed.read(id).await;
    assert_eq!((told.state, told.gate_failures), (TicketState::Queued, 1));
    let wait = bed.store.judge_by_base(other, NOW).await.unwrap();
    assert!(matches!(wait, BaseWait::Worktree { .. }), "{wait:?}");
    // Cut off between setup and gate, the other begins with a fresh worktree.
    bed.store.base_ready(other).await.unwrap();
    let setup = bed.check(bed.check_worker().await, "other-setup").await.attempt;
    bed.ran(setup.id, Ran::Passed).await;
    let base = bed.check(bed.offline_worker().await, "other-base").await.attempt;
    bed.ran(base.id, Ran::Interrupted).await;
    assert_eq!(bed.store.checks_at(Step::Base).await.unwrap(), [other]);
    bed.store.judge_by_base(other, NOW).await.unwrap();
    bed.store.base_ready(other).await.unwrap();
    assert_eq!(bed.due_kinds().await, [(true, 1)]);
}

#[tokio::test]
async fn a_gate_whose_settings_change_while_it_waits_runs_as_they_are_then() {
    let bed = Bed::new().await;
    let id = bed.gated(&["impl"], FILE).await;
    bed.work("impl", "p").await;
    bed.plan(id).await;
    for (network, before) in [(false, true), (true, false)] {
        let gate = serde_json::json!([{"name": "test", "network": network}]);
        super::checks::set_gates(&bed, &gate).await;
        let worker = bed.check_worker_of(before).await;
        let pull = format!("{network}");
        assert_eq!(
            bed.store.claim_check(worker, &pull, NOW).await.unwrap(),
            CheckClaim::Changed,
            "it is for another worker"
        );
        assert_eq!(bed.store.claim_check(worker, &pull, NOW).await.unwrap(), CheckClaim::Nothing);
        assert_eq!(bed.due_kinds().await, [(network, 1)]);
    }
    bed.check(bed.check_worker().await, "g").await;
}

#[tokio::test]
async fn a_gate_that_cannot_be_kept_away_from_the_network_waits_for_somebody() {
    let bed = Bed::new().await;
    let (one, other) = (bed.gated(&["impl"], &offline()).await, bed.gated(&["impl"], FILE).await);
    for (id, pull) in [(one, "p"), (other, "q")] {
        bed.work("impl", pull).await;
        bed.plan(id).await;
    }
    let project = bed.store.project("shop").await.unwrap().key;
    bed.store.offline_refused(project, Unkept::Connected, NOW).await.unwrap();
    let TicketState::OnHold(why) = bed.read(one).await.state else { panic!("it continues") };
    assert_eq!(why.kind, HoldKind::Configuration);
    for told in ["gate test must have no network", "PrivateNetwork=", "waive the gate"] {
        assert!(why.reason.contains(told), "{told}: {}", why.reason);
    }
    assert_eq!(bed.read(other).await.state, TicketState::Running);
    assert_eq!(bed.due_kinds().await, [(true, 1)]);
    // Once that is fixed, resuming runs it.
    bed.store.resume_ticket(one, None, None, NOW).await.unwrap();
    bed.plan(one).await;
    let gate = bed.check(bed.offline_worker().await, "g").await.attempt;
    bed.ran(gate.id, Ran::Passed).await;
    assert!(matches!(bed.read(one).await.state, TicketState::Closed { .. }));
}
