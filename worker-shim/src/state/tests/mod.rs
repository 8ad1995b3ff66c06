use std::time::Duration;

use nix::sys::signal::Signal;
use shim_protocol::exit::ExitRecord;
use shim_protocol::exit::ExitStatus;
use shim_protocol::exit::Stop;
use shim_protocol::exit::StopReason;
use shim_protocol::grant::Grant;
use shim_protocol::grant::Limits;
use shim_protocol::message::AckVerdict;
use shim_protocol::message::Hello;
use shim_protocol::message::StopMode;
use shim_protocol::message::ToServer;
use shim_protocol::message::ToShim;
use shim_protocol::message::Welcome;

use super::*;
use crate::exit::Exit;

mod child;

const PID: u32 = 4711;

/// A machine and a clock that moves only when told.
struct Shim {
    machine: Machine,
    now: Duration,
}

impl Shim {
    fn new() -> Self {
        let identity = Identity {
            worker_id: "W-7".into(),
            token: "secret".into(),
            build: "test".into(),
            pid: 42,
            unit: None,
            nonce: 0xabc,
            place_id: None,
            traces: shim_protocol::message::Traces::default(),
        };
        let now = Duration::from_secs(1000);
        Self { machine: Machine::new(identity, now), now }
    }

    fn feed(&mut self, event: Event) -> Vec<Action> {
        self.machine.handle(event, self.now)
    }

    fn pass(&mut self, time: Duration) -> Vec<Action> {
        self.now += time;
        self.feed(Event::Tick)
    }

    fn hear(&mut self, message: ToShim) -> Vec<Action> {
        self.feed(Event::Message(message))
    }

    /// Dials and is welcomed; the answer is what the welcome led to.
    fn connect(&mut self) -> Vec<Action> {
        self.feed(Event::Connected);
        self.hear(ToShim::Welcome(Welcome { protocol: 1, build: "s".into(), heartbeat_ms: 10_000 }))
    }

    fn pulling() -> Self {
        let mut shim = Self::new();
        assert_eq!(shim.feed(Event::Tick), [Action::Dial]);
        assert_eq!(shim.connect(), [pull(1)]);
        shim
    }

    fn running(limits: Limits) -> Self {
        let mut shim = Self::pulling();
        let grant = granted(1, limits);
        let [Action::Begin(_)] = shim.hear(grant)[..] else { panic!("begins") };
        assert_eq!(shim.feed(begun()), [started()]);
        shim
    }

    /// The tree is gone; the answer is the stop the record is sealed with.
    fn sealed(&mut self) -> Option<Stop> {
        let actions = self.feed(Event::Swept(Swept::Clean));
        let [Action::Seal(order)] = &actions[..] else { panic!("seals: {actions:?}") };
        order.stop.clone()
    }

    fn reporting() -> Self {
        let mut shim = Self::running(Limits::default());
        assert_eq!(shim.feed(Event::ChildExited), [Action::Sweep]);
        assert_eq!(shim.sealed(), None);
        assert_eq!(shim.feed(Event::Sealed(record())), [completed()]);
        shim
    }

    fn ack(&mut self) -> Vec<Action> {
        self.hear(ToShim::Ack { attempt_id: "A-1".into(), verdict: AckVerdict::Accepted })
    }
}

fn limits() -> Limits {
    Limits { grace_ms: 30_000, kill_after_ms: 5_000, ..Limits::default() }
}

fn granted(pull: u32, limits: Limits) -> ToShim {
    ToShim::Grant { pull_id: format!("{:032x}-{pull}", 0xabc), grant: Box::new(grant(limits)) }
}

