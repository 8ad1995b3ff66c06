//! Agents that meddle with the place where they work, or leave it with an operation unfinished.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::repository::Repository;
use e2e::server::Setup;
use serde_json::json;

/// Every file below a directory, with its contents.
fn picture(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut waiting) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(place) = waiting.pop() {
        for entry in fs::read_dir(place).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let content = fs::read(&path).expect("readable");
                found.push((path, content));
            }
        }
    }
    found.sort();
    found
}

#[e2e::scenario]
async fn a_link_in_the_place_of_a_worktree_does_not_lead_to_another_repository() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({"on_complete": "merge"})).await;
    let canary = Repository::make(&bed.server.path("canary"));
    fs::write(canary.path.join("README.md"), "not committed\n").unwrap();
    fs::write(canary.path.join("precious.txt"), "precious\n").unwrap();
    let before = picture(&canary.path);
    let script = format!(
        "fake: build#1: run here=$PWD; cd .. && rm -rf \"$here\" && ln -s '{}' \"$here\"\n\
         fake: build#2: write new.txt new",
        canary.path.display()
    );
    let ticket = bed.ticket("shop", &["build"], &script).await;
    let held = bed.ticket_is(&ticket, "on_hold").await;
    let reason = text(&held, "hold_reason");
    assert!(reason.contains("symbolic link") && reason.contains("resume the ticket"), "{reason}");
    assert_eq!(picture(&canary.path), before);

    bed.client.ok("resume_ticket", json!({"ticket_id": ticket})).await;
    let done = bed.completed(&ticket).await;
    assert_eq!(text(&done, "merged_commit"), repository.commit("main"));
    assert_eq!(repository.file("main", "new.txt").as_deref(), Some("new"));
    assert_eq!(picture(&canary.path), before);
    assert_eq!(repository.problems(), Vec::<String>::new());
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_pipe_that_git_would_open_blocks_no_repository() {
    let bed = Bed::with(Setup::default().max_workers(4)).await;
    let repository = bed.repository("shop", &[], json!({})).await;
    bed.worker_type("shop", "build", json!({"max_workers": 4})).await;
    let meddler = "fake: build#1: run mkdir -p deep; mkfifo .gitignore deep/.gitattributes\n\
                   fake: build#2: write new.txt new";
    let piped = bed.ticket("shop", &["build"], meddler).await;
    let failing = "fake: build#1: run mkfifo .gitattributes; touch left\nfake: build#1: bad-result\n\
                   fake: build#2: write new.txt new";
    let failing = bed.ticket("shop", &["build"], failing).await;
    let honest = bed.ticket("shop", &["build"], "fake: build: write own.txt own").await;
    let held = bed.ticket_is(&piped, "on_hold").await;
    let reason = text(&held, "hold_reason");
    assert!(reason.contains("deep/.gitattributes") && reason.contains("pipe"), "{reason}");
    for ticket in [&honest, &failing] {
        bed.completed(ticket).await;
    }
    bed.client.ok("resume_ticket", json!({"ticket_id": piped})).await;
    let done = bed.completed(&piped).await;
    assert_eq!(repository.file(&text(&done, "branch"), "new.txt").as_deref(), Some("new"));
    assert_eq!(repository.problems(), Vec::<String>::new());
}

#[e2e::scenario]
async fn work_with_an_unfinished_merge_is_on_hold_and_can_be_repeated() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({"on_complete": "merge"})).await;
    let base = repository.commit("main");
    let script = "fake: build#1: run git checkout -q -b other && echo theirs >README.md && \
                  git -c user.name=A -c user.email=a@b commit -qam Theirs && git checkout -q - && echo ours >README.md && \
                  git -c user.name=A -c user.email=a@b commit -qam Ours; \
                  git -c user.name=A -c user.email=a@b merge other; true\n\
                  fake: build#2: write README.md both";
    let ticket = bed.ticket("shop", &["build"], script).await;
    let held = bed.ticket_is(&ticket, "on_hold").await;
    let reason = text(&held, "hold_reason");
    for part in ["git merge", "README.md", "complete the stage", "resume the ticket"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert_eq!(repository.commit("main"), base);
    // The merge was not finished: the coordinator gets the same refusal again, and nothing is
    // merged.
    let again =
        json!({"ticket_id": ticket, "stage": "build", "outcome": "completed", "report": "Merged."});
    bed.client.ok("complete_ticket_stage", again).await;
    let held = bed.ticket_is(&ticket, "on_hold").await;
    assert!(text(&held, "hold_reason").contains("git merge"), "{held}");
    assert_eq!(repository.commit("main"), base);

    bed.client.ok("resume_ticket", json!({"ticket_id": ticket, "stage": "build"})).await;
    bed.completed(&ticket).await;
    assert_eq!(repository.file("main", "README.md").as_deref(), Some("both"));
    assert_eq!(repository.subjects(&format!("{base}..main")).len(), 1);
    let kept = repository.refs("refs/vibe-ensemble/attempts/");
    assert_eq!(kept, ["A-1"], "what was there is kept");
}

