//! Setup and gates: from a result that waits to what happens to its ticket.

use super::*;
use crate::domain::checks;
use crate::domain::event::EventKind;
use crate::domain::gates::kind::AttemptKind;
use crate::domain::gates::kind::Step;
use crate::domain::gates::ran::Exit;
use crate::domain::gates::ran::Ran;
use crate::domain::hold::HoldKind;
use crate::domain::judging::GateVerdict;
use crate::domain::outcome::Failure;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::TicketState;
use crate::store::BaseWait;
use crate::store::CheckClaim;
use crate::store::CheckEnding;
use crate::store::GrantedCheck;
use crate::store::Planned;

pub(super) const FILE: &str =
    "[[gate]]\nname = \"test\"\ncommand = [\"make\", \"test\"]\nretries = 0\nbaseline = false\n";

fn kept(text: &str) -> Kept {
    let tables = checks::file::parse(text.as_bytes()).expect("a good file").tables;
    Kept { commit: Some("b".repeat(40)), found: true, tables, copied: None }
}

fn head() -> Head {
    Head { commit: "c".repeat(40), stat: DiffStat::default() }
}

impl Bed {
    /// A ticket with these settings whose worktree is ready, unless it has to be set up.
    pub(super) async fn gated(&self, plan: &[&str], file: &str) -> TicketId {
        let id = self.ticket(plan).await.id;
        let new = Beginning { work: worktree(id), kept: kept(file), busy_ports: Vec::new() };
        self.store.begin_worktree(id, new).await.expect("begun");
        self.store.worktree_ready(id, None, None, NOW).await.expect("ready");
        id
    }

    /// Completes the current stage with new work; its gates are due then.
    pub(super) async fn work(&self, stage: &str, pull: &str) -> AttemptId {
        let attempt = self.granted(self.worker(stage).await, pull).await.attempt;
        let commit = head().commit;
        self.store.note_protection(attempt.ticket, &commit, None).await.expect("noted");
        let end = Ending { work: Work::Accepted(head()), ..ending(attempt.id, completed()) };
        self.store.end_attempt(end, NOW).await.expect("an end");
        attempt.id
    }

    pub(super) async fn plan(&self, id: TicketId) {
        let gates = vec!["test".to_owned()];
        let planned = Planned { commit: Some(head().commit), head: None, gates };
        self.store.checks_planned(id, planned, NOW).await.expect("planned");
    }

    pub(super) async fn check_worker(&self) -> WorkerId {
        self.check_worker_of(true).await
    }

    pub(super) async fn check_worker_of(&self, has_network: bool) -> WorkerId {
        let project = self.store.project("shop").await.expect("a project").key;
        let planned = self.store.plan_check_workers(project, has_network, 1, NOW).await;
        let id = planned.expect("a worker")[0];
        assert!(self.store.mark_launched(id, "e".repeat(64), NOW).await.expect("launched"));
        self.store.worker_hello(id, 4712, None, NOW).await.expect("hello");
        id
    }

    pub(super) async fn check(&self, worker: WorkerId, pull: &str) -> GrantedCheck {
        match self.store.claim_check(worker, pull, NOW).await.expect("a claim") {
            CheckClaim::Granted(granted) => *granted,
            other @ (CheckClaim::Nothing | CheckClaim::Changed | CheckClaim::Leave) => {
                panic!("expected a grant, got {other:?}")
            }
        }
    }

    pub(super) async fn ran(&self, attempt: AttemptId, ran: Ran) -> EndReport {
        self.store.end_check(ended(attempt, ran), NOW).await.expect("an end")
    }

    /// Runs the next setup or gate to this end.
    pub(super) async fn judged(&self, pull: &str, ran: Ran) -> AttemptId {
        let attempt = self.check(self.check_worker().await, pull).await.attempt.id;
        assert_eq!(self.ran(attempt, ran).await, EndReport::Accepted);
        attempt
    }
}

