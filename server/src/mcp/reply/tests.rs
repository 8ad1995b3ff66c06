use super::refusal;
use crate::domain::advice::Reader;
use crate::domain::attempt::Silence;
use crate::domain::attempt::StopMode;
use crate::domain::checks::kept;
use crate::domain::id::AttemptId;
use crate::domain::id::CommentId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::refusal::Refusal;
use crate::domain::ticket::Resolution;

fn t(number: i64) -> TicketId {
    TicketId::from_key(number)
}

fn w(number: i64) -> WorkerId {
    WorkerId::from_key(number)
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

/// Every refusal; the snapshots hold what clients read. A variant without a row fails the build in `kind`.
#[expect(clippy::too_many_lines, reason = "one row for each refusal")]
fn table() -> Vec<Refusal> {
    let project = || "shop".to_owned();
    let worker_type = || "impl".to_owned();
    vec![
        Refusal::invalid("title", "", "one line of 1 to 200 characters"),
        Refusal::missing("system_prompt", "text that is not empty, or left out beside a template"),
        Refusal::UnknownProject { project: project() },
        Refusal::UnknownProject { project: "a b".to_owned() },
        Refusal::UnknownWorkerType {
            project: project(),
            worker_type: worker_type(),
            known: texts(&["build", "test"]),
        },
        Refusal::UnknownWorkerType {
            project: project(),
            worker_type: worker_type(),
            known: Vec::new(),
        },
        Refusal::UnknownWorkerType {
            project: project(),
            worker_type: "a b".to_owned(),
            known: texts(&["build"]),
        },
        Refusal::UnknownTicket { ticket: t(42) },
        Refusal::UnknownWorker { worker: w(7) },
        Refusal::ProjectExists { project: project() },
        Refusal::WorkerTypeExists { project: project(), worker_type: worker_type() },
        Refusal::ProjectInUse { project: project(), open_tickets: 3, live_workers: 1 },
        Refusal::WorkerTypeInUse { worker_type: worker_type(), tickets: vec![t(1), t(2)] },
        Refusal::QueueBusy {
            project: project(),
            worker_type: worker_type(),
            workers: vec![w(1), w(2)],
        },
        Refusal::TicketClosed { ticket: t(42), resolution: Resolution::Completed },
        Refusal::TicketNotOnHold { ticket: t(42), state: "queued" },
        Refusal::TicketRunning { ticket: t(42), attempt: AttemptId::from_key(17), worker: w(7) },
        Refusal::TicketBlocked { ticket: t(42), by: vec![t(40), t(41)] },
        Refusal::StageNotCurrent {
            ticket: t(42),
            given: "impl".to_owned(),
            current: "test".to_owned(),
        },
        Refusal::NotAnEarlierStage { ticket: t(42), given: "impl".to_owned(), earlier: Vec::new() },
        Refusal::NotAnEarlierStage {
            ticket: t(42),
            given: "deploy".to_owned(),
            earlier: texts(&["impl", "test"]),
        },
        Refusal::NotInPlan {
            ticket: t(42),
            given: "deploy".to_owned(),
            plan: texts(&["impl", "test"]),
        },
        Refusal::UnknownDependency { ticket: t(9) },
        Refusal::DependencyCancelled { ticket: t(9) },
        Refusal::WorkerStopped { worker: w(7) },
        Refusal::WorkerStopping { worker: w(7), mode: StopMode::Interrupt },
        Refusal::WorkerStopping { worker: w(7), mode: StopMode::Kill },
        Refusal::TooManyWorkers { worker_type: worker_type(), live: 1, asked: 3, max_workers: 2 },
        Refusal::TooManyWorkersOnServer { live: 16, asked: 1, max_workers: 16 },
        Refusal::AttemptSilenced { attempt: AttemptId::from_key(17), why: Silence::Ended },
        Refusal::AttemptSilenced { attempt: AttemptId::from_key(17), why: Silence::Stopped },
        Refusal::AttemptSilenced { attempt: AttemptId::from_key(17), why: Silence::TimedOut },
        Refusal::NotYourTicket { own: t(42) },
        Refusal::NotYourProject { own: "shop".to_owned() },
        Refusal::TooManyRemarks { attempt: AttemptId::from_key(17), most: 100 },
        Refusal::UnknownTemplate {
            template: "tester".to_owned(),
            known: texts(&["planning", "testing"]),
        },
        Refusal::TemplateBroken {
            template: "testing".to_owned(),
            problem: "worker-types/testing.md: no closing +++".to_owned(),
        },
        Refusal::SettingsUnusable {
            ticket: t(42),
            why: kept::unusable(
                None,
                "line 3, column 1: there is no key worktree.port; did you mean ports?",
            )
            .reason,
        },
        Refusal::NoWorktrees { path: "/srv/shop".to_owned(), why: "it has no commit".to_owned() },
        Refusal::TicketLanding { ticket: t(42) },
        Refusal::TicketChecking { ticket: t(42) },
        Refusal::UnknownGate {
            ticket: t(42),
            given: "tset".to_owned(),
            known: texts(&["test", "lint"]),
        },
        Refusal::NoGates { ticket: t(42) },
        Refusal::UnknownNotifier { given: "phnoe".to_owned(), known: texts(&["phone"]) },
        Refusal::NotifierFailed {
            notifier: "phone".to_owned(),
            why: "it answered 503 Service Unavailable".to_owned(),
        },
        Refusal::TooManyWaiting { most: 100 },
        Refusal::StagesBegun {
            ticket: t(42),
            begun: texts(&["plan", "impl"]),
            given: texts(&["plan", "review"]),
        },
        Refusal::PausedByBudget {
            what: "Project shop".to_owned(),
            reason: "$5.00 has been spent".to_owned(),
        },
        Refusal::UnknownComment { comment: CommentId::from_key(3), ticket: t(42) },
        Refusal::TooManyWorkersInProject {
            project: "shop".to_owned(),
            live: 1,
            asked: 2,
            max_workers: 2,
        },
        Refusal::RepositoryRefused { path: "/r".to_owned(), why: "git has doubts".to_owned() },
    ]
}

/// A name per variant, so that the table can be held to all of them.
const fn kind(refusal: &Refusal) -> usize {
    match refusal {
        Refusal::InvalidField { .. } => 0,
        Refusal::UnknownProject { .. } => 1,
        Refusal::UnknownWorkerType { .. } => 2,
        Refusal::UnknownTicket { .. } => 3,
        Refusal::UnknownWorker { .. } => 4,
        Refusal::ProjectExists { .. } => 5,
        Refusal::WorkerTypeExists { .. } => 6,
        Refusal::ProjectInUse { .. } => 7,
        Refusal::WorkerTypeInUse { .. } => 8,
        Refusal::QueueBusy { .. } => 9,
        Refusal::TicketClosed { .. } => 10,
        Refusal::TicketNotOnHold { .. } => 11,
        Refusal::TicketRunning { .. } => 12,
        Refusal::TicketBlocked { .. } => 13,
        Refusal::StageNotCurrent { .. } => 14,
        Refusal::NotAnEarlierStage { .. } => 15,
        Refusal::NotInPlan { .. } => 16,
        Refusal::UnknownDependency { .. } => 17,
        Refusal::DependencyCancelled { .. } => 18,
        Refusal::WorkerStopped { .. } => 19,
        Refusal::WorkerStopping { .. } => 20,
        Refusal::TooManyWorkers { .. } => 21,
        Refusal::TooManyWorkersOnServer { .. } => 22,
        Refusal::AttemptSilenced { .. } => 23,
        Refusal::NotYourTicket { .. } => 24,
        Refusal::NotYourProject { .. } => 25,
        Refusal::TooManyRemarks { .. } => 26,
        Refusal::UnknownTemplate { .. } => 27,
        Refusal::TemplateBroken { .. } => 28,
        Refusal::NoWorktrees { .. } => 29,
        Refusal::TicketLanding { .. } => 30,
        Refusal::TooManyWaiting { .. } => 31,
        Refusal::StagesBegun { .. } => 32,
        Refusal::PausedByBudget { .. } => 33,
        Refusal::UnknownComment { .. } => 34,
        Refusal::TooManyWorkersInProject { .. } => 35,
        Refusal::RepositoryRefused { .. } => 36,
        Refusal::MissingField { .. } => 37,
        Refusal::SettingsUnusable { .. } => 38,
        Refusal::TicketChecking { .. } => 39,
        Refusal::UnknownGate { .. } => 40,
        Refusal::NoGates { .. } => 41,
        Refusal::UnknownNotifier { .. } => 42,
        Refusal::NotifierFailed { .. } => 43,
    }
}

#[test]
fn the_refusals_are_the_reviewed_ones_for_each_reader() {
    let mut kinds: Vec<usize> = table().iter().map(kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, (0..=43).collect::<Vec<_>>());
    for (snapshot, reader) in [
        ("refusals", Reader::Model),
        ("refusals-in-a-shell", Reader::Shell),
        ("refusals-on-a-page", Reader::Page),
    ] {
        let texts: Vec<String> = table().iter().map(|given| refusal(given, reader)).collect();
        crate::snapshot::holds(snapshot, &texts.join("\n\n"));
    }
}

#[test]
fn long_lists_are_cut() {
    let tickets = (1..=25).map(t).collect();
    let text = refusal(
        &Refusal::WorkerTypeInUse { worker_type: "impl".to_owned(), tickets },
        Reader::Model,
    );
    assert!(text.contains("T-20 and 5 more."), "{text}");
}
