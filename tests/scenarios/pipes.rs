//! Agents that leave named pipes, links and endless files where others read: at most their own
//! ticket waits, and nobody else's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use e2e::bed::Bed;
use e2e::bed::pid;
use nix::sys::signal::Signal;
use serde_json::json;

fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo runs");
    assert!(made.success(), "{}", path.display());
}

/// Replaces a file that may exist, in one step: the server restores what it finds missing.
fn replace(path: &Path, put: impl Fn(&Path)) {
    let other = path.with_extension("other");
    put(&other);
    fs::rename(&other, path).expect("takes its place");
}

/// Two tickets of another project, one before and one after a restart of the server, and every
/// reader.
async fn everybody_else_goes_on(bed: &mut Bed, ticket: &str) {
    bed.project("other", &["build"]).await;
    let other = bed.ticket("other", &["build"], "").await;
    bed.completed(&other).await;
    bed.server.kill().await;
    bed.launch().await;
    let other = bed.ticket("other", &["build"], "").await;
    bed.completed(&other).await;
    for (command, args) in
        [("logs", vec![ticket]), ("doctor", vec![]), ("usage", vec![]), ("status", vec![])]
    {
        // Its output does not matter; that it answers does.
        bed.server.operate(command, &args).await;
    }
    let copy = bed.server.path("copy.db").display().to_string();
    let backup = bed.server.operate("backup", &[&copy]).await;
    assert!(backup.status.success(), "{backup:?}");
}

#[e2e::scenario]
async fn a_pipe_for_an_exit_record_stops_nobody_elses_ticket() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let run_dir = bed.server.state_dir().join("attempts/{attempt}");
    let script = format!(
        "fake: build#1: run mkfifo {}/exit.json\nfake: build#1: run kill -KILL $(cut -d' ' -f4 /proc/$PPID/stat)\n\
         fake: build#1: sleep 600",
        run_dir.display()
    );
    let ticket = bed.ticket("shop", &["build"], &script).await;
    bed.called(&ticket, "build", 1).await;

    everybody_else_goes_on(&mut bed, &ticket).await;

    // Its shim signs its record, so anything else there is no record: the attempt is lost, and its
    // stage is repeated.
    let completed = bed.completed(&ticket).await;
    assert_eq!(completed["attempts"][0]["outcome"], "lost", "{completed}");
    assert_eq!(bed.agents.calls_of(&ticket, "build").len(), 2);
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn nothing_in_the_place_of_a_dead_attempts_file_is_waited_for() {
    let mut bed = Bed::start().await;
    // Each ticket works in a worktree of its own, so that they run at the same time.
    bed.repository("shop", &["build"], json!({})).await;
    let five = json!({"project": "shop", "worker_type": "build", "max_workers": 5});
    bed.client.ok("update_worker_type", five).await;
    let mut tickets = Vec::new();
    for _ in 0..5 {
        let ticket = bed.ticket("shop", &["build"], "fake: build#1: wait-for never").await;
        let call = bed.called(&ticket, "build", 1).await;
        let run_dir = bed.server.state_dir().join("attempts").join(&call.attempt);
        tickets.push((ticket, run_dir));
    }
    let at = |index: usize, name: &str| tickets[index].1.join(name);
    replace(&at(0, "unit.json"), pipe);
    replace(&at(0, "grant.json"), pipe);
    replace(&at(1, "tree.lock"), pipe);
    replace(&at(1, "shim.lock"), pipe);
    replace(&at(2, "stdout.000001.jsonl"), pipe);
    replace(&at(2, "stderr.000001.log"), pipe);
    replace(&at(3, "exit.json"), |path| symlink("/dev/zero", path).expect("links"));
    replace(&at(4, "exit.json"), |path| {
        fs::File::create(path).and_then(|file| file.set_len(1 << 40)).expect("is sparse");
    });
    for (ticket, _) in &tickets {
        let worker = bed.worker_of(ticket).await;
        let status = json!({"worker_id": worker["worker_id"]});
        bed.client.ok("get_worker_status", status).await;
        assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGKILL), "the shim was there");
    }

    everybody_else_goes_on(&mut bed, &tickets[2].0).await;

    // The attempt whose transcript alone was replaced was lost like any other, and repeated. So
    // were those with something else in the place of their record, and the one without a readable
    // `unit.json`: its shim had named its unit over the link.
    for again in [4, 3, 2, 0] {
        let (again, _) = tickets.remove(again);
        bed.completed(&again).await;
    }
    for (ticket, _) in &tickets {
        bed.client.ok("close_ticket", json!({"ticket_id": ticket})).await;
    }
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_forged_run_directory_blocks_no_ticket() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let forged = bed.server.state_dir().join("attempts/A-900");
    bed.server.kill().await;
    fs::create_dir(&forged).expect("is writable");
    for name in ["shim.lock", "tree.lock", "grant.json", "unit.json", "exit.json"] {
        pipe(&forged.join(name));
    }
    let workers = bed.server.state_dir().join("workers");
    fs::create_dir_all(&workers).expect("is writable");
    pipe(&workers.join("W-1.lock"));
    bed.launch().await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn the_command_line_never_waits_for_a_file() {
    let mut bed = Bed::start().await;
    let address = bed.server.runtime_dir().join("http.addr");
    replace(&address, pipe);
    // The server may have restored the address by then; what matters is that the command ends.
    bed.server.operate("status", &[]).await;
    bed.server.stop().await;
    replace(&bed.server.runtime_dir().join("server.lock"), pipe);
    let output = bed.server.operate("doctor", &[]).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("server"), "{output:?}");
}
