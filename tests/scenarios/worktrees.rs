//! Tickets of one repository side by side: what each has on its branch, what happens to it, and
//! what is left alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::repository::Repository;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

const MERGE: &str = "merge";

/// The kind and file of each of a ticket's changes, as git lists them.
fn changes(repository: &Repository, ticket: &Value) -> Vec<String> {
    let range = format!("{}..{}", text(ticket, "base_commit"), text(ticket, "head_commit"));
    let diff = repository.ask(&["diff", "--name-status", &range]);
    diff.lines().map(|line| line.replace('\t', " ")).collect()
}

/// Waits until a ticket is on hold or closed.
async fn settled(bed: &Bed, ticket: &str) -> Value {
    eventually(&format!("{ticket} is settled"), || async {
        let found = bed.get(ticket).await;
        let state = text(&found, "state");
        if state == "closed" || state == "on_hold" { Ok(found) } else { Err(found.to_string()) }
    })
    .await
}

fn assert_no_trouble(bed: &Bed) {
    let log = bed.server.log();
    for trouble in ["a step in a worktree failed", "changes were not looked after", "ERROR"] {
        assert!(!log.contains(trouble), "{trouble}: {log}");
    }
}

#[e2e::scenario]
async fn sixteen_tickets_change_the_same_files_of_this_project_without_interference() {
    let bed = Bed::with(Setup::default().max_workers(16)).await;
    let path = bed.server.path("projects").join("clone");
    let repository = Repository::clone_of_this_project(&path);
    // Something of the user's in every place where the user may have something.
    fs::write(path.join("notes.txt"), "of a stash\n").unwrap();
    repository.git(&["stash", "--include-untracked", "--quiet"]);
    fs::write(path.join("README.md"), "staged\n").unwrap();
    repository.git(&["add", "README.md"]);
    fs::write(path.join("Cargo.toml"), "not staged\n").unwrap();
    fs::write(path.join("own.txt"), "not known\n").unwrap();
    let before = repository.picture();
    let hooks = repository.with_hooks();
    let project = bed.project_at("clone", &path, json!({})).await;
    assert_eq!(
        (text(&project, "isolation"), text(&project, "on_complete")),
        ("worktree".into(), "keep".into())
    );
    for stage in ["build", "review"] {
        bed.worker_type("clone", stage, json!({"max_workers": 16})).await;
    }
    let go = bed.server.path("go");
    let script = format!(
        "fake: build: append README.md {{ticket}} was here\nfake: build: write server/src/lib.rs {{ticket}}\n\
         fake: build: wait-for {}\nfake: build: commit {{ticket}} changes the library\n\
         fake: build: append Cargo.toml # {{ticket}}\nfake: build: write new-{{ticket}}.txt {{ticket}}\n\
         fake: review: append README.md {{ticket}} was reviewed",
        go.display()
    );
    let mut tickets = Vec::new();
    for _ in 0..16 {
        tickets.push(bed.ticket("clone", &["build", "review"], &script).await);
    }
    eventually("sixteen agents have changed the same files", || {
        let running = bed.agents.calls().len();
        std::future::ready(if running == 16 { Ok(()) } else { Err(format!("{running}")) })
    })
    .await;
    fs::write(&go, "").unwrap();
    bed.until_closed(16).await;

    let base = repository.commit("main");
    for id in &tickets {
        let ticket = bed.completed(id).await;
        let branch = format!("vibe-ensemble/{id}");
        assert_eq!(text(&ticket, "branch"), branch);
        assert_eq!(text(&ticket, "base_commit"), base);
        assert_eq!(text(&ticket, "head_commit"), repository.commit(&branch));
        let attempts: Vec<String> = ticket["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|attempt| text(attempt, "attempt_id"))
            .collect();
        assert_eq!(
            repository.subjects(&format!("main..{branch}")),
            [
                format!("{id} changes the library"),
                format!("{id} build ({}): commit what the worker left", attempts[0]),
                format!("{id} review ({}): commit what the worker left", attempts[1]),
            ]
        );
        let added = format!("A new-{id}.txt");
        assert_eq!(
            changes(&repository, &ticket),
            ["M Cargo.toml", "M README.md", &added, "M server/src/lib.rs"]
        );
        let readme = repository.file(&branch, "README.md").unwrap();
        let named: Vec<&str> = readme.lines().filter(|line| line.starts_with("T-")).collect();
        assert_eq!(named, [format!("{id} was here"), format!("{id} was reviewed")]);
        assert_eq!(repository.file(&branch, "server/src/lib.rs"), Some(id.clone()));
        assert_eq!(ticket["diff_stat"]["files_changed"], 4, "{ticket}");
        assert!(ticket["diff_stat"]["insertions"].as_i64() >= Some(5), "{ticket}");
        let worktree = bed.server.state_dir().join("worktrees/clone").join(id);
        assert_eq!(
            Path::new(&text(&ticket, "worktree")).canonicalize().unwrap(),
            worktree.canonicalize().unwrap()
        );
        let agents = bed.agents.only_call_of(id, "build");
        assert_eq!(agents.cwd.canonicalize().unwrap(), worktree.canonicalize().unwrap());
        assert!(agents.prompt.contains(&branch), "{}", agents.prompt);
    }
    assert_eq!(repository.picture(), before);
    assert_eq!(fs::read_to_string(&hooks).unwrap_or_default(), "", "hooks of the user's ran");
    assert_eq!(repository.refs("refs/vibe-ensemble/attempts/"), Vec::<String>::new());
    assert_eq!(repository.problems(), Vec::<String>::new());
    assert_eq!(repository.worktrees().len(), 17);
    assert_no_trouble(&bed);
    bed.assert_no_overlaps();
}

#[e2e::scenario]
async fn tickets_without_a_conflict_are_merged_and_a_conflict_waits_for_the_coordinator() {
    let bed = Bed::with(Setup::default().max_workers(8)).await;
    let repository = bed.repository("shop", &[], json!({"on_complete": MERGE})).await;
    let hooks = repository.with_hooks();
    bed.worker_type("shop", "build", json!({"max_workers": 8})).await;
    let go = bed.server.path("go");
    let wait = format!("fake: build#1: wait-for {}", go.display());
    let (mut alone, mut rivals) = (Vec::new(), Vec::new());
    for number in 0..4 {
        let script = format!("{wait}\nfake: build#1: write own-{{ticket}}.txt {{ticket}}");
        alone.push(bed.ticket("shop", &["build"], &script).await);
        let script = format!(
            "{wait}\nfake: build#1: write README.md rival {number}\nfake: build#1: commit {{ticket}} has it its way\n\
             fake: build#2: git merge --strategy-option=ours --no-edit main"
        );
        rivals.push(bed.ticket("shop", &["build"], &script).await);
    }
    eventually("all of them began at the same commit", || {
        let running = bed.agents.calls().len();
        std::future::ready(if running == 8 { Ok(()) } else { Err(format!("{running}")) })
    })
    .await;
    fs::write(&go, "").unwrap();

    let mut held = Vec::new();
    for id in alone.iter().chain(&rivals) {
        let ticket = settled(&bed, id).await;
        if ticket["state"] == "on_hold" {
            let reason = text(&ticket, "hold_reason");
            assert!(reason.contains("README.md") && reason.contains("main"), "{reason}");
            assert!(
                reason.contains("complete its last stage") && reason.contains("resume the ticket"),
                "{reason}"
            );
            assert_eq!(ticket["merged_commit"], Value::Null);
            held.push(id.clone());
        } else {
            let merged = text(&ticket, "merged_commit");
            repository.git(&[
                "merge-base",
                "--is-ancestor",
                &text(&ticket, "head_commit"),
                &merged,
            ]);
            repository.git(&["merge-base", "--is-ancestor", &merged, "main"]);
        }
    }
    assert_eq!(held.len(), 3, "{held:?}");
    assert!(held.iter().all(|id| rivals.contains(id)), "{held:?} of {rivals:?}");
    for id in &alone {
        assert_eq!(fs::read_to_string(repository.path.join(format!("own-{id}.txt"))).unwrap(), *id);
    }
    assert_eq!(repository.ask(&["status", "--porcelain"]), "", "the checkout went along");

    // Another round of the stage resolves the conflict.
    for id in &held {
        bed.client.ok("resume_ticket", json!({"ticket_id": id, "stage": "build"})).await;
        let ticket = bed.completed(id).await;
        assert_eq!(text(&ticket, "merged_commit"), repository.commit("main"));
    }
    assert_eq!(repository.ask(&["status", "--porcelain"]), "");
    assert_eq!(fs::read_to_string(&hooks).unwrap_or_default(), "", "hooks of the user's ran");
    assert_eq!(repository.problems(), Vec::<String>::new());
    bed.assert_no_overlaps();
}

#[e2e::scenario]
async fn nothing_is_merged_into_a_checkout_with_changes() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({"on_complete": MERGE})).await;
    fs::write(repository.path.join("README.md"), "the user's change\n").unwrap();
    let before = repository.picture();
    let id = bed.ticket("shop", &["build"], "fake: build: write new.txt new").await;
    let held = bed.ticket_is(&id, "on_hold").await;
    let reason = text(&held, "hold_reason");
    assert!(reason.contains("README.md") && reason.contains("uncommitted"), "{reason}");
    assert_eq!(repository.picture(), before);

    repository.git(&["checkout", "--quiet", "README.md"]);
    let again = json!({
        "ticket_id": id, "stage": "build", "outcome": "completed", "report": "The checkout is clean now.",
    });
    bed.client.ok("complete_ticket_stage", again).await;
    let closed = bed.completed(&id).await;
    assert_eq!(text(&closed, "merged_commit"), repository.commit("main"));
    assert_eq!(fs::read_to_string(repository.path.join("new.txt")).unwrap(), "new");
    assert_eq!(bed.agents.calls().len(), 1, "nobody was paid twice");
}