fn grant(limits: Limits) -> Grant {
    Grant {
        version: 1,
        server_id: "db".into(),
        attempt_id: "A-1".into(),
        ticket_id: "T-1".into(),
        project: "p".into(),
        stage: "build".into(),
        worker_id: "W-7".into(),
        claude_session_id: "s".into(),
        program: "/bin/true".into(),
        args: Vec::new(),
        prompt: String::new(),
        cwd: "/".into(),
        env: std::collections::BTreeMap::new(),
        env_pass: Vec::new(),
        files: std::collections::BTreeMap::new(),
        limits,
        extra: serde_json::Map::new(),
    }
}

fn record() -> Box<ExitRecord> {
    Box::new(ExitRecord {
        version: 1,
        server_id: "db".into(),
        attempt_id: "A-1".into(),
        worker_id: "W-7".into(),
        build: "test".into(),
        status: ExitStatus::Exited { code: 0 },
        stop: None,
        result: None,
        last_error: None,
        session_id: None,
        stderr_tail: String::new(),
        turns: 0,
        started_at_ms: Some(5),
        ended_at_ms: 6,
        swept: 0,
        max_rss_kib: None,
        oom_kills: None,
        tasks_refused: None,
        peak_memory_bytes: None,
        usage_limit: None,
        mcp_failed: Vec::new(),
        stream_usage: None,
        told: None,
        unreadable: None,
        extra: serde_json::Map::new(),
    })
}

fn begun() -> Event {
    Event::Begun(Begun::Running { pid: PID, at_ms: 5 })
}

fn pull(number: u32) -> Action {
    Action::Send(ToServer::Pull { pull_id: format!("{:032x}-{number}", 0xabc) })
}

fn started() -> Action {
    Action::Send(ToServer::Started { attempt_id: "A-1".into(), child_pid: PID, at_ms: 5 })
}

fn completed() -> Action {
    reported(/* unsealed */ false)
}

fn reported(unsealed: bool) -> Action {
    Action::Send(ToServer::Completed { attempt_id: "A-1".into(), record: record(), unsealed })
}

fn goodbye(reason: &str) -> Action {
    Action::Send(ToServer::Goodbye { reason: reason.into() })
}

fn stop(mode: StopMode) -> ToShim {
    ToShim::Stop { attempt_id: "A-1".into(), mode }
}

fn polite() -> [Action; 2] {
    [Action::SignalGroup(Signal::SIGTERM), Action::SignalGroup(Signal::SIGCONT)]
}

