//! Before the worktree of a closed ticket is removed, the cleanup of its project runs there; nothing that it does keeps the
//! worktree.

use std::fs;
use std::path::PathBuf;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::clock_shift::ClockShift;
use e2e::eventually::eventually;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

use crate::gates::count;
use crate::gates::events_of;
use crate::gates::project;

/// The account's, for agents.
const KEY: &str = "sk-dummy";

/// A server that removes worktrees of closed tickets as soon as it starts two days later, and its clock.
async fn bed() -> (Bed, ClockShift) {
    let clock = ClockShift::build();
    let setup = Setup::default()
        .env("ANTHROPIC_API_KEY", KEY)
        .env("VIBE_ENSEMBLE_SWEEP_AFTER_MS", "1")
        .env("VIBE_ENSEMBLE_KEEP_WORKTREES_DAYS", "1");
    (Bed::with(clock.applied_to(setup)).await, clock)
}

/// Starts the server again, two days after its first start.
async fn later(bed: &mut Bed, clock: &ClockShift) {
    bed.server.stop().await;
    clock.set(2 * 86_400);
    bed.launch().await;
}

/// The file of a project whose cleanup is this line of shell.
fn file(line: &str) -> String {
    let cleanup = json!([["sh", "-c", line]]);
    format!("[worktree]\nsetup = [[\"sh\", \"-c\", \"echo built > deps\"]]\ncleanup = {cleanup}\n")
}

fn worktree(bed: &Bed, id: &str) -> PathBuf {
    bed.server.state_dir().join("worktrees").join("shop").join(id)
}

/// Closes a ticket, and starts the server again when its worktree is due for removal.
async fn closed(bed: &mut Bed, clock: &ClockShift, script: &str) -> String {
    let id = bed.ticket("shop", &["build"], script).await;
    bed.completed(&id).await;
    assert!(worktree(bed, &id).is_dir(), "it is there until the server starts again");
    later(bed, clock).await;
    id
}

async fn removed(bed: &Bed, id: &str) -> Value {
    let path = worktree(bed, id);
    eventually("the worktree is gone", || async {
        let log = bed.server.log_tail();
        if path.exists() { Err(format!("{}: {log}", path.display())) } else { Ok(()) }
    })
    .await;
    bed.get(id).await
}

/// The attempts of a ticket that ran its cleanup.
fn cleanups(ticket: &Value) -> Vec<Value> {
    let attempts = ticket["attempts"].as_array().expect("a list");
    attempts.iter().filter(|attempt| attempt["kind"] == "cleanup").cloned().collect()
}

const WORK: &str = "fake: build: write a.txt {ticket}";

