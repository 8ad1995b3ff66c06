mod texts;

use super::*;
use crate::domain::advice::Reader;
use crate::domain::gates::kind::AttemptKind;
use crate::domain::gates::kind::Phase;
use crate::domain::gates::kind::Step;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::id::AttemptId;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::limits::Limit;
use crate::domain::outcome::Failure;
use crate::domain::pause;
use crate::domain::text::Name;
use crate::domain::ticket::LiveAttempt;
use crate::domain::ticket::Plan;
use crate::domain::ticket::PlannedWords;
use crate::domain::ticket::Priority;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::domain::worker_type::Pause;
use crate::domain::worktree::DiffStat;
use crate::domain::worktree::Head;
use crate::domain::worktree::Worktree;

const NOON: Timestamp = Timestamp::from_millis(1_795_348_800_000);

fn name(text: &str) -> Name {
    Name::from_row(text.to_owned())
}

fn ticket(state: TicketState) -> Ticket {
    Ticket {
        id: TicketId::from_key(42),
        project: ProjectKey(1),
        project_name: name("shop"),
        title: "Build".to_owned(),
        description: String::new(),
        priority: Priority::Normal,
        state,
        plan: Plan::new(vec![name("build")]).unwrap(),
        stage_index: 0,
        depends_on: Vec::new(),
        attempts_used: 0,
        rework_laps: 0,
        cost_usd: 0.0,
        assumed_usd: 0.0,
        max_budget_usd: None,
        root: None,
        planned: PlannedWords::default(),
        resume: None,
        gate_failures: 0,
        gate_message: None,
        work: None,
        created_at: NOON,
        updated_at: NOON,
    }
}

/// A queue in which the ticket would be taken at once.
fn open() -> QueueSurroundings {
    QueueSurroundings {
        auto_spawn: true,
        max_workers: 2,
        server_max_workers: 16,
        ..QueueSurroundings::default()
    }
}

fn around(queue: QueueSurroundings) -> Surroundings {
    Surroundings { queue: Some(queue), ..Surroundings::default() }
}

fn told(state: TicketState, around: &Surroundings) -> (&'static str, String) {
    let wait = waiting(&ticket(state), around).expect("it is open");
    (wait.cause.name(), wait.told(Reader::Model))
}

