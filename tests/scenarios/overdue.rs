//! Agents that stop their own shims, which enforce their time limits: the server's clock bounds
//! them nevertheless.

use std::time::Duration;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::eventually::eventually;
use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

/// Stops the shim, from a command of its agent.
const STOP_THE_SHIM: &str = "kill -STOP $(cut -d' ' -f4 /proc/$PPID/stat)";

async fn bed(timeout_seconds: u32) -> Bed {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"timeout_seconds": timeout_seconds})).await;
    bed
}

fn assert_timed_out(attempt: &Value) {
    assert_eq!(attempt["outcome"], "timed_out", "{attempt}");
    assert_eq!(attempt["failure"], "timeout", "{attempt}");
    let detail = text(attempt, "detail");
    assert!(
        detail.contains("its shim did not end it, so the server ended its processes"),
        "{detail}"
    );
}

#[e2e::scenario]
async fn an_agent_that_stops_its_shim_ends_with_its_time() {
    let bed = bed(2).await;
    let script = format!("fake: build#1: run {STOP_THE_SHIM}\nfake: build#1: sleep 600");
    let ticket = bed.ticket("shop", &["build"], &script).await;
    let closed = bed.completed(&ticket).await;
    assert_timed_out(&closed["attempts"][0]);
    assert!(closed["attempts"][0]["ended_at"].is_string(), "{closed}");
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_process_left_behind_to_keep_stopping_the_shim_ends_first() {
    let bed = bed(2).await;
    let again = "S=$(cut -d' ' -f4 /proc/$PPID/stat); env -i setsid sh -c \
                 \"while :; do kill -STOP $S; sleep 0.05; done\" 3>&- </dev/null >/dev/null 2>&1 &";
    let script = format!(
        "fake: build#1: ignore-term\nfake: build#1: daemonize 600\nfake: build#1: run {again}\nfake: build#1: sleep 600"
    );
    let ticket = bed.ticket("shop", &["build"], &script).await;
    let closed = bed.completed(&ticket).await;
    assert_timed_out(&closed["attempts"][0]);
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_restarted_server_knows_whose_time_is_up() {
    let mut bed = bed(3).await;
    let script = format!("fake: build#1: run {STOP_THE_SHIM}\nfake: build#1: sleep 600");
    let ticket = bed.ticket("shop", &["build"], &script).await;
    bed.called(&ticket, "build", 1).await;
    bed.server.kill().await;
    bed.launch().await;
    let closed = bed.completed(&ticket).await;
    assert_timed_out(&closed["attempts"][0]);
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_shim_that_is_kept_stopped_is_killed_after_its_tree() {
    let bed = bed(2).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
    bed.called(&ticket, "build", 1).await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");
    let stopper = async {
        while bed.server.send(shim, Signal::SIGSTOP) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ended = eventually("its attempt has ended", || async {
        let found = bed.get(&ticket).await;
        let is_over = found["attempts"][0]["ended_at"].is_string();
        if is_over { Ok(()) } else { Err(found.to_string()) }
    });
    // Between two signals the shim may manage to report. Then it need not be killed, and must
    // continue.
    tokio::select! {
        () = stopper => {}
        () = ended => drop(bed.server.send(shim, Signal::SIGCONT)),
    }
    let closed = bed.completed(&ticket).await;
    assert_timed_out(&closed["attempts"][0]);
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn an_order_to_stop_reaches_an_agent_whose_shim_is_stopped() {
    let bed = bed(600).await;
    let script = format!("fake: build#1: run {STOP_THE_SHIM}\nfake: build#1: wait-for never");
    for (mode, outcome) in [("interrupt", "interrupted"), ("cancel", "cancelled")] {
        let ticket = bed.ticket("shop", &["build"], &script).await;
        bed.called(&ticket, "build", 1).await;
        let worker = bed.worker_of(&ticket).await;
        bed.client.ok("stop_worker", json!({"worker_id": worker["worker_id"], "mode": mode})).await;
        eventually("the attempt has ended with the requested outcome", || async {
            let found = bed.get(&ticket).await;
            let ended = found["attempts"][0]["outcome"] == outcome;
            if ended { Ok(()) } else { Err(found.to_string()) }
        })
        .await;
        bed.client.ok("close_ticket", json!({"ticket_id": ticket})).await;
    }
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn closing_a_ticket_ends_its_agent_although_its_shim_is_stopped() {
    let bed = bed(600).await;
    let script = format!("fake: build#1: run {STOP_THE_SHIM}\nfake: build#1: sleep 600");
    let ticket = bed.ticket("shop", &["build"], &script).await;
    bed.called(&ticket, "build", 1).await;
    bed.client.ok("close_ticket", json!({"ticket_id": ticket})).await;
    bed.nothing_is_left().await;
}
