//! Repositories as they are met: refused or damaged ones, names that are taken, and unusual ones in which work goes on.

use std::fs;
use std::path::Path;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::repository::Repository;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

/// Words of the server's are one sentence after the other, on one line.
fn assert_reads_well(bed: &Bed, words: &str) {
    for flaw in ["..", "\n", ".;", "?.", "  ", "hint:", ":."] {
        assert!(!words.contains(flaw), "{flaw:?} in {words:?}; {}", bed.server.log_tail());
    }
}

/// The summary of the event that put a ticket on hold.
async fn told_on_hold(bed: &Bed, ticket: &str) -> String {
    let events = bed.events().await;
    let held = |event: &&Value| event["kind"] == "ticket_on_hold" && event["ticket_id"] == ticket;
    text(events.iter().rev().find(held).expect("it was told"), "summary")
}

#[tokio::test]
async fn a_branch_of_the_users_that_leaves_no_room_for_ours_is_named_at_once() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    repository.git(&["branch", "vibe-ensemble"]);
    let ticket = bed.ticket("shop", &["build"], "").await;
    let held = bed.ticket_is(&ticket, "on_hold").await;
    let reason = text(&held, "hold_reason");
    let command = "git branch -m vibe-ensemble";
    assert!(reason.contains("branch named vibe-ensemble") && reason.contains(command), "{reason}");
    assert_reads_well(&bed, &reason);
    let told = told_on_hold(&bed, &ticket).await;
    assert!(told.contains(&reason), "{told}");
    assert_reads_well(&bed, &told);
    assert!(!bed.server.log().contains("a step in a worktree failed"), "it was tried again");

    repository.git(&["branch", "-m", "vibe-ensemble", "renamed"]);
    // What lies below the name of a ticket's branch takes that name too.
    repository.git(&["branch", &format!("vibe-ensemble/{ticket}/mine")]);
    bed.client.ok("resume_ticket", json!({"ticket_id": ticket})).await;
    let done = bed.completed(&ticket).await;
    assert_eq!(text(&done, "branch"), format!("vibe-ensemble/{ticket}-2"));
}

#[tokio::test]
async fn a_repository_that_git_refuses_is_not_shared_in_silence() {
    let setup = Setup::default().env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    let bed = Bed::with(setup).await;
    let repository = Repository::make(&bed.server.path("projects").join("shop"));
    for isolation in [json!({}), json!({"isolation": "worktree"})] {
        let mut given = json!({"name": "shop", "path": repository.path});
        given.as_object_mut().unwrap().extend(isolation.as_object().unwrap().clone());
        let refused = bed.client.refused("create_project", given).await;
        for part in ["dubious ownership", "safe.directory", "isolation"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        assert_reads_well(&bed, &refused);
    }
    // Who says that git is not wanted has thought of it.
    let shared = json!({"isolation": "shared"});
    let project = bed.project_at("shop", &repository.path, shared).await;
    assert_eq!(text(&project, "isolation"), "shared");
    let elsewhere = bed.project("desk", &["build"]).await;
    for change in [
        json!({"project": "shop", "isolation": "worktree"}),
        json!({"project": "desk", "path": repository.path}),
    ] {
        let refused = bed.client.refused("update_project", change).await;
        assert!(refused.contains("safe.directory"), "{refused}");
    }
    let kept = bed.client.ok("get_project", json!({"project": "desk"})).await;
    assert_eq!(text(&kept, "path"), elsewhere.display().to_string());
}

#[tokio::test]
async fn a_damaged_repository_is_not_shared_in_silence() {
    let bed = Bed::start().await;
    let headless = Repository::make(&bed.server.path("projects").join("headless"));
    fs::write(headless.path.join(".git/HEAD"), "nonsense\n").unwrap();
    let hollow = Repository::make(&bed.server.path("projects").join("hollow"));
    let head = hollow.commit("HEAD");
    let object = hollow.path.join(".git/objects").join(&head[..2]).join(&head[2..]);
    fs::remove_file(object).unwrap();
    let detached = Repository::make(&bed.server.path("projects").join("detached"));
    fs::write(detached.path.join(".git/HEAD"), format!("{}\n", "1".repeat(40))).unwrap();
    for repository in [&headless, &hollow, &detached] {
        let refused = bed
            .client
            .refused("create_project", json!({"name": "shop", "path": repository.path}))
            .await;
        assert!(refused.contains("git fsck") && refused.contains("isolation"), "{refused}");
        assert_reads_well(&bed, &refused);
    }
    // One without a commit is no damaged one.
    let unborn = bed.server.path("projects").join("unborn");
    fs::create_dir(&unborn).unwrap();
    Repository { path: unborn.clone() }.git(&["init", "--quiet"]);
    let project = bed.project_at("shop", &unborn, json!({})).await;
    assert_eq!(text(&project, "isolation"), "shared");
}

/// Puts something in the way of a merge, and returns what is said of it.
async fn not_merged(block: impl FnOnce(&Path)) -> (Bed, String, String) {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({"on_complete": "merge"})).await;
    block(&repository.path);
    let ticket = bed.ticket("shop", &["build"], "fake: build: write new.txt new").await;
    let held = bed.ticket_is(&ticket, "on_hold").await;
    let told = told_on_hold(&bed, &ticket).await;
    (bed, text(&held, "hold_reason"), told)
}

#[tokio::test]
async fn what_git_says_becomes_part_of_one_sentence() {
    let (bed, reason, told) =
        not_merged(|path| fs::write(path.join("new.txt"), "mine").unwrap()).await;
    assert!(reason.contains("new.txt"), "{reason}");
    for words in [&reason, &told] {
        assert_reads_well(&bed, words);
    }
    let (bed, reason, told) =
        not_merged(|path| fs::write(path.join(".git/index.lock"), "").unwrap()).await;
    assert!(reason.contains("index.lock"), "{reason}");
    for words in [&reason, &told] {
        assert_reads_well(&bed, words);
    }
}

#[tokio::test]
async fn questions_and_failures_are_told_as_sentences() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"max_attempts": 1})).await;
    let asks = bed.ticket("shop", &["build"], "fake: build: block Which port? And why.").await;
    let breaks = bed.ticket("shop", &["build"], "fake: build: bad-result").await;
    for ticket in [&asks, &breaks] {
        bed.ticket_is(ticket, "on_hold").await;
    }
    bed.client.ok("pause", json!({"reason": "We wait for the release."})).await;
    bed.client
        .ok("pause", json!({"project": "shop", "worker_type": "build", "reason": "Lunch."}))
        .await;
    for event in bed.events().await {
        let summary = text(&event, "summary");
        assert_reads_well(&bed, &summary);
        assert!(summary.ends_with(['.', '?', '!']), "{summary}");
    }
}