#[e2e::scenario]
async fn closed_directories_of_a_failed_attempt_block_no_ticket() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    let script = "fake: build#1: run mkdir -p mod/cache && touch mod/cache/file && chmod 555 mod/cache mod\n\
                  fake: build#1: bad-result\nfake: build#2: write new.txt new";
    let ticket = bed.ticket("shop", &["build"], script).await;
    let done = bed.completed(&ticket).await;
    let branch = text(&done, "branch");
    assert_eq!(repository.file(&branch, "new.txt").as_deref(), Some("new"));
    assert_eq!(repository.file(&branch, "mod/cache/file"), None);
}

#[e2e::scenario]
async fn a_base_that_the_user_is_rebasing_is_left_alone() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({"on_complete": "merge"})).await;
    repository.git(&["checkout", "--quiet", "-b", "side"]);
    fs::write(repository.path.join("README.md"), "side\n").unwrap();
    repository.git(&["commit", "--quiet", "-am", "Side"]);
    repository.git(&["checkout", "--quiet", "main"]);
    fs::write(repository.path.join("README.md"), "main\n").unwrap();
    repository.git(&["commit", "--quiet", "-am", "Main"]);
    let go = bed.server.path("go");
    let script = format!("fake: build: write new.txt new\nfake: build: wait-for {}", go.display());
    let ticket = bed.ticket("shop", &["build"], &script).await;
    bed.called(&ticket, "build", 1).await;
    let rebase = ["-c", "user.name=U", "-c", "user.email=u@localhost", "rebase", "side"];
    let run = std::process::Command::new("git").args(rebase).current_dir(&repository.path).output();
    assert!(!run.unwrap().status.success(), "it stops in a conflict");
    let base = repository.commit("main");
    fs::write(&go, "").unwrap();
    let held = bed.ticket_is(&ticket, "on_hold").await;
    let reason = text(&held, "hold_reason");
    assert!(reason.contains("git rebase") && reason.contains("main"), "{reason}");
    assert_eq!(repository.commit("main"), base);

    repository.git(&["rebase", "--abort"]);
    let again =
        json!({"ticket_id": ticket, "stage": "build", "outcome": "completed", "report": "Done."});
    bed.client.ok("complete_ticket_stage", again).await;
    let done = bed.completed(&ticket).await;
    assert_eq!(text(&done, "merged_commit"), repository.commit("main"));
    assert_eq!(repository.file("main", "README.md").as_deref(), Some("main\n"));
    assert_eq!(repository.file("main", "new.txt").as_deref(), Some("new"));
}

#[e2e::scenario]
async fn a_subagent_with_a_worktree_of_its_own_leaves_the_users_checkout_alone() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    let before = picture(&repository.path.join(".git/refs"));
    let go = bed.server.path("go");
    let script = format!("fake: build: write new.txt new\nfake: build: wait-for {}", go.display());
    let ticket = bed.ticket("shop", &["build"], &script).await;
    let call = bed.called(&ticket, "build", 1).await;
    // What claude does with its settings when a subagent gets a worktree.
    let settings = fs::read_to_string(call.argument("--settings").expect("given")).unwrap();
    let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
    let hook = text(&settings["hooks"]["WorktreeCreate"][0]["hooks"][0], "command");
    let asked = json!({"cwd": call.cwd, "hook_event_name": "WorktreeCreate", "name": "agent-a1"})
        .to_string();
    let given = bed.server.path("asked.json");
    fs::write(&given, asked).unwrap();
    let made = std::process::Command::new("sh")
        .args(["-c", &hook])
        .current_dir(&call.cwd)
        .stdin(fs::File::open(&given).unwrap())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let place = PathBuf::from(String::from_utf8(made.stdout).unwrap().trim_end());
    assert!(
        place.starts_with(&call.cwd) && place.join("README.md").exists(),
        "{}",
        place.display()
    );
    fs::write(place.join("sub.txt"), "the subagent's\n").unwrap();
    let inside = Repository { path: place.clone() };
    inside.git(&["add", "."]);
    inside.git(&["commit", "--quiet", "-m", "The subagent's"]);
    fs::write(&go, "").unwrap();

    let done = bed.completed(&ticket).await;
    assert_eq!(repository.file(&text(&done, "branch"), "new.txt").as_deref(), Some("new"));
    assert_eq!(
        repository.file("worktree-agent-a1", "sub.txt").as_deref(),
        Some("the subagent's\n")
    );
    assert!(!place.exists() && !repository.path.join(".claude").exists());
    assert_eq!(repository.worktrees().len(), 2, "the user's, and the ticket's");
    assert_ne!(picture(&repository.path.join(".git/refs")), before, "its commits are kept");
    assert_eq!(repository.problems(), Vec::<String>::new());
}

