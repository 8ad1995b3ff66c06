//! The directories of a running server, after somebody else has changed them.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use e2e::bed::Bed;
use e2e::eventually::eventually;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;

#[e2e::scenario]
async fn a_shim_socket_that_was_removed_is_bound_again() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    fs::remove_file(bed.server.runtime_dir().join("shim.sock")).expect("it was there");
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn directories_that_others_could_enter_are_closed_and_the_log_says_so() {
    let mut bed = Bed::prepare(Setup::default());
    let directories = [bed.server.state_dir(), bed.server.runtime_dir()];
    for directory in &directories {
        fs::create_dir_all(directory).expect("writable");
        fs::set_permissions(directory, Permissions::from_mode(0o755)).expect("our own");
    }
    bed.launch().await;
    for directory in &directories {
        let mode = fs::metadata(directory).expect("is there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o700, "{}", directory.display());
        assert!(bed.server.log().contains(&directory.display().to_string()));
    }
}

#[e2e::scenario]
async fn drain_commands_that_come_at_once_agree() {
    let bed = Bed::start().await;
    for (arguments, draining) in [(&["--no-wait"][..], "true"), (&["--off"][..], "false")] {
        let drain = || bed.server.operate("drain", arguments);
        let ended = tokio::join!(drain(), drain(), drain(), drain());
        for output in [ended.0, ended.1, ended.2, ended.3] {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(0), "{said}");
        }
        let lock =
            fs::read_to_string(bed.server.runtime_dir().join("server.lock")).expect("signed");
        assert!(lock.contains(&format!("\"draining\":{draining}")), "{lock}");
    }
}

#[e2e::scenario]
async fn a_drain_that_is_toggled_while_the_server_starts_is_signed() {
    let mut bed = Bed::prepare(Setup::default());
    let lock = bed.server.runtime_dir().join("server.lock");
    let holder = || -> Option<Value> { serde_json::from_slice(&fs::read(&lock).ok()?).ok() };
    let toggled = eventually("the server signs its lock", || {
        let pid = holder().and_then(|holder| i32::try_from(holder["pid"].as_i64()?).ok());
        let sent = match pid.filter(|pid| *pid > 1) {
            Some(pid) => kill(Pid::from_raw(pid), Signal::SIGUSR2).map_err(|e| e.to_string()),
            None => Err("nobody has signed".to_owned()),
        };
        std::future::ready(sent)
    });
    tokio::join!(toggled, bed.launch());
    eventually("the lock says that it drains", || {
        let holder = holder().unwrap_or_default();
        let drains = holder["draining"] == true;
        std::future::ready(if drains { Ok(()) } else { Err(holder.to_string()) })
    })
    .await;
    let output = bed.server.operate("drain", &["--off"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[e2e::scenario]
async fn a_missing_agent_is_reported_at_the_start_and_by_commands() {
    let agent = ["--agent-command", "/nonexistent/claude"];
    let bed = Bed::with(Setup { agent: Some(agent[1].into()), ..Setup::default() }).await;
    eventually("the log says so", || {
        let log = bed.server.log();
        let told = log.contains("the agent /nonexistent/claude is not a program");
        std::future::ready(if told { Ok(()) } else { Err(log) })
    })
    .await;
    let checked = bed.server.operate("check-config", &agent).await;
    assert_eq!(checked.status.code(), Some(0), "it may be installed later");
    assert!(String::from_utf8_lossy(&checked.stderr).contains("/nonexistent/claude"));
    let doctor = bed.server.operate("doctor", &agent).await;
    assert_eq!(doctor.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("/nonexistent/claude"));
}

#[e2e::scenario]
async fn a_missing_agent_pauses_its_queue_once_and_charges_no_ticket() {
    let setup = Setup { agent: Some("/nonexistent/claude".into()), ..Setup::default() };
    let bed = Bed::with(setup).await;
    bed.project("shop", &["build"]).await;
    let tickets =
        [bed.ticket("shop", &["build"], "").await, bed.ticket("shop", &["build"], "").await];
    let filter = serde_json::json!({"kinds": ["queue_paused"], "wait_seconds": 60});
    let paused = bed.client.ok("list_events", filter).await;
    assert!(paused.to_string().contains("/nonexistent/claude"), "{paused}");
    bed.nothing_is_left().await;
    assert_eq!(bed.events_of_kind("queue_paused").await, 1);
    for ticket in tickets {
        let found = bed.get(&ticket).await;
        assert_eq!(found["attempts_used"], 0, "{found}");
        let state = found["state"].as_str().expect("a state");
        assert!(["queued", "scheduled"].contains(&state), "{found}");
    }
}
