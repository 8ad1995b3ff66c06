//! The link: hello, pulls, heartbeats, and what happens when it breaks.

use super::*;

#[test]
fn hello_reports_what_the_shim_holds() {
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
        kinds: ["agent", "setup", "gate"].map(str::to_owned).to_vec(),
        network: Some(shim_protocol::message::Network { namespace: 7, leads_out: true }),
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
fn a_server_that_accepts_and_stays_silent_is_dropped() {
    let mut shim = Shim::new();
    shim.feed(Event::Tick);
    shim.feed(Event::Connected);
    assert_eq!(shim.pass(seconds(10)), [Action::Hangup]);
    let newer = ToShim::Welcome(Welcome { protocol: 99, build: "s".into(), heartbeat_ms: 1 });
    shim.feed(Event::Connected);
    assert_eq!(shim.hear(newer), [Action::Hangup]);
}

#[test]
fn heartbeats_follow_the_servers_interval() {
    let mut shim = Shim::running(limits());
    assert_eq!(shim.machine.deadline(), Some(shim.now + seconds(10)));
    assert_eq!(shim.pass(seconds(10)), [Action::Heartbeat]);
    assert_eq!(shim.pass(seconds(9)), []);
    assert_eq!(shim.pass(seconds(1)), [Action::Heartbeat]);
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
