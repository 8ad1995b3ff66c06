//! `.vibe-ensemble.toml`: read at the ticket's base commit, kept with the ticket, and wrong with a clear end.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::repository::Repository;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

use super::gates::count;
use super::gates::gate;
use super::gates::project;

/// Commits what the user changed in the checkout.
fn commit(repository: &Repository) {
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "-m", "Change"]);
}

async fn of_project(bed: &Bed) -> Value {
    bed.client.ok("get_project", json!({"project": "shop"})).await
}

#[e2e::scenario]
async fn a_wrong_file_holds_the_ticket_says_where_and_is_read_again_when_it_resumes() {
    let bed = Bed::start().await;
    let repository = project(&bed, &["build"], "[worktree]\nport = 3\n", json!({})).await;
    let id = bed.ticket("shop", &["build"], "").await;
    let held = bed.ticket_is(&id, "on_hold").await;
    assert_eq!(text(&held, "hold_kind"), "configuration");
    let reason = text(&held, "hold_reason");
    for told in [
        ".vibe-ensemble.toml",
        "line 2, column 1",
        "did you mean ports?",
        &repository.commit("HEAD")[..12],
    ] {
        assert!(reason.contains(told), "{told}: {reason}");
    }
    assert_eq!(held["attempts_used"], 0);
    // It is still wrong at the commit from which the ticket would begin.
    fs::write(repository.path.join(".vibe-ensemble.toml"), "[worktree]\nports = 3\n")
        .expect("writable");
    bed.client.ok("resume_ticket", json!({"ticket_id": id})).await;
    bed.ticket_is(&id, "on_hold").await;
    assert!(bed.agents.calls().is_empty());
    commit(&repository);
    bed.client.ok("resume_ticket", json!({"ticket_id": id})).await;
    bed.completed(&id).await;
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn an_agent_cannot_edit_the_gate_that_judges_it() {
    let bed = Bed::start().await;
    let file = gate("test", "grep -q good a.txt");
    let repository = project(&bed, &["build"], &file, json!({"on_complete": "merge"})).await;
    let before = repository.commit("main");
    let script = "fake: build#1: write .vibe-ensemble.toml # no gates\nfake: build#1: write a.txt bad\n\
                  fake: build#2: write a.txt good";
    let id = bed.ticket("shop", &["build"], script).await;
    // Its own gate was red all the same, and what it did to the file does not land by itself.
    let held = bed.ticket_is(&id, "on_hold").await;
    assert_eq!(bed.agents.calls_of(&id, "build").len(), 2);
    assert_eq!(text(&held, "hold_kind"), "decision");
    assert!(text(&held, "hold_reason").contains(".vibe-ensemble.toml"), "{held}");
    assert_eq!(repository.commit("main"), before);
    let sent = json!({"ticket_id": id, "stage": "build", "comment": "fake: build: git checkout main -- .vibe-ensemble.toml"});
    bed.client.ok("resume_ticket", sent).await;
    bed.completed(&id).await;
    assert_eq!(repository.file("main", "a.txt").as_deref().map(str::trim), Some("good"));
    assert_eq!(repository.file("main", ".vibe-ensemble.toml"), Some(file));
}

#[e2e::scenario]
async fn a_change_of_protected_files_lands_after_somebody_agreed() {
    let bed = Bed::start().await;
    let file = gate("test", "true") + "protected = [\"tests/**\"]\n";
    let repository =
        project(&bed, &["build", "review"], &file, json!({"on_complete": "merge"})).await;
    let before = repository.commit("main");
    let id = bed
        .ticket("shop", &["build", "review"], "fake: build: run mkdir -p tests && echo x > tests/a")
        .await;
    let held = bed.ticket_is(&id, "on_hold").await;
    assert_eq!(
        (text(&held, "hold_kind"), text(&held, "current_stage")),
        ("decision".into(), "review".into())
    );
    assert!(text(&held, "hold_reason").contains("tests/a"), "{held}");
    assert_eq!(repository.commit("main"), before);
    let inbox = bed.client.ok("list_inbox", json!({})).await;
    assert_eq!(inbox["items"][0]["kind"], "decision");
    let back = json!({"ticket_id": id, "stage": "review", "outcome": "rework", "report": "Other tests, please."});
    bed.client.ok("complete_ticket_stage", back).await;
    let held = bed.ticket_is(&id, "on_hold").await;
    assert_eq!(text(&held, "hold_kind"), "decision");
    assert_eq!(bed.agents.calls_of(&id, "build").len(), 2);
    bed.client.ok("resume_ticket", json!({"ticket_id": id, "comment": "Agreed."})).await;
    bed.completed(&id).await;
    assert_eq!(repository.file("main", "tests/a").as_deref(), Some("x\n"));
}

#[e2e::scenario]
async fn a_kept_branch_with_protected_files_waits_as_well() {
    let bed = Bed::start().await;
    let file = gate("test", "true") + "protected = [\"tests/**\"]\n";
    project(&bed, &["build"], &file, json!({})).await;
    let id =
        bed.ticket("shop", &["build"], "fake: build: run mkdir -p tests && echo x > tests/a").await;
    let held = bed.ticket_is(&id, "on_hold").await;
    assert_eq!(text(&held, "hold_kind"), "decision");
    let agreed = bed.client.ok("resume_ticket", json!({"ticket_id": id})).await;
    assert_eq!(
        (text(&agreed, "state"), text(&agreed, "resolution")),
        ("closed".into(), "completed".into())
    );
    let other = bed.ticket("shop", &["build"], "fake: build: write a.txt x").await;
    bed.completed(&other).await;
}

#[e2e::scenario]
async fn a_copied_file_that_an_agent_commits_all_the_same_lands_after_somebody_agreed() {
    let bed = Bed::start().await;
    let file = "[worktree]\ncopy = [\".env\"]\n";
    let repository = project(&bed, &["build"], file, json!({"on_complete": "merge"})).await;
    fs::write(repository.path.join(".gitignore"), ".env\n").expect("writable");
    commit(&repository);
    fs::write(repository.path.join(".env"), "TOKEN=hunter2").expect("writable");
    let before = repository.commit("main");
    let added = "fake: build: git add -f .env\nfake: build: commit with the secret";
    let removed =
        format!("{added}\nfake: build: git rm -q --cached .env\nfake: build: commit without it");
    for script in [added, &removed] {
        let id = bed.ticket("shop", &["build"], script).await;
        let held = bed.ticket_is(&id, "on_hold").await;
        assert_eq!(text(&held, "hold_kind"), "decision");
        let reason = text(&held, "hold_reason");
        assert!(reason.contains(".env (copied from the project's checkout"), "{reason}");
        assert!(!reason.contains("hunter2"), "{reason}");
        assert_eq!(repository.commit("main"), before);
        if script == added {
            bed.client.ok("close_ticket", json!({"ticket_id": id})).await;
        } else {
            bed.client.ok("resume_ticket", json!({"ticket_id": id, "comment": "Agreed."})).await;
            bed.completed(&id).await;
        }
    }
}

#[e2e::scenario]
async fn a_worktree_gets_the_ignored_files_that_it_needs_and_no_commit_has_them() {
    let bed = Bed::start().await;
    let file = "[worktree]\ncopy = [\".env\", \"config/*.local\"]\n";
    let repository = project(&bed, &["build"], file, json!({})).await;
    fs::write(repository.path.join(".gitignore"), ".env\n*.local\nlink\n").expect("writable");
    commit(&repository);
    let secret = "TOKEN=hunter2";
    for (name, content) in
        [(".env", secret), ("config/dev.local", "dev"), ("other.local", "not asked for")]
    {
        let path = repository.path.join(name);
        fs::create_dir_all(path.parent().expect("below")).expect("writable");
        fs::write(&path, content).expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("writable");
    }
    bed.server.give_away(&repository.path);
    let script = "fake: build: run grep -q hunter[2] .env && test $(stat -c %a .env) = 600\n\
                  fake: build: run test -e config/dev.local && test ! -e other.local\nfake: build: write a.txt x";
    let id = bed.ticket("shop", &["build"], script).await;
    let done = bed.completed(&id).await;
    assert_eq!(done["copied"]["files"], 2, "{done}");
    let head = text(&done, "head_commit");
    let all = repository.ask(&["ls-tree", "-r", "--name-only", &head]);
    let names: BTreeSet<&str> = all.lines().collect();
    assert!(
        names.contains("a.txt") && !names.contains(".env") && !names.contains("config/dev.local"),
        "{all}"
    );
    let prompt = &bed.agents.only_call_of(&id, "build").prompt;
    assert!(prompt.contains("2 files that git ignores") && !prompt.contains("hunter2"), "{prompt}");
    assert!(!bed.server.log().contains("hunter2"));
}

#[e2e::scenario]
async fn no_two_open_tickets_share_a_port_and_closed_ones_give_theirs_back() {
    let bed = Bed::with(Setup::default().max_workers(16)).await;
    let seen = bed.server.path("ports");
    project(&bed, &["build"], "[worktree]\nports = 10\n", json!({})).await;
    bed.client
        .ok(
            "update_worker_type",
            json!({"project": "shop", "worker_type": "build", "max_workers": 16}),
        )
        .await;
    let go = bed.server.path("go");
    let script = format!(
        "fake: build: run echo $VIBE_ENSEMBLE_PORT >> {}\nfake: build: wait-for {}",
        seen.display(),
        go.display()
    );
    let mut tickets = Vec::new();
    for _ in 0..16 {
        tickets.push(bed.ticket("shop", &["build"], &script).await);
    }
    for id in &tickets {
        bed.called(id, "build", 1).await;
    }
    let read = || -> Vec<u16> {
        let lines = fs::read_to_string(&seen).unwrap_or_default();
        lines.lines().filter_map(|line| line.parse().ok()).collect()
    };
    e2e::eventually::eventually("16 agents have their ports", || async {
        let seen = read().len();
        if seen == 16 { Ok(()) } else { Err(format!("{seen}")) }
    })
    .await;
    let mut ports = read();
    ports.sort_unstable();
    assert!(ports.windows(2).all(|pair| pair[1] >= pair[0] + 10), "{ports:?}");
    fs::write(&go, "").expect("writable");
    for id in &tickets {
        bed.completed(id).await;
    }
    let again = bed.ticket("shop", &["build"], &script).await;
    bed.completed(&again).await;
    assert!(ports.contains(read().last().expect("one more")), "blocks are used again");
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn what_the_coordinator_sets_wins_key_by_key_and_wrong_keys_are_refused() {
    let bed = Bed::start().await;
    let file = gate("test", "exit 1") + "timeout_seconds = 30\n";
    project(&bed, &["build"], &file, json!({})).await;
    let refused = bed
        .client
        .refused(
            "update_project",
            json!({"project": "shop", "gates": [{"name": "test", "comand": ["true"]}]}),
        )
        .await;
    assert!(refused.contains("did you mean command?"), "{refused}");
    let wrong = json!({"project": "shop", "worktree": {"ports": 1000}});
    let refused = bed.client.refused("update_project", wrong).await;
    assert!(refused.contains("worktree.ports") && refused.contains("from 0 to 100"), "{refused}");
    let gates = json!([{"name": "test", "command": ["true"]}]);
    let set = json!({"project": "shop", "gates": gates, "worktree": {"ports": 2}});
    let changed = bed.client.ok("update_project", set).await;
    assert_eq!((&changed["gates"], &changed["worktree"]), (&gates, &json!({"ports": 2})));
    assert_eq!(of_project(&bed).await["gates"], gates);
    let id = bed.ticket("shop", &["build"], "fake: build: write a.txt x").await;
    let done = bed.completed(&id).await;
    assert_eq!(done["gates"][0]["command"], json!(["true"]));
    assert_eq!(done["gates"][0]["verdict"], "passed");
    // A gate without a command changes one of the file's; where there is none, nothing begins.
    let more = json!({"project": "shop", "gates": [{"name": "lint", "retries": 0}]});
    bed.client.ok("update_project", more).await;
    let held = bed.ticket("shop", &["build"], "").await;
    let held = bed.ticket_is(&held, "on_hold").await;
    assert_eq!(text(&held, "hold_kind"), "configuration");
    assert!(text(&held, "hold_reason").contains("lint"), "{held}");
}

#[e2e::scenario]
async fn in_a_shared_directory_the_file_is_read_when_the_ticket_is_created() {
    let bed = Bed::start().await;
    let directory = bed.project("notes", &["write"]).await;
    let file = directory.join(".vibe-ensemble.toml");
    fs::write(&file, "[worktree]\nports = \"3\"\n").expect("writable");
    let id = bed.ticket("notes", &["write"], "").await;
    let held = bed.ticket_is(&id, "on_hold").await;
    assert_eq!(text(&held, "hold_kind"), "configuration");
    let refused = bed.client.refused("resume_ticket", json!({"ticket_id": id})).await;
    assert!(refused.contains("stays on hold") && refused.contains("line 2, column 9"), "{refused}");
    fs::write(&file, "[worktree]\nports = 3\n").expect("writable");
    bed.client.ok("resume_ticket", json!({"ticket_id": id})).await;
    bed.completed(&id).await;
    let seen = bed.server.path("port");
    let script = format!("fake: write: run echo $VIBE_ENSEMBLE_PORT > {}", seen.display());
    let id = bed.ticket("notes", &["write"], &script).await;
    bed.completed(&id).await;
    assert!(fs::read_to_string(&seen).expect("it ran").trim().parse::<u16>().is_ok());
}

#[e2e::scenario]
async fn check_project_prints_what_counts_and_its_exit_code_says_whether_the_file_is_valid() {
    let bed = Bed::start().await;
    let repository = project(&bed, &["build"], "[worktree]\nports = 3\n", json!({})).await;
    let path = repository.path.to_str().expect("a plain path");
    let checked = bed.server.operate("check-project", &[path, "--json"]).await;
    assert_eq!(checked.status.code(), Some(0));
    let said: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    assert_eq!(said["worktree"]["ports"], json!({"value": 3, "source": ".vibe-ensemble.toml:2"}));
    assert_eq!(said["committed"], true);
    fs::write(repository.path.join(".vibe-ensemble.toml"), "[worktree]\nport = 3\n")
        .expect("writable");
    let checked = bed.server.operate("check-project", &[path]).await;
    assert_eq!(checked.status.code(), Some(78));
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(
        said.contains(
            ".vibe-ensemble.toml:2:1: there is no key worktree.port; did you mean ports?"
        ),
        "{said}"
    );
    let checked = bed
        .server
        .operate("check-project", &[bed.server.path("missing").to_str().expect("a plain path")])
        .await;
    assert_eq!(checked.status.code(), Some(1));
}

#[e2e::scenario]
async fn a_shell_shows_runs_and_waives_gates() {
    let bed = Bed::start().await;
    let fixed = bed.server.path("fixed");
    let file = gate("test", &format!("echo still broken; test -e {}", fixed.display()));
    project(&bed, &["build"], &file, json!({})).await;
    let id = bed.ticket("shop", &["build"], "fake: build: append a.txt x").await;
    bed.ticket_is(&id, "on_hold").await;
    let out = |output: std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let shown = out(bed.server.operate("gates", &[&id]).await);
    assert!(shown.contains("failed") && shown.contains("still broken"), "{shown}");
    let ran = bed.server.operate("gate", &["run", &id]).await;
    assert!(ran.status.success(), "{ran:?}");
    bed.ticket_is(&id, "on_hold").await;
    let unknown = bed.server.operate("gate", &["waive", &id, "tset", "No."]).await;
    assert!(
        !unknown.status.success() && String::from_utf8_lossy(&unknown.stderr).contains("test"),
        "{unknown:?}"
    );
    let waived = bed.server.operate("gate", &["waive", &id, "test", "The registry is down."]).await;
    assert!(waived.status.success(), "{waived:?}");
    let done = bed.completed(&id).await;
    assert_eq!(done["gates"][0]["waived"]["reason"], "The registry is down.");
    assert!(out(bed.server.operate("gates", &[&id]).await).contains("waived"));
    assert!(count(&bed, &id, "gate_failed").await > 0);
}

#[e2e::scenario]
async fn a_ticket_whose_gates_run_says_so() {
    let bed = Bed::start().await;
    let go = bed.server.path("go");
    let line = format!("until test -e {}; do sleep 0.05; done", go.display());
    project(&bed, &["build"], &gate("test", &line), json!({})).await;
    let id = bed.ticket("shop", &["build"], "fake: build: write a.txt x").await;
    let said = e2e::eventually::eventually("its gate runs", || async {
        let found = bed.get(&id).await;
        let said = text(&found, "waiting_for");
        if said.contains("runs its gate test") { Ok(found) } else { Err(said) }
    })
    .await;
    assert_eq!(
        (text(&said, "state"), text(&said, "waiting_cause")),
        ("running".into(), "gates".into())
    );
    assert_eq!(said["gates"][0]["verdict"], Value::Null);
    fs::write(&go, "").expect("writable");
    let done = bed.completed(&id).await;
    assert_eq!(done["gates"][0]["verdict"], "passed");
    assert!(
        done["gates"][0]["wall_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0),
        "{done}"
    );
}
