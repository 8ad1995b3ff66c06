//! Files and directories of the server's that an agent closes to its own user, whom the server is. Their owner can open
//! them up again, so nobody has to come for that.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::neighbours::NOBODY;

/// A server that is not root's: root may read what is closed to everybody.
async fn of_a_user() -> Bed {
    Bed::with(Setup { user: Some(NOBODY), ..Setup::default() }.max_workers(4)).await
}

fn close(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is there");
}

#[e2e::scenario(needs(Root))]
async fn a_directory_that_is_closed_beside_the_server_stops_no_ticket() {
    let bed = of_a_user().await;
    bed.repository("mill", &["build"], json!({})).await;
    bed.project("shop", &["build"]).await;
    let first = bed.ticket("mill", &["build"], "").await;
    bed.completed(&first).await;
    let state = bed.server.state_dir();
    for (name, mode) in [
        ("attempts", 0),
        ("attempts", 0o500),
        ("workers", 0),
        ("workers", 0o500),
        ("worktrees", 0),
        ("worktrees/mill", 0),
        ("worktrees/mill", 0o500),
        (".", 0),
    ] {
        bed.nothing_is_left().await;
        close(&state.join(name), mode);
        for project in ["shop", "mill"] {
            let ticket = bed.ticket(project, &["build"], "").await;
            let done = bed.completed(&ticket).await;
            assert_eq!(done["attempts_used"], 0, "{name} {mode:o}: {done}");
        }
    }
    assert_eq!(bed.events_of_kind("ticket_on_hold").await, 0);
}

#[e2e::scenario(needs(Root))]
async fn a_worktree_that_its_agent_closed_is_used_again() {
    let bed = of_a_user().await;
    bed.repository("mill", &["build"], json!({})).await;
    for close in ["chmod 000 .", "chmod 000 . ..", "chmod 500 . ; rm -f .git", "chmod 500 .."] {
        for end in ["exit 3", "complete built"] {
            let script = format!(
                "fake: build#1: run echo new > new.txt; mkdir -p a/b; chmod 000 a/b a; {close}; true\n\
                 fake: build#1: {end}"
            );
            let ticket = bed.ticket("mill", &["build"], &script).await;
            bed.completed(&ticket).await;
        }
    }
    bed.nothing_is_left().await;
}

#[e2e::scenario(needs(Root))]
async fn lock_files_that_nobody_may_read_keep_no_server_from_starting_and_no_attempt_stuck() {
    let mut bed = of_a_user().await;
    let mut tickets = Vec::new();
    for project in ["dead", "alive"] {
        bed.project(project, &["build"]).await;
        let script = "fake: build#1: wait-for go\nfake: build#1: complete by its agent";
        let ticket = bed.ticket(project, &["build"], script).await;
        let call = bed.called(&ticket, "build", 1).await;
        tickets.push((ticket, call));
    }
    let shim = pid(&bed.worker_of(&tickets[0].0).await, "pid");
    bed.server.kill().await;
    close_locks(&bed.server.state_dir());
    close(&bed.server.runtime_dir().join("server.lock"), 0);
    assert!(bed.server.send(shim, Signal::SIGKILL), "the shim was there");
    bed.launch().await;

    let dead = bed.completed(&tickets[0].0).await;
    assert_eq!(dead["attempts"][0]["outcome"], "lost", "{dead}");
    fs::write(tickets[1].1.cwd.join("go"), "").expect("the project is ours");
    let alive = bed.completed(&tickets[1].0).await;
    assert_eq!(alive["attempts"].as_array().map(Vec::len), Some(1), "{alive}");
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

/// Takes every right to each lock file below a directory away.
fn close_locks(below: &Path) {
    for entry in fs::read_dir(below).expect("our own directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            close_locks(&path);
        } else if path.extension().is_some_and(|end| end == "lock")
            || path.file_name().is_some_and(|name| name == ".lock")
        {
            close(&path, 0);
        }
    }
}

#[e2e::scenario]
async fn whatever_is_in_the_place_of_a_lock_file_keeps_no_server_from_starting() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    for put in ["mkfifo", "mkdir", "ln -s /nonexistent", "ln -s /etc/hostname"] {
        bed.server.kill().await;
        for lock in
            [bed.server.state_dir().join(".lock"), bed.server.runtime_dir().join("server.lock")]
        {
            let script = format!("rm -rf {0}; {put} {0}", lock.display());
            let status = std::process::Command::new("sh").args(["-c", &script]).status();
            assert!(status.expect("there is a shell").success(), "{put}");
        }
        bed.launch().await;
        let ticket = bed.ticket("shop", &["build"], "").await;
        bed.completed(&ticket).await;
        bed.nothing_is_left().await;
    }
}
