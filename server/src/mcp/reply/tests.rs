use super::refusal;
use crate::domain::attempt::Silence;
use crate::domain::attempt::StopMode;
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

/// Every refusal with the whole of what a client reads. A variant without a row fails the build in `kind`.
#[expect(clippy::too_many_lines, reason = "a row for every refusal")]
fn table() -> Vec<(Refusal, &'static str)> {
    let project = || "shop".to_owned();
    let worker_type = || "impl".to_owned();
    vec![
        (
            Refusal::invalid("title", "", "one line of 1 to 200 characters"),
            "title cannot be \"\"; allowed is one line of 1 to 200 characters. Correct title and call again.",
        ),
        (
            Refusal::UnknownProject { project: project() },
            "There is no project \"shop\". List them with list_projects, or create it with create_project.",
        ),
        (
            Refusal::UnknownWorkerType {
                project: project(),
                worker_type: worker_type(),
                known: texts(&["build", "test"]),
            },
            "Project shop has no worker type \"impl\"; it has build, test. Use one of those, or create it with \
             create_worker_type.",
        ),
        (
            Refusal::UnknownWorkerType {
                project: project(),
                worker_type: worker_type(),
                known: Vec::new(),
            },
            "Project shop has no worker type \"impl\"; it has none yet. Create it with create_worker_type.",
        ),
        (
            Refusal::UnknownTicket { ticket: t(42) },
            "There is no ticket T-42. Find tickets with list_tickets.",
        ),
        (
            Refusal::UnknownWorker { worker: w(7) },
            "There is no worker W-7. Find workers with list_workers.",
        ),
        (
            Refusal::ProjectExists { project: project() },
            "A project named shop exists already. Change it with update_project, or choose another name.",
        ),
        (
            Refusal::WorkerTypeExists { project: project(), worker_type: worker_type() },
            "Project shop has a worker type impl already. Change it with update_worker_type, or choose another name.",
        ),
        (
            Refusal::ProjectInUse { project: project(), open_tickets: 3, live_workers: 1 },
            "Project shop was not deleted: it has 3 open tickets and 1 live worker. End them with close_ticket and \
             stop_worker, or call again with force: true.",
        ),
        (
            Refusal::WorkerTypeInUse { worker_type: worker_type(), tickets: vec![t(1), t(2)] },
            "Worker type impl was not deleted: the plans of open tickets name it: T-1, T-2. End those with \
             close_ticket, or call again with force: true.",
        ),
        (
            Refusal::QueueBusy {
                project: project(),
                worker_type: worker_type(),
                workers: vec![w(1), w(2)],
            },
            "The queue impl of project shop was not deleted: W-1, W-2 are busy on it. Wait for the end with \
             list_events, stop with stop_worker, or call again with force: true.",
        ),
        (
            Refusal::TicketClosed { ticket: t(42), resolution: Resolution::Completed },
            "T-42 is closed as completed, which is final. Read it with get_ticket, or go on in a new ticket with \
             create_ticket.",
        ),
        (
            Refusal::TicketNotOnHold { ticket: t(42), state: "queued" },
            "T-42 is queued, not on_hold, so there is nothing to resume. Read what it waits for with get_ticket.",
        ),
        (
            Refusal::TicketRunning {
                ticket: t(42),
                attempt: AttemptId::from_key(17),
                worker: w(7),
            },
            "T-42 is running: W-7 works on it as A-17. Wait for its end with list_events, or stop it with stop_worker \
             and call again.",
        ),
        (
            Refusal::TicketBlocked { ticket: t(42), by: vec![t(40), t(41)] },
            "T-42 is blocked by T-40, T-41. Wait for that with list_events, or complete it with close_ticket and \
             resolution completed.",
        ),
        (
            Refusal::StageNotCurrent {
                ticket: t(42),
                given: "impl".to_owned(),
                current: "test".to_owned(),
            },
            "T-42 is at stage test, not \"impl\". Read it with get_ticket, then call again with stage test if that is \
             what you mean.",
        ),
        (
            Refusal::NotAnEarlierStage {
                ticket: t(42),
                given: "impl".to_owned(),
                earlier: Vec::new(),
            },
            "T-42 is at its first stage, so there is no earlier one to send it back to. Use outcome blocked with a \
             question, or completed.",
        ),
        (
            Refusal::NotAnEarlierStage {
                ticket: t(42),
                given: "deploy".to_owned(),
                earlier: texts(&["impl", "test"]),
            },
            "\"deploy\" is not an earlier stage of T-42; earlier are impl, test. Name one of those in rework_stage, or \
             leave it out for the stage before.",
        ),
        (
            Refusal::NotInPlan {
                ticket: t(42),
                given: "deploy".to_owned(),
                plan: texts(&["impl", "test"]),
            },
            "The plan of T-42 has no stage \"deploy\"; it is impl, test. Name one of those in stage, or leave it out to \
             go on where the ticket stands.",
        ),
        (
            Refusal::UnknownDependency { ticket: t(9) },
            "depends_on names T-9, which does not exist. Find tickets with list_tickets, then call again.",
        ),
        (
            Refusal::DependencyCancelled { ticket: t(9) },
            "depends_on names T-9, which was cancelled and will never complete. Leave it out, or create that work anew \
             with create_ticket and name the new ticket.",
        ),
        (
            Refusal::WorkerStopped { worker: w(7) },
            "W-7 has stopped already. Start another with spawn_worker, or find live ones with list_workers.",
        ),
        (
            Refusal::WorkerStopping { worker: w(7), mode: StopMode::Interrupt },
            "W-7 was told to stop before, by interrupt. Follow it with get_worker_status, or call again with a stronger \
             mode: cancel, kill.",
        ),
        (
            Refusal::WorkerStopping { worker: w(7), mode: StopMode::Kill },
            "W-7 was told to stop before, by kill. Follow it with get_worker_status.",
        ),
        (
            Refusal::TooManyWorkers {
                worker_type: worker_type(),
                live: 1,
                asked: 3,
                max_workers: 2,
            },
            "Worker type impl may have 2 workers and has 1, so 3 more are refused. Ask for at most 1, or raise \
             max_workers with update_worker_type.",
        ),
        (
            Refusal::TooManyWorkersOnServer { live: 16, asked: 1, max_workers: 16 },
            "This server may have 16 workers and has 16, so 1 more is refused. Stop one with stop_worker; the operator \
             sets the limit with --max-workers.",
        ),
        (
            Refusal::AttemptSilenced { attempt: AttemptId::from_key(17), why: Silence::Ended },
            "A-17 has ended, and nothing it does counts any more. Stop here: nothing was changed by this call.",
        ),
        (
            Refusal::AttemptSilenced { attempt: AttemptId::from_key(17), why: Silence::Stopped },
            "A-17 was told to stop. Stop here: nothing was changed by this call.",
        ),
        (
            Refusal::AttemptSilenced { attempt: AttemptId::from_key(17), why: Silence::TimedOut },
            "A-17 has used up its time. Stop here: nothing was changed by this call.",
        ),
        (
            Refusal::NotYourTicket { own: t(42) },
            "A worker may read and comment on its own ticket only, which is T-42. Call again with that one; what belongs \
             to other tickets goes into your report.",
        ),
        (
            Refusal::NotYourProject { own: "shop".to_owned() },
            "A worker may read its own project only, which is shop. Call again with that one.",
        ),
        (
            Refusal::TooManyRemarks { attempt: AttemptId::from_key(17), most: 100 },
            "A-17 has made 100 comments, the most one attempt may make. Put what is left into your report.",
        ),
        (
            Refusal::UnknownTemplate {
                template: "tester".to_owned(),
                known: texts(&["planning", "testing"]),
            },
            "There is no template \"tester\"; there are planning, testing. Name one of those in template, or give a \
             system_prompt instead.",
        ),
        (
            Refusal::TemplateBroken {
                template: "testing".to_owned(),
                problem: "worker-types/testing.md: no closing +++".to_owned(),
            },
            "The template testing cannot be used: worker-types/testing.md: no closing +++. Have the operator mend that \
             file, or give a system_prompt instead.",
        ),
        (
            Refusal::NoWorktrees {
                path: "/srv/shop".to_owned(),
                why: "it has no commit".to_owned(),
            },
            "isolation cannot be \"worktree\" for /srv/shop: it has no commit. Make it a git repository with a commit, or \
             use isolation \"shared\".",
        ),
        (
            Refusal::TicketLanding { ticket: t(42) },
            "Every stage of T-42 is completed and its branch is being merged. Wait for the end with list_events.",
        ),
        (
            Refusal::TooManyWaiting { most: 100 },
            "100 calls of yours wait already, which is as many as may. Let one of them end, or wait in a single call \
             that leaves out project, ticket_id and kinds; the operator sets the limit with --max-waiting-calls.",
        ),
        (
            Refusal::StagesBegun {
                ticket: t(42),
                begun: texts(&["plan", "impl"]),
                given: texts(&["plan", "review"]),
            },
            "The plan of T-42 was not changed: it would be plan, review, and must begin with the stages that have begun, \
             plan, impl, and go on to the stage the ticket is at. Give the whole plan in execution_plan and change only \
             what comes after them.",
        ),
        (
            Refusal::PausedByBudget {
                what: "Project shop".to_owned(),
                reason: "$5.00 are spent".to_owned(),
            },
            "Project shop is paused by a limit in dollars and was not resumed: $5.00 are spent. It goes on by itself when \
             the limit is raised.",
        ),
        (
            Refusal::UnknownComment { comment: CommentId::from_key(3), ticket: t(42) },
            "T-42 has no comment C-3. Read its comments with get_ticket, and the older ones with its comments_cursor.",
        ),
        (
            Refusal::TooManyWorkersInProject {
                project: "shop".to_owned(),
                live: 1,
                asked: 2,
                max_workers: 2,
            },
            "Project shop may have 2 workers and has 1, so 2 more are refused. Ask for at most 1, or raise max_workers \
             with update_project.",
        ),
        (
            Refusal::RepositoryRefused { path: "/r".to_owned(), why: "git has doubts".to_owned() },
            "git has doubts. Mend that first: where git doubts its owner, run git config --system --add safe.directory /r; \
             where it is damaged, see git fsck. Or use isolation \"shared\", with which attempts take turns in the \
             directory and git is left alone.",
        ),
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
    }
}

#[test]
fn every_refusal_says_what_why_and_the_next_step() {
    for (given, text) in table() {
        assert_eq!(refusal(&given), text);
    }
    let mut kinds: Vec<usize> = table().iter().map(|(refusal, _)| kind(refusal)).collect();
    kinds.dedup();
    assert_eq!(kinds, (0..=36).collect::<Vec<_>>());
}

#[test]
fn the_refusals_are_the_reviewed_ones() {
    let texts: Vec<String> = table().iter().map(|(given, _)| refusal(given)).collect();
    crate::snapshot::holds("refusals", &texts.join("\n\n"));
}

#[test]
fn long_lists_are_cut() {
    let tickets = (1..=25).map(t).collect();
    let text = refusal(&Refusal::WorkerTypeInUse { worker_type: "impl".to_owned(), tickets });
    assert!(text.contains("T-20 and 5 more."), "{text}");
}
