//! Tests the tests: each planted bug must make the check fail that guards against it.

use std::fs;

use e2e::eventually::eventually;
use e2e::kept::Kept;
use e2e::repository::Repository;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::oracle;
use crate::programs::Programs;
use crate::story;
use crate::story::Story;

/// The check of [`crate::a_kill_at_any_point_changes_nothing`] for one point, with and without a bug.
async fn point_catches(bug: &'static str, story: Story, point: Option<&'static str>) {
    let plain = Programs::with(None).await;
    let expected = story::tell(story, None, &plain).await;
    let honest = story::tell(story, point, &plain).await;
    let at = point.unwrap_or("server.");
    assert_eq!(oracle::compare(at, &expected, &honest), Ok(()), "without the bug");
    let broken = Programs::with(Some(bug)).await;
    let telling = tokio::spawn(async move { story::tell(story, point, &broken).await });
    // A story that never ends fails its check as well.
    if let Ok(told) = telling.await {
        let caught = oracle::compare(at, &expected, &told);
        eprintln!("{bug}: {caught:?}");
        assert!(caught.is_err(), "{bug} was not caught at {point:?}");
    } else {
        eprintln!("{bug}: the story came to no end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_without_its_guard_is_caught() {
    point_catches("no-guard-on-the-end", Story::Usual, Some("server.end.after_commit")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ack_before_its_commit_is_caught() {
    point_catches("ack-before-commit", Story::Usual, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_synced_is_caught() {
    point_catches("no-fsync-of-the-directory", Story::Usual, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_deleted_before_its_ack_is_caught() {
    let point = Some("shim.before_completed_sent");
    point_catches("record-deleted-before-ack", Story::Usual, point).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_started_before_its_grant_is_committed_is_caught() {
    point_catches("grant-before-commit", Story::Usual, Some("server.claim.before_commit")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_not_idempotent_is_caught() {
    let point = Some("server.grant.before_sent");
    point_catches("pull-is-not-idempotent", Story::Usual, point).await;
}

/// A server of these programs, and a ticket of one stage. `GO` in its script is a file that a test
/// creates.
async fn one_stage(programs: &Programs, script: &str) -> (Kept, String) {
    let setup = Setup::default().programs(programs.directory());
    let kept = Kept::prepare(setup.env("VIBE_ENSEMBLE_LINGER_MS", "200"));
    kept.repository("shop", "keep").await;
    kept.worker_type("shop", "build", 1).await;
    kept.worker_type("shop", "other", 1).await;
    let go = kept.directory.join("go").display().to_string();
    let ticket = create(&kept, "build", &script.replace("GO", &go)).await;
    (kept, ticket)
}

async fn create(kept: &Kept, stage: &str, script: &str) -> String {
    let arguments = json!({
        "project": "shop", "title": stage, "execution_plan": [stage], "description": script,
        "idempotency_key": stage,
    });
    let ticket = kept.ok("create_ticket", arguments).await;
    ticket["ticket_id"].as_str().expect("a ticket has an id").to_owned()
}

async fn closed(kept: &Kept, ticket: &str) -> serde_json::Value {
    eventually(&format!("{ticket} is closed"), || async {
        let found = kept.ok("get_ticket", json!({"ticket_id": ticket})).await;
        if found["state"] == "closed" { Ok(found) } else { Err(found.to_string()) }
    })
    .await
}

async fn called(kept: &Kept, ticket: &str) {
    eventually("the agent runs", || {
        let runs = kept.agents.calls_of(ticket, "build").len();
        std::future::ready(if runs > 0 { Ok(()) } else { Err("not yet".to_owned()) })
    })
    .await;
}

/// How many agents ran for a ticket whose shim was stopped while the server was replaced and did
/// other work.
async fn runs_of_a_stopped_shim(bug: Option<&'static str>) -> usize {
    let programs = Programs::with(bug).await;
    let (kept, ticket) = one_stage(&programs, "fake: build#1: wait-for GO").await;
    called(&kept, &ticket).await;
    story::kill_shims(&kept, Signal::SIGSTOP);
    kept.server().await.kill().await;
    // Long enough for the server to check the silent worker more than once.
    let other = create(&kept, "other", "fake: other: sleep 1.5").await;
    closed(&kept, &other).await;
    story::kill_shims(&kept, Signal::SIGCONT);
    fs::write(kept.directory.join("go"), "").expect("the project is writable");
    closed(&kept, &ticket).await;
    kept.agents.calls_of(&ticket, "build").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_given_up_for_its_silence_is_caught() {
    assert_eq!(runs_of_a_stopped_shim(None).await, 1, "without the bug");
    assert!(runs_of_a_stopped_shim(Some("lost-by-age")).await > 1);
}

/// What the first agent wrote, after one attempt that failed and one that did not.
async fn work_after_a_failure(bug: Option<&'static str>) -> String {
    let programs = Programs::with(bug).await;
    let script = "fake: build: append work.txt {attempt}\nfake: build#1: bad-result";
    let (kept, ticket) = one_stage(&programs, script).await;
    closed(&kept, &ticket).await;
    let repository = Repository { path: kept.directory.join("projects/shop") };
    repository.file(&format!("vibe-ensemble/{ticket}"), "work.txt").unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worktree_that_is_not_put_back_is_caught() {
    assert_eq!(work_after_a_failure(None).await, "A-2\n", "without the bug");
    assert_ne!(work_after_a_failure(Some("worktree-not-put-back")).await, "A-2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_work_that_is_not_committed_to_the_branch_is_caught() {
    let point = Some("server.end.after_commit");
    point_catches("accepted-work-forgotten", Story::Usual, point).await;
}

/// How many processes of a completed attempt still exist.
async fn survivors(bug: Option<&'static str>) -> usize {
    let programs = Programs::with(bug).await;
    let script = "fake: build: fork 60\nfake: build: daemonize 60";
    let (kept, ticket) = one_stage(&programs, script).await;
    closed(&kept, &ticket).await;
    kept.family.alive().iter().filter(|process| process.attempt.is_some()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_group_looked_up_at_kill_time_is_caught() {
    assert_eq!(survivors(None).await, 0, "without the bug");
    assert!(survivors(Some("group-asked-at-kill")).await > 0);
}

/// A bug without a test above would be planted for nothing.
#[test]
fn every_planted_bug_has_a_test() {
    let here = include_str!("plants.rs");
    for bug in e2e::plants::all() {
        assert!(here.contains(&format!("\"{bug}\"")), "{bug} has no test");
    }
}
