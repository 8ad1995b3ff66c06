//! Kill the server, kill the shim, at any time: no work is lost, none is done twice, no running worker dies.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::binaries;
use e2e::eventually::eventually;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

const PLAN: [&str; 2] = ["build", "review"];

async fn agent_ended(bed: &Bed, call: &e2e::fake::Call) {
    eventually("the agent ended", || {
        let alive = bed.server.descendants().iter().any(|process| process.pid == call.pid);
        std::future::ready(if alive { Err("it runs".to_owned()) } else { Ok(()) })
    })
    .await;
}

#[e2e::scenario]
async fn a_server_killed_in_mid_run_takes_no_worker_with_it() {
    let mut bed = Bed::start().await;
    bed.project("shop", &PLAN).await;
    let ticket = bed.ticket("shop", &PLAN, "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;

    bed.server.kill().await;
    bed.launch().await;

    let worker = bed.worker_where("runs the child from before", |worker| {
        worker["child_pid"] == call.pid && worker["state"] == "busy"
    });
    assert_eq!(worker.await["attempt_id"], call.attempt.as_str());
    std::fs::write(call.cwd.join("go"), "").unwrap();
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(bed.agents.calls().len(), 2, "each stage ran once");
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_result_that_arrives_while_the_server_is_dead_is_collected() {
    let mut bed = Bed::start().await;
    bed.project("shop", &PLAN).await;
    let script = "fake: build: wait-for go\nfake: build: complete made in the dark";
    let ticket = bed.ticket("shop", &PLAN, script).await;
    let call = bed.called(&ticket, "build", 1).await;

    bed.server.kill().await;
    std::fs::write(call.cwd.join("go"), "").unwrap();
    agent_ended(&bed, &call).await;
    bed.launch().await;

    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["comments"][0]["content"], "made in the dark");
    assert_eq!(bed.agents.calls().len(), 2, "each stage ran once");
}

#[e2e::scenario]
async fn a_result_is_collected_even_when_its_shim_died_too() {
    let mut bed = Bed::start().await;
    bed.project("shop", &PLAN).await;
    let script = "fake: build: wait-for go\nfake: build: complete made in the dark";
    let ticket = bed.ticket("shop", &PLAN, script).await;
    let call = bed.called(&ticket, "build", 1).await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");
    let record = bed.server.state_dir().join("attempts").join(&call.attempt).join("exit.json");

    bed.server.kill().await;
    std::fs::write(call.cwd.join("go"), "").unwrap();
    eventually("the record is sealed", || {
        std::future::ready(if record.exists() { Ok(()) } else { Err("no exit.json".to_owned()) })
    })
    .await;
    assert!(bed.server.send(shim, Signal::SIGKILL), "the shim waits to report");
    bed.launch().await;

    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["outcome"], "succeeded");
    assert_eq!(bed.agents.calls().len(), 2, "each stage ran once");
}

#[e2e::scenario]
async fn a_killed_shim_takes_its_child_along_and_the_ticket_is_retried() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let script = "fake: build#1: fork 600\nfake: build#1: daemonize 600\nfake: build#1: sleep 600";
    let ticket = bed.ticket("shop", &["build"], script).await;
    let call = bed.called(&ticket, "build", 1).await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");

    assert!(bed.server.send(shim, Signal::SIGKILL), "the shim was there");

    let closed = bed.completed(&ticket).await;
    let outcomes: Vec<&Value> =
        closed["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, [&json!("lost"), &json!("succeeded")]);
    assert!(!bed.server.descendants().iter().any(|process| process.pid == call.pid));
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_shim_that_died_with_the_server_is_discovered_at_the_next_start() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
    bed.called(&ticket, "build", 1).await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");

    bed.server.kill().await;
    assert!(bed.server.send(shim, Signal::SIGKILL), "the shim was there");
    bed.launch().await;

    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["outcome"], "lost");
    assert_eq!(closed["attempts"][1]["outcome"], "succeeded");
    bed.assert_no_overlaps();
}

#[e2e::scenario]
async fn a_stopped_shim_is_slow_and_not_lost() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");

    assert!(bed.server.send(shim, Signal::SIGSTOP), "the shim was there");
    bed.server.kill().await;
    bed.launch().await;
    let found = bed.get(&ticket).await;
    assert_eq!(found["state"], "running", "a shim that says nothing holds its lock: {found}");
    assert!(bed.server.send(shim, Signal::SIGCONT), "the shim is there");
    std::fs::write(call.cwd.join("go"), "").unwrap();

    bed.completed(&ticket).await;
    assert_eq!(bed.agents.calls().len(), 1);
}

