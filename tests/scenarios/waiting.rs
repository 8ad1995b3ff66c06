//! What a ticket waits for, cause by cause: the answer names a step, and the test takes that step,
//! which helps.

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::binaries;
use e2e::eventually::eventually;
use e2e::server::Setup;
use e2e::systemd::WorkerSocket;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use serde_json::json;

/// Waits until the ticket waits for this cause with a sentence that names each of the steps, and
/// returns the ticket.
async fn waits(bed: &Bed, ticket: &str, cause: &str, steps: &[&str]) -> String {
    let what = format!("{ticket} waits for {cause}, {}", steps.join(" and "));
    let why = eventually(&what, || async {
        let found = bed.get(ticket).await;
        let why = found["waiting_for"].as_str().unwrap_or_default();
        if found["waiting_cause"] == cause && steps.iter().all(|step| why.contains(step)) {
            Ok(why.to_owned())
        } else {
            Err(found.to_string())
        }
    })
    .await;
    assert!(!why.contains(".."), "{why}");
    why
}

fn queue(worker_type: &str) -> Value {
    json!({"project": "shop", "worker_type": worker_type})
}

#[e2e::scenario]
async fn a_type_that_may_have_no_worker_needs_a_higher_limit() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"max_workers": 0})).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let why = waits(&bed, &ticket, "no_worker", &["update_worker_type"]).await;
    assert!(!why.contains("spawn_worker"), "{why}");
    // A coordinator that asks nevertheless learns the one step that helps.
    let refused = bed.client.refused("spawn_worker", queue("build")).await;
    assert_eq!(
        refused,
        "Worker type build may have 0 workers and has 0, so 1 more is refused. Raise max_workers of worker \
         type build with update_worker_type."
    );
    let more = json!({"project": "shop", "worker_type": "build", "max_workers": 1});
    bed.client.ok("update_worker_type", more).await;
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn a_project_that_may_have_no_worker_needs_a_higher_limit() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    bed.worker_type("shop", "manual", json!({"auto_spawn": false})).await;
    bed.client.ok("update_project", json!({"project": "shop", "max_workers": 0})).await;
    let (ticket, manual) =
        (bed.ticket("shop", &["build"], "").await, bed.ticket("shop", &["manual"], "").await);
    for ticket in [&ticket, &manual] {
        waits(&bed, ticket, "no_worker", &["update_project"]).await;
    }
    // A manual start is bound by the same limit as an automatic one.
    let refused = bed.client.refused("spawn_worker", queue("manual")).await;
    assert_eq!(
        refused,
        "Project shop may have 0 workers and has 0, so 1 more is refused. Raise max_workers of \
         project shop with update_project."
    );
    bed.client.ok("update_project", json!({"project": "shop", "max_workers": 1})).await;
    bed.completed(&ticket).await;
    waits(&bed, &manual, "no_worker", &["none starts by itself. Start one with spawn_worker"])
        .await;
    bed.client.ok("spawn_worker", queue("manual")).await;
    bed.completed(&manual).await;
}

