//! What `logs` and `events` print, as it happens.

use std::process::Stdio;

use e2e::bed::Bed;
use e2e::eventually::DEADLINE;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;

use super::terminals::out;

#[e2e::scenario]
async fn logs_follow_a_ticket_from_before_its_first_attempt_to_its_end() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    for stage in ["build", "review"] {
        bed.worker_type("shop", stage, json!({"auto_spawn": false})).await;
    }
    let script = "fake: build: say I look at the till.\nfake: review#1: exit 3\nfake: review: say It is fine.";
    let ticket = bed.ticket("shop", &["build", "review"], script).await;
    let mut command = tokio::process::Command::from(bed.server.command("logs"));
    command
        .args([ticket.as_str(), "--follow"])
        .env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir())
        .env("VIBE_ENSEMBLE_RUNTIME_DIR", bed.server.runtime_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut following = command.spawn().expect("it starts");
    let mut notes = BufReader::new(following.stderr.take().expect("piped")).lines();
    let note =
        tokio::time::timeout(DEADLINE, notes.next_line()).await.expect("it says that it waits");
    assert!(note.expect("a line").is_some_and(|note| note.contains("waits")));
    for stage in ["build", "review"] {
        bed.client
            .ok(
                "update_worker_type",
                json!({"project": "shop", "worker_type": stage, "auto_spawn": true}),
            )
            .await;
    }
    let ended =
        tokio::time::timeout(DEADLINE, following.wait_with_output()).await.expect("it ends");
    let printed = out(&ended.expect("it ran"));
    let places: Vec<usize> = [
        "── A-1  build",
        "I look at the till.",
        "── A-1 succeeded",
        "── A-2  review",
        "── A-2 failed",
        "── A-3  review, asked only for its outcome",
        "── A-3 failed",
        "── A-4  review",
        "It is fine.",
        "── A-4 succeeded",
        "T-1 is closed: completed",
    ]
    .iter()
    .map(|part| printed.find(part).unwrap_or_else(|| panic!("no {part} in\n{printed}")))
    .collect();
    assert!(places.is_sorted(), "{places:?}\n{printed}");
}

#[e2e::scenario]
async fn logs_of_a_blocked_ticket_end_with_its_question() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: block Which date counts?").await;
    bed.ticket_is(&ticket, "on_hold").await;
    let printed = out(&bed.server.operate("logs", &[&ticket, "--follow"]).await);
    assert!(printed.contains("question: Which date counts?"), "{printed}");
    assert!(printed.contains("T-1 is on hold"), "{printed}");
    // Options without an effect are refused, or have one.
    let elsewhere = ["A-1", "--url", "http://127.0.0.1:9", "--token-file", "/nonexistent"];
    assert!(!bed.server.operate("logs", &elsewhere).await.status.success());
    assert_eq!(bed.server.operate("logs", &["nonsense"]).await.status.code(), Some(2));
    let last = out(&bed.server.operate("logs", &[&ticket, "-n", "2"]).await);
    assert_eq!(last.trim_end().lines().count(), 1, "a verdict and an empty line: {last:?}");
    assert_eq!(out(&bed.server.operate("logs", &[&ticket, "--since", "2020-01-01"]).await), {
        out(&bed.server.operate("logs", &[&ticket]).await)
    });
}

#[e2e::scenario]
async fn events_begin_where_they_are_asked_to() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    for _ in 0..30 {
        bed.ticket("shop", &["build"], "").await;
    }
    let all = out(&bed.server.operate("events", &["--all"]).await);
    assert_eq!(all.lines().count(), 30);
    assert!(all.lines().all(|line| line.contains("  shop ")), "each names its project:\n{all}");
    let last = out(&bed.server.operate("events", &["-n", "3"]).await);
    assert_eq!(last.lines().collect::<Vec<_>>(), all.lines().skip(27).collect::<Vec<_>>());
    let one = out(&bed.server.operate("events", &["-n", "1", "--ticket", "T-4"]).await);
    assert!(one.contains("T-4") && one.lines().count() == 1, "{one}");
    assert_eq!(out(&bed.server.operate("events", &["--since", "7d"]).await), all);
    assert_eq!(out(&bed.server.operate("events", &["--since", "2100-01-01"]).await), "");
    assert_eq!(bed.server.operate("events", &["--since", "tomorrow"]).await.status.code(), Some(2));

    let mut command = tokio::process::Command::from(bed.server.command("events"));
    command
        .args(["--follow", "--json"])
        .env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir())
        .env("VIBE_ENSEMBLE_RUNTIME_DIR", bed.server.runtime_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut following = command.spawn().expect("it starts");
    let mut lines = BufReader::new(following.stdout.take().expect("piped")).lines();
    for expected in 21..=30 {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.expect("in time");
        let event: Value =
            serde_json::from_str(&line.expect("a line").expect("more")).expect("JSON");
        assert_eq!(event["ticket_id"], format!("T-{expected}"));
    }
    following.kill().await.expect("it runs");
}