#[e2e::scenario]
async fn a_hold_and_its_reason_survive_the_server() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: block Which port?").await;
    let before = bed.ticket_is(&ticket, "on_hold").await;

    bed.server.kill().await;
    bed.launch().await;

    assert_eq!(bed.get(&ticket).await, before);
}

#[e2e::scenario]
async fn no_event_is_lost_or_repeated_over_a_restart() {
    let mut bed = Bed::start().await;
    bed.project("shop", &PLAN).await;
    let ticket = bed.ticket("shop", &PLAN, "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;
    let before = bed.events().await;

    bed.server.kill().await;
    bed.launch().await;
    std::fs::write(call.cwd.join("go"), "").unwrap();
    bed.completed(&ticket).await;

    let after = bed.events().await;
    assert_eq!(after[..before.len()], before[..]);
    let kinds = bed.event_kinds(&ticket).await;
    let of_ticket: Vec<&str> =
        kinds.iter().map(String::as_str).filter(|kind| kind.starts_with("ticket_")).collect();
    assert_eq!(
        of_ticket,
        [
            "ticket_created",
            "ticket_stage_started",
            "ticket_stage_completed",
            "ticket_stage_started",
            "ticket_stage_completed",
            "ticket_closed",
        ]
    );
}

#[e2e::scenario]
async fn twenty_restarts_in_the_middle_of_work_change_nothing() {
    let mut bed = Bed::start().await;
    bed.repository("shop", &[], json!({})).await;
    for stage in PLAN {
        bed.worker_type("shop", stage, json!({"max_workers": 3})).await;
    }
    let mut tickets = Vec::new();
    for round in 0..20 {
        tickets.push(bed.ticket("shop", &PLAN, "").await);
        tickets.push(bed.ticket("shop", &PLAN, "fake: build: sleep 0.05").await);
        if round % 2 == 0 {
            bed.server.kill().await;
            bed.launch().await;
        } else {
            bed.server.restart().await;
            bed.client = bed.server.client();
        }
    }
    for ticket in &tickets {
        let closed = bed.completed(ticket).await;
        assert_eq!(closed["attempts"].as_array().unwrap().len(), 2, "{closed}");
    }
    let runs = bed.agents.runs();
    assert_eq!(runs.len(), tickets.len() * 2);
    assert!(runs.values().all(|count| *count == 1), "each stage ran once: {runs:?}");
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

/// Makes the first shim do this instead of its work; later shims are the real one. For a server
/// that is not started yet.
fn first_launch(bed: &mut Bed, does: &str) {
    let shim = bed.server.path("shim");
    let script = format!(
        "#!/bin/sh\nif mkdir {} 2>/dev/null; then {does}; fi\nexec {} \"$@\"\n",
        bed.server.path("first").display(),
        binaries::shim().display()
    );
    std::fs::write(&shim, script).expect("a fresh directory");
    std::fs::set_permissions(&shim, Permissions::from_mode(0o755)).expect("our own file");
    bed.server.set_env("VIBE_ENSEMBLE_SHIM", shim.display().to_string());
}

#[e2e::scenario]
async fn a_launch_that_was_lost_with_its_server_is_given_up_soon() {
    let mut bed = Bed::prepare(Setup::default());
    // As if it had died before it could hand the order over.
    first_launch(&mut bed, "kill -9 $PPID; exit 1");
    bed.launch().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.server.ended().await;

    bed.launch().await;

    // Half the time that a shim gets that may still say hello.
    let soon = Duration::from_secs(15);
    let closed = bed.ticket_is_within(soon, &ticket, "closed").await;
    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(1), "{closed}");
    let workers = bed.all("list_workers", "workers", json!({"state": "stopped"})).await;
    assert_eq!(workers[0]["stop_reason"], "its shim never said hello", "{workers:?}");
}

#[e2e::scenario]
async fn a_shim_that_is_killed_while_it_starts_pauses_no_queue() {
    let mut bed = Bed::prepare(Setup::default());
    first_launch(&mut bed, "kill -9 $$");
    bed.launch().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;

    let closed = bed.completed(&ticket).await;

    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(1), "{closed}");
    let kinds: Vec<String> = bed.events().await.iter().map(|event| text(event, "kind")).collect();
    assert!(!kinds.contains(&"queue_paused".to_owned()), "{kinds:?}");
}
