//! Gates that do what they must not: each comes to its clear end, and nothing of it is left.

use std::fs;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

use crate::gates::count;
use crate::gates::gate;
use crate::gates::project;

/// Runs one ticket with a gate and waits until it is on hold or closed.
async fn run(bed: &Bed, file: &str, plan: &[&str], script: &str) -> (String, Value) {
    project(bed, plan, file, json!({})).await;
    for stage in plan {
        let change = json!({"project": "shop", "worker_type": stage, "max_gate_failures": 1});
        bed.client.ok("update_worker_type", change).await;
    }
    let id = bed.ticket("shop", plan, script).await;
    let found = eventually(&format!("{id} is settled"), || async {
        let found = bed.get(&id).await;
        match text(&found, "state").as_str() {
            "closed" | "on_hold" => Ok(found),
            _ => Err(found.to_string()),
        }
    })
    .await;
    (id, found)
}

const WORK: &str = "fake: build: write a.txt {ticket}";

#[e2e::scenario]
async fn a_gate_that_never_ends_is_ended_by_its_time_limit() {
    let bed = Bed::with(Setup::default()).await;
    let file = gate("test", "trap '' TERM; echo begun; while :; do sleep 1; done");
    let file = format!("{file}timeout_seconds = 1\n");
    let (id, held) = run(&bed, &file, &["build"], WORK).await;
    assert_eq!(text(&held, "hold_kind"), "gate", "{held}");
    assert!(text(&held, "hold_reason").contains("did not end in time"), "{held}");
    assert_eq!(count(&bed, &id, "gate_failed").await, 1);
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_gate_that_forks_two_hundred_sleepers_leaves_none() {
    let bed = Bed::start().await;
    let line = "for i in $(seq 200); do setsid sleep 600 & done; exit 0";
    let (_, done) = run(&bed, &gate("test", line), &["build"], WORK).await;
    assert_eq!(done["state"], "closed", "{done}");
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_gate_that_floods_its_output_fills_only_its_bound() {
    let bed = Bed::start().await;
    let line = "echo the beginning; yes flooding | head -c 1073741824; echo the end; exit 1";
    let (id, held) = run(&bed, &gate("test", line), &["build"], WORK).await;
    assert!(text(&held, "hold_reason").contains("the end"), "{held}");
    let events = crate::gates::events_of(&bed, &id).await;
    let red = events.iter().find(|event| event["kind"] == "gate_failed").expect("it failed");
    let directory = bed.server.state_dir().join("attempts").join(text(red, "attempt_id"));
    let files = fs::read_dir(&directory).expect("it is there").flatten();
    let size: u64 = files.map(|file| file.metadata().map_or(0, |found| found.len())).sum();
    assert!(size < 16 << 20, "{size} bytes are kept");
    let beginning =
        fs::read_to_string(directory.join("stderr.000001.log")).expect("the head is kept");
    assert!(beginning.contains("the beginning\n"));
}

#[e2e::scenario]
async fn a_gate_that_kills_its_parent_is_repeated_and_then_somebody_must_look() {
    let bed = Bed::start().await;
    let (id, held) = run(&bed, &gate("test", "kill -9 $PPID; sleep 600"), &["build"], WORK).await;
    assert_eq!(text(&held, "hold_kind"), "gate", "{held}");
    assert!(text(&held, "hold_reason").contains("could not be run"), "{held}");
    assert_eq!(bed.agents.calls_of(&id, "build").len(), 1, "the agent is not at fault");
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn what_a_gate_changes_is_put_back_and_the_commit_is_what_counts() {
    let bed = Bed::start().await;
    let line = "echo forged > a.txt; echo more > b.txt; git commit -qam forged; true";
    let script = "fake: build: write a.txt {ticket}\nfake: review: run grep -q T- a.txt\nfake: review: run ! test -e b.txt";
    let (_, done) = run(&bed, &gate("test", line), &["build", "review"], script).await;
    assert_eq!(done["state"], "closed", "{done}");
    let head = text(&done, "head_commit");
    let repository = e2e::repository::Repository { path: bed.server.path("projects").join("shop") };
    assert_eq!(repository.ask(&["show", &format!("{head}:a.txt")]), text(&done, "ticket_id"));
    let kept =
        repository.ask(&["for-each-ref", "--format=%(refname)", "refs/vibe-ensemble/attempts"]);
    assert!(!kept.is_empty(), "what the gate changed is kept");
}

#[e2e::scenario]
async fn a_gate_that_deletes_the_worktree_is_judged_and_the_worktree_comes_back() {
    let bed = Bed::start().await;
    let script = "fake: build: write a.txt {ticket}\nfake: review: run test -e a.txt";
    let line = "d=$PWD; cd /; rm -rf \"$d\"; exit 0";
    let (_, done) = run(&bed, &gate("test", line), &["build", "review"], script).await;
    assert_eq!(done["state"], "closed", "{done}");
}
