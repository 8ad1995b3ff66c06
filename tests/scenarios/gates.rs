//! Worktrees that are set up, and gates: a stage is done when a machine has checked it.

use std::fs;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::repository::Repository;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

/// A project whose file says what is set up and which gates there are.
pub(crate) async fn project(bed: &Bed, stages: &[&str], file: &str, more: Value) -> Repository {
    let path = bed.server.path("projects").join("shop");
    let repository = Repository::make(&path);
    fs::write(path.join(".vibe-ensemble.toml"), file).expect("writable");
    fs::write(path.join(".gitignore"), "deps\n").expect("writable");
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "-m", "Say how to build"]);
    bed.server.give_away(&path);
    bed.project_at("shop", &path, more).await;
    for stage in stages {
        bed.worker_type("shop", stage, json!({"max_workers": 4})).await;
    }
    repository
}

/// A gate that runs a line of shell.
pub(crate) fn gate(name: &str, line: &str) -> String {
    let command = json!(["sh", "-c", line]);
    format!("[[gate]]\nname = \"{name}\"\ncommand = {command}\nretries = 0\nbaseline = false\n")
}

/// The whole events of a ticket.
pub(crate) async fn events_of(bed: &Bed, ticket: &str) -> Vec<Value> {
    let filter = json!({"include_processed": true, "ticket_id": ticket});
    bed.all("list_events", "events", filter).await
}

/// How often a ticket had an event of this kind.
pub(crate) async fn count(bed: &Bed, ticket: &str, kind: &str) -> usize {
    bed.event_kinds(ticket).await.iter().filter(|own| *own == kind).count()
}

