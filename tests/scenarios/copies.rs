//! Copies of a state directory, and servers that have another directory than before.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::process::Stdio;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::eventually::eventually;
use nix::sys::signal::Signal;
use serde_json::json;

use super::identity::completed_by_its_agent;
use super::identity::go;
use super::identity::waiting;

/// Starts a server on another state directory; the server must end by itself.
pub(crate) async fn start_on(bed: &Bed, state_dir: &Path) -> Output {
    let mut command = tokio::process::Command::from(bed.server.command("serve"));
    command
        .arg("--state-dir")
        .arg(state_dir)
        .arg("--runtime-dir")
        .arg(bed.server.path("run-of-the-copy"))
        .args(["--listen", "127.0.0.1:0", "--launcher", "plain", "--agent-command"])
        .arg(e2e::binaries::fake_claude())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the program can be started")
}

#[e2e::scenario]
async fn a_copy_beside_a_live_original_is_refused_and_changes_nothing() {
    let mut bed = Bed::start().await;
    let (ticket, run) = waiting(&bed, "shop").await;
    let (restored, copied) = (bed.server.path("restored"), bed.server.path("copied"));
    fs::create_dir(&restored).unwrap();
    let backup = restored.join("vibe-ensemble.db").display().to_string();
    assert!(bed.server.operate("backup", &[&backup]).await.status.success());
    let state = bed.server.state_dir();
    let cp = std::process::Command::new("cp").arg("-a").arg(&state).arg(&copied).status().unwrap();
    assert!(cp.success());

    // While the original's server runs, and while only its workers run.
    for server in ["runs", "worker"] {
        for copy in [&restored, &copied] {
            let output = start_on(&bed, copy).await;
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(75), "{words}");
            assert!(words.contains("is a copy of the one in") && words.contains(server), "{words}");
            let alive = bed.server.descendants();
            assert!(alive.iter().any(|process| process.pid == run.pid), "{alive:?}");
        }
        if server == "runs" {
            bed.server.kill().await;
        }
    }
    bed.launch().await;
    go(&run);
    completed_by_its_agent(&bed, &ticket).await;
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_copy_of_a_state_directory_whose_original_is_gone_resumes_its_tickets() {
    let mut bed = Bed::start().await;
    let (ticket, run) = waiting(&bed, "shop").await;
    let worker = bed.worker_of(&ticket).await;
    bed.server.kill().await;
    assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGKILL), "the shim was there");
    eventually("the agent is gone", || async {
        let left = bed.server.descendants();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let state = bed.server.state_dir();
    let away = bed.server.path("away");
    fs::rename(&state, &away).unwrap();
    let cp = std::process::Command::new("cp").arg("-a").arg(&away).arg(&state).status().unwrap();
    assert!(cp.success());

    bed.launch().await;

    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["outcome"], "lost", "{closed}");
    assert_ne!(text(&closed["attempts"][1], "attempt_id"), run.attempt);
    bed.assert_no_overlaps();
}

/// Removes a directory while somebody may be writing into it.
pub(crate) async fn removed(directory: &Path) {
    eventually("it is removed", || {
        std::future::ready(fs::remove_dir_all(directory).map_err(|error| error.to_string()))
    })
    .await;
}

#[e2e::scenario]
async fn workers_find_a_server_that_has_another_runtime_directory() {
    let mut bed = Bed::start().await;
    let (ticket, run) = waiting(&bed, "shop").await;
    let (stopped, _) = waiting(&bed, "mill").await;
    bed.server.kill().await;
    bed.server.move_runtime_dir("run-of-another-session");
    bed.launch().await;

    let worker = bed.worker_of(&stopped).await;
    bed.client.ok("stop_worker", json!({"worker_id": worker["worker_id"], "mode": "cancel"})).await;
    let held = bed.ticket_is(&stopped, "on_hold").await;
    assert_eq!(held["attempts"][0]["outcome"], "cancelled", "{held}");
    go(&run);
    completed_by_its_agent(&bed, &ticket).await;
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn an_original_that_comes_back_beside_a_server_of_its_copy_is_refused() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    bed.nothing_is_left().await;
    bed.server.kill().await;
    let (state, away) = (bed.server.state_dir(), bed.server.path("away"));
    fs::rename(&state, &away).unwrap();
    let cp = std::process::Command::new("cp").arg("-a").arg(&away).arg(&state).status().unwrap();
    assert!(cp.success());
    // The copy runs, with nothing to do. The original knows nothing of it, nor does another copy.
    bed.launch().await;
    let other = bed.server.path("other");
    let cp = std::process::Command::new("cp").arg("-a").arg(&away).arg(&other).status().unwrap();
    assert!(cp.success());

    for place in [&away, &other] {
        let output = start_on(&bed, place).await;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(75), "{words}");
        let server = format!("a server with pid {} runs", bed.server.pid());
        assert!(words.contains(&server) && words.contains("Nothing was changed"), "{words}");
    }
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn a_process_that_claims_to_belong_to_a_copy_keeps_no_server_from_starting() {
    // Every agent can start one: below its shim, or below none after it has killed that.
    let claims =
        "run VIBE_ENSEMBLE_PLACE=elsewhere setsid sleep 600 </dev/null >/dev/null 2>&1 & sleep 0.1";
    let kills = "run kill -KILL $(cut -d' ' -f4 /proc/$PPID/stat)";
    for killed in [false, true] {
        let mut bed = Bed::start().await;
        bed.project("shop", &["build"]).await;
        let end = if killed { kills } else { "wait-for go" };
        let script = format!("fake: build#1: {claims}\nfake: build#1: {end}");
        let ticket = bed.ticket("shop", &["build"], &script).await;
        let run = bed.called(&ticket, "build", 1).await;
        let is_there = || {
            let claims = |pid: i32| {
                let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                String::from_utf8_lossy(&variables).contains("VIBE_ENSEMBLE_PLACE=elsewhere")
            };
            bed.server.descendants().iter().any(|process| claims(process.pid))
        };
        if !killed {
            eventually("the process is there", || {
                std::future::ready(if is_there() { Ok(()) } else { Err("not yet".to_owned()) })
            })
            .await;
        }
        bed.server.kill().await;
        bed.launch().await;
        go(&run);
        let closed = bed.completed(&ticket).await;
        let outcome = if killed { "lost" } else { "succeeded" };
        assert_eq!(closed["attempts"][0]["outcome"], outcome, "{closed}");
        bed.assert_no_overlaps();
        // It holds the lock of the attempt's tree, so it is ended with it.
        bed.nothing_is_left().await;
    }
}