#[e2e::scenario]
async fn an_agent_that_takes_the_lock_of_its_repository_blocks_no_other_ticket() {
    let bed = Bed::with(Setup::default().max_workers(4)).await;
    bed.repository("shop", &["build", "review"], json!({})).await;
    let take = "L=$(git rev-parse --git-common-dir)/vibe-ensemble.lock; \
                setsid flock \"$L\" sleep 600 3>&- </dev/null >/dev/null 2>&1 &";
    let script = format!("fake: build#1: run {take}\nfake: build#1: wait-for go");
    let holder = bed.ticket("shop", &["build"], &script).await;
    let call = bed.called(&holder, "build", 1).await;
    let other = bed.ticket("shop", &["review"], "").await;
    bed.completed(&other).await;
    let log = bed.server.log();
    let said = "a process of an agent held the lock of a repository";
    assert!(log.contains(said) && log.contains(&format!("attempt={}", call.attempt)), "{log}");
    fs::write(call.cwd.join("go"), "").expect("writable");
    let done = bed.completed(&holder).await;
    assert_eq!(done["attempts"].as_array().map(Vec::len), Some(1), "it was left alone: {done}");
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn accepted_work_survives_the_loss_of_objects_that_an_agent_kept_elsewhere() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({"on_complete": "merge"})).await;
    let elsewhere = bed.server.path("elsewhere");
    fs::create_dir(&elsewhere).expect("a fresh directory");
    let commit = format!(
        "export GIT_OBJECT_DIRECTORY='{0}' GIT_ALTERNATE_OBJECT_DIRECTORIES=\"$(git rev-parse --git-common-dir)/objects\"; \
         printf borrowed > borrowed.txt; git add . && git -c user.name=a -c user.email=a@b commit -qm borrowed && \
         echo '{0}' > \"$(git rev-parse --git-common-dir)/objects/info/alternates\"",
        elsewhere.display()
    );
    let ticket = bed.ticket("shop", &["build"], &format!("fake: build: run {commit}")).await;
    bed.completed(&ticket).await;
    fs::remove_dir_all(&elsewhere).expect("our own directory");
    fs::remove_file(repository.path.join(".git/objects/info/alternates")).expect("it was left");
    assert_eq!(repository.file("main", "borrowed.txt").as_deref(), Some("borrowed"));
    assert_eq!(repository.problems(), Vec::<String>::new());
}

#[e2e::scenario]
async fn worktrees_that_an_agent_exchanges_or_moves_keep_their_tickets_work() {
    let exchange = "mv {a} {a}.x; mv {b} {a}; mv {a}.x {b}";
    let replace = "mv {a} {state}/elsewhere; mv {b} {a}";
    let elsewhere = "mv {b} {state}/worktrees/shop/somewhere";
    for moved in [exchange, replace, elsewhere] {
        let bed = Bed::with(Setup::default().max_workers(4)).await;
        let repository = bed.repository("shop", &[], json!({})).await;
        bed.worker_type("shop", "build", json!({"max_workers": 4})).await;
        bed.project("mill", &["attack"]).await;
        let script = |name: &str| {
            format!(
                "fake: build: write {name}.txt {name}\nfake: build: wait-for {{state}}/go\nfake: build: complete {name}"
            )
        };
        let mut tickets = Vec::new();
        for name in ["one", "two"] {
            let ticket = bed.ticket("shop", &["build"], &script(name)).await;
            let run = bed.called(&ticket, "build", 1).await;
            e2e::eventually::eventually("it has written", || {
                let written = run.cwd.join(format!("{name}.txt")).exists();
                std::future::ready(if written { Ok(()) } else { Err("not yet".to_owned()) })
            })
            .await;
            tickets.push((ticket, name, run.cwd));
        }
        let [(first, _, a), (second, _, b)] = &tickets[..] else { panic!("two") };
        let moved =
            moved.replace("{a}", &a.display().to_string()).replace("{b}", &b.display().to_string());
        let attack = bed.ticket("mill", &["attack"], &format!("fake: attack: run {moved}")).await;
        bed.completed(&attack).await;
        fs::write(bed.server.state_dir().join("go"), "").unwrap();

        for (ticket, own, other) in [(first, "one", "two"), (second, "two", "one")] {
            let done = bed.completed(ticket).await;
            let branch = text(&done, "branch");
            // What was moved out of the server's reach is gone, and nothing of another ticket takes its place.
            if !(moved.contains("elsewhere") && own == "one") {
                let mine = repository.file(&branch, &format!("{own}.txt"));
                assert_eq!(mine.as_deref(), Some(own), "{moved}: {done}");
            }
            assert_eq!(repository.file(&branch, &format!("{other}.txt")), None, "{moved}: {done}");
        }
        assert_eq!(repository.problems(), Vec::<String>::new());
    }
}
