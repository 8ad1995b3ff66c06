//! Every answer in full, for review.

use super::*;

fn live() -> LiveAttempt {
    LiveAttempt {
        attempt: AttemptId::from_key(17),
        worker: WorkerId::from_key(7),
        granted_at: NOON,
        suspect: false,
        trouble: None,
        kind: AttemptKind::Agent,
        gate: None,
        is_base: false,
    }
}

fn failed_launch() -> FailedLaunch {
    FailedLaunch { why: "no room".to_owned(), again_at: NOON }
}

/// Each step of git; a new one fails the build in `git_steps`.
fn git_steps() -> Vec<Option<GitStep>> {
    let steps = vec![
        None,
        Some(GitStep::Queued),
        Some(GitStep::Waiting { repository: "/srv/shop/.git".to_owned() }),
        Some(GitStep::Working),
        Some(GitStep::Failed { why: "no room".to_owned() }),
    ];
    for step in &steps {
        match step {
            None
            | Some(
                GitStep::Queued
                | GitStep::Waiting { .. }
                | GitStep::Working
                | GitStep::Failed { .. },
            ) => {}
        }
    }
    steps
}

/// What can keep any ticket from running, whatever its queue.
fn held_back() -> Vec<Surroundings> {
    let mut list = Vec::new();
    for scope in [
        pause::Scope::Everything,
        pause::Scope::Project(name("shop")),
        pause::Scope::Queue { project: name("shop"), worker_type: name("build") },
    ] {
        for cause in pause::Cause::ALL {
            for until in [None, Some(NOON)] {
                let pauses = vec![pause(scope.clone(), cause, until)];
                list.push(Surroundings { pauses, ..around(open()) });
            }
        }
    }
    for by_hand in [true, false] {
        let pause =
            Some(Pause { since: NOON, reason: "because".to_owned(), by_hand, passing: None });
        list.push(around(QueueSurroundings { pause, ..open() }));
    }
    for brakes in [
        Brakes { draining: true, ..Brakes::default() },
        Brakes { disk_low: true, ..Brakes::default() },
        Brakes { held_back: Some(HeldBack::Check), ..Brakes::default() },
        Brakes { held_back: Some(HeldBack::Strangers), ..Brakes::default() },
        Brakes { launches: Some(failed_launch()), ..Brakes::default() },
    ] {
        list.push(Surroundings { brakes, ..around(open()) });
    }
    for limit in Limit::ALL {
        list.push(Surroundings { reserved: Some(limit), ..around(open()) });
    }
    list
}

/// What can keep a ticket from running in its queue.
fn in_its_queue() -> Vec<Surroundings> {
    let by_itself = QueueSurroundings { auto_spawn: false, ..open() };
    let mut list: Vec<Surroundings> = [
        QueueSurroundings { max_workers: 0, ..open() },
        QueueSurroundings { project_max_workers: Some(0), ..open() },
        by_itself.clone(),
        QueueSurroundings { project_max_workers: Some(3), project_workers: 3, ..by_itself.clone() },
        QueueSurroundings { server_workers: 16, ..by_itself },
        QueueSurroundings { directory_taken: true, ahead: 1, ..open() },
        QueueSurroundings { workers: 2, ..open() },
        QueueSurroundings {
            workers: 2,
            busy: vec![(WorkerId::from_key(1), TicketId::from_key(3))],
            ..open()
        },
        QueueSurroundings { project_max_workers: Some(3), project_workers: 3, ..open() },
        QueueSurroundings { server_workers: 16, ahead: 1, ..open() },
        open(),
        QueueSurroundings { workers: 1, free_workers: 1, ..open() },
        QueueSurroundings { ahead: 1, ..open() },
        QueueSurroundings { ahead: 2, ..open() },
    ]
    .into_iter()
    .map(around)
    .collect();
    for ahead in [0, 1] {
        for git in git_steps() {
            let queue = QueueSurroundings { unprepared: true, ahead, ..open() };
            list.push(Surroundings { git, ..around(queue) });
        }
    }
    list
}

