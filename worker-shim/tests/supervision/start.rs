//! From the launch order to the sealed record.

use std::fs;
use std::process::Command;
use std::process::Stdio;

use shim_protocol::exit::ExitStatus;
use shim_protocol::exit::Stop;
use shim_protocol::exit::StopReason;
use shim_protocol::message::ToServer;
use shim_protocol::message::ToShim;
use shim_protocol::run_dir;
use shim_protocol::run_dir::Stream;

use crate::rig::Rig;
use crate::rig::eventually;

const SUCCESS: &str = r#"
cat > "$RUN/prompt"; env > "$RUN/env"; umask > "$RUN/umask"; ls /proc/self/fd > "$RUN/fds"
echo '{"type":"system","subtype":"init","session_id":"s-1"}'
echo '{"type":"assistant","message":{"id":"m"}}'
echo oops >&2
echo '{"type":"result","subtype":"success","is_error":false,"structured_output":{"outcome":"completed","report":"r"}}'
"#;

#[test]
fn a_ticket_is_run_recorded_and_reported() {
    let mut rig = Rig::start();
    let mut server = rig.run(SUCCESS);
    server.started();
    let record = server.completed();
    assert_eq!(record, rig.sealed(), "sealed before it is announced");
    assert_eq!(record.status, ExitStatus::Exited { code: 0 });
    assert_eq!((record.stop.clone(), record.turns, record.swept), (None, 1, 0));
    assert_eq!(record.session_id.as_deref(), Some("s-1"));
    assert_eq!(record.stderr_tail, "oops\n");
    assert!(record.max_rss_kib > Some(0));
    let report = record.result.and_then(|result| result.structured_output).expect("a result");
    assert_eq!(report["report"], "r");
    server.ack();
    server.finish();
    assert_eq!(rig.exited().code(), Some(0));

    let dir = rig.run_dir();
    let grant = run_dir::read_grant(&dir).expect("reads").expect("stored");
    assert_eq!((grant.prompt.as_str(), grant.attempt_id.as_str()), ("", "A-1"));
    assert_eq!(fs::read_to_string(dir.join(run_dir::PROMPT)).expect("stored"), "Build it.\n");
    assert_eq!(fs::read_to_string(dir.join("settings.json")).expect("stored"), "{}");
    assert_eq!(run_dir::segments(&dir, Stream::Stdout).expect("reads").len(), 1);
}

#[test]
fn the_agent_gets_its_prompt_and_nothing_from_the_shim() {
    let rig = Rig::start();
    let mut server = rig.run(SUCCESS);
    server.started();
    server.completed();
    assert_eq!(rig.wait_for("prompt"), "Build it.\n");
    let environment = rig.wait_for("env");
    assert!(environment.contains("VIBE_ENSEMBLE_ATTEMPT=A-1"));
    assert!(environment.contains("PATH="));
    assert!(!environment.contains("VIBE_ENSEMBLE_TOKEN"));
    assert!(!environment.contains("SECRET_OF_THE_SERVER"));
    // The shim's own files are private; what the agent makes in the project follows the user's
    // umask.
    let umask = Command::new("/bin/sh").args(["-c", "umask"]).output().expect("runs").stdout;
    assert_eq!(rig.wait_for("umask").as_bytes(), umask);
    // Three streams, the tree's lock, and the directory that `ls` has open.
    assert_eq!(rig.wait_for("fds").lines().count(), 5);
}

#[test]
fn an_agent_that_cannot_start_is_an_end_with_a_record() {
    let cases = [("/nonexistent/claude", "/", "start"), ("/bin/sh", "/nonexistent", "directory")];
    for (program, cwd, word) in cases {
        let mut rig = Rig::start();
        let mut server = rig.run_with("", |grant| {
            grant.program = program.into();
            grant.cwd = cwd.into();
        });
        let record = server.completed();
        let ExitStatus::NotStarted { error, errno } = record.status else { panic!("{record:?}") };
        assert!(error.contains(word), "{error}");
        assert_eq!(errno, Some(2));
        server.ack();
        server.finish();
        assert_eq!(rig.exited().code(), Some(0));
    }
}

#[test]
fn an_attempt_never_runs_in_a_foreign_run_directory() {
    let rig = Rig::start();
    fs::create_dir(rig.run_dir()).expect("created");
    let mut server = rig.run("touch $RUN/ran");
    let record = server.completed();
    assert!(matches!(record.status, ExitStatus::NotStarted { .. }), "{record:?}");
    assert_eq!(record, rig.sealed());
    assert!(!rig.dir.path().join("ran").exists());
}

#[test]
fn a_record_that_waits_in_the_run_directory_is_not_taken_for_the_attempts() {
    let first = Rig::start();
    let mut server = first.run(SUCCESS);
    server.started();
    server.completed();

    let second = Rig::start();
    fs::create_dir(second.run_dir()).expect("created");
    fs::copy(first.run_dir().join(run_dir::EXIT), second.run_dir().join(run_dir::EXIT))
        .expect("copied");
    let mut server = second.run("touch $RUN/ran");
    let record = server.completed();
    assert!(matches!(record.status, ExitStatus::NotStarted { .. }), "{record:?}");
    assert_eq!(record, second.sealed());
    assert!(!second.dir.path().join("ran").exists());
}