#[e2e::scenario]
async fn a_new_worktree_is_set_up_once_before_its_first_attempt() {
    let bed = Bed::start().await;
    let count_file = bed.server.path("setups");
    let file = format!(
        "[worktree]\nsetup = [[\"sh\", \"-c\", \"echo $VIBE_ENSEMBLE_TICKET >> {}\"], [\"sh\", \"-c\", \"echo built > deps\"]]\n",
        count_file.display()
    );
    project(&bed, &["build", "review"], &file, json!({})).await;
    let script = "fake: *: run grep -q built deps\nfake: build: write a.txt {ticket}";
    let id = bed.ticket("shop", &["build", "review"], script).await;
    bed.completed(&id).await;
    assert_eq!(fs::read_to_string(&count_file).expect("it ran"), format!("{id}\n"));
    assert_eq!(bed.agents.calls_of(&id, "build").len(), 1);
    // Two workers of agents started, and no event reports those of setups.
    assert_eq!(bed.events_of_kind("worker_started").await, 2);
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_setup_that_fails_is_a_hold_with_the_end_of_its_output_and_is_tried_again() {
    let bed = Bed::start().await;
    let fixed = bed.server.path("fixed");
    let line = format!("echo no registry; test -e {}", fixed.display());
    let file = format!("[worktree]\nsetup = {}\n", json!([["sh", "-c", line]]));
    project(&bed, &["build"], &file, json!({})).await;
    let id = bed.ticket("shop", &["build"], "").await;
    let held = bed.ticket_is(&id, "on_hold").await;
    assert_eq!(text(&held, "hold_kind"), "setup");
    assert!(text(&held, "hold_reason").contains("no registry"), "{held}");
    assert_eq!(held["attempts_used"], 0);
    assert_eq!(count(&bed, &id, "setup_failed").await, 1);
    assert!(bed.agents.calls().is_empty(), "no agent ran in a worktree that does not build");
    fs::write(&fixed, "").expect("writable");
    bed.client.ok("resume_ticket", json!({"ticket_id": id})).await;
    bed.completed(&id).await;
    assert_eq!(bed.agents.calls_of(&id, "build").len(), 1);
}

#[e2e::scenario]
async fn a_stage_moves_when_its_gate_has_passed_at_its_very_commit() {
    let bed = Bed::start().await;
    let seen = bed.server.path("seen");
    let line = format!(
        "git rev-parse HEAD >> {}; git status --porcelain >> {}; grep -q good a.txt",
        seen.display(),
        seen.display()
    );
    project(&bed, &["build", "review"], &gate("test", &line), json!({})).await;
    let id = bed.ticket("shop", &["build", "review"], "fake: build: write a.txt good").await;
    let done = bed.completed(&id).await;
    // The review changed nothing, so nothing is judged again.
    let head = text(&done, "head_commit");
    assert_eq!(fs::read_to_string(&seen).expect("it ran"), format!("{head}\n"));
    assert_eq!(count(&bed, &id, "gate_passed").await, 1);
    let kinds = bed.event_kinds(&id).await;
    let at = |kind: &str| kinds.iter().position(|own| own == kind);
    assert!(at("gate_passed") < at("ticket_stage_completed"), "{kinds:?}");
    assert_eq!(bed.agents.calls_of(&id, "review").len(), 1);
}

#[e2e::scenario]
async fn a_red_gate_is_told_in_the_same_session_and_the_second_result_is_checked_again() {
    let bed = Bed::start().await;
    let line = "echo checking; grep -q good a.txt || { echo the file is bad; exit 7; }";
    project(&bed, &["build"], &gate("test", line), json!({})).await;
    let script = "fake: build#1: write a.txt bad\nfake: build#2: write a.txt good";
    let id = bed.ticket("shop", &["build"], script).await;
    let done = bed.completed(&id).await;
    assert_eq!(done["attempts_used"], 0, "a red gate uses no attempt of the stage");
    let calls = bed.agents.calls_of(&id, "build");
    let [first, second] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(second.argument("--resume"), first.argument("--session-id"));
    for told in ["exited with 7", "the file is bad", "Gate test"] {
        assert!(second.prompt.contains(told), "{told}: {}", second.prompt);
    }
    assert_eq!(count(&bed, &id, "gate_failed").await, 1);
    assert_eq!(count(&bed, &id, "gate_passed").await, 1);
    assert_eq!(count(&bed, &id, "ticket_stage_completed").await, 1);
    // What it read names a file that has all of the output.
    let place =
        second.prompt.split("output is in ").nth(1).and_then(|rest| rest.split(".\n").next());
    let whole = fs::read_to_string(format!("{}/stderr.000001.log", place.expect("it says where")));
    assert!(whole.expect("it is there").contains("checking\nthe file is bad\n"));
}

#[e2e::scenario]
async fn the_same_failure_twice_is_a_hold_with_the_evidence_and_a_waiver_lets_it_pass() {
    let bed = Bed::start().await;
    let gates = gate("test", "echo it took $$ms; echo always red; exit 3");
    project(&bed, &["build"], &gates, json!({})).await;
    let id = bed.ticket("shop", &["build"], "fake: build: append a.txt more").await;
    let held = bed.ticket_is(&id, "on_hold").await;
    assert_eq!(text(&held, "hold_kind"), "gate");
    let reason = text(&held, "hold_reason");
    for told in ["test", "exited with 3", "always red", "in the same way"] {
        assert!(reason.contains(told), "{told}: {reason}");
    }
    assert_eq!(bed.agents.calls_of(&id, "build").len(), 2);
    assert_eq!(
        count(&bed, &id, "ticket_stage_completed").await,
        0,
        "no ticket moves past a red gate"
    );
    // Its agent continues in its session when somebody resumes it, and the count begins anew.
    bed.client.ok("resume_ticket", json!({"ticket_id": id, "comment": "Look at a.txt."})).await;
    let third = bed.called(&id, "build", 3).await;
    assert!(third.prompt.contains("always red") && third.prompt.contains("Look at a.txt."));
    let first = &bed.agents.calls_of(&id, "build")[0];
    assert_eq!(third.argument("--resume"), first.argument("--session-id"));
}

#[e2e::scenario]
async fn a_session_that_is_gone_begins_anew_with_the_same_message() {
    let bed = Bed::start().await;
    project(
        &bed,
        &["build"],
        &gate("test", "grep -q good a.txt || { echo the file is bad; exit 7; }"),
        json!({}),
    )
    .await;
    let sessions = bed.agents.directory().join("sessions");
    // The resumed run finds no session; the one after it begins anew.
    let script = format!(
        "fake: build#1: write a.txt bad\nfake: build#1: run rm -rf {}/*\nfake: build#3: write a.txt good",
        sessions.display()
    );
    let id = bed.ticket("shop", &["build"], &script).await;
    bed.completed(&id).await;
    let calls = bed.agents.calls_of(&id, "build");
    let last = calls.last().expect("it ran");
    assert!(last.argument("--session-id").is_some(), "a new session");
    assert!(last.prompt.contains("the file is bad"), "{}", last.prompt);
    assert!(last.prompt.contains("a piece of work"), "with the whole assignment");
}

#[e2e::scenario]
async fn gates_run_side_by_side_up_to_their_own_limit_and_keep_no_worker_from_agents() {
    let setup = Setup::default().max_workers(1).arg("--max-gates").arg("2");
    let bed = Bed::with(setup).await;
    let go = bed.server.path("go");
    let line = format!("while ! test -e {}; do sleep 0.05; done", go.display());
    project(&bed, &["build"], &gate("test", &line), json!({})).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(bed.ticket("shop", &["build"], "fake: build: write a.txt {ticket}").await);
    }
    // One worker makes all four stages while the gates of the first two are under way.
    for id in &ids {
        bed.called(id, "build", 1).await;
    }
    eventually("two gates run", || async {
        let workers = bed.all("list_workers", "workers", json!({})).await;
        let running = workers
            .iter()
            .filter(|worker| worker["state"] == "busy" && text(worker, "worker_type") == "(gates)");
        match running.count() {
            2 => Ok(()),
            other => Err(format!("{other}: {workers:?}")),
        }
    })
    .await;
    fs::write(&go, "").expect("writable");
    for id in &ids {
        bed.completed(id).await;
    }
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_worktree_on_the_base_commit_that_a_crash_left_goes_with_the_next_step_of_its_ticket() {
    let bed = Bed::start().await;
    let repository =
        project(&bed, &["build"], &gate("test", "grep -q good a.txt"), json!({})).await;
    let change = json!({"project": "shop", "worker_type": "build", "max_gate_failures": 1});
    bed.client.ok("update_worker_type", change).await;
    let id = bed.ticket("shop", &["build"], "fake: build: write a.txt bad").await;
    bed.ticket_is(&id, "on_hold").await;
    // What is left when the server dies between the making of the worktree and the grant of the run in it.
    let left = bed.server.state_dir().join("worktrees").join("shop").join(format!("{id}.base"));
    let branch = format!("vibe-ensemble/{id}-base");
    let place = left.to_str().expect("plain");
    repository.git(&["worktree", "add", "--quiet", "-b", &branch, place, "main"]);
    bed.client.ok("run_gates", json!({"ticket_id": id})).await;
    eventually("its gates have run once more", || async {
        let count = count(&bed, &id, "gate_failed").await;
        if count == 2 { Ok(()) } else { Err(count.to_string()) }
    })
    .await;
    assert!(!left.exists(), "{place}");
    assert_eq!(repository.ask(&["branch", "--list", &branch]), "");
}
