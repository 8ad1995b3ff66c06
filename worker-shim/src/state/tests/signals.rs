//! Signals to the shim, with and without a child.

use super::*;

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
        // No server is there to acknowledge, and the record is on disk. It waits only for one more
        // dial.
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
