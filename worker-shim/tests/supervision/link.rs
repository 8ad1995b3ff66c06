//! The link may break at any byte; nothing is lost and nothing is done twice.

use shim_protocol::exit::ExitStatus;
use shim_protocol::exit::Stop;
use shim_protocol::exit::StopReason;
use shim_protocol::message::ToServer;
use shim_protocol::message::ToShim;

use crate::rig::Rig;
use crate::rig::eventually;
use crate::rig::is_alive;

/// Runs until the test makes the file `go`.
const WAITS: &str = "echo up > $RUN/up; until test -e $RUN/go; do sleep 0.02; done";

fn go(rig: &Rig) {
    std::fs::write(rig.dir.path().join("go"), "").expect("written");
}

#[test]
fn a_link_that_drops_in_mid_run_is_dialled_again() {
    let rig = Rig::start();
    let mut server = rig.run(WAITS);
    let child = server.started();
    drop(server);
    let (mut server, hello) = rig.welcome();
    assert_eq!(hello.live_attempt.as_deref(), Some("A-1"));
    assert_eq!(hello.child_pid, Some(child.cast_unsigned()));
    assert_eq!(server.started(), child, "the same child, still running");
    go(&rig);
    assert_eq!(server.completed().status, ExitStatus::Exited { code: 0 });
}

#[test]
fn garbage_costs_the_link_and_not_the_child() {
    let rig = Rig::start();
    let mut server = rig.run(WAITS);
    let child = server.started();
    server.say_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let (mut server, _) = rig.welcome();
    assert_eq!(server.started(), child);
}

#[test]
fn a_completion_waits_for_a_server_that_is_away() {
    let mut rig = Rig::start();
    let mut server = rig.run(WAITS);
    server.started();
    rig.vanish();
    drop(server);
    go(&rig);
    let exit = rig.run_dir().join("exit.json");
    eventually("the record is sealed", || exit.exists().then_some(()));
    rig.serve();
    // Not acknowledged, so it is repeated on the next link, and on the one after.
    for _ in 0..2 {
        let (mut server, hello) = rig.welcome();
        assert_eq!((hello.live_attempt.as_deref(), hello.child_pid), (Some("A-1"), None));
        assert_eq!(server.completed(), rig.sealed());
    }
    let (mut server, _) = rig.welcome();
    server.completed();
    server.ack();
    server.finish();
    assert_eq!(rig.exited().code(), Some(0));
}

#[test]
fn a_pull_is_repeated_and_a_repeated_grant_runs_once() {
    let rig = Rig::start();
    let (mut server, _) = rig.welcome();
    let pull_id = server.pulled();
    drop(server);
    let (mut server, _) = rig.welcome();
    assert_eq!(server.pulled(), pull_id);
    let grant = Box::new(rig.grant("A-1", &format!("echo x >> $RUN/runs; {WAITS}")));
    let grant = ToShim::Grant { pull_id, grant };
    server.say(&grant);
    server.say(&grant);
    let child = server.started();
    drop(server);
    let (mut server, _) = rig.welcome();
    assert_eq!(server.started(), child);
    server.say(&grant);
    go(&rig);
    server.completed();
    assert_eq!(rig.wait_for("runs"), "x\n");
    server.ack();
    server.say(&grant);
    server.finish();
}

#[test]
fn a_server_that_moved_is_found_through_its_address_file() {
    let mut rig = Rig::start();
    let mut server = rig.run(WAITS);
    let child = server.started();
    rig.vanish();
    drop(server);
    rig.serve_elsewhere();
    let (mut server, hello) = rig.welcome();
    assert_eq!(
        (hello.live_attempt.as_deref(), hello.place_id.as_deref()),
        (Some("A-1"), Some("here"))
    );
    assert_eq!(server.started(), child);
    // A file without a usable path changes nothing, and delays nobody.
    drop(server);
    let file = rig.dir.path().join("shim.addr");
    std::fs::remove_file(&file).expect("removed");
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).expect("made");
    rig.serve();
    let (mut server, _) = rig.welcome();
    assert_eq!(server.started(), child);
    go(&rig);
    assert_eq!(server.completed().status, ExitStatus::Exited { code: 0 });
}

#[test]
fn a_result_whose_directory_is_gone_is_sealed_nevertheless() {
    let mut rig = Rig::start();
    let mut server = rig.run(WAITS);
    server.started();
    rig.wait_for("up");
    std::fs::remove_dir_all(rig.dir.path().join("attempts")).expect("removed");
    go(&rig);
    let record = server.completed();
    assert_eq!(record.status, ExitStatus::Exited { code: 0 });
    assert_eq!(record, rig.sealed());
    server.ack();
    server.finish();
    assert_eq!(rig.exited().code(), Some(0));
}

