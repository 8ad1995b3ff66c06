//! What signals do, to the server and to a shim.

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::fake::Call;
use nix::sys::signal::Signal;
use serde_json::json;

/// A ticket whose first run waits for the file `go`, and that run.
async fn waiting_run(bed: &Bed, more: &str) -> (String, Call) {
    bed.project("shop", &["build"]).await;
    let script = format!("fake: build#1: wait-for go\n{more}");
    let ticket = bed.ticket("shop", &["build"], &script).await;
    let call = bed.called(&ticket, "build", 1).await;
    (ticket, call)
}

#[e2e::scenario]
async fn term_ends_the_server_with_0_and_the_workers_run_on() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut bed = Bed::start().await;
        let (ticket, call) = waiting_run(&bed, "").await;

        bed.server.signal(signal);
        let status = bed.server.ended().await;

        assert_eq!(status.code(), Some(0), "{signal}");
        let alive = bed.server.descendants();
        assert!(alive.iter().any(|process| process.pid == call.pid), "{signal}: {alive:?}");
        bed.launch().await;
        std::fs::write(call.cwd.join("go"), "").unwrap();
        bed.completed(&ticket).await;
        assert_eq!(bed.agents.calls().len(), 1);
    }
}

#[e2e::scenario]
async fn term_ends_the_server_although_a_coordinator_waits_for_events() {
    let mut bed = Bed::start().await;
    let mut waiting = bed.client.open("list_events", json!({"wait_seconds": 3600})).await;
    let progress = waiting.chunk().await.expect("the server is up");
    assert!(progress.is_some(), "it says at once that it waits");

    let status = bed.server.stop().await;

    assert_eq!(status.code(), Some(0));
}

#[e2e::scenario]
async fn quit_dumps_the_state_and_exits_131() {
    let mut bed = Bed::start().await;
    let logged = bed.server.log().len();

    bed.server.signal(Signal::SIGQUIT);

    assert_eq!(bed.server.ended().await.code(), Some(131));
    assert!(bed.server.log().len() > logged, "the state is in the log");
}

#[e2e::scenario]
async fn usr1_logs_the_state_and_changes_nothing() {
    let bed = Bed::start().await;
    let logged = bed.server.log().len();

    bed.server.signal(Signal::SIGUSR1);

    eventually("the state is in the log", || {
        let more = bed.server.log().len() > logged;
        std::future::ready(if more { Ok(()) } else { Err("nothing new".to_owned()) })
    })
    .await;
    assert!(bed.reachable().await);
}

#[e2e::scenario]
async fn hup_restarts_nothing() {
    let bed = Bed::start().await;
    let (ticket, call) = waiting_run(&bed, "").await;

    bed.server.signal(Signal::SIGHUP);
    std::fs::write(call.cwd.join("go"), "").unwrap();

    bed.completed(&ticket).await;
    assert_eq!(bed.agents.calls().len(), 1);
    assert!(bed.reachable().await);
}

#[e2e::scenario]
async fn usr2_toggles_drain() {
    let bed = Bed::start().await;
    let (first, call) = waiting_run(&bed, "").await;

    let logged = bed.server.log().len();
    bed.server.signal(Signal::SIGUSR2);
    eventually("the drain is logged", || {
        let more = bed.server.log().len() > logged;
        std::future::ready(if more { Ok(()) } else { Err("nothing new".to_owned()) })
    })
    .await;
    let second = bed.ticket("shop", &["build"], "").await;
    std::fs::write(call.cwd.join("go"), "").unwrap();
    bed.completed(&first).await;
    bed.nothing_is_left().await;
    assert_eq!(bed.get(&second).await["state"], "queued", "nothing new is granted");

    bed.server.signal(Signal::SIGUSR2);
    bed.completed(&second).await;
}

#[e2e::scenario]
async fn term_to_a_shim_requeues_the_ticket_uncharged() {
    let bed = Bed::start().await;
    let (ticket, _call) = waiting_run(&bed, "").await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");

    assert!(bed.server.send(shim, Signal::SIGTERM), "the shim was there");

    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["outcome"], "interrupted");
    assert_eq!(closed["attempts_used"], 0);
    bed.assert_no_overlaps();
}

#[e2e::scenario]
async fn int_to_a_shim_puts_the_ticket_on_hold() {
    let bed = Bed::start().await;
    let (ticket, call) = waiting_run(&bed, "").await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");

    assert!(bed.server.send(shim, Signal::SIGINT), "the shim was there");

    let held = bed.ticket_is(&ticket, "on_hold").await;
    assert_eq!(held["attempts"][0]["outcome"], "cancelled");
    assert!(!text(&held, "hold_reason").is_empty());
    bed.nothing_is_left().await;
    assert_eq!(bed.agents.calls(), [call], "it is not run again");
}