#[e2e::scenario]
async fn failed_work_is_kept_and_the_next_attempt_begins_at_the_last_accepted_commit() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["design", "build"], json!({})).await;
    let script = "fake: design: append notes.txt designed\nfake: build#1: append notes.txt built badly\n\
                  fake: build#1: commit A bad idea\nfake: build#1: write worse.txt worse\nfake: build#1: bad-result\n\
                  fake: build#2: append notes.txt built well";
    let id = bed.ticket("shop", &["design", "build"], script).await;
    let ticket = bed.completed(&id).await;
    let head = text(&ticket, "head_commit");
    assert_eq!(repository.file(&head, "notes.txt").unwrap(), "designed\nbuilt well\n");
    assert_eq!(repository.file(&head, "worse.txt"), None);
    assert_eq!(repository.refs("refs/vibe-ensemble/attempts/"), ["A-2"]);
    let kept = "refs/vibe-ensemble/attempts/A-2";
    assert_eq!(repository.file(kept, "notes.txt").unwrap(), "designed\nbuilt badly\n");
    assert_eq!(repository.file(kept, "worse.txt").unwrap(), "worse");
    assert_eq!(repository.problems(), Vec::<String>::new());
}

#[e2e::scenario]
async fn the_changes_of_a_cancelled_or_killed_worker_are_kept_too() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    let script = "fake: build#1: write a.txt {attempt}\nfake: build#1: wait-for never";
    let has_written = async |id: &str| {
        let call = bed.called(id, "build", 1).await;
        eventually("the agent has written", || {
            let there = call.cwd.join("a.txt").exists();
            std::future::ready(if there { Ok(()) } else { Err("not yet".to_owned()) })
        })
        .await;
    };
    let kept = async |attempt: &str| {
        eventually(&format!("the changes of {attempt} are kept"), || {
            let file = repository.file(&format!("refs/vibe-ensemble/attempts/{attempt}"), "a.txt");
            std::future::ready(file.ok_or_else(|| "not yet".to_owned()))
        })
        .await
    };
    let closed = bed.ticket("shop", &["build"], script).await;
    has_written(&closed).await;
    bed.client.ok("close_ticket", json!({"ticket_id": closed})).await;
    assert_eq!(kept("A-1").await, "A-1");

    // The shim dies, and nobody reports.
    let lost = bed.ticket("shop", &["build"], script).await;
    has_written(&lost).await;
    let worker = bed.worker_of(&lost).await;
    assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGKILL));
    let done = bed.completed(&lost).await;
    assert_eq!(done["attempts"][0]["outcome"], "lost");
    assert_eq!(kept("A-2").await, "A-2");
    assert_eq!(repository.file(&text(&done, "head_commit"), "a.txt"), None);
    assert_eq!(repository.problems(), Vec::<String>::new());
}

