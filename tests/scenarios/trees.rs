//! What an agent leaves behind, and agents that misbehave.

use e2e::bed::Bed;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use serde_json::json;

#[e2e::scenario]
async fn what_the_agent_left_behind_is_gone_before_the_next_stage() {
    let bed = Bed::start().await;
    bed.project("shop", &["build", "review"]).await;
    let script = "fake: build: fork 600\nfake: build: daemonize 600\nfake: build: fork-storm 20\n\
                  fake: review: wait-for go";
    let ticket = bed.ticket("shop", &["build", "review"], script).await;

    let review = bed.called(&ticket, "review", 1).await;

    let build = bed.agents.only_call_of(&ticket, "build").attempt;
    let strays: Vec<_> = bed
        .server
        .descendants()
        .into_iter()
        .filter(|process| process.attempt.as_ref() == Some(&build))
        .collect();
    assert_eq!(strays, [], "the stage before still runs");
    std::fs::write(review.cwd.join("go"), "").unwrap();
    bed.completed(&ticket).await;
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn garbage_in_the_stream_hides_no_result() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let script = "fake: build: garbage\nfake: build: complete found it";
    let ticket = bed.ticket("shop", &["build"], script).await;

    let closed = bed.completed(&ticket).await;

    assert_eq!(closed["comments"][0]["content"], "found it");
    assert_eq!(bed.agents.calls().len(), 1);
}

#[e2e::scenario]
async fn a_flood_of_output_neither_blocks_the_agent_nor_fills_the_disk() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let script = format!("fake: build: flood {}\nfake: build: complete still here", 160 << 20);
    let ticket = bed.ticket("shop", &["build"], &script).await;

    let closed = bed.completed(&ticket).await;

    assert_eq!(closed["comments"][0]["content"], "still here");
    let attempt = bed.agents.only_call_of(&ticket, "build").attempt;
    let run_dir = bed.server.state_dir().join("attempts").join(attempt);
    let kept: u64 = std::fs::read_dir(run_dir)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(kept < 150 << 20, "{kept} bytes are kept");
}

#[e2e::scenario]
async fn an_agent_that_hangs_after_its_result_is_done_nevertheless() {
    let bed = Bed::with(Setup::default().env("VIBE_ENSEMBLE_RESULT_LINGER_MS", "500")).await;
    bed.project("shop", &["build"]).await;
    let script = "fake: build: complete ready\nfake: build: hang-after-result";
    let ticket = bed.ticket("shop", &["build"], script).await;

    let closed = bed.completed(&ticket).await;

    assert_eq!(closed["attempts"][0]["outcome"], "succeeded");
    assert_eq!(bed.agents.calls().len(), 1);
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn an_agent_that_ignores_term_is_killed_by_kill() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let script = "fake: build#1: ignore-term\nfake: build#1: fork 600\nfake: build#1: touch deaf\n\
                  fake: build#1: sleep 600";
    let ticket = bed.ticket("shop", &["build"], script).await;
    let call = bed.called(&ticket, "build", 1).await;
    e2e::eventually::eventually("the agent is deaf", || {
        let deaf = call.cwd.join("deaf").exists();
        std::future::ready(if deaf { Ok(()) } else { Err("not yet".to_owned()) })
    })
    .await;
    assert!(bed.server.send(call.pid, Signal::SIGTERM), "it was there");
    assert!(bed.server.send(call.pid, Signal::SIGCONT), "and it still is");

    bed.client.ok("stop_worker", json!({"worker_id": call.worker, "mode": "kill"})).await;

    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["outcome"], "interrupted");
    assert_eq!(closed["attempts_used"], 0, "an operator's stop is not the ticket's fault");
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}
