//! A machine that is short of something for a while: files, processes, room. What waits says why, costs nothing, and goes
//! on by itself.

use std::fs;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::eventually::eventually;
use e2e::server::Setup;
use e2e::task_group::TaskGroup;
use serde_json::Value;
use serde_json::json;

/// Waits until the sentence about the ticket has all of these words.
async fn says(bed: &Bed, ticket: &str, words: &[&str]) -> Value {
    eventually(&format!("{ticket} says {words:?}"), || async {
        let found = bed.get(ticket).await;
        let said = found["waiting_for"].as_str().unwrap_or_default();
        if words.iter().all(|word| said.contains(word)) {
            Ok(found)
        } else {
            Err(found.to_string())
        }
    })
    .await
}

/// It was completed, nobody had to do anything, and it was charged for nothing.
async fn went_on(bed: &Bed, ticket: &str) {
    let done = bed.completed(ticket).await;
    assert_eq!(done["attempts_used"], 0, "{done}");
    assert_eq!(bed.events_of_kind("ticket_on_hold").await, 0);
}

#[e2e::scenario(needs(Root, Mounts))]
async fn a_state_directory_that_can_hold_no_more_files_starts_nothing_and_loses_nothing() {
    let setup = Setup { state_mib: Some(256), ..Setup::default() };
    let bed = Bed::with(setup.arg("--min-free-mb").arg("1")).await;
    bed.project("shop", &["build"]).await;
    bed.project("desk", &["build"]).await;
    let first = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let call = bed.called(&first, "build", 1).await;
    let state = bed.server.state_dir();
    let files = || nix::sys::statvfs::statvfs(&state).expect("it is mounted");
    bed.server.state_on().set_most_files(files().files() - files().files_free());
    eventually("the shortage is seen", || async {
        let status = bed.server.operate("status", &["--json"]).await;
        let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        if status["disk_low"] == true { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let mut number = 0;
    while fs::write(state.join(format!("filler{number}")), "").is_ok() {
        number += 1;
    }
    let second = bed.ticket("desk", &["build"], "").await;
    let waiting = says(&bed, &second, &["disk"]).await;
    assert_eq!(waiting["waiting_cause"], "disk_low", "{waiting}");
    // What ran is completed without a single new file.
    fs::write(call.cwd.join("go"), "").expect("another file system");
    went_on(&bed, &first).await;
    assert!(!bed.server.log().contains("launching a worker failed"), "{}", bed.server.log_tail());

    bed.server.state_on().set_most_files(100_000);
    went_on(&bed, &second).await;
    let (paused, resumed) =
        (bed.events_of_kind("server_paused").await, bed.events_of_kind("server_resumed").await);
    // An end that frees a file may end the shortage for a moment.
    assert!(paused >= 1 && paused == resumed, "{paused} and {resumed}");
}

#[e2e::scenario(needs(TaskGroup))]
async fn a_server_that_can_start_no_process_waits_and_goes_on() {
    let group = TaskGroup::make().expect("the scenario asked");
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    bed.repository("mill", &["build"], json!({})).await;
    let warm = bed.ticket("mill", &["build"], "").await;
    bed.completed(&warm).await;
    bed.nothing_is_left().await;

    group.join(bed.server.pid());
    group.limit(Some(group.tasks()));
    let launched = bed.ticket("shop", &["build"], "").await;
    let prepared = bed.ticket("mill", &["build"], "").await;
    let words = ["Resource temporarily unavailable", "retried"];
    says(&bed, &launched, &words).await;
    says(&bed, &prepared, &words).await;
    let why = bed.server.operate("why", &[&launched]).await;
    assert!(String::from_utf8_lossy(&why.stdout).contains(words[0]), "{why:?}");

    group.limit(None);
    went_on(&bed, &launched).await;
    went_on(&bed, &prepared).await;
    assert_eq!(bed.events_of_kind("queue_paused").await, bed.events_of_kind("queue_resumed").await);
    assert!(bed.events_of_kind("queue_paused").await <= 2, "once for each queue");
    bed.nothing_is_left().await;
}

#[e2e::scenario(needs(TaskGroup))]
async fn an_agent_that_cannot_be_started_for_want_of_processes_is_waited_for() {
    let group = TaskGroup::make().expect("the scenario asked");
    let bed = Bed::with(Setup::default().arg("--linger-ms").arg("60000")).await;
    bed.project("shop", &["build"]).await;
    let warm = bed.ticket("shop", &["build"], "").await;
    bed.completed(&warm).await;
    let worker = bed.worker_where("idles", |worker| worker["state"] == "idle").await;
    group.join(pid(&worker, "pid"));
    group.limit(Some(group.tasks()));
    let ticket = bed.ticket("shop", &["build"], "").await;
    // The worker that cannot start it makes room for another, which is in no such group.
    went_on(&bed, &ticket).await;
    group.limit(None);
    let found = bed.get(&ticket).await;
    let first = &found["attempts"][0];
    assert_eq!(first["failure"], "spawn_failed", "{first}");
    let detail = first["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("Resource temporarily unavailable"), "{first}");
    assert_eq!(
        (bed.events_of_kind("queue_paused").await, bed.events_of_kind("queue_resumed").await),
        (1, 1)
    );
}