pub(super) const RED: Ran = Ran::Failed { at: 0, how: Exit::Code(2) };

pub(super) fn ended(attempt: AttemptId, ran: Ran) -> CheckEnding {
    let exit_code = match &ran {
        Ran::Passed => Some(0),
        Ran::Failed { how: Exit::Code(code), .. } => Some(*code),
        Ran::Failed { .. }
        | Ran::TimedOut { .. }
        | Ran::NotStarted { .. }
        | Ran::Cancelled
        | Ran::Interrupted
        | Ran::Nothing { .. } => None,
    };
    CheckEnding {
        attempt,
        ran,
        exit_code,
        signal: None,
        tail: "$ make test\nno\n".to_owned(),
        note: None,
        tests: None,
        peak_memory_bytes: Some(1 << 20),
        record: Some("{}".to_owned()),
    }
}

/// One event of each kind about setup and gates.
pub(super) async fn tell(bed: &Bed) {
    let id = bed.gated(&["impl"], "[worktree]\nsetup = [[\"npm\", \"ci\"]]\n").await;
    bed.judged("s", RED).await;
    bed.store.close_ticket(id, Resolution::Cancelled, None, NOW).await.expect("closed");
    let id = bed.gated(&["impl"], FILE).await;
    for (pull, ran) in [("a", RED), ("b", Ran::Passed)] {
        bed.work("impl", pull).await;
        bed.plan(id).await;
        bed.judged(&format!("{pull}-gate"), ran).await;
    }
}

#[tokio::test]
async fn a_result_waits_for_its_gates_and_a_repeated_report_changes_nothing() {
    let bed = Bed::new().await;
    let id = bed.gated(&["impl", "review"], FILE).await;
    let agent = bed.work("impl", "p").await;
    let waits = bed.read(id).await;
    assert_eq!((waits.state, waits.stage_index), (TicketState::Running, 0));
    assert_eq!(bed.store.checks_at(Step::Plan).await.unwrap(), [id]);
    let worker = bed.check_worker().await;
    assert_eq!(bed.store.claim_check(worker, "g", NOW).await.unwrap(), CheckClaim::Nothing);
    bed.plan(id).await;
    let granted = bed.check(worker, "g").await;
    let check = granted.attempt.check.clone().unwrap();
    assert_eq!(granted.attempt.kind, AttemptKind::Gate);
    assert_eq!((check.gate.as_deref(), check.commit), (Some("test"), Some(head().commit)));
    assert_eq!(check.commands, [["make", "test"]]);
    assert_eq!(bed.check(worker, "g").await.attempt.id, granted.attempt.id, "the same pull");
    let attempt = granted.attempt.id;
    assert_eq!(bed.ran(attempt, Ran::Passed).await, EndReport::Accepted);
    assert_eq!(bed.ran(attempt, RED).await, EndReport::Duplicate);
    let moved = bed.read(id).await;
    assert_eq!((moved.state, moved.stage_index), (TicketState::Queued, 1));
    let found = bed.store.attempt(attempt).await.unwrap().unwrap();
    assert_eq!(found.check.unwrap().verdict.map(GateVerdict::name), Some("passed"));
    assert_eq!(bed.count_of(EventKind::GatePassed).await, 1);
    assert_eq!(bed.count_of(EventKind::TicketStageCompleted).await, 1);
    // It costs nothing, counts as no attempt, and its worker is nobody's news.
    let detail = bed.store.ticket(id).await.unwrap();
    assert!((detail.ticket.cost_usd - 0.25).abs() < 1e-9, "{}", detail.ticket.cost_usd);
    assert_eq!(bed.count_of(EventKind::WorkerStarted).await, 1);
    assert_ne!(agent, attempt);
}