#[test]
fn a_result_that_cannot_be_sealed_is_offered_over_the_link() {
    let mut rig = Rig::start();
    let elsewhere = rig.dir.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("made");
    let mut server = rig.run(WAITS);
    server.started();
    rig.wait_for("up");
    std::fs::remove_dir_all(rig.run_dir()).expect("removed");
    std::os::unix::fs::symlink(&elsewhere, rig.run_dir()).expect("linked");
    go(&rig);
    for _ in 0..2 {
        let message = server.next();
        let ToServer::Completed { record, unsealed, .. } = message else { panic!("{message:?}") };
        assert!(unsealed);
        assert_eq!(record.status, ExitStatus::Exited { code: 0 });
        drop(server);
        server = rig.welcome().0;
    }
    assert!(matches!(server.next(), ToServer::Completed { unsealed: true, .. }));
    server.ack();
    server.finish();
    assert_eq!(rig.exited().code(), Some(0));
    let written = std::fs::read_dir(&elsewhere).expect("readable").count();
    assert_eq!(written, 0, "nothing is written through a link");
}

#[test]
fn a_record_that_somebody_else_wrote_is_put_aside() {
    let rig = Rig::start();
    let forged = r#"{"version":1,"server_id":"x","attempt_id":"A-9","worker_id":"W-1","build":"f",
        "status":{"type":"exited","code":7},"ended_at_ms":1}"#;
    let script = format!("cat > $RUN/attempts/A-1/exit.json <<'END'\n{forged}\nEND\n{WAITS}");
    let mut server = rig.run(&script);
    server.started();
    rig.wait_for("up");
    go(&rig);
    let record = server.completed();
    assert_eq!(
        (record.attempt_id.as_str(), &record.status),
        ("A-1", &ExitStatus::Exited { code: 0 })
    );
    assert_eq!(record, rig.sealed());
    let aside = std::fs::read_to_string(rig.run_dir().join("exit.json.foreign.1")).expect("kept");
    assert!(aside.contains("A-9"), "{aside}");
}

#[test]
fn a_pipe_in_the_place_of_the_record_blocks_no_ticket() {
    let rig = Rig::start();
    let mut server = rig.run("mkfifo $RUN/attempts/A-1/exit.json");
    server.started();
    let record = server.completed();
    assert_eq!(record.status, ExitStatus::Exited { code: 0 });
    assert_eq!(record, rig.sealed());
}

#[test]
fn a_refused_shim_with_work_ends_it_and_leaves_the_record() {
    let mut rig = Rig::start();
    let mut server = rig.run(WAITS);
    let child = server.started();
    drop(server);
    let (mut server, _) = rig.accept();
    server.say(&ToShim::Refused { reason: "stopped".into() });
    assert_eq!(server.try_next(), None);
    assert_eq!(rig.exited().code(), Some(0));
    assert!(!is_alive(child));
    assert_eq!(rig.sealed().stop, Some(Stop::of(StopReason::Interrupt)));
}

#[test]
fn a_refused_shim_without_work_leaves() {
    let mut rig = Rig::start();
    let (mut server, _) = rig.accept();
    server.say(&ToShim::Refused { reason: "unknown worker".into() });
    assert_eq!(server.try_next(), None);
    assert_eq!(rig.exited().code(), Some(0));
}

#[test]
fn heartbeats_report_the_progress_of_the_agent() {
    let rig = Rig::start();
    let script = format!("echo '{{\"type\":\"assistant\"}}'; {WAITS}");
    let mut server = rig.run(&script);
    server.started();
    rig.wait_for("up");
    // Whatever was sent before the redial is read first; by then the agent's line has long arrived.
    drop(server);
    let (mut server, _) = rig.welcome();
    server.started();
    let path = rig.run_dir().join("stdout.000001.jsonl");
    eventually("the line is stored", || path.exists().then_some(()));
    rig.signal(nix::sys::signal::Signal::SIGHUP);
    assert_eq!(server.try_next(), None);
    let (mut server, _) = rig.welcome();
    server.started();
    eventually("a heartbeat is sent", || {
        server.say(&ToShim::Unsupported { unsupported: "x".into() });
        let newer = serde_json::json!({"kind": "ping"});
        server.say_bytes(&shim_protocol::frame::encode(&newer).expect("encodes"));
        server.next();
        server.progress.last().map(|progress| {
            assert_eq!((progress.attempt_id.as_str(), progress.turns), ("A-1", 1));
            assert!(progress.output_bytes > 0 && progress.memory_bytes > Some(0));
        })
    });
}