#[e2e::scenario]
async fn an_agent_that_resumes_its_session_finds_its_files() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    let script = "fake: build#1: write half.txt half\nfake: build#1: wait-for never\n\
                  fake: build#2: append half.txt  and the rest";
    let id = bed.ticket("shop", &["build"], script).await;
    let call = bed.called(&id, "build", 1).await;
    eventually("half of it is done", || {
        let there = call.cwd.join("half.txt").exists();
        std::future::ready(if there { Ok(()) } else { Err("not yet".to_owned()) })
    })
    .await;
    let worker = bed.worker_of(&id).await;
    assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGUSR1));
    let ticket = bed.completed(&id).await;
    let half = repository.file(&text(&ticket, "head_commit"), "half.txt");
    assert_eq!(half.unwrap(), "half and the rest\n");
}

#[e2e::scenario]
async fn a_ticket_begins_with_the_results_of_those_it_waited_for() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &[], json!({})).await;
    bed.worker_type("shop", "build", json!({"max_workers": 4})).await;
    let write = |name: &str, text: &str| format!("fake: build: write {name} {text}");
    let one = bed.ticket("shop", &["build"], &write("one.txt", "1")).await;
    let two = bed.ticket("shop", &["build"], &write("two.txt", "2")).await;
    let rival = bed.ticket("shop", &["build"], &write("one.txt", "another 1")).await;
    let after = async |tickets: Value, script: &str| {
        bed.ticket_with("shop", &["build"], script, json!({"depends_on": tickets})).await
    };
    let both = after(json!([one, two]), &write("three.txt", "3")).await;
    let ticket = bed.completed(&both).await;
    let base = text(&ticket, "base_commit");
    assert_eq!(repository.file(&base, "one.txt").as_deref(), Some("1"));
    assert_eq!(repository.file(&base, "two.txt").as_deref(), Some("2"));
    assert_eq!(changes(&repository, &ticket), ["A three.txt"]);

    // The same along a chain, although none of it was merged anywhere.
    let last = after(json!([both]), &write("four.txt", "4")).await;
    let ticket = bed.completed(&last).await;
    let branch = text(&ticket, "branch");
    for (file, has) in [("one.txt", "1"), ("two.txt", "2"), ("three.txt", "3"), ("four.txt", "4")] {
        assert_eq!(repository.file(&branch, file).as_deref(), Some(has));
    }
    assert_eq!(changes(&repository, &ticket), ["A four.txt"]);

    let torn = after(json!([one, rival]), "").await;
    let held = bed.ticket_is(&torn, "on_hold").await;
    let reason = text(&held, "hold_reason");
    assert!(reason.contains(&rival) && reason.contains("one.txt"), "{reason}");
    assert_eq!(bed.agents.calls_of(&torn, "build"), []);
    assert_eq!(repository.problems(), Vec::<String>::new());
}

