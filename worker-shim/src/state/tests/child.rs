//! When a running child is stopped: after its result, after its time, in silence, and without
//! progress.

use super::*;
use crate::stream::Signs;

fn concluded() -> Event {
    Event::Signs(Signs { session: true, concluded: true, ..Signs::default() })
}

#[test]
fn whatever_the_child_does_after_its_result_ends_the_wait_for_its_end() {
    let limits = || Limits {
        result_linger_ms: 5_000,
        stall_ms: Some(60_000),
        timeout_ms: Some(100_000),
        ..limits()
    };
    let quiet = |mut actions: Vec<Action>| {
        actions.retain(|action| *action != Action::Heartbeat);
        actions
    };
    let works = || Event::Signs(Signs { session: true, ..Signs::default() });
    let mut shim = Shim::running(limits());
    shim.feed(Event::Output);
    shim.feed(concluded());
    shim.now += seconds(4);
    assert_eq!(shim.feed(works()), []);
    shim.feed(Event::Output);
    assert_eq!(quiet(shim.pass(seconds(50))), [], "it works");
    assert_eq!(shim.feed(concluded()), []);
    assert_eq!(quiet(shim.pass(seconds(4))), [], "the wait begins anew");
    assert_eq!(quiet(shim.pass(seconds(1))), polite());
    shim.feed(Event::ChildExited);
    let expected = Stop::of(StopReason::HungAfterResult);
    assert_eq!(shim.sealed(), Some(expected));

    // An agent that reports its outcome and continues to work, over and over, has no more time than
    // others.
    let mut shim = Shim::running(limits());
    for _ in 0..25 {
        shim.feed(Event::Output);
        shim.feed(concluded());
        assert_eq!(quiet(shim.pass(seconds(4))), []);
        shim.feed(works());
    }
    assert_eq!(quiet(shim.pass(seconds(0))), polite());
    shim.feed(Event::ChildExited);
    assert_eq!(shim.sealed(), Some(Stop::of(StopReason::Timeout)));
}

#[test]
fn a_child_that_hangs_after_its_result_is_stopped() {
    let mut shim = Shim::running(Limits { result_linger_ms: 5_000, ..limits() });
    assert_eq!(shim.feed(concluded()), []);
    shim.now += seconds(4);
    assert_eq!(shim.feed(concluded()), [], "a second result buys no time");
    assert_eq!(shim.pass(seconds(1)), polite());
    shim.feed(Event::ChildExited);
    let expected = Stop::of(StopReason::HungAfterResult);
    assert_eq!(shim.sealed(), Some(expected));
}

#[test]
fn a_child_that_ends_after_its_result_was_never_stopped() {
    let mut shim =
        Shim::running(Limits { result_linger_ms: 5_000, timeout_ms: Some(1), ..limits() });
    shim.feed(concluded());
    assert_eq!(shim.pass(seconds(1)), [], "the result came in time");
    shim.feed(Event::ChildExited);
    assert_eq!(shim.sealed(), None);
}

#[test]
fn the_wall_clock_limit_holds_whatever_the_child_says() {
    let mut shim =
        Shim::running(Limits { timeout_ms: Some(9_000), stall_ms: Some(4_000), ..limits() });
    for _ in 0..2 {
        shim.now += seconds(3);
        assert_eq!(shim.feed(Event::Output), []);
    }
    assert_eq!(shim.pass(seconds(3)), polite());
    shim.feed(Event::ChildExited);
    assert_eq!(shim.sealed(), Some(Stop::of(StopReason::Timeout)));
}

#[test]
fn silence_is_a_stall_and_any_output_is_not() {
    let mut shim = Shim::running(Limits { stall_ms: Some(4_000), ..limits() });
    assert_eq!(shim.pass(seconds(3)), []);
    shim.feed(Event::Output);
    assert_eq!(shim.pass(seconds(3)), []);
    assert_eq!(shim.machine.deadline(), Some(shim.now + seconds(1)));
    assert_eq!(shim.pass(seconds(1)), polite());
    shim.feed(Event::ChildExited);
    assert_eq!(shim.sealed(), Some(Stop::of(StopReason::Stall)));
}

#[test]
fn a_child_that_announces_no_session_hangs_at_its_start() {
    let limits = || Limits { start_ms: Some(2_000), timeout_ms: Some(9_000), ..limits() };
    let mut shim = Shim::running(limits());
    assert_eq!(shim.machine.deadline(), Some(shim.now + seconds(2)));
    assert_eq!(shim.pass(seconds(2)), polite());
    shim.feed(Event::ChildExited);
    assert_eq!(shim.sealed(), Some(Stop::of(StopReason::HangAtStart)));
    let mut shim = Shim::running(limits());
    assert_eq!(shim.feed(Event::Signs(Signs { session: true, ..Signs::default() })), []);
    assert_eq!(shim.pass(seconds(3)), [], "it has begun");
}

#[test]
fn a_child_whose_stream_shows_no_progress_is_stopped() {
    let limits = || Limits { max_turns: Some(5), max_repeats: Some(3), ..limits() };
    let stopped = |signs: Signs| {
        let mut shim = Shim::running(limits());
        assert_eq!(shim.feed(Event::Signs(signs)), polite());
        shim.feed(Event::ChildExited);
        shim.sealed().map(|stop| stop.reason)
    };
    let signs = Signs { session: true, turns: 5, repeats: 2, refused: None, concluded: false };
    assert_eq!(Shim::running(limits()).feed(Event::Signs(signs)), []);
    assert_eq!(stopped(Signs { turns: 6, ..signs }), Some(StopReason::MaxTurns));
    assert_eq!(stopped(Signs { repeats: 3, ..signs }), Some(StopReason::NoProgress));
    let refused = Some(StopReason::Authentication);
    assert_eq!(stopped(Signs { refused, ..signs }), refused);
    // The result has come: the work has ended, whatever happened on the way.
    let mut done = Shim::running(limits());
    done.feed(concluded());
    assert_eq!(done.feed(Event::Signs(Signs { turns: 6, concluded: true, ..signs })), []);
}