#[e2e::scenario]
async fn a_cleanup_runs_once_in_the_worktree_before_that_is_removed() {
    let (mut bed, clock) = bed().await;
    let (seen, ports) = (bed.server.path("seen"), bed.server.path("ports"));
    let line = format!(
        "echo stopping; echo $VIBE_ENSEMBLE_TICKET $PWD $(cat deps) >> {}; echo $VIBE_ENSEMBLE_PORT > {}.after; env",
        seen.display(),
        ports.display()
    );
    let file = format!("{}ports = 10\n", file(&line));
    project(&bed, &["build"], &file, json!({})).await;
    let port = format!(
        "{WORK}\nfake: build: run echo $VIBE_ENSEMBLE_PORT > {}\nfake: build: run env | grep -q {KEY}",
        ports.display()
    );
    let id = closed(&mut bed, &clock, &port).await;
    let told = removed(&bed, &id).await;
    let place = worktree(&bed, &id);
    let line = format!("{id} {} built\n", place.display());
    assert_eq!(fs::read_to_string(&seen).expect("it ran"), line);
    let [cleanup] = &cleanups(&told)[..] else { panic!("{told}") };
    assert_eq!(cleanup["outcome"], "succeeded", "{told}");
    assert_eq!((&told["state"], &told["attempts_used"]), (&json!("closed"), &json!(0)));
    let of = |name: &str| fs::read_to_string(bed.server.path(name)).expect("written");
    assert_eq!(of("ports"), of("ports.after"), "it knows the ports that the ticket had");
    let logs = bed.server.operate("logs", &[&text(cleanup, "attempt_id")]).await;
    let output = String::from_utf8_lossy(&logs.stdout).into_owned();
    assert!(output.contains("stopping"), "{output}");
    assert!(!output.contains(KEY), "it has no key of the account: {output}");
    assert_eq!(count(&bed, &id, "cleanup_failed").await, 0);
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_cleanup_that_fails_is_shown_and_what_it_changed_does_not_keep_the_worktree() {
    let (mut bed, clock) = bed().await;
    let repository =
        project(&bed, &["build"], &file("echo forged > a.txt; echo no daemon; exit 3"), json!({}))
            .await;
    let id = closed(&mut bed, &clock, WORK).await;
    let told = removed(&bed, &id).await;
    let events = events_of(&bed, &id).await;
    let failed = events.iter().find(|event| event["kind"] == "cleanup_failed").expect("an event");
    assert!(text(failed, "summary").contains("exited with 3"), "{failed}");
    let attempt = text(failed, "attempt_id");
    let [cleanup] = &cleanups(&told)[..] else { panic!("{told}") };
    assert_eq!(text(cleanup, "attempt_id"), attempt);
    let kept = format!("refs/vibe-ensemble/attempts/{attempt}");
    assert_eq!(repository.ask(&["show", &format!("{kept}:a.txt")]), "forged");
    assert_eq!(repository.ask(&["show", &format!("{}:a.txt", text(&told, "head_commit"))]), id);
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_cleanup_that_never_ends_is_ended_by_its_time_limit() {
    let (mut bed, clock) = bed().await;
    let file = format!(
        "{}setup_timeout_seconds = 1\n",
        file("trap '' TERM; setsid sleep 600 & while :; do sleep 1; done")
    );
    project(&bed, &["build"], &file, json!({})).await;
    let id = closed(&mut bed, &clock, WORK).await;
    removed(&bed, &id).await;
    let events = events_of(&bed, &id).await;
    let failed = events.iter().find(|event| event["kind"] == "cleanup_failed").expect("an event");
    assert!(text(failed, "summary").contains("did not end in time"), "{failed}");
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_server_that_is_killed_between_cleanup_and_removal_ends_with_both() {
    let (mut bed, clock) = bed().await;
    let (seen, pid) = (bed.server.path("seen"), bed.server.path("pid"));
    // What it ends with is the server: its record waits for the next one.
    let line = format!(
        "while ! test -e {pid}; do sleep 0.05; done; echo ran >> {}; kill -9 $(cat {pid}); rm {pid}",
        seen.display(),
        pid = pid.display()
    );
    project(&bed, &["build"], &file(&line), json!({})).await;
    let id = bed.ticket("shop", &["build"], WORK).await;
    bed.completed(&id).await;
    later(&mut bed, &clock).await;
    fs::write(&pid, bed.server.pid().to_string()).expect("writable");
    bed.server.ended().await;
    assert!(worktree(&bed, &id).is_dir(), "nothing removed it yet");
    bed.launch().await;
    let told = removed(&bed, &id).await;
    assert_eq!(fs::read_to_string(&seen).expect("it ran"), "ran\n");
    assert_eq!(cleanups(&told).len(), 1, "{told}");
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_worktree_that_stays_is_not_cleaned_up() {
    let (mut bed, clock) = bed().await;
    let seen = bed.server.path("seen");
    project(&bed, &["build"], &file(&format!("echo ran >> {}", seen.display())), json!({})).await;
    let id = bed.ticket("shop", &["build"], WORK).await;
    bed.completed(&id).await;
    fs::write(worktree(&bed, &id).join("mine.txt"), "mine").expect("writable");
    later(&mut bed, &clock).await;
    eventually("the server has looked", || async {
        let log = bed.server.log();
        if log.contains("due for removal and is kept") { Ok(()) } else { Err(log) }
    })
    .await;
    assert!(!seen.exists(), "somebody may still work there");
    assert_eq!(cleanups(&bed.get(&id).await), Vec::<Value>::new());
    // The same worktree without it.
    fs::remove_file(worktree(&bed, &id).join("mine.txt")).expect("writable");
    later(&mut bed, &clock).await;
    removed(&bed, &id).await;
    assert_eq!(fs::read_to_string(&seen).expect("it ran"), "ran\n");
}