#[e2e::scenario]
async fn attempts_take_turns_in_a_directory_that_is_no_repository() {
    let bed = Bed::start().await;
    let directory = bed.project("shop", &["build", "review"]).await;
    let shown = bed.client.ok("get_project", json!({"project": "shop"})).await;
    assert_eq!(shown["isolation"], "shared");
    // The same directory under another name is the same directory.
    let link = bed.server.path("projects").join("link");
    std::os::unix::fs::symlink(&directory, &link).unwrap();
    bed.project_at("twin", &link, json!({})).await;
    bed.worker_type("twin", "build", json!({})).await;
    let script = "fake: *: append log.txt {ticket}";
    let first = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    bed.called(&first, "build", 1).await;
    let mut others = vec![
        bed.ticket("shop", &["review"], script).await,
        bed.ticket("twin", &["build"], script).await,
    ];
    for id in &others {
        let waiting = bed.get(id).await;
        assert_eq!(waiting["state"], "queued");
        assert!(text(&waiting, "waiting_for").contains("directory"), "{waiting}");
    }
    fs::write(directory.join("go"), "").unwrap();
    others.push(first);
    for id in &others {
        bed.completed(id).await;
    }
    let mut spans: Vec<(u64, u64)> = bed
        .agents
        .calls()
        .iter()
        .map(|call| (call.started_ns, bed.agents.end_of(call).expect("it ended").ended_ns))
        .collect();
    spans.sort_unstable();
    assert!(spans.windows(2).all(|two| two[0].1 <= two[1].0), "two at once: {spans:?}");
}

