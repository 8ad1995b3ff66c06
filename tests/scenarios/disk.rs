//! A disk that fills up while agents run: nothing new is started, nothing is lost, and freed space lets everything continue.

use std::fs;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use e2e::bed::Bed;
use e2e::eventually::eventually;
use e2e::server::Setup;
use serde_json::Value;

const MIB: usize = 1 << 20;

#[e2e::scenario(needs(Mounts))]
async fn a_full_disk_stops_new_work_and_loses_none() {
    let setup = Setup { state_mib: Some(128), ..Setup::default() };
    let bed = Bed::with(setup.arg("--min-free-mb").arg("40")).await;
    let state = bed.server.state_dir();
    // One directory each, so that they run side by side.
    for (project, stage) in [("shop", "build"), ("desk", "review"), ("shelf", "docs")] {
        bed.project(project, &[stage]).await;
    }
    let script = |go: &str| format!("fake: *: wait-for {go}\nfake: *: flood 3000000");
    let first = bed.ticket("shop", &["build"], &script("go1")).await;
    let second = bed.ticket("desk", &["review"], &script("go2")).await;
    let first_call = bed.called(&first, "build", 1).await;
    let second_call = bed.called(&second, "review", 1).await;
    eventually("the ballast is there", || async {
        fs::metadata(state.join("ballast")).map_err(|error| error.to_string())
    })
    .await;

    // Below the watermark: waiting tickets keep waiting, and every view says why.
    let filler = fill(&state, "filler", 128 * MIB, 24 * MIB);
    eventually("the shortage is seen", || async { disk_low(&bed).await }).await;
    let third = bed.ticket("shelf", &["docs"], "").await;
    let waiting = bed.get(&third).await;
    assert_eq!(waiting["waiting_cause"], "disk_low", "{waiting}");
    assert_eq!(bed.client.get("/readyz").await.status(), 200);
    let status = bed.server.operate("status", &["--json"]).await;
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["disk_low"], true, "{status}");

    // Full except for the reserve file: ends are still committed.
    let rest = fill(&state, "rest", 128 * MIB, 0);
    eventually("the ballast is given back", || async {
        if state.join("ballast").exists() { Err("it is there".to_owned()) } else { Ok(()) }
    })
    .await;
    fs::write(first_call.cwd.join("go1"), "").unwrap();
    bed.completed(&first).await;

    // Full: the record is sealed nevertheless, in the space that was reserved for it.
    let last = fill(&state, "last", 128 * MIB, 0);
    fs::write(second_call.cwd.join("go2"), "").unwrap();
    let record = state.join("attempts").join(&second_call.attempt).join("exit.json");
    eventually("the record is sealed", || async {
        fs::metadata(&record).map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(bed.agents.calls_of(&third, "docs").len(), 0, "nothing new was started");

    for file in [filler, rest, last] {
        fs::remove_file(file).unwrap();
    }
    bed.completed(&second).await;
    bed.completed(&third).await;
    assert_eq!(bed.agents.calls().len(), 3, "each ran once");
    eventually("the ballast is back", || async {
        fs::metadata(state.join("ballast")).map_err(|error| error.to_string())
    })
    .await;
    let log = bed.server.log();
    assert_eq!(log.matches("the disk is nearly full").count(), 1);
    assert_eq!(log.matches("there is room on the disk again").count(), 1);
    bed.nothing_is_left().await;
}

#[e2e::scenario(needs(Mounts))]
async fn a_server_starts_on_a_disk_that_is_full_but_for_the_ballast() {
    let setup = Setup { state_mib: Some(128), ..Setup::default() };
    let mut bed = Bed::with(setup.arg("--min-free-mb").arg("40")).await;
    let state = bed.server.state_dir();
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;
    eventually("the ballast is there", || async {
        fs::metadata(state.join("ballast")).map_err(|error| error.to_string())
    })
    .await;
    bed.server.kill().await;
    fill(&state, "filler", 128 * MIB, 0);

    bed.launch().await;

    fs::write(call.cwd.join("go"), "").unwrap();
    bed.completed(&ticket).await;
    assert_eq!(bed.agents.calls().len(), 1);
}

/// Writes at most `most` bytes, and stops when `leave` bytes are left.
fn fill(dir: &Path, name: &str, most: usize, leave: usize) -> std::path::PathBuf {
    let path = dir.join(name);
    let mut file = File::create(&path).expect("there is room for a name");
    let block = vec![0x5a; 64 << 10];
    for _ in 0..most / block.len() {
        let stat = nix::sys::statvfs::statvfs(dir).expect("it is mounted");
        let free = stat.blocks_available() * stat.fragment_size();
        if free <= leave as u64 || file.write_all(&block).is_err() {
            break;
        }
    }
    path
}

async fn disk_low(bed: &Bed) -> Result<(), String> {
    let metrics = bed.client.get("/metrics").await.text().await.expect("a whole page");
    let line = metrics.lines().find(|line| line.starts_with("vibe_ensemble_disk_low"));
    if line == Some("vibe_ensemble_disk_low 1") { Ok(()) } else { Err(format!("{line:?}")) }
}