#[e2e::scenario]
async fn a_manually_started_type_needs_a_slot_first_when_all_are_taken() {
    let bed = Bed::with(Setup::default().max_workers(1)).await;
    bed.repository("shop", &["build"], json!({})).await;
    bed.worker_type("shop", "manual", json!({"auto_spawn": false})).await;
    let busy = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    bed.called(&busy, "build", 1).await;
    let ticket = bed.ticket("shop", &["manual"], "").await;
    waits(&bed, &ticket, "no_worker", &["stop_worker", "spawn_worker"]).await;
    let refused = bed.client.refused("spawn_worker", queue("manual")).await;
    assert!(refused.contains("stop_worker") && !refused.contains("at most 0"), "{refused}");
    let worker = text(&bed.worker_of(&busy).await, "worker_id");
    bed.client.ok("stop_worker", json!({"worker_id": worker, "mode": "cancel"})).await;
    bed.ticket_is(&busy, "on_hold").await;
    waits(&bed, &ticket, "no_worker", &["none starts by itself. Start one with spawn_worker"])
        .await;
    bed.client.ok("spawn_worker", queue("manual")).await;
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn a_ticket_whose_worker_type_is_gone_needs_it_back_or_another_stage() {
    let bed = Bed::start().await;
    bed.project("shop", &["build", "test"]).await;
    bed.client.ok("pause", json!({})).await;
    let only = bed.ticket("shop", &["build"], "").await;
    let more = bed.ticket("shop", &["build", "test"], "").await;
    let gone = json!({"project": "shop", "worker_type": "build", "force": true});
    bed.client.ok("delete_worker_type", gone).await;
    bed.client.ok("resume", json!({})).await;
    let why = waits(&bed, &only, "on_hold", &["create_worker_type", "close_ticket"]).await;
    assert!(!why.contains("another stage"), "{why}");
    waits(&bed, &more, "on_hold", &["create_worker_type", "such as test", "resume_ticket"]).await;
    // Without a type for its stage a resume is refused, so nothing may advise it.
    bed.client.refused("resume_ticket", json!({"ticket_id": only})).await;
    bed.client.ok("resume_ticket", json!({"ticket_id": more, "stage": "test"})).await;
    bed.completed(&more).await;
    bed.worker_type("shop", "build", json!({})).await;
    waits(&bed, &only, "on_hold", &["Resume it with resume_ticket"]).await;
    bed.client.ok("resume_ticket", json!({"ticket_id": only})).await;
    bed.completed(&only).await;
}

#[e2e::scenario]
async fn every_slot_that_is_taken_names_the_limit_to_raise() {
    let bed = Bed::with(Setup::default().max_workers(1)).await;
    bed.repository("shop", &["build", "test"], json!({})).await;
    bed.client.ok("update_project", json!({"project": "shop", "max_workers": 1})).await;
    let script = "fake: *: wait-for go";
    let first = bed.ticket("shop", &["build"], script).await;
    let call = bed.called(&first, "build", 1).await;
    let second = bed.ticket("shop", &["build"], "").await;
    let other = bed.ticket("shop", &["test"], "").await;
    waits(&bed, &second, "no_slot", &["update_worker_type"]).await;
    let more = json!({"project": "shop", "worker_type": "build", "max_workers": 2});
    bed.client.ok("update_worker_type", more).await;
    waits(&bed, &second, "no_slot", &["update_project"]).await;
    bed.client.ok("update_project", json!({"project": "shop", "max_workers": 2})).await;
    waits(&bed, &second, "no_slot", &["max_workers in the configuration"]).await;
    waits(&bed, &other, "no_slot", &["max_workers in the configuration"]).await;
    std::fs::write(call.cwd.join("go"), "").expect("the worktree is writable");
    for ticket in [&first, &second, &other] {
        bed.completed(ticket).await;
    }
}

#[e2e::scenario]
async fn every_pause_ends_with_the_resume_that_it_names() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let scopes = [
        (json!({}), "server_paused"),
        (json!({"project": "shop"}), "project_paused"),
        (queue("build"), "queue_paused"),
    ];
    for (scope, _) in &scopes {
        bed.client.ok("pause", scope.clone()).await;
    }
    let ticket = bed.ticket("shop", &["build"], "").await;
    for (scope, cause) in scopes {
        waits(&bed, &ticket, cause, &["resume"]).await;
        bed.client.ok("resume", scope).await;
    }
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn a_wait_for_a_worktree_or_its_repository_is_explained() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build", "test"], json!({})).await;
    // A program that waits for somebody to write into a pipe writes its files.
    let pipe = bed.server.path("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).expect("the directory is writable");
    let open = File::options().read(true).write(true).open(&pipe).expect("our own pipe");
    let smudge = format!("cat '{}' >/dev/null; cat", pipe.display());
    fs::write(repository.path.join(".gitattributes"), "slow.txt filter=slow\n").unwrap();
    fs::write(repository.path.join("slow.txt"), "slow\n").unwrap();
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "-m", "Add a slow file"]);
    repository.git(&["config", "filter.slow.smudge", &smudge]);
    let first = bed.ticket("shop", &["build"], "").await;
    eventually("its worktree is begun", || async {
        let found = bed.get(&first).await;
        if found["branch"].is_string() { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
    waits(&bed, &first, "unprepared", &["worktree is being prepared"]).await;
    let second = bed.ticket("shop", &["test"], "").await;
    let git = repository.path.join(".git").display().to_string();
    let third = bed.ticket("shop", &["test"], "").await;
    waits(&bed, &second, "repository_busy", &["next in the queue test", &git]).await;
    // Not made before the second one, whose type may have one worker.
    waits(&bed, &third, "behind", &["One ticket is ahead of it"]).await;
    let plain = bed.server.path("plain");
    fs::write(&plain, "").unwrap();
    fs::rename(&plain, &pipe).unwrap();
    drop(open);
    for ticket in [&first, &second, &third] {
        bed.completed(ticket).await;
    }
}

#[e2e::scenario]
async fn a_repository_in_which_another_servers_git_works_is_waited_for() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    let lock = repository.path.join(".git/vibe-ensemble.lock");
    let lock = File::options().create(true).append(true).open(lock).expect("writable");
    lock.lock().expect("nobody has it");
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    waits(&bed, &ticket, "repository_busy", &["next in the queue", "ends by itself"]).await;
    lock.unlock().expect("it is ours");
    let call = bed.called(&ticket, "build", 1).await;
    waits(&bed, &ticket, "running", &["runs its stage build"]).await;
    // The attempt ends, and its changes cannot be saved.
    lock.lock().expect("nobody has it for long");
    fs::write(call.cwd.join("go"), "").expect("writable");
    waits(&bed, &ticket, "repository_busy", &["is over", "its changes", "ends by itself"]).await;
    lock.unlock().expect("it is ours");
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn launches_that_fail_say_why_and_when_they_are_tried_again() {
    let setup = Setup { launcher: Some("unit"), ..Setup::default() };
    let mut bed = Bed::prepare(setup);
    let socket = WorkerSocket::listen(&bed.server, 0);
    bed.launch().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    waits(&bed, &ticket, "launch_failing", &["MaxConnections=", "retried at"]).await;
    let until = bed.get(&ticket).await["waiting_until"].clone();
    assert!(until.is_string(), "{until}");
    socket.set_max_connections(8);
    bed.completed(&ticket).await;
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_missing_agent_pauses_its_queue_until_it_is_back() {
    let mut setup = Setup::default();
    let elsewhere = tempfile::tempdir().expect("a directory");
    let agent = elsewhere.path().join("agent");
    setup.agent = Some(agent.clone());
    let bed = Bed::with(setup).await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let steps = ["agent", "No such file", "resume", "retried"];
    waits(&bed, &ticket, "queue_paused", &steps).await;
    std::os::unix::fs::symlink(binaries::fake_claude(), &agent).expect("writable");
    bed.client.ok("resume", queue("build")).await;
    let done = bed.completed(&ticket).await;
    assert_eq!(done["attempts"][0]["failure"], "no_agent", "{done}");
}

#[e2e::scenario]
async fn a_drained_server_says_how_to_end_that() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    bed.server.operate("drain", &[]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    waits(&bed, &ticket, "draining", &["vibe-ensemble drain --off"]).await;
    let off = bed.server.operate("drain", &["--off"]).await;
    assert!(off.status.success(), "{off:?}");
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn attempts_that_a_restored_database_does_not_know_are_waited_for() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build", "test"]).await;
    let copy = bed.server.path("copy.db");
    let made = bed.server.operate("backup", &[&copy.display().to_string()]).await;
    assert!(made.status.success(), "{made:?}");
    let forgotten = bed.ticket("shop", &["build"], "fake: build: sleep 600").await;
    bed.called(&forgotten, "build", 1).await;
    let shim = pid(&bed.worker_of(&forgotten).await, "pid");
    assert!(bed.server.send(shim, Signal::SIGSTOP), "the shim was there");
    bed.server.stop().await;
    let database = bed.server.state_dir().join("vibe-ensemble.db");
    for end in ["-wal", "-shm"] {
        let beside = format!("{}{end}", database.display());
        drop(fs::remove_file(beside));
    }
    fs::copy(&copy, &database).expect("writable");
    bed.launch().await;
    let ticket = bed.ticket("shop", &["test"], "").await;
    waits(&bed, &ticket, "strangers", &["backup"]).await;
    assert!(bed.server.send(shim, Signal::SIGCONT), "it is there");
    bed.completed(&ticket).await;
}

/// The causes of the catalogue, each with the scenario that meets it: no cause is documented that
/// no scenario meets.
#[e2e::scenario]
async fn every_cause_of_the_catalogue_is_met_by_a_scenario() {
    let bed = Bed::start().await;
    let tools = bed.client.tools().await;
    let get = tools.iter().find(|tool| tool["name"] == "get_ticket").expect("it is listed");
    let told = &get["outputSchema"]["properties"]["waiting_cause"]["enum"];
    let told: BTreeSet<&str> =
        told.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let here = [
        "no_worker",
        "on_hold",
        "no_slot",
        "server_paused",
        "project_paused",
        "queue_paused",
        "unprepared",
        "repository_busy",
        "launch_failing",
        "draining",
        "strangers",
    ];
    let elsewhere = [
        ("running", "pauses"),
        ("gates", "project_settings"),
        ("landing", "crash points: server.land.before"),
        ("stuck", "stuck"),
        ("blocked", "dependencies"),
        ("backoff", "bill"),
        (
            "no_worker_type",
            "none: a ticket without one is on hold, and this is for a database that says otherwise",
        ),
        ("usage_limit", "bill"),
        ("budget", "pauses"),
        ("disk_low", "disk"),
        ("checking", "none: how long the check takes cannot be steered; its answer is a unit test"),
        ("budget_reserved", "pauses"),
        ("directory_taken", "pauses"),
        ("behind", "queues"),
        ("next", "queues"),
    ];
    let met: BTreeSet<&str> = here.into_iter().chain(elsewhere.map(|(cause, _)| cause)).collect();
    assert_eq!(told, met);
}