fn insisting() -> [Action; 2] {
    [Action::SignalTree(Signal::SIGTERM), Action::SignalTree(Signal::SIGCONT)]
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn hello_says_what_the_shim_holds() {
    let hello = |shim: &mut Shim| match &shim.feed(Event::Connected)[..] {
        [Action::Send(ToServer::Hello(hello))] => hello.clone(),
        other => panic!("{other:?}"),
    };
    let idle = Hello {
        protocol_min: 1,
        protocol_max: 1,
        build: "test".into(),
        worker_id: "W-7".into(),
        token: "secret".into(),
        pid: 42,
        live_attempt: None,
        child_pid: None,
        draining: false,
        unit: None,
        place_id: None,
        traces: Some(Box::default()),
    };
    assert_eq!(hello(&mut Shim::new()), idle);
    let mut shim = Shim::running(limits());
    shim.feed(Event::Request(Request::Drain, None));
    let live_attempt = Some("A-1".into());
    let running = Hello { live_attempt, child_pid: Some(PID), draining: true, ..idle.clone() };
    assert_eq!(hello(&mut shim), running);
    let unreported = Hello { live_attempt: Some("A-1".into()), ..idle };
    assert_eq!(hello(&mut Shim::reporting()), unreported);
}

#[test]
fn a_ticket_runs_and_the_next_one_is_pulled_after_the_ack() {
    let mut shim = Shim::reporting();
    assert_eq!(shim.ack(), [Action::Forget, pull(2)]);
    let empty = ToShim::Empty { pull_id: format!("{:032x}-2", 0xabc) };
    assert_eq!(shim.hear(empty), [goodbye("the queue is empty"), Action::Leave(Exit::Done)]);
}

#[test]
fn nothing_is_announced_before_it_is_sealed() {
    let mut shim = Shim::running(limits());
    shim.feed(Event::ChildExited);
    shim.sealed();
    assert!(!shim.connect().contains(&completed()), "not even on a new link");
    let complaint = "the end of A-1 cannot be recorded: no room".to_owned();
    assert_eq!(shim.feed(no_room()), [Action::Complain(complaint), reported(true)]);
    let retried = shim.pass(seconds(1));
    assert!(matches!(retried[..], [Action::Seal(_)]), "{retried:?}");
    assert_eq!(shim.feed(no_room()), [], "told once; the heartbeats repeat it");
    let retried = shim.pass(seconds(1));
    assert!(matches!(retried[..], [Action::Seal(_)]), "{retried:?}");
    assert_eq!(shim.feed(Event::Sealed(record())), [completed()]);
}

#[test]
fn a_record_that_cannot_be_written_is_offered_until_it_is_taken() {
    let mut shim = Shim::running(limits());
    shim.feed(Event::ChildExited);
    shim.sealed();
    shim.feed(Event::LinkLost);
    assert!(!shim.feed(no_room()).contains(&reported(true)), "there is nobody to offer it to");
    assert_eq!(shim.connect(), [reported(true)]);
    shim.feed(Event::LinkLost);
    shim.pass(seconds(2));
    assert_eq!(shim.connect(), [reported(true)], "as long as nobody has taken it");
    assert!(shim.pass(seconds(30)).contains(&reported(true)));
    assert_eq!(shim.ack(), [Action::Forget, pull(2)]);
}

#[test]
fn a_record_that_can_neither_be_written_nor_offered_is_given_up_with_its_own_code() {
    let mut shim = Shim::running(limits());
    shim.feed(Event::LinkLost);
    shim.feed(Event::ChildExited);
    shim.sealed();
    shim.feed(no_room());
    shim.now += seconds(600);
    assert_eq!(shim.feed(no_room()), [Action::Leave(Exit::CannotRecord)]);
}

fn no_room() -> Event {
    Event::SealFailed { record: record(), why: "no room".to_owned() }
}

#[test]
fn a_broken_link_touches_nothing_but_the_link() {
    let mut shim = Shim::running(limits());
    assert_eq!(shim.feed(Event::LinkLost), []);
    assert_eq!(shim.pass(seconds(3600)), [Action::Dial], "the child runs on, for an hour");
    assert_eq!(shim.connect(), [started()]);
    // The repeated answer to the repeated pull.
    assert_eq!(shim.hear(granted(1, limits())), []);
}

#[test]
fn an_unanswered_pull_is_repeated_with_its_id() {
    let mut shim = Shim::pulling();
    shim.feed(Event::LinkLost);
    assert_eq!(shim.pass(seconds(1)), [Action::Dial]);
    assert_eq!(shim.connect(), [pull(1)]);
    let [Action::Begin(_)] = shim.hear(granted(1, limits()))[..] else { panic!("begins") };
}

#[test]
fn a_completion_is_repeated_until_acked() {
    let mut shim = Shim::reporting();
    assert!(shim.pass(seconds(30)).contains(&completed()), "on a link that stands");
    shim.feed(Event::LinkLost);
    shim.pass(seconds(1));
    assert_eq!(shim.connect(), [completed()]);
    let other = ToShim::Ack { attempt_id: "A-2".into(), verdict: AckVerdict::Accepted };
    assert_eq!(shim.hear(other), []);
    assert_eq!(shim.ack(), [Action::Forget, pull(2)]);
    assert_eq!(shim.ack(), [], "a second ack is late, not wrong");
}

#[test]
fn a_shim_without_work_does_not_outlive_its_server_by_long() {
    for mut shim in [Shim::new(), Shim::pulling()] {
        shim.feed(Event::LinkLost);
        assert!(!shim.pass(seconds(59)).contains(&Action::Leave(Exit::Done)));
        assert!(shim.pass(seconds(1)).contains(&Action::Leave(Exit::Done)));
    }
    let mut shim = Shim::reporting();
    shim.feed(Event::LinkLost);
    assert!(!shim.pass(seconds(599)).contains(&Action::Leave(Exit::Done)));
    assert!(shim.pass(seconds(1)).contains(&Action::Leave(Exit::Done)));
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_dropped() {
    let mut shim = Shim::new();
    shim.feed(Event::Tick);
    shim.feed(Event::Connected);
    assert_eq!(shim.pass(seconds(10)), [Action::Hangup]);
    let newer = ToShim::Welcome(Welcome { protocol: 99, build: "s".into(), heartbeat_ms: 1 });
    shim.feed(Event::Connected);
    assert_eq!(shim.hear(newer), [Action::Hangup]);
}

#[test]
fn heartbeats_come_at_the_servers_pace() {
    let mut shim = Shim::running(limits());
    assert_eq!(shim.machine.deadline(), Some(shim.now + seconds(10)));
    assert_eq!(shim.pass(seconds(10)), [Action::Heartbeat]);
    assert_eq!(shim.pass(seconds(9)), []);
    assert_eq!(shim.pass(seconds(1)), [Action::Heartbeat]);
}

#[test]
fn signals_without_a_child_end_the_shim() {
    let leaving = [Request::Interrupt, Request::Cancel, Request::Kill, Request::Drain];
    for request in leaving {
        let mut shim = Shim::new();
        assert_eq!(
            shim.feed(Event::Request(request, None)),
            [Action::Leave(Exit::Done)],
            "link down"
        );
        let mut shim = Shim::pulling();
        let said = if request == Request::Drain { "drained" } else { "told to leave" };
        assert_eq!(shim.feed(Event::Request(request, None)), [goodbye(said)]);
        assert_eq!(shim.feed(Event::LinkLost), [Action::Leave(Exit::Done)]);
        let mut shim = Shim::pulling();
        shim.feed(Event::Request(request, None));
        assert_eq!(shim.pass(seconds(1)), [Action::Leave(Exit::Done)], "and it does not wait long");
    }
    for request in [Request::Restart, Request::Redial] {
        let mut shim = Shim::pulling();
        shim.feed(Event::Request(request, None));
        shim.connect();
        let [Action::Begin(_)] = shim.hear(granted(1, limits()))[..] else {
            panic!("it must begin the attempt")
        };
    }
}

#[test]
fn a_grant_that_crosses_the_goodbye_gets_an_end() {
    let cases = [
        (Request::Interrupt, StopReason::Interrupt, 15),
        (Request::Cancel, StopReason::Cancel, 2),
        (Request::Drain, StopReason::Interrupt, 12),
    ];
    for (request, reason, signal) in cases {
        let mut shim = Shim::pulling();
        shim.feed(Event::Request(request, None));
        let [Action::Decline { .. }] = shim.hear(granted(1, limits()))[..] else {
            panic!("{request:?}")
        };
        let not_started =
            NotStarted { error: "told".into(), errno: None, stop: None, machinery: false };
        let stop = Some(Stop { reason, signal: Some(signal), sender: None });
        let order = SealOrder { stop, not_started: Some(not_started.clone()) };
        assert_eq!(shim.feed(Event::Begun(Begun::NotStarted(not_started))), [Action::Seal(order)]);
        assert_eq!(shim.feed(Event::Sealed(record())), [completed()]);
        let end = shim.ack();
        assert_eq!(end.first(), Some(&Action::Forget));
        assert_eq!(end.last(), Some(&Action::Leave(Exit::Done)));
    }
}

#[test]
fn signals_stop_a_running_child_and_then_the_shim() {
    let cases =
        [(Request::Interrupt, StopReason::Interrupt, 15), (Request::Cancel, StopReason::Cancel, 2)];
    for (request, reason, signal) in cases {
        let mut shim = Shim::running(limits());
        assert_eq!(shim.feed(Event::Request(request, None)), polite());
        assert_eq!(shim.feed(Event::ChildExited), [Action::Sweep]);
        assert_eq!(shim.sealed(), Some(Stop { reason, signal: Some(signal), sender: None }));
        assert_eq!(shim.feed(Event::Sealed(record())), [completed()]);
        let end = [Action::Forget, goodbye("told to leave"), Action::Leave(Exit::Done)];
        assert_eq!(shim.ack(), end);
    }
}

#[test]
fn quit_kills_without_grace() {
    let mut shim = Shim::running(limits());
    assert_eq!(shim.feed(Event::Request(Request::Kill, None)), [Action::Sweep]);
    let expected = Stop { reason: StopReason::Kill, signal: Some(3), sender: None };
    assert_eq!(shim.sealed(), Some(expected));
}

#[test]
fn usr1_runs_the_ticket_again() {
    let mut shim = Shim::running(limits());
    assert_eq!(shim.feed(Event::Request(Request::Restart, None)), polite());
    shim.feed(Event::ChildExited);
    assert_eq!(
        shim.sealed(),
        Some(Stop { reason: StopReason::Restart, signal: Some(10), sender: None })
    );
    shim.feed(Event::Sealed(record()));
    assert_eq!(shim.ack(), [Action::Forget, pull(2)]);
}

#[test]
fn usr2_and_drain_let_the_ticket_finish() {
    for drain in [Event::Request(Request::Drain, None), Event::Message(ToShim::Drain {})] {
        let mut shim = Shim::running(limits());
        assert_eq!(shim.feed(drain), []);
        shim.feed(Event::ChildExited);
        assert_eq!(shim.sealed(), None);
        shim.feed(Event::Sealed(record()));
        let end = [Action::Forget, goodbye("drained"), Action::Leave(Exit::Done)];
        assert_eq!(shim.ack(), end);
    }
}

#[test]
fn hup_redials_and_nothing_else() {
    let mut shim = Shim::running(limits());
    assert_eq!(shim.feed(Event::Request(Request::Redial, None)), [Action::Hangup, Action::Dial]);
    assert_eq!(shim.connect(), [started()]);
}

#[test]
fn signals_while_a_report_waits_only_shorten_the_wait() {
    for request in [Request::Interrupt, Request::Cancel, Request::Kill] {
        let mut shim = Shim::reporting();
        assert_eq!(shim.feed(Event::Request(request, None)), []);
        assert!(!shim.pass(seconds(9)).contains(&Action::Leave(Exit::Done)));
        assert!(shim.pass(seconds(1)).contains(&Action::Leave(Exit::Done)));
    }
    for request in [Request::Interrupt, Request::Cancel, Request::Kill] {
        // Nobody is there to ack, and the record is on disk. One more dial is all it waits for.
        let mut shim = Shim::reporting();
        shim.feed(Event::LinkLost);
        assert_eq!(shim.feed(Event::Request(request, None)), []);
        assert_eq!(shim.pass(Duration::from_millis(500)), [Action::Dial]);
        shim.feed(Event::LinkLost);
        assert!(shim.pass(Duration::from_millis(500)).contains(&Action::Leave(Exit::Done)));
    }
    let mut shim = Shim::reporting();
    assert_eq!(shim.feed(Event::Request(Request::Restart, None)), []);
    assert_eq!(shim.feed(Event::Request(Request::Drain, None)), []);
}

#[test]
fn the_ladder_has_three_rungs() {
    let mut shim = Shim::running(limits());
    assert_eq!(shim.hear(stop(StopMode::Interrupt)), polite());
    shim.feed(Event::LinkLost);
    assert!(!shim.pass(seconds(29)).contains(&insisting()[0]));
    assert!(shim.pass(seconds(1)).ends_with(&insisting()));
    assert!(!shim.pass(seconds(4)).contains(&Action::Sweep));
    assert!(shim.pass(seconds(1)).contains(&Action::Sweep));
    assert_eq!(shim.feed(Event::ChildExited), [], "the sweep is on already");
}

#[test]
fn a_stop_from_the_server_ends_the_attempt_and_not_the_shim() {
    let mut shim = Shim::running(limits());
    let other = ToShim::Stop { attempt_id: "A-9".into(), mode: StopMode::Kill };
    assert_eq!(shim.hear(other), []);
    assert_eq!(shim.hear(stop(StopMode::Cancel)), polite());
    shim.feed(Event::ChildExited);
    assert_eq!(shim.sealed(), Some(Stop::of(StopReason::Cancel)));
    shim.feed(Event::Sealed(record()));
    assert_eq!(shim.ack(), [Action::Forget, pull(2)]);
}

#[test]
fn force_only_grows_and_the_weightier_reason_is_recorded() {
    use StopMode::Cancel;
    use StopMode::Interrupt;
    use StopMode::Kill;
    let cases = [
        ([Interrupt, Kill], StopReason::Kill),
        ([Kill, Interrupt], StopReason::Kill),
        ([Interrupt, Cancel], StopReason::Cancel),
        // The work is not wanted, however hard the child is killed.
        ([Cancel, Kill], StopReason::Cancel),
        ([Kill, Cancel], StopReason::Cancel),
    ];
    for (modes, reason) in cases {
        let mut shim = Shim::running(limits());
        let actions: Vec<Action> =
            modes.into_iter().flat_map(|mode| shim.hear(stop(mode))).collect();
        assert_eq!(actions.contains(&Action::Sweep), modes.contains(&Kill), "{modes:?}");
        shim.feed(Event::ChildExited);
        assert_eq!(shim.sealed().map(|stop| stop.reason), Some(reason), "{modes:?}");
    }
}

#[test]
fn a_stop_after_the_child_is_gone_is_not_recorded() {
    let mut shim = Shim::running(limits());
    shim.feed(Event::ChildExited);
    assert_eq!(shim.feed(Event::Request(Request::Interrupt, None)), []);
    assert_eq!(shim.sealed(), None);
}

#[test]
fn new_limits_count_at_once_and_from_the_start() {
    let mut shim = Shim::running(Limits { timeout_ms: Some(60_000), ..limits() });
    assert_eq!(shim.pass(seconds(8)), []);
    let new = |timeout_ms| ToShim::Limits {
        attempt_id: "A-1".into(),
        limits: Box::new(Limits { timeout_ms: Some(timeout_ms), ..limits() }),
    };
    assert_eq!(shim.hear(new(9_000)), []);
    assert_eq!(shim.machine.deadline(), Some(shim.now + seconds(1)));
    shim.hear(new(8_000));
    assert_eq!(shim.pass(seconds(0)), polite());
    shim.feed(Event::ChildExited);
    assert_eq!(shim.sealed(), Some(Stop::of(StopReason::Timeout)));
}

#[test]
fn what_will_not_die_is_looked_at_ever_less_often_and_reported_once() {
    let mut shim = Shim::running(limits());
    shim.feed(Event::LinkLost);
    shim.feed(Event::ChildExited);
    let began = shim.now;
    let (mut looks, mut reports) = (0_u32, 0);
    while shim.now < began + seconds(70) {
        let outcome = shim.feed(Event::Swept(Swept::Left));
        reports += outcome.iter().filter(|action| **action == Action::ReportStuck).count();
        loop {
            let next = shim.machine.deadline().expect("a deadline");
            assert!(next > shim.now, "never spins");
            shim.now = next;
            if shim.feed(Event::Tick).contains(&Action::Sweep) {
                break;
            }
        }
        looks += 1;
    }
    assert_eq!(reports, 1);
    assert!((250..350).contains(&looks), "{looks}");
    assert_eq!(shim.sealed(), None);
}

#[test]
fn a_refused_shim_ends_its_work_and_leaves_the_record_on_disk() {
    let refused = || ToShim::Refused { reason: "stopped".into() };
    let mut shim = Shim::new();
    shim.feed(Event::Connected);
    assert_eq!(shim.hear(refused()), [Action::Hangup, Action::Leave(Exit::Done)]);

    let mut shim = Shim::running(limits());
    let [hangup, ladder @ ..] = &shim.hear(refused())[..] else { panic!("acts") };
    assert_eq!((hangup, ladder), (&Action::Hangup, &polite()[..]));
    shim.feed(Event::ChildExited);
    assert_eq!(shim.sealed(), Some(Stop::of(StopReason::Interrupt)));
    assert_eq!(shim.feed(Event::Sealed(record())), [Action::Leave(Exit::Done)]);

    let mut shim = Shim::reporting();
    assert_eq!(shim.hear(refused()), [Action::Hangup, Action::Leave(Exit::Done)]);
}

#[test]
fn a_missing_program_is_an_end_like_any_other() {
    let not_started =
        NotStarted { error: "gone".into(), errno: Some(2), stop: None, machinery: false };
    let mut shim = Shim::pulling();
    shim.hear(granted(1, limits()));
    let order = SealOrder { stop: None, not_started: Some(not_started.clone()) };
    assert_eq!(shim.feed(Event::Begun(Begun::NotStarted(not_started))), [Action::Seal(order)]);
    assert_eq!(shim.feed(Event::Sealed(record())), [completed()]);
    assert_eq!(shim.ack(), [Action::Forget, pull(2)]);
}

#[test]
fn a_machine_without_room_for_processes_ends_the_shim_after_the_report() {
    let full = NotStarted { error: "full".into(), errno: Some(11), stop: None, machinery: true };
    let mut shim = Shim::pulling();
    shim.hear(granted(1, limits()));
    shim.feed(Event::Begun(Begun::NotStarted(full)));
    shim.feed(Event::Sealed(record()));
    assert_eq!(shim.ack().last(), Some(&Action::Leave(Exit::CannotSpawn)));
}

#[test]
fn without_a_run_directory_nothing_is_promised() {
    let mut shim = Shim::pulling();
    shim.hear(granted(1, limits()));
    let actions = shim.feed(Event::Begun(Begun::Unrecordable));
    assert_eq!(actions, [Action::Leave(Exit::CannotRecord)], "no goodbye: the grant is open");
}

#[test]
fn a_grant_of_a_newer_format_is_declined() {
    let mut shim = Shim::pulling();
    let newer = Grant { version: 2, ..grant(limits()) };
    let message = ToShim::Grant { pull_id: format!("{:032x}-1", 0xabc), grant: Box::new(newer) };
    let [Action::Decline { .. }] = shim.hear(message)[..] else { panic!("declined") };
}

#[test]
fn an_unknown_kind_is_answered() {
    let mut shim = Shim::running(limits());
    let answer = shim.feed(Event::UnknownMessage { kind: "teleport".into() });
    let expected = ToServer::Unsupported { unsupported: "teleport".into() };
    assert_eq!(answer, [Action::Send(expected)]);
}

#[test]
fn an_idle_shim_sets_no_needless_timer() {
    let mut shim = Shim::pulling();
    assert_eq!(shim.machine.deadline(), Some(shim.now + seconds(10)), "only the heartbeat");
    shim.feed(Event::LinkLost);
    for _ in 0..20 {
        let next = shim.machine.deadline().expect("a deadline");
        assert!(next > shim.now, "never spins");
        shim.now = next;
        if shim.feed(Event::Tick) == [Action::Dial] {
            shim.feed(Event::LinkLost);
        }
    }
}
