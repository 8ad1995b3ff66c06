//! Stops of a running child: their order, their force, and what cannot be killed.

use super::*;

#[test]
fn a_stop_escalates_in_three_steps() {
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
fn new_limits_take_effect_at_once_and_count_from_the_start() {
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
fn processes_that_cannot_be_killed_are_checked_less_and_less_often_and_reported_once() {
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
