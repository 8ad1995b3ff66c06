//! Nothing of an attempt's tree survives it, however it tries.

use nix::sys::signal::Signal;
use shim_protocol::exit::ExitStatus;
use shim_protocol::exit::Stop;
use shim_protocol::exit::StopReason;
use shim_protocol::message::StopMode;
use shim_protocol::message::ToShim;

use crate::rig::Rig;
use crate::rig::eventually;

#[test]
fn daemons_are_gone_before_the_completion_is_sent() {
    let mut rig = Rig::start();
    // Thirty trees: forked twice, in sessions of their own, ignoring SIGTERM, without a single open
    // descriptor.
    let script = r#"
        for n in $(seq 30); do
            ( ( exec setsid sh -c 'trap "" TERM HUP; echo $$ >> $RUN/pids
                exec </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
                sleep 600 & wait' & ) & )
        done
        until test "$(wc -l < $RUN/pids 2>/dev/null)" = 30; do sleep 0.02; done
        echo '{"type":"result","subtype":"success"}'"#;
    let mut server = rig.run(script);
    server.started();
    let record = server.completed();
    assert_eq!(rig.alive(), 0, "nobody is left when the end is announced");
    assert_eq!(record.status, ExitStatus::Exited { code: 0 });
    assert!(record.swept >= 30, "{} swept", record.swept);
    assert_eq!(record.stop, None);
    server.ack();
    server.finish();
    assert_eq!(rig.exited().code(), Some(0));
}

/// Chains of processes that fork a successor and exit: always the same few, never the same for
/// long. They end by themselves after a number of generations, so that a failure here cannot bring
/// the machine down.
#[test]
fn processes_that_keep_forking_away_are_caught() {
    let rig = Rig::start();
    let script = r"
        echo 'test $1 -gt 0 && setsid sh $0 $(($1 - 1)) &' > $RUN/chain.sh
        chain() { test $1 -gt 0 && ( chain $(($1 - 1)) ) & }
        for n in 1 2 3 4; do chain 500; setsid sh $RUN/chain.sh 500; done";
    let mut server = rig.run(script);
    server.started();
    let record = server.completed();
    assert_eq!(record.status, ExitStatus::Exited { code: 0 });
    assert!(record.swept > 0);
    assert_eq!(rig.alive(), 0);
}

#[test]
fn an_agent_deaf_to_term_is_killed_after_the_grace() {
    let rig = Rig::start();
    let script = "trap '' TERM; echo up > $RUN/up; while :; do sleep 600; done";
    let mut server = rig.run_with(script, |grant| grant.limits.grace_ms = 200);
    server.started();
    rig.wait_for("up");
    server.say(&ToShim::Stop { attempt_id: "A-1".into(), mode: StopMode::Interrupt });
    let record = server.completed();
    assert_eq!(record.status, ExitStatus::Signaled { signal: 9 });
    assert_eq!(record.stop, Some(Stop::of(StopReason::Interrupt)));
    assert_eq!(rig.alive(), 0);
}

#[test]
fn a_stopped_agent_hears_term() {
    let rig = Rig::start();
    let mut server =
        rig.run("trap 'exit 3' TERM; echo up > $RUN/up; kill -STOP $$; sleep 600 & wait");
    server.started();
    rig.wait_for("up");
    server.say(&ToShim::Stop { attempt_id: "A-1".into(), mode: StopMode::Interrupt });
    assert_eq!(server.completed().status, ExitStatus::Exited { code: 3 });
}

#[test]
fn the_agent_dies_with_its_shim() {
    let mut rig = Rig::start();
    let mut server = rig.run("echo up > $RUN/up; exec sleep 600");
    server.started();
    rig.wait_for("up");
    rig.kill();
    eventually("the agent is dead", || (rig.alive() == 0).then_some(()));
    assert!(!rig.run_dir().join("exit.json").exists(), "nobody was there to seal it");
}

#[test]
fn the_tree_lock_is_held_exactly_while_something_of_the_tree_lives() {
    let rig = Rig::start();
    let mut server = rig.run("echo up > $RUN/up; sleep 600");
    server.started();
    rig.wait_for("up");
    let lock = || std::fs::File::open(rig.run_dir().join("tree.lock")).expect("there");
    assert!(lock().try_lock().is_err());
    rig.signal(Signal::SIGTERM);
    server.completed();
    assert!(lock().try_lock().is_ok());
}

#[test]
fn endless_output_rotates_and_delays_nobody() {
    let rig = Rig::start();
    let line = "x".repeat(1000);
    let script = format!("n=0; while [ $n -lt 2000 ]; do echo {line}; n=$((n+1)); done");
    let mut server = rig.run_with(&script, |grant| {
        grant.limits.segment_bytes = 100_000;
        grant.limits.segments = 3;
    });
    server.started();
    assert_eq!(server.completed().status, ExitStatus::Exited { code: 0 });
    let stream = shim_protocol::run_dir::Stream::Stdout;
    let kept = shim_protocol::run_dir::segments(&rig.run_dir(), stream).expect("reads");
    assert_eq!(kept.len(), 3);
}
