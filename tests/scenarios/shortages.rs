//! A machine that lacks something for a while: files, processes, disk space. What waits says why,
//! costs nothing, and continues by itself.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::eventually::eventually;
use e2e::repository::Repository;
use e2e::server::Setup;
use e2e::task_group::TaskGroup;
use e2e::tmpfs::Tmpfs;
use serde_json::Value;
use serde_json::json;

/// Waits until the sentence about the ticket contains all of these words.
async fn says(bed: &Bed, ticket: &str, words: &[&str]) -> Value {
    eventually(&format!("{ticket} says {words:?}"), || async {
        let found = bed.get(ticket).await;
        let said = found["waiting_for"].as_str().unwrap_or_default();
        if words.iter().all(|word| said.contains(word)) {
            Ok(found)
        } else {
            Err(found.to_string())
        }
    })
    .await
}

/// It was completed, nobody had to do anything, and it was not charged for anything.
async fn went_on(bed: &Bed, ticket: &str) {
    let done = bed.completed(ticket).await;
    assert_eq!(done["attempts_used"], 0, "{done}");
    assert_eq!(bed.events_of_kind("ticket_on_hold").await, 0);
}

#[e2e::scenario(needs(Root, Mounts))]
async fn a_state_directory_that_can_hold_no_more_files_starts_nothing_and_loses_nothing() {
    let setup = Setup { state_mib: Some(256), ..Setup::default() };
    let bed = Bed::with(setup.arg("--min-free-mb").arg("1")).await;
    bed.project("shop", &["build"]).await;
    bed.project("desk", &["build"]).await;
    let first = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let call = bed.called(&first, "build", 1).await;
    let state = bed.server.state_dir();
    let files = || nix::sys::statvfs::statvfs(&state).expect("it is mounted");
    bed.server.state_on().set_most_files(files().files() - files().files_free());
    eventually("the shortage is seen", || async {
        let status = bed.server.operate("status", &["--json"]).await;
        let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        if status["disk_low"] == true { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let mut number = 0;
    while fs::write(state.join(format!("filler{number}")), "").is_ok() {
        number += 1;
    }
    let second = bed.ticket("desk", &["build"], "").await;
    let waiting = says(&bed, &second, &["disk"]).await;
    assert_eq!(waiting["waiting_cause"], "disk_low", "{waiting}");
    // The running ticket is completed without a single new file.
    fs::write(call.cwd.join("go"), "").expect("another file system");
    went_on(&bed, &first).await;
    assert!(!bed.server.log().contains("launching a worker failed"), "{}", bed.server.log_tail());

    bed.server.state_on().set_most_files(100_000);
    went_on(&bed, &second).await;
    let (paused, resumed) =
        (bed.events_of_kind("server_paused").await, bed.events_of_kind("server_resumed").await);
    // An end that frees a file may end the shortage for a moment.
    assert!(paused >= 1 && paused == resumed, "{paused} and {resumed}");
}

#[e2e::scenario(needs(TaskGroup))]
async fn a_server_that_can_start_no_process_waits_and_continues() {
    let group = TaskGroup::make().expect("the scenario asked");
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    bed.repository("mill", &["build"], json!({})).await;
    let warm = bed.ticket("mill", &["build"], "").await;
    bed.completed(&warm).await;
    bed.nothing_is_left().await;

    group.join(bed.server.pid());
    group.limit(Some(group.tasks()));
    let launched = bed.ticket("shop", &["build"], "").await;
    let prepared = bed.ticket("mill", &["build"], "").await;
    let words = ["Resource temporarily unavailable", "retried"];
    says(&bed, &launched, &words).await;
    says(&bed, &prepared, &words).await;
    let why = bed.server.operate("why", &[&launched]).await;
    assert!(String::from_utf8_lossy(&why.stdout).contains(words[0]), "{why:?}");

    group.limit(None);
    went_on(&bed, &launched).await;
    went_on(&bed, &prepared).await;
    assert_eq!(bed.events_of_kind("queue_paused").await, bed.events_of_kind("queue_resumed").await);
    assert!(bed.events_of_kind("queue_paused").await <= 2, "once for each queue");
    bed.nothing_is_left().await;
}

#[e2e::scenario(needs(TaskGroup))]
async fn an_agent_that_cannot_start_for_lack_of_processes_is_waited_for() {
    let group = TaskGroup::make().expect("the scenario asked");
    let bed = Bed::with(Setup::default().arg("--linger-ms").arg("60000")).await;
    bed.project("shop", &["build"]).await;
    let warm = bed.ticket("shop", &["build"], "").await;
    bed.completed(&warm).await;
    let worker = bed.worker_where("idles", |worker| worker["state"] == "idle").await;
    group.join(pid(&worker, "pid"));
    group.limit(Some(group.tasks()));
    let ticket = bed.ticket("shop", &["build"], "").await;
    // The worker that cannot start it makes room for another, which is in no such group.
    went_on(&bed, &ticket).await;
    group.limit(None);
    let found = bed.get(&ticket).await;
    let first = &found["attempts"][0];
    assert_eq!(first["failure"], "spawn_failed", "{first}");
    let detail = first["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("Resource temporarily unavailable"), "{first}");
    assert_eq!(
        (bed.events_of_kind("queue_paused").await, bed.events_of_kind("queue_resumed").await),
        (1, 1)
    );
}

/// Writes until the kernel refuses, to the last byte.
fn fill(directory: &Path) {
    let mut filler = fs::File::create(directory.join("filler")).expect("there is room for a name");
    while filler.write_all(&[b'x'; 512]).is_ok() {}
}

#[e2e::scenario(needs(Root, Mounts))]
async fn a_repository_whose_disk_is_full_is_waited_for_whatever_git_reports() {
    let bed = Bed::start().await;
    let place = bed.server.path("small");
    fs::create_dir(&place).expect("a fresh directory");
    let _disk = Tmpfs::mount(&place, 16).expect("the scenario asked");
    let repository = Repository::make(&place.join("mill"));
    bed.project_at("mill", &repository.path, json!({"on_complete": "merge"})).await;
    bed.worker_type("mill", "build", json!({})).await;
    // The agent's leftovers are committed, for which git reports what it lacks; and the agent's own
    // commits are merged into a branch that is checked out nowhere, for which git reports only that
    // it could not write a lock.
    for (number, script) in [
        "fake: build: write {attempt}.txt new\nfake: build: wait-for go",
        "fake: build: run echo new > own.txt; git add -A; git -c user.name=A -c user.email=a@localhost commit --quiet -m Own; touch ready\n\
         fake: build: wait-for on\nfake: build: run rm -f on ready",
    ]
    .into_iter()
    .enumerate()
    {
        let ticket = bed.ticket("mill", &["build"], script).await;
        let call = bed.called(&ticket, "build", 1).await;
        if number == 1 {
            eventually("it has committed", || async {
                if call.cwd.join("ready").exists() { Ok(()) } else { Err("not yet".to_owned()) }
            })
            .await;
            repository.git(&["checkout", "--quiet", "--detach"]);
        }
        fill(&place);
        // The wait of the first one was for its merge.
        let gate = ["go", "on"][number];
        fs::write(call.cwd.join(gate), "").expect("another file system");
        says(&bed, &ticket, &["is retried"]).await;
        eventually("the wait is reported", || async {
            let told = bed.events_of_kind("ticket_waits").await;
            if told == number + 1 { Ok(()) } else { Err(told.to_string()) }
        })
        .await;
        fs::remove_file(place.join("filler")).expect("it is there");
        went_on(&bed, &ticket).await;
        assert_eq!(bed.events_of_kind("ticket_waits").await, number + 1, "once for each wait");
    }
    assert_eq!(repository.file("main", "own.txt").as_deref(), Some("new\n"));
    repository.git(&["checkout", "--quiet", "main"]);
    assert_eq!(repository.problems(), Vec::<String>::new());
}

/// Git writes the files of a checkout one after the other. If the disk fills up midway, what it
/// wrote must not look like the user's own changes.
#[e2e::scenario(needs(Root, Mounts))]
async fn a_checkout_with_too_little_room_for_a_merge_stays_as_it_is_and_is_merged_later() {
    let bed = Bed::start().await;
    let place = bed.server.path("small");
    fs::create_dir(&place).expect("a fresh directory");
    let _disk = Tmpfs::mount(&place, 48).expect("the scenario asked");
    let repository = Repository::make(&place.join("mill"));
    bed.project_at("mill", &repository.path, json!({"on_complete": "merge"})).await;
    bed.worker_type("mill", "build", json!({})).await;
    let script = "fake: build: run for n in 1 2 3 4 5 6; do head -c 500000 /dev/urandom > $n.bin; done; git add -A; \
                  git -c user.name=A -c user.email=a@localhost commit --quiet -m Own; touch ready\n\
                  fake: build: wait-for on\nfake: build: run rm -f on ready";
    let ticket = bed.ticket("mill", &["build"], script).await;
    let call = bed.called(&ticket, "build", 1).await;
    eventually("it has committed", || async {
        if call.cwd.join("ready").exists() { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    // There is space for some of its files: enough for git to begin.
    let filler = place.join("filler");
    fill(&place);
    let full = fs::metadata(&filler).expect("it is there").len();
    let cut = fs::File::options().write(true).open(&filler).expect("our own");
    cut.set_len(full - (1 << 20)).expect("room is given back");
    drop(cut);
    fs::write(call.cwd.join("on"), "").expect("another file system");
    says(&bed, &ticket, &["is retried"]).await;
    assert_eq!(repository.ask(&["status", "--porcelain"]), "", "nothing of it is left there");
    fs::remove_file(&filler).expect("it is there");
    went_on(&bed, &ticket).await;
    assert_eq!(repository.ask(&["status", "--porcelain"]), "");
    let merged = fs::metadata(repository.path.join("6.bin")).expect("it was merged");
    assert_eq!(merged.len(), 500_000);
    assert_eq!(repository.problems(), Vec::<String>::new());
}

#[e2e::scenario]
async fn tickets_that_wait_for_one_repository_keep_no_other_from_its_own() {
    let bed = Bed::with(Setup::default().max_workers(8)).await;
    let busy = bed.repository("busy", &[], json!({})).await;
    bed.worker_type("busy", "build", json!({"max_workers": 6})).await;
    bed.repository("free", &["build"], json!({})).await;
    let lock = fs::File::options()
        .create(true)
        .append(true)
        .open(busy.path.join(".git/vibe-ensemble.lock"))
        .expect("our own repository");
    lock.lock().expect("nobody else has it");
    let mut waiting = Vec::new();
    for _ in 0..6 {
        waiting.push(bed.ticket("busy", &["build"], "").await);
    }
    for ticket in &waiting {
        says(&bed, ticket, &["worktree is prepared"]).await;
    }
    let other = bed.ticket("free", &["build"], "").await;
    bed.completed(&other).await;
    drop(lock);
    for ticket in &waiting {
        bed.completed(ticket).await;
    }
}
