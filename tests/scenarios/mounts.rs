//! File systems that an agent left mounted where the server commits, puts back and removes: a remote directory, a disk
//! image, another directory of the same disk. Their files belong to somebody else.

use std::fs;
use std::path::Path;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::clock_shift::ClockShift;
use e2e::eventually::eventually;
use e2e::fake::Call;
use e2e::server::Setup;
use e2e::tmpfs::Tmpfs;
use serde_json::json;

/// Mounts one with a file in it.
fn mounted(on: &Path) -> Tmpfs {
    let disk = Tmpfs::mount(on, 1).expect("the scenario asked whether this is possible");
    for directory in [on.to_owned(), on.join("below")] {
        fs::create_dir_all(&directory).expect("an empty file system");
        fs::write(directory.join("precious"), "precious").expect("an empty file system");
    }
    disk
}

fn assert_untouched(on: &Path) {
    for file in ["precious", "below/precious"] {
        assert_eq!(fs::read_to_string(on.join(file)).expect("it is there"), "precious");
    }
    assert_eq!(fs::read_dir(on).expect("it is there").count(), 2, "nothing was written there");
}

/// Says to the agent that it may continue.
fn go(call: &Call) {
    let file = call.env["CLAUDE_FAKE_DIR"].clone() + "/" + &call.ticket;
    fs::write(file, "").expect("our own directory");
}

fn waits() -> &'static str {
    "fake: build#1: run mkdir mnt; touch ready; until [ -e $CLAUDE_FAKE_DIR/{ticket} ]; do sleep 0.02; done; rm ready"
}

async fn ready(call: &Call) {
    eventually("the agent waits", || {
        let is_there = call.cwd.join("ready").exists();
        std::future::ready(if is_there { Ok(()) } else { Err("not yet".to_owned()) })
    })
    .await;
}

#[e2e::scenario(needs(Root, Mounts))]
async fn what_is_mounted_in_a_worktree_is_neither_committed_nor_removed() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    for (place, end) in [("mnt", "complete built"), ("mnt", "bad-result"), ("", "bad-result")] {
        let script = format!("{}\nfake: build#1: {end}\nfake: build#2: write new.txt new", waits());
        let ticket = bed.ticket("shop", &["build"], &script).await;
        let call = bed.called(&ticket, "build", 1).await;
        ready(&call).await;
        let on = if place.is_empty() { call.cwd.clone() } else { call.cwd.join(place) };
        let disk = mounted(&on);
        go(&call);

        let held = bed.ticket_is(&ticket, "on_hold").await;
        let reason = text(&held, "hold_reason");
        let says = format!("something is mounted on {}", on.display());
        assert!(reason.contains(&says) && reason.contains("unmount it"), "{reason}");
        assert_untouched(&on);
        // It stops nobody else.
        let other = bed.ticket("shop", &["build"], "").await;
        bed.completed(&other).await;

        drop(disk);
        bed.client.ok("resume_ticket", json!({"ticket_id": ticket})).await;
        let done = bed.completed(&ticket).await;
        let branch = text(&done, "branch");
        assert_eq!(repository.file(&branch, "new.txt").as_deref(), Some("new"), "{place} {end}");
        assert_eq!(repository.file(&branch, "mnt/precious"), None, "{place} {end}");
    }
    assert_eq!(repository.problems(), Vec::<String>::new());
    bed.nothing_is_left().await;
}

#[e2e::scenario(needs(Root, Mounts))]
async fn retention_enters_nothing_that_is_mounted_and_removes_the_rest() {
    let clock = ClockShift::build();
    let setup = Setup::default()
        .env("VIBE_ENSEMBLE_SWEEP_AFTER_MS", "1")
        .env("VIBE_ENSEMBLE_KEEP_ATTEMPTS_DAYS", "30")
        .env("VIBE_ENSEMBLE_KEEP_WORKTREES_DAYS", "30");
    let mut bed = Bed::with(clock.applied_to(setup)).await;
    bed.repository("shop", &["build"], json!({})).await;
    let mut attempts = Vec::new();
    let mut worktrees = Vec::new();
    for _ in 0..3 {
        let ticket = bed.ticket("shop", &["build"], "").await;
        let call = bed.called(&ticket, "build", 1).await;
        bed.completed(&ticket).await;
        attempts.push(bed.server.state_dir().join("attempts").join(call.attempt));
        worktrees.push(call.cwd);
    }
    bed.nothing_is_left().await;
    // In the first of each, so that the others come after it.
    let places = [attempts[0].join("mnt"), worktrees[0].join("mnt")];
    let disks = places.each_ref().map(|place| {
        fs::create_dir(place).expect("an ended attempt");
        mounted(place)
    });
    bed.server.stop().await;
    clock.set(31 * 86_400);
    bed.launch().await;
    eventually("the others are removed", || {
        let left = [&attempts[1], &worktrees[1], &worktrees[2]].into_iter().find(|it| it.exists());
        std::future::ready(left.map_or(Ok(()), |left| Err(left.display().to_string())))
    })
    .await;
    let going = attempts[0].with_file_name(format!(
        ".going.{}",
        attempts[0].file_name().expect("an id").to_string_lossy()
    ));
    let moved = if going.exists() { going } else { attempts[0].clone() };
    assert_untouched(&moved.join("mnt"));
    assert_untouched(&places[1]);
    // They are unmounted by the paths that they had.
    bed.server.stop().await;
    if moved != attempts[0] {
        fs::rename(&moved, &attempts[0]).expect("the server has stopped");
    }
    drop(disks);
}