/// Setup and gates, while they run and while they wait.
fn checked() -> Vec<Surroundings> {
    let mut list = Vec::new();
    for (kind, gate, is_base) in [
        (AttemptKind::Setup, None, false),
        (AttemptKind::Gate, Some("test"), false),
        (AttemptKind::Gate, Some("test"), true),
        (AttemptKind::Setup, None, true),
    ] {
        let gate = gate.map(str::to_owned);
        let live = Some(LiveAttempt { kind, gate, is_base, ..live() });
        list.push(Surroundings { live, ..Surroundings::default() });
    }
    let wait = CheckWait {
        phase: Phase::Stage,
        step: Step::Due,
        gate: Some("test".to_owned()),
        has_network: true,
        is_paused: false,
        has_room: true,
    };
    let mut waits: Vec<CheckWait> =
        Step::ALL.into_iter().map(|step| CheckWait { step, gate: None, ..wait.clone() }).collect();
    waits.push(CheckWait { phase: Phase::Setup, gate: None, ..wait.clone() });
    waits.push(CheckWait { is_paused: true, ..wait.clone() });
    waits.push(CheckWait { has_room: false, ..wait.clone() });
    for wait in waits {
        list.push(Surroundings { checks: Some(wait), ..Surroundings::default() });
    }
    for brakes in [
        Brakes { draining: true, ..Brakes::default() },
        Brakes { shim_too_old: true, ..Brakes::default() },
        Brakes { launches: Some(failed_launch()), ..Brakes::default() },
        Brakes { offline_launches: Some(failed_launch()), ..Brakes::default() },
    ] {
        let has_network = brakes.offline_launches.is_none();
        let checks = Some(CheckWait { has_network, ..wait.clone() });
        list.push(Surroundings { checks, brakes, ..Surroundings::default() });
    }
    let git = Some(GitStep::Failed { why: "no room".to_owned() });
    list.push(Surroundings { checks: Some(wait), git, ..Surroundings::default() });
    list
}

/// A ticket in each state, with everything that its answer may depend on.
fn all() -> Vec<(Ticket, Surroundings)> {
    let mut list = Vec::new();
    for git in git_steps() {
        let running =
            Surroundings { live: Some(live()), git: git.clone(), ..Surroundings::default() };
        list.push((ticket(TicketState::Running), running));
        let completed = Ticket { work: Some(completed()), ..ticket(TicketState::Running) };
        list.push((completed, Surroundings { git, ..Surroundings::default() }));
    }
    let trouble = Some("processes of A-17 will not die: 4711".to_owned());
    for live in [LiveAttempt { suspect: true, ..live() }, LiveAttempt { trouble, ..live() }] {
        let stuck = Surroundings { live: Some(live), ..Surroundings::default() };
        list.push((ticket(TicketState::Running), stuck));
    }
    list.push((ticket(TicketState::Running), Surroundings::default()));
    for around in checked() {
        list.push((ticket(TicketState::Running), around));
    }
    for without_type in [None, Some(Vec::new()), Some(vec![name("review")])] {
        let state = TicketState::OnHold(Hold::new(HoldKind::Question, "Red or blue?"));
        list.push((ticket(state), Surroundings { without_type, ..Surroundings::default() }));
    }
    for failed in [None, Some((AttemptId::from_key(17), Failure::Overloaded))] {
        let state = TicketState::Scheduled { not_before: NOON };
        list.push((ticket(state.clone()), Surroundings { failed, ..Surroundings::default() }));
        let pauses = vec![pause(pause::Scope::Everything, pause::Cause::UsageLimit, Some(NOON))];
        list.push((ticket(state), Surroundings { failed, pauses, ..around(open()) }));
    }
    let open_dependencies =
        vec![(TicketId::from_key(40), "running"), (TicketId::from_key(41), "on_hold")];
    let blocked = Surroundings { open_dependencies, ..Surroundings::default() };
    list.push((ticket(TicketState::Blocked), blocked));
    list.push((ticket(TicketState::Queued), Surroundings::default()));
    for around in held_back().into_iter().chain(in_its_queue()) {
        list.push((ticket(TicketState::Queued), around));
    }
    list
}

/// The answers in full for one reader, each once; every cause has an example.
fn told(reader: Reader) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut missing: Vec<&str> = Cause::NAMES.to_vec();
    for (ticket, around) in all() {
        let wait = waiting(&ticket, &around).expect("it is open");
        missing.retain(|name| *name != wait.cause.name());
        let text = format!("{}: {}", wait.cause.name(), wait.told(reader));
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    assert_eq!(missing, Vec::<&str>::new(), "a cause without an example");
    texts.join("\n\n")
}

#[test]
fn the_answers_are_the_reviewed_ones_for_each_reader() {
    crate::snapshot::holds("waits", &told(Reader::Model));
    crate::snapshot::holds("waits-in-a-shell", &told(Reader::Shell));
    crate::snapshot::holds("waits-on-a-page", &told(Reader::Page));
}