#[e2e::scenario]
async fn isolation_defaults_to_what_the_directory_supports() {
    let bed = Bed::start().await;
    let plain = bed.server.path("projects").join("plain");
    fs::create_dir(&plain).unwrap();
    let wanted = json!({"name": "plain", "path": plain, "isolation": "worktree"});
    let refusal = bed.client.refused("create_project", wanted).await;
    assert!(refusal.contains("isolation") && refusal.contains("shared"), "{refusal}");
    bed.project_at("plain", &plain, json!({})).await;
    let change = json!({"project": "plain", "isolation": "worktree"});
    assert!(bed.client.refused("update_project", change.clone()).await.contains("isolation"));
    drop(Repository::make(&plain));
    let changed = bed.client.ok("update_project", change).await;
    assert_eq!(changed["isolation"], "worktree");
    let told = Repository::make(&bed.server.path("projects").join("told"));
    let made = bed.project_at("told", &told.path, json!({"isolation": "shared"})).await;
    assert_eq!(made["isolation"], "shared");
    bed.worker_type("told", "build", json!({})).await;
    let id = bed.ticket("told", &["build"], "fake: build: touch here").await;
    let ticket = bed.completed(&id).await;
    assert!(told.path.join("here").exists());
    assert_eq!((&ticket["branch"], &ticket["diff_stat"]), (&Value::Null, &Value::Null));
}

#[e2e::scenario]
async fn a_repository_that_is_gone_puts_the_ticket_on_hold_and_says_so() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    let aside = repository.path.with_extension("aside");
    fs::rename(&repository.path, &aside).unwrap();
    let id = bed.ticket("shop", &["build"], "").await;
    let held = bed.ticket_is(&id, "on_hold").await;
    assert!(text(&held, "hold_reason").contains("resume the ticket"), "{held}");
    fs::rename(&aside, &repository.path).unwrap();
    bed.client.ok("resume_ticket", json!({"ticket_id": id})).await;
    bed.completed(&id).await;
}

#[e2e::scenario]
async fn accepted_work_that_cannot_be_committed_waits_and_is_not_lost() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    let go = bed.server.path("go");
    let script = format!("fake: build: write a.txt done\nfake: build: wait-for {}", go.display());
    let id = bed.ticket("shop", &["build"], &script).await;
    let call = bed.called(&id, "build", 1).await;
    let aside = repository.path.with_extension("aside");
    fs::rename(&repository.path, &aside).unwrap();
    fs::write(&go, "").unwrap();
    let held = bed.ticket_is(&id, "on_hold").await;
    assert!(text(&held, "hold_reason").contains("could not be committed"), "{held}");
    assert_eq!(held["attempts"][0]["outcome"], "succeeded", "the result stands");
    assert_eq!(fs::read_to_string(call.cwd.join("a.txt")).unwrap(), "done");

    fs::rename(&aside, &repository.path).unwrap();
    let again =
        json!({"ticket_id": id, "stage": "build", "outcome": "completed", "report": "It is back."});
    bed.client.ok("complete_ticket_stage", again).await;
    let closed = bed.completed(&id).await;
    assert_eq!(repository.file(&text(&closed, "head_commit"), "a.txt").unwrap(), "done");
    assert_eq!(closed["diff_stat"]["files_changed"], 1, "{closed}");
    assert_eq!(bed.agents.calls().len(), 1, "nobody was paid twice");
    assert_eq!(repository.problems(), Vec::<String>::new());
}

/// Processes are most of what a worktree costs, and a server may have hundreds of them.
#[e2e::scenario]
async fn a_ticket_without_changes_takes_few_processes_of_git() {
    let programs = tempfile::tempdir().unwrap();
    let (git, calls) = (programs.path().join("git"), programs.path().join("calls"));
    let path = "/usr/local/bin:/usr/bin:/bin";
    let (script, calls_path) = (format!("{}:{path}", programs.path().display()), calls.display());
    let text = format!("#!/bin/sh\necho \"$*\" >>{calls_path}\nPATH={path} exec git \"$@\"\n");
    fs::write(&git, text).unwrap();
    fs::set_permissions(&git, fs::Permissions::from_mode(0o755)).unwrap();
    let bed = Bed::with(Setup::default().env("PATH", script)).await;
    bed.repository("shop", &["design", "build", "review"], json!({})).await;
    let asked = || fs::read_to_string(&calls).unwrap_or_default().lines().count();
    let before = asked();
    let ticket = bed.ticket("shop", &["design", "build", "review"], "").await;
    bed.ticket_is(&ticket, "closed").await;
    let taken = asked() - before;
    // At least one for its worktree, and one to look at what each stage left.
    assert!((4..=12).contains(&taken), "{taken}: {}", fs::read_to_string(&calls).unwrap());
}