#[tokio::test]
async fn a_red_gate_goes_back_to_the_session_and_the_same_one_twice_is_a_hold() {
    let bed = Bed::new().await;
    let id = bed.gated(&["impl"], FILE).await;
    bed.work("impl", "p").await;
    bed.plan(id).await;
    bed.judged("g", RED).await;
    let told = bed.read(id).await;
    assert_eq!((told.state, told.gate_failures), (TicketState::Queued, 1));
    assert!(told.gate_message.as_deref().is_some_and(|text| text.contains("exited with 2")));
    let session = told.resume.expect("the session continues").claude_session_id;
    bed.prepare().await;
    let again = bed.granted(bed.worker("impl").await, "q").await.attempt;
    assert!(again.resumed && again.claude_session_id == session);
    let end = Ending { work: Work::Accepted(head()), ..ending(again.id, completed()) };
    bed.store.end_attempt(end, NOW).await.unwrap();
    bed.plan(id).await;
    bed.judged("h", RED).await;
    let held = bed.read(id).await;
    let TicketState::OnHold(why) = held.state else { panic!("{:?}", held.state) };
    assert_eq!(why.kind, HoldKind::Gate);
    assert!(why.reason.contains("in the same way"), "{}", why.reason);
    assert_eq!(bed.count_of(EventKind::TicketStageCompleted).await, 0);
    // A waiver lets the result pass that still waits.
    let waived = bed.store.waive_gate(id, "test".into(), "known".into(), NOW).await.unwrap();
    assert_eq!(waived.state, TicketState::Running);
    bed.plan(id).await;
    assert_eq!(bed.count_of(EventKind::TicketStageCompleted).await, 1);
    let unknown = bed.store.waive_gate(id, "tset".into(), "known".into(), NOW).await;
    assert!(unknown.is_err());
}

#[tokio::test]
async fn what_says_nothing_about_a_gate_is_repeated_and_not_for_ever() {
    let bed = Bed::new().await;
    let id = bed.gated(&["impl"], FILE).await;
    bed.work("impl", "p").await;
    bed.plan(id).await;
    bed.judged("i", Ran::Interrupted).await;
    assert_eq!(bed.store.checks_at(Step::Plan).await.unwrap(), [id], "put in order first");
    for pull in ["a", "b", "c"] {
        bed.plan(id).await;
        sqlx::query("UPDATE checking SET not_before = 0")
            .execute(&mut bed.raw().await)
            .await
            .unwrap();
        let lost = Ran::Nothing { failure: Failure::Lost, detail: "its shim died".into() };
        bed.judged(pull, lost).await;
    }
    let TicketState::OnHold(why) = bed.read(id).await.state else { panic!("it continues") };
    assert_eq!(why.kind, HoldKind::Gate);
    assert!(why.reason.contains("could not be run"), "{}", why.reason);
    assert_eq!(bed.read(id).await.attempts_used, 0);
}

#[tokio::test]
async fn a_base_commit_is_run_by_one_ticket_and_its_result_serves_all() {
    let bed = Bed::new().await;
    let file = FILE.replace("baseline = false", "baseline = true");
    let mut ids = Vec::new();
    for pull in ["p", "q"] {
        let id = bed.gated(&["impl"], &file).await;
        bed.work("impl", pull).await;
        bed.plan(id).await;
        bed.judged(&format!("{pull}-gate"), RED).await;
        ids.push(id);
    }
    let [first, second] = ids[..] else { panic!("two tickets") };
    let commit = "b".repeat(40);
    let worktree = BaseWait::Worktree { commit };
    assert_eq!(bed.store.judge_by_base(first, NOW).await.unwrap(), worktree);
    assert_eq!(bed.store.judge_by_base(first, NOW).await.unwrap(), worktree, "after a crash");
    assert_eq!(bed.store.judge_by_base(second, NOW).await.unwrap(), BaseWait::Busy);
    bed.store.base_ready(first).await.unwrap();
    let base = bed.check(bed.check_worker().await, "base").await;
    assert!(base.attempt.check.as_ref().is_some_and(|check| check.is_base));
    bed.ran(base.attempt.id, RED).await;
    assert!(matches!(bed.read(first).await.state, TicketState::Closed { .. }));
    assert_eq!(bed.store.judge_by_base(second, NOW).await.unwrap(), BaseWait::Judged);
    assert!(matches!(bed.read(second).await.state, TicketState::Closed { .. }));
    assert_eq!(bed.count_of(EventKind::GatePassed).await, 2);
}

