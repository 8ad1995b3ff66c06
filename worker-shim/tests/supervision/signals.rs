//! Signals to the shim do what its users were promised.

use nix::sys::signal::Signal;
use shim_protocol::exit::ExitStatus;
use shim_protocol::exit::Sender;
use shim_protocol::exit::Stop;
use shim_protocol::exit::StopReason;
use shim_protocol::message::StopMode;
use shim_protocol::message::ToShim;

use crate::rig::Rig;
use crate::rig::is_alive;

const FOREVER: &str = "echo up > $RUN/up; sleep 600";

/// The sender of the signals here.
fn tester() -> Sender {
    let name = std::fs::read_to_string("/proc/self/comm").expect("readable");
    Sender {
        pid: std::process::id().cast_signed(),
        uid: nix::unistd::geteuid().as_raw(),
        own: false,
        name: Some(name.trim_end().to_owned()),
        attempt: None,
    }
}

#[test]
fn an_agent_that_signals_its_shim_is_known() {
    for (name, number) in [("TERM", 15), ("USR1", 10), ("QUIT", 3), ("INT", 2)] {
        let rig = Rig::start();
        let mut server = rig.run(&format!("kill -{name} $PPID; sleep 600"));
        let child = server.started();
        let stop = server.completed().stop.expect("it was stopped");
        let sender = stop.sender.expect("somebody sent it");
        assert_eq!((stop.signal, sender.pid, sender.own), (Some(number), child, true), "{name}");
        assert_eq!(sender.attempt.as_deref(), Some("A-1"));
    }
}

#[test]
fn an_agent_has_no_say_in_when_its_shim_dials_or_leaves() {
    let rig = Rig::start();
    let script = "kill -HUP $PPID; kill -USR2 $PPID; echo up > $RUN/up; \
                  until test -e $RUN/go; do sleep 0.02; done";
    let mut server = rig.run(script);
    server.started();
    rig.wait_for("up");
    std::fs::write(rig.dir.path().join("go"), "").expect("written");
    assert_eq!(server.completed().status, ExitStatus::Exited { code: 0 }, "on the same link");
    server.ack();
    server.pulled();
}

#[test]
fn signals_without_a_ticket_end_the_shim_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGUSR2] {
        let mut rig = Rig::start();
        let (mut server, _) = rig.welcome();
        server.pulled();
        rig.signal(signal);
        server.farewell();
        assert_eq!(rig.exited().code(), Some(0));
    }
}

#[test]
fn stopping_signals_end_the_ticket_and_then_the_shim() {
    let cases = [
        (Signal::SIGTERM, StopReason::Interrupt, 15),
        (Signal::SIGINT, StopReason::Cancel, 15),
        (Signal::SIGQUIT, StopReason::Kill, 9),
    ];
    for (signal, reason, fatal) in cases {
        let mut rig = Rig::start();
        let mut server = rig.run(FOREVER);
        server.started();
        rig.wait_for("up");
        rig.signal(signal);
        let record = server.completed();
        assert_eq!(
            record.stop,
            Some(Stop { reason, signal: Some(signal as i32), sender: Some(tester()) })
        );
        assert_eq!(record.status, ExitStatus::Signaled { signal: fatal });
        server.ack();
        server.farewell();
        assert_eq!(rig.exited().code(), Some(0));
        assert_eq!(rig.alive(), 0);
    }
}

#[test]
fn usr1_stops_the_agent_and_pulls_again() {
    let rig = Rig::start();
    let mut server = rig.run(FOREVER);
    server.started();
    rig.wait_for("up");
    rig.signal(Signal::SIGUSR1);
    let record = server.completed();
    assert_eq!(
        record.stop,
        Some(Stop { reason: StopReason::Restart, signal: Some(10), sender: Some(tester()) })
    );
    server.ack();
    let pull_id = server.pulled();
    let mut again = rig.grant("A-2", "true");
    again.env.insert("VIBE_ENSEMBLE_ATTEMPT".into(), "A-2".into());
    server.say(&ToShim::Grant { pull_id, grant: Box::new(again) });
    server.started();
    let second = server.completed();
    assert_eq!((second.attempt_id.as_str(), second.stop), ("A-2", None));
}

#[test]
fn usr2_lets_the_ticket_finish() {
    let mut rig = Rig::start();
    let script = "echo up > $RUN/up; until test -e $RUN/go; do sleep 0.02; done";
    let mut server = rig.run(script);
    server.started();
    rig.wait_for("up");
    rig.signal(Signal::SIGUSR2);
    drop(server);
    let (mut server, hello) = rig.welcome();
    assert!(hello.draining);
    server.started();
    std::fs::write(rig.dir.path().join("go"), "").expect("written");
    assert_eq!(server.completed().status, ExitStatus::Exited { code: 0 });
    server.ack();
    server.farewell();
    assert_eq!(rig.exited().code(), Some(0));
}

#[test]
fn hup_redials_and_the_agent_runs_on() {
    let rig = Rig::start();
    let mut server = rig.run(FOREVER);
    let child = server.started();
    rig.signal(Signal::SIGHUP);
    assert_eq!(server.try_next(), None);
    let (mut server, _) = rig.welcome();
    assert_eq!(server.started(), child);
}

#[test]
fn a_grant_that_crosses_the_goodbye_is_reported_as_not_started() {
    let mut rig = Rig::start();
    let (mut server, _) = rig.welcome();
    let pull_id = server.pulled();
    rig.signal(Signal::SIGTERM);
    assert!(matches!(server.next(), shim_protocol::message::ToServer::Goodbye { .. }));
    let grant = Box::new(rig.grant("A-1", "touch $RUN/ran"));
    server.say(&ToShim::Grant { pull_id, grant });
    let record = server.completed();
    assert!(matches!(record.status, ExitStatus::NotStarted { .. }));
    assert_eq!(
        record.stop,
        Some(Stop { reason: StopReason::Interrupt, signal: Some(15), sender: Some(tester()) })
    );
    server.ack();
    server.farewell();
    assert_eq!(rig.exited().code(), Some(0));
    assert!(!rig.dir.path().join("ran").exists());
}

#[test]
fn the_server_stops_the_attempt_it_names_and_no_other() {
    let rig = Rig::start();
    let mut server = rig.run(FOREVER);
    let child = server.started();
    server.say(&ToShim::Stop { attempt_id: "A-9".into(), mode: StopMode::Kill });
    server.say(&ToShim::Stop { attempt_id: "A-1".into(), mode: StopMode::Cancel });
    let record = server.completed();
    assert_eq!(record.stop, Some(Stop::of(StopReason::Cancel)));
    assert_eq!(record.status, ExitStatus::Signaled { signal: 15 });
    assert!(!is_alive(child));
    server.ack();
    server.finish();
}