#[e2e::scenario]
async fn int_after_a_result_keeps_the_report_and_holds_the_next_stage() {
    let bed = Bed::start().await;
    bed.project("shop", &["build", "review"]).await;
    let script = "fake: build: complete it all works\nfake: build: hang-after-result";
    let ticket = bed.ticket("shop", &["build", "review"], script).await;
    let call = bed.called(&ticket, "build", 1).await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");
    let run_dir = bed.server.state_dir().join("attempts").join(&call.attempt);
    eventually("the result is in the transcript", || {
        let files = std::fs::read_dir(&run_dir).into_iter().flatten().flatten();
        let mut said =
            files.filter(|file| file.file_name().to_string_lossy().starts_with("stdout."));
        let seen = said.any(|file| {
            std::fs::read_to_string(file.path()).is_ok_and(|text| text.contains("it all works"))
        });
        std::future::ready(if seen { Ok(()) } else { Err("not yet".to_owned()) })
    })
    .await;

    assert!(bed.server.send(shim, Signal::SIGINT), "the shim was there");

    let held = bed.ticket_is(&ticket, "on_hold").await;
    assert_eq!(held["attempts"][0]["outcome"], "succeeded", "{held}");
    assert_eq!(text(&held, "current_stage"), "review", "the work is not done again");
    assert_eq!(text(&held["comments"][0], "content"), "it all works");
    bed.client.ok("resume_ticket", json!({"ticket_id": ticket})).await;
    bed.completed(&ticket).await;
    assert_eq!(bed.agents.calls_of(&ticket, "build").len(), 1);
}

#[e2e::scenario]
async fn quit_to_a_shim_kills_the_tree_and_requeues_uncharged() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let script = "fake: build#1: ignore-term\nfake: build#1: fork 600\nfake: build#1: sleep 600";
    let ticket = bed.ticket("shop", &["build"], script).await;
    bed.called(&ticket, "build", 1).await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");

    assert!(bed.server.send(shim, Signal::SIGQUIT), "the shim was there");

    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["outcome"], "interrupted");
    assert_eq!(closed["attempts_used"], 0);
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn usr2_to_a_shim_lets_it_finish_and_leave() {
    let bed = Bed::start().await;
    let (ticket, call) = waiting_run(&bed, "").await;
    let worker = bed.worker_of(&ticket).await;

    assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGUSR2), "the shim was there");
    std::fs::write(call.cwd.join("go"), "").unwrap();

    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"].as_array().unwrap().len(), 1);
    let id = worker["worker_id"].clone();
    bed.worker_where("has left", |worker| {
        worker["worker_id"] == id && worker["state"] == "stopped"
    })
    .await;
}

#[e2e::scenario]
async fn usr1_to_a_shim_runs_the_ticket_again_in_the_same_claude_session() {
    let bed = Bed::start().await;
    let (ticket, first) = waiting_run(&bed, "").await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");

    assert!(bed.server.send(shim, Signal::SIGUSR1), "the shim was there");

    let second = bed.called(&ticket, "build", 2).await;
    assert_eq!(second.argument("--resume"), first.argument("--session-id"));
    assert_eq!(second.argument("--session-id"), None, "{:?}", second.argv);
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts_used"], 0, "an operator's restart is not the ticket's fault");
    bed.assert_no_overlaps();
}

#[e2e::scenario]
async fn hup_to_a_shim_leaves_its_child_alone() {
    let bed = Bed::start().await;
    let (ticket, call) = waiting_run(&bed, "").await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");

    assert!(bed.server.send(shim, Signal::SIGHUP), "the shim was there");
    std::fs::write(call.cwd.join("go"), "").unwrap();

    bed.completed(&ticket).await;
    assert_eq!(bed.agents.calls().len(), 1);
}

#[e2e::scenario]
async fn a_shim_waits_for_a_server_that_is_away() {
    let mut bed = Bed::start().await;
    let (ticket, call) = waiting_run(&bed, "").await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");
    assert_eq!(bed.server.stop().await.code(), Some(0));
    std::fs::write(call.cwd.join("go"), "").unwrap();
    let record = bed.server.state_dir().join("attempts").join(&call.attempt).join("exit.json");
    eventually("the record is sealed", || {
        std::future::ready(if record.exists() { Ok(()) } else { Err("no exit.json".to_owned()) })
    })
    .await;
    assert!(bed.server.descendants().iter().any(|process| process.pid == shim), "it waits");

    bed.launch().await;

    bed.completed(&ticket).await;
    bed.nothing_is_left().await;
}
