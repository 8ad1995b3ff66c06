//! What cannot be ended although its shim is alive, or could not be ended even by SIGKILL: shown,
//! waited for, never run twice.

use std::fs;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::fake::Call;
use e2e::frozen::Frozen;
use e2e::frozen::is_uninterruptible;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

/// A ticket whose first agent hangs in a write that no signal ends.
async fn hanging(bed: &Bed, disk: &Frozen) -> (String, Call) {
    bed.project("shop", &["build"]).await;
    let file = disk.path().join("file").display().to_string();
    let script = format!("fake: build#1: wait-for go\nfake: build#1: append {file} text");
    let ticket = bed.ticket("shop", &["build"], &script).await;
    let call = bed.called(&ticket, "build", 1).await;
    disk.freeze();
    fs::write(call.cwd.join("go"), "").expect("the project is writable");
    eventually("the agent hangs", || async {
        if is_uninterruptible(call.pid) { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    (ticket, call)
}

/// Waits until the ticket reports what keeps it, and returns the sentence.
async fn stuck(bed: &Bed, ticket: &str, word: &str) -> String {
    eventually("the attempt is shown as stuck", || async {
        let why = text(&bed.get(ticket).await, "waiting_for");
        if why.contains(word) { Ok(why) } else { Err(why) }
    })
    .await
}

async fn doctor(bed: &Bed) -> String {
    let output = bed.server.operate("doctor", &[]).await;
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[e2e::scenario(needs(Freezing))]
async fn a_process_that_kill_does_not_end_is_shown_and_waited_for() {
    let setup = Setup::default().env("VIBE_ENSEMBLE_STOP_GRACE_MS", "100");
    let mut bed = Bed::with(setup.env("VIBE_ENSEMBLE_KILL_AFTER_MS", "100")).await;
    let disk = Frozen::mount().unwrap();
    let (ticket, call) = hanging(&bed, &disk).await;
    let worker = bed.worker_of(&ticket).await;
    bed.client.ok("stop_worker", json!({"worker_id": worker["worker_id"]})).await;

    let why = stuck(&bed, &ticket, "will not die").await;
    assert!(why.contains(&call.pid.to_string()), "{why}");
    let status = json!({"worker_id": worker["worker_id"]});
    let status = bed.client.ok("get_worker_status", status).await;
    assert!(text(&status, "trouble").contains("will not die"), "{status}");
    let said = doctor(&bed).await;
    assert!(said.contains("stuck: A-1 of T-1 (W-1)") && said.contains("will not die"), "{said}");

    // A new server changes nothing, and neither does work that arrives meanwhile.
    bed.server.kill().await;
    bed.launch().await;
    bed.project("other", &["build"]).await;
    let other = bed.ticket("other", &["build"], "").await;
    bed.completed(&other).await;
    assert_eq!(bed.get(&ticket).await["state"], "running");
    assert_eq!(bed.agents.calls_of(&ticket, "build").len(), 1, "nothing else runs it");
    assert!(is_uninterruptible(call.pid));

    disk.thaw();
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(2), "{closed}");
    assert_eq!(closed["attempts"][0]["outcome"], "interrupted", "{closed}");
    assert_eq!(closed["attempts"][0]["trouble"], Value::Null, "{closed}");
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario(needs(Freezing))]
async fn a_tree_that_outlives_its_shim_and_kill_is_waited_for() {
    let bed = Bed::start().await;
    let disk = Frozen::mount().unwrap();
    let (ticket, call) = hanging(&bed, &disk).await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");

    assert!(bed.server.send(shim, Signal::SIGKILL), "the shim was there");

    stuck(&bed, &ticket, "stuck").await;
    assert!(is_uninterruptible(call.pid));
    assert!(doctor(&bed).await.contains("stuck: A-1 of T-1 (W-1)"));
    assert_eq!(bed.agents.calls_of(&ticket, "build").len(), 1, "nothing else runs it");

    disk.thaw();
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["outcome"], "lost", "{closed}");
    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(2), "{closed}");
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_result_that_cannot_be_written_comes_over_the_link() {
    for away in [false, true] {
        let mut bed = Bed::start().await;
        bed.project("shop", &["build"]).await;
        let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
        let call = bed.called(&ticket, "build", 1).await;
        let worker = bed.worker_of(&ticket).await;
        // In the place of the file that becomes the record.
        let run_dir = bed.server.state_dir().join("attempts").join(&call.attempt);
        let in_the_way = run_dir.join(format!(".exit.json.{}.tmp", pid(&worker, "pid")));
        fs::create_dir(&in_the_way).unwrap();
        if away {
            bed.server.kill().await;
        }
        fs::write(call.cwd.join("go"), "").unwrap();
        if away {
            eventually("the agent ended", || async {
                let alive = bed.server.descendants();
                let runs = alive.iter().any(|process| process.pid == call.pid);
                if runs { Err(format!("{alive:?}")) } else { Ok(()) }
            })
            .await;
            bed.launch().await;
        }

        let closed = bed.completed(&ticket).await;
        assert_eq!(closed["attempts"][0]["outcome"], "succeeded", "{closed}");
        assert_eq!(bed.agents.calls().len(), 1, "the result was not lost");
        assert!(!run_dir.join("exit.json").exists());
        bed.nothing_is_left().await;
    }
}