fn pause(scope: pause::Scope, cause: pause::Cause, until: Option<Timestamp>) -> pause::Pause {
    pause::Pause { scope, cause, reason: "because".to_owned(), since: NOON, until }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one case for each reason")]
fn every_reason_for_not_running_has_its_answer_and_what_moves_the_ticket() {
    let queued = |around: &Surroundings| told(TicketState::Queued, around);
    let live = LiveAttempt {
        attempt: AttemptId::from_key(17),
        worker: WorkerId::from_key(7),
        granted_at: NOON,
        suspect: false,
        trouble: None,
        kind: AttemptKind::Agent,
        gate: None,
        is_base: false,
    };
    let running = Surroundings { live: Some(live.clone()), ..Surroundings::default() };
    assert_eq!(
        told(TicketState::Running, &running),
        ("running", "W-7 runs its stage build as A-17.".to_owned())
    );
    let stuck = Surroundings {
        live: Some(LiveAttempt { suspect: true, ..live.clone() }),
        ..Surroundings::default()
    };
    assert_eq!(told(TicketState::Running, &stuck).0, "stuck");
    let trouble = Some("processes of A-17 will not die: 4711".to_owned());
    let undying =
        Surroundings { live: Some(LiveAttempt { trouble, ..live }), ..Surroundings::default() };
    let (cause, why) = told(TicketState::Running, &undying);
    assert!(cause == "stuck" && why.contains("will not die: 4711"), "{why}");
    assert_eq!(
        told(
            TicketState::OnHold(Hold::new(HoldKind::Question, "Red or blue?")),
            &Surroundings::default()
        ),
        (
            "on_hold",
            "On hold: Red or blue? Answer it with resume_ticket, or close it with close_ticket."
                .to_owned()
        )
    );
    let failed = Surroundings {
        failed: Some((AttemptId::from_key(17), Failure::Overloaded)),
        ..Surroundings::default()
    };
    assert_eq!(
        told(TicketState::Scheduled { not_before: NOON }, &failed),
        (
            "backoff",
            "Its stage build is retried at 2026-11-22T12:00:00.000Z because A-17 failed (overloaded)."
                .to_owned()
        )
    );
    let blocked = Surroundings {
        open_dependencies: vec![
            (TicketId::from_key(40), "running"),
            (TicketId::from_key(41), "on_hold"),
        ],
        ..Surroundings::default()
    };
    assert_eq!(
        told(TicketState::Blocked, &blocked),
        ("blocked", "It waits for T-40 (running), T-41 (on hold) to complete.".to_owned())
    );
    assert_eq!(queued(&Surroundings::default()).0, "no_worker_type");
    assert_eq!(
        queued(&around(open())),
        ("next", "It is next in the queue build, and a worker is being started for it.".to_owned())
    );
    assert_eq!(
        queued(&around(QueueSurroundings { ahead: 2, ..open() })),
        (
            "behind",
            "2 tickets are ahead of it in the queue build; it runs after they are taken."
                .to_owned()
        )
    );
    let manual = QueueSurroundings { auto_spawn: false, ..open() };
    assert_eq!(queued(&around(manual)).0, "no_worker");
    let by_type = QueueSurroundings {
        workers: 2,
        busy: vec![(WorkerId::from_key(1), TicketId::from_key(3))],
        ..open()
    };
    let (cause, text) = queued(&around(by_type));
    assert_eq!(cause, "no_slot");
    assert!(text.contains("(W-1 on T-3)") && text.contains("update_worker_type"), "{text}");
    let by_project =
        QueueSurroundings { project_workers: 3, project_max_workers: Some(3), ..open() };
    let (cause, text) = queued(&around(by_project));
    assert_eq!(cause, "no_slot");
    assert!(text.contains("update_project"), "{text}");
    let by_server = QueueSurroundings { server_workers: 16, ..open() };
    let taken = QueueSurroundings { directory_taken: true, ahead: 1, ..open() };
    assert_eq!(queued(&around(taken)).0, "directory_taken");
    let unprepared = QueueSurroundings { unprepared: true, ..open() };
    assert_eq!(queued(&around(unprepared)).0, "unprepared");
    let (cause, text) = queued(&around(by_server));
    assert_eq!(cause, "no_slot");
    assert!(text.contains("max_workers in the configuration"), "{text}");
    assert_eq!(
        waiting(
            &ticket(TicketState::Closed { resolution: Resolution::Completed, at: NOON }),
            &Surroundings::default()
        ),
        None
    );
}

/// Each reason hides those after it; removing it shows the next.
#[test]
fn the_reasons_of_a_queued_ticket_have_one_order() {
    let everything = pause::Scope::Everything;
    let project = || pause::Scope::Project(name("shop"));
    let queue_pause =
        Pause { since: NOON, reason: "because".to_owned(), by_hand: true, passing: None };
    let mut all = Surroundings {
        queue: Some(QueueSurroundings { pause: Some(queue_pause), workers: 2, ..open() }),
        pauses: vec![
            pause(everything.clone(), pause::Cause::Coordinator, None),
            pause(everything, pause::Cause::UsageLimit, Some(NOON)),
            pause(project(), pause::Cause::Coordinator, None),
            pause(project(), pause::Cause::Budget, None),
        ],
        reserved: Some(Limit::Project),
        brakes: Brakes {
            draining: true,
            disk_low: true,
            held_back: HeldBack::first(/* is sound */ false, /* strangers */ true),
            launches: Some(FailedLaunch { why: "no room".to_owned(), again_at: NOON }),
            ..Brakes::default()
        },
        ..Surroundings::default()
    };
    let mut order = Vec::new();
    let cause = |all: &Surroundings| told(TicketState::Queued, all).0;
    while !all.pauses.is_empty() {
        order.push(cause(&all));
        all.pauses.remove(0);
    }
    order.push(cause(&all));
    all.queue.as_mut().unwrap().pause = None;
    order.push(cause(&all));
    all.brakes.draining = false;
    order.push(cause(&all));
    all.brakes.disk_low = false;
    order.push(cause(&all));
    all.brakes.held_back = HeldBack::first(/* is sound */ true, /* strangers */ true);
    order.push(cause(&all));
    all.brakes.held_back = HeldBack::first(/* is sound */ true, /* strangers */ false);
    order.push(cause(&all));
    all.reserved = None;
    let queue = all.queue.as_mut().unwrap();
    (queue.auto_spawn, queue.workers, queue.directory_taken) = (false, 0, true);
    (queue.unprepared, all.git) = (true, Some(GitStep::Waiting { repository: "r".to_owned() }));
    order.push(cause(&all));
    all.queue.as_mut().unwrap().auto_spawn = true;
    order.push(cause(&all));
    all.queue.as_mut().unwrap().directory_taken = false;
    all.queue.as_mut().unwrap().ahead = 1;
    order.push(cause(&all));
    all.git = Some(GitStep::Failed { why: "no room".to_owned() });
    order.push(cause(&all));
    // For a ticket that is not next, a worktree that is merely being prepared is not worth
    // mentioning.
    all.git = Some(GitStep::Working);
    all.queue.as_mut().unwrap().workers = 2;
    order.push(cause(&all));
    // A worker that is being launched does not exist yet.
    all.queue.as_mut().unwrap().free_workers = 1;
    order.push(cause(&all));
    all.brakes.launches = None;
    order.push(cause(&all));
    assert_eq!(
        order,
        [
            "server_paused",
            "usage_limit",
            "project_paused",
            "budget",
            "queue_paused",
            "draining",
            "disk_low",
            "checking",
            "strangers",
            "budget_reserved",
            "no_worker",
            "directory_taken",
            "repository_busy",
            "unprepared",
            "no_slot",
            "launch_failing",
            "behind",
        ]
    );
}

#[test]
fn a_pause_says_how_it_ends() {
    let paused = |pause: pause::Pause| {
        let around = Surroundings { pauses: vec![pause], ..around(open()) };
        told(TicketState::Queued, &around).1
    };
    assert_eq!(
        paused(pause(pause::Scope::Everything, pause::Cause::UsageLimit, Some(NOON))),
        "Everything has been paused since 2026-11-22T12:00:00.000Z: because. It resumes by itself at \
         2026-11-22T12:00:00.000Z. Resume it now with resume."
    );
    let by_hand = pause(pause::Scope::Project(name("shop")), pause::Cause::Coordinator, None);
    assert!(paused(by_hand).ends_with("Resume it with resume."));
}

#[test]
fn a_git_step_that_waits_or_fails_is_reported_for_an_attempt_that_has_ended() {
    let live = LiveAttempt {
        attempt: AttemptId::from_key(17),
        worker: WorkerId::from_key(3),
        granted_at: NOON,
        suspect: false,
        trouble: None,
        kind: AttemptKind::Agent,
        gate: None,
        is_base: false,
    };
    let running = |git| {
        let around = Surroundings { live: Some(live.clone()), git, ..Surroundings::default() };
        told(TicketState::Running, &around)
    };
    let landing = |git| {
        let around = Surroundings { git, ..Surroundings::default() };
        let completed = Ticket { work: Some(completed()), ..ticket(TicketState::Running) };
        let wait = waiting(&completed, &around).expect("it is open");
        (wait.cause.name(), wait.told(Reader::Model))
    };
    let (cause, text) = running(Some(GitStep::Working));
    assert!(cause == "running" && text.starts_with("W-3 runs"), "{cause}: {text}");
    let steps = [
        (GitStep::Waiting { repository: "/srv/shop/.git".to_owned() }, "/srv/shop/.git"),
        (GitStep::Failed { why: "no room".to_owned() }, "retried: no room."),
    ];
    for ((step, words), cause) in steps.into_iter().zip(["repository_busy", "running"]) {
        let (told, text) = running(Some(step.clone()));
        assert_eq!(told, cause);
        assert!(text.starts_with("A-17 ") && text.contains(words), "{text}");
        let (told, text) = landing(Some(step));
        assert_eq!(told, "landing");
        assert!(
            text.contains("vibe-ensemble/T-42 is merged into main") || text.contains("merging")
        );
        assert!(text.contains(words), "{text}");
    }
    assert!(landing(Some(GitStep::Queued)).1.contains("after other branches"));
    assert!(landing(None).1.contains("is being merged into main"));
    let lands_after = Some(TicketId::from_key(41));
    let around = Surroundings { lands_after, ..Surroundings::default() };
    let completed = Ticket { work: Some(completed()), ..ticket(TicketState::Running) };
    let wait = waiting(&completed, &around).expect("it is open");
    assert_eq!(
        wait.told(Reader::Model),
        "Its stages are completed; vibe-ensemble/T-42 is merged into main after the branch of T-41, which was completed before it."
    );
}

/// A worktree whose ticket is completed.
fn completed() -> Worktree {
    Worktree {
        repository: "/srv/shop/.git".to_owned(),
        path: "/state/worktrees/shop/T-42".to_owned(),
        prefix: String::new(),
        branch: "vibe-ensemble/T-42".to_owned(),
        base_branch: Some("refs/heads/main".to_owned()),
        base_commit: "b".repeat(40),
        head: Head { commit: "c".repeat(40), stat: DiffStat::default() },
        owed: None,
        landing: true,
        merged_commit: None,
        removed: false,
        set_up: false,
        directory: None,
    }
}