#[test]
fn a_shim_that_cannot_record_reports_it_by_its_exit_code() {
    let mut rig = Rig::start();
    fs::remove_dir(rig.dir.path().join("attempts")).expect("removed");
    fs::write(rig.dir.path().join("attempts"), "").expect("written");
    let mut server = rig.run("true");
    assert_eq!(server.try_next(), None, "no goodbye: the server still has an open grant");
    assert_eq!(rig.exited().code(), Some(74));
}

#[test]
fn the_timeout_ends_an_attempt_that_does_not_end_itself() {
    let cases = [
        (Some(200), None, "while :; do echo x; sleep 0.05; done", StopReason::Timeout),
        (None, Some(200), "sleep 600", StopReason::Stall),
    ];
    for (timeout_ms, stall_ms, script, reason) in cases {
        let rig = Rig::start();
        let mut server = rig.run_with(script, |grant| {
            grant.limits.timeout_ms = timeout_ms;
            grant.limits.stall_ms = stall_ms;
        });
        server.started();
        let record = server.completed();
        assert_eq!(record.stop, Some(Stop::of(reason)));
        assert_eq!(record.status, ExitStatus::Signaled { signal: 15 });
    }
}

#[test]
fn a_result_stands_even_when_the_agent_hangs_after_it() {
    let rig = Rig::start();
    let script = r#"echo '{"type":"result","subtype":"success","structured_output":{"outcome":"completed","report":"r"}}'; sleep 600"#;
    let mut server = rig.run_with(script, |grant| grant.limits.result_linger_ms = 100);
    server.started();
    let record = server.completed();
    assert_eq!(record.result.map(|result| result.subtype).as_deref(), Some("success"));
    let reason = StopReason::HungAfterResult;
    assert_eq!(record.stop, Some(Stop::of(reason)));
}

#[test]
fn a_second_shim_of_one_worker_is_refused() {
    let rig = Rig::start();
    let (_server, _) = rig.welcome();
    let lock = rig.dir.path().join("workers/W-7.lock");
    let order = shim_protocol::message::LaunchOrder {
        worker_id: "W-7".into(),
        token: "secret".into(),
        socket: rig.dir.path().join("shim.sock"),
        attempts_dir: rig.dir.path().join("attempts"),
        worker_lock: lock,
        address_file: None,
        place_id: None,
    };
    let order = shim_protocol::message::Launch::Launch(order);
    let bytes = shim_protocol::frame::encode(&order).expect("encodes");
    let path = rig.dir.path().join("order");
    fs::write(&path, bytes).expect("written");
    let status = Command::new(env!("CARGO_BIN_EXE_vibe-ensemble-shim"))
        .stdin(fs::File::open(path).expect("opens"))
        .stderr(Stdio::null())
        .status()
        .expect("runs");
    assert_eq!(status.code(), Some(74));
}

#[test]
fn a_manual_start_says_which_program_starts_the_shim() {
    let output = Command::new(env!("CARGO_BIN_EXE_vibe-ensemble-shim"))
        .stdin(Stdio::null())
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("is started by the Vibe-Ensemble server"), "{text}");
    let help = Command::new(env!("CARGO_BIN_EXE_vibe-ensemble-shim")).arg("--help").output();
    assert_eq!(help.expect("runs").status.code(), Some(0));
    let wrong = Command::new(env!("CARGO_BIN_EXE_vibe-ensemble-shim")).arg("--wrong").output();
    assert_eq!(wrong.expect("runs").status.code(), Some(2));
}

#[test]
fn a_detached_shim_leaves_its_parent_and_keeps_running() {
    let mut rig = Rig::start_with(&["--detach"]);
    assert_eq!(rig.exited().code(), Some(0), "the parent is gone at once");
    let (mut server, hello) = rig.welcome();
    let stat = fs::read_to_string(format!("/proc/{}/stat", hello.pid)).expect("lives");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    assert_ne!(fields[1], std::process::id().to_string(), "no child of the server");
    assert_eq!(fields[3], hello.pid.to_string(), "a session of its own");
    let lock = rig.dir.path().join("workers/W-7.lock");
    assert_eq!(fs::read_to_string(lock).expect("reads"), format!("{}\n", hello.pid));
    server.finish();
    let path = format!("/proc/{}", hello.pid);
    eventually("the shim is gone", || (!std::path::Path::new(&path).exists()).then_some(()));
}

#[test]
fn kinds_of_later_versions_are_answered() {
    let rig = Rig::start();
    let (mut server, _) = rig.welcome();
    let pull_id = server.pulled();
    let newer = serde_json::json!({"kind": "teleport"});
    server.say_bytes(&shim_protocol::frame::encode(&newer).expect("encodes"));
    assert_eq!(server.next(), ToServer::Unsupported { unsupported: "teleport".into() });
    server.say(&ToShim::Empty { pull_id });
    server.farewell();
}