#[tokio::test]
async fn a_ticket_that_is_closed_leaves_the_base_commit_to_another_one() {
    let bed = Bed::new().await;
    let file = FILE.replace("baseline = false", "baseline = true");
    let mut ids = Vec::new();
    for pull in ["p", "q"] {
        let id = bed.gated(&["impl"], &file).await;
        bed.work("impl", pull).await;
        bed.plan(id).await;
        bed.judged(&format!("{pull}-gate"), RED).await;
        ids.push(id);
    }
    bed.store.judge_by_base(ids[0], NOW).await.unwrap();
    assert_eq!(bed.store.judge_by_base(ids[1], NOW).await.unwrap(), BaseWait::Busy);
    bed.store.close_ticket(ids[0], Resolution::Cancelled, None, NOW).await.unwrap();
    let wait = bed.store.judge_by_base(ids[1], NOW).await.unwrap();
    assert!(matches!(wait, BaseWait::Worktree { .. }), "{wait:?}");
}

#[tokio::test]
async fn a_stop_puts_checks_on_hold_and_resuming_continues_them() {
    let bed = Bed::new().await;
    let id = bed.gated(&["impl"], FILE).await;
    bed.work("impl", "p").await;
    bed.plan(id).await;
    let stop = crate::domain::stopping::StopWhat::Ticket(id);
    bed.store.stop_work(stop, "not now".into(), NOW).await.unwrap();
    let TicketState::OnHold(why) = bed.read(id).await.state else { panic!("it continues") };
    assert_eq!(why.kind, HoldKind::Operator);
    assert_eq!(
        bed.store.resume_ticket(id, None, None, NOW).await.unwrap().state,
        TicketState::Running
    );
    bed.plan(id).await;
    bed.judged("g", Ran::Passed).await;
    assert!(matches!(bed.read(id).await.state, TicketState::Closed { .. }));
}

/// A step that looks at such a ticket again and again would leave git no moment to begin with its gates.
#[tokio::test]
async fn a_landing_whose_gates_judge_it_has_nothing_to_merge_and_keeps_its_place() {
    let bed = Bed::new().await;
    super::worktrees::set(&bed, None, Some(OnComplete::Merge)).await;
    let (first, second) = (bed.gated(&["impl"], FILE).await, bed.gated(&["impl"], FILE).await);
    for pull in ["p", "q"] {
        bed.work("impl", pull).await;
    }
    let landings = async || -> Vec<TicketId> {
        bed.store.landings().await.unwrap().iter().map(|ticket| ticket.id).collect()
    };
    for id in [first, second] {
        bed.plan(id).await;
        bed.judged(&format!("gate of {id}"), Ran::Passed).await;
    }
    assert_eq!(landings().await, [first]);
    let (merged, onto) = ("d".repeat(40), "e".repeat(40));
    bed.store.judge_landing(first, merged, onto, NOW).await.unwrap();
    assert_eq!(bed.store.checks_at(Step::Plan).await.unwrap(), [first]);
    assert_eq!(landings().await, [], "the second waits for the first");
    let planned =
        Planned { commit: Some("d".repeat(40)), head: None, gates: vec!["test".to_owned()] };
    bed.store.checks_planned(first, planned, NOW).await.unwrap();
    assert_eq!(landings().await, []);
    bed.judged("merged", Ran::Passed).await;
    assert_eq!(landings().await, [first]);
    bed.store.landed(first, Some("d".repeat(40)), NOW).await.unwrap();
    assert_eq!(landings().await, [second]);
}
