//! Unusual repositories: refused or damaged ones, taken names, and others in which work succeeds.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::repository::Repository;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

/// The server's words are complete sentences on one line.
fn assert_reads_well(bed: &Bed, words: &str) {
    for flaw in ["..", "\n", ".;", "?.", "  ", "hint:", ":."] {
        assert!(!words.contains(flaw), "{flaw:?} in {words:?}; {}", bed.server.log_tail());
    }
}

/// The summary of the event that put a ticket on hold.
async fn told_on_hold(bed: &Bed, ticket: &str) -> String {
    let events = bed.events().await;
    let held = |event: &&Value| event["kind"] == "ticket_on_hold" && event["ticket_id"] == ticket;
    text(events.iter().rev().find(held).expect("the event is there"), "summary")
}

#[e2e::scenario]
async fn a_branch_of_the_user_that_blocks_ours_is_named_at_once() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    repository.git(&["branch", "vibe-ensemble"]);
    let ticket = bed.ticket("shop", &["build"], "").await;
    let held = bed.ticket_is(&ticket, "on_hold").await;
    let reason = text(&held, "hold_reason");
    let command = "git branch -m vibe-ensemble";
    assert!(reason.contains("branch named vibe-ensemble") && reason.contains(command), "{reason}");
    assert_reads_well(&bed, &reason);
    let told = told_on_hold(&bed, &ticket).await;
    assert!(told.contains(&reason), "{told}");
    assert_reads_well(&bed, &told);
    assert!(!bed.server.log().contains("a step in a worktree failed"), "it was tried again");

    repository.git(&["branch", "-m", "vibe-ensemble", "renamed"]);
    // A ref below the name of a ticket's branch takes that name too.
    repository.git(&["branch", &format!("vibe-ensemble/{ticket}/mine")]);
    bed.client.ok("resume_ticket", json!({"ticket_id": ticket})).await;
    let done = bed.completed(&ticket).await;
    assert_eq!(text(&done, "branch"), format!("vibe-ensemble/{ticket}-2"));
}

#[e2e::scenario]
async fn a_repository_that_git_refuses_is_not_shared_in_silence() {
    let setup = Setup::default().env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    let bed = Bed::with(setup).await;
    let repository = Repository::make(&bed.server.path("projects").join("shop"));
    for isolation in [json!({}), json!({"isolation": "worktree"})] {
        let mut given = json!({"name": "shop", "path": repository.path});
        given.as_object_mut().unwrap().extend(isolation.as_object().unwrap().clone());
        let refused = bed.client.refused("create_project", given).await;
        for part in ["dubious ownership", "safe.directory", "isolation"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        assert_reads_well(&bed, &refused);
    }
    // A user who says that git is not wanted has thought about it.
    let shared = json!({"isolation": "shared"});
    let project = bed.project_at("shop", &repository.path, shared).await;
    assert_eq!(text(&project, "isolation"), "shared");
    let elsewhere = bed.project("desk", &["build"]).await;
    for change in [
        json!({"project": "shop", "isolation": "worktree"}),
        json!({"project": "desk", "path": repository.path}),
    ] {
        let refused = bed.client.refused("update_project", change).await;
        assert!(refused.contains("safe.directory"), "{refused}");
    }
    let kept = bed.client.ok("get_project", json!({"project": "desk"})).await;
    assert_eq!(text(&kept, "path"), elsewhere.display().to_string());
}

#[e2e::scenario]
async fn a_damaged_repository_is_not_shared_in_silence() {
    let bed = Bed::start().await;
    let headless = Repository::make(&bed.server.path("projects").join("headless"));
    fs::write(headless.path.join(".git/HEAD"), "nonsense\n").unwrap();
    let hollow = Repository::make(&bed.server.path("projects").join("hollow"));
    let head = hollow.commit("HEAD");
    let object = hollow.path.join(".git/objects").join(&head[..2]).join(&head[2..]);
    fs::remove_file(object).unwrap();
    let detached = Repository::make(&bed.server.path("projects").join("detached"));
    fs::write(detached.path.join(".git/HEAD"), format!("{}\n", "1".repeat(40))).unwrap();
    for repository in [&headless, &hollow, &detached] {
        let refused = bed
            .client
            .refused("create_project", json!({"name": "shop", "path": repository.path}))
            .await;
        assert!(refused.contains("git fsck") && refused.contains("isolation"), "{refused}");
        assert_reads_well(&bed, &refused);
    }
    // A repository without a commit is not damaged.
    let unborn = bed.server.path("projects").join("unborn");
    fs::create_dir(&unborn).unwrap();
    Repository { path: unborn.clone() }.git(&["init", "--quiet"]);
    let project = bed.project_at("shop", &unborn, json!({})).await;
    assert_eq!(text(&project, "isolation"), "shared");
}

/// Puts something in the way of a merge, and returns what is said about it.
async fn not_merged(block: impl FnOnce(&Path)) -> (Bed, String, String) {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({"on_complete": "merge"})).await;
    block(&repository.path);
    let ticket = bed.ticket("shop", &["build"], "fake: build: write new.txt new").await;
    let held = bed.ticket_is(&ticket, "on_hold").await;
    let told = told_on_hold(&bed, &ticket).await;
    (bed, text(&held, "hold_reason"), told)
}

#[e2e::scenario]
async fn a_message_of_git_becomes_part_of_one_sentence() {
    let (bed, reason, told) =
        not_merged(|path| fs::write(path.join("new.txt"), "mine").unwrap()).await;
    assert!(reason.contains("new.txt"), "{reason}");
    for words in [&reason, &told] {
        assert_reads_well(&bed, words);
    }
    let mut commit = None;
    let (bed, reason, told) = not_merged(|path| commit = Some(commits(path))).await;
    assert!(reason.contains("index.lock"), "{reason}");
    for words in [&reason, &told] {
        assert_reads_well(&bed, words);
    }
    let mut commit = commit.expect("it was begun");
    drop(commit.stdin.take());
    let ended = commit.wait().expect("a child of ours");
    assert!(!ended.success(), "a commit without a message");
}

/// A commit of the user's, who is still writing its message and closes the editor with its standard
/// input. A lock that nobody holds would be cleared away some seconds later.
fn commits(repository: &Path) -> Child {
    let mut child = Command::new("git")
        .args(["-c", "user.name=User", "-c", "user.email=user@localhost"])
        .args(["-c", "core.hooksPath=/dev/null", "commit", "--all", "--allow-empty"])
        .env("GIT_EDITOR", "read line; :")
        .current_dir(repository)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("git runs");
    while !repository.join(".git/index.lock").exists() {
        assert!(child.try_wait().expect("a child of ours").is_none(), "it ended before its lock");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[e2e::scenario]
async fn questions_and_failures_are_reported_as_sentences() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"max_attempts": 1})).await;
    let asks = bed.ticket("shop", &["build"], "fake: build: block Which port? And why.").await;
    let breaks = bed.ticket("shop", &["build"], "fake: build: bad-result").await;
    for ticket in [&asks, &breaks] {
        bed.ticket_is(ticket, "on_hold").await;
    }
    bed.client.ok("pause", json!({"reason": "We wait for the release."})).await;
    bed.client
        .ok("pause", json!({"project": "shop", "worker_type": "build", "reason": "Lunch."}))
        .await;
    for event in bed.events().await {
        let summary = text(&event, "summary");
        assert_reads_well(&bed, &summary);
        assert!(summary.ends_with(['.', '?', '!']), "{summary}");
    }
}

/// Runs git like the user, in any directory.
fn git(directory: &Path, arguments: &[&str]) -> String {
    Repository { path: directory.to_owned() }.ask(arguments)
}

/// A repository with a directory `sub`, in addition to what [`Repository::make`] creates.
fn with_sub(path: &Path, init: &[&str]) -> Repository {
    fs::create_dir_all(path.join("sub")).expect("writable");
    let repository = Repository { path: path.to_owned() };
    repository.git(&[&["init", "--quiet", "--initial-branch=main"], init].concat());
    fs::write(path.join("README.md"), "# A project\n").expect("writable");
    fs::write(path.join("sub/kept.txt"), "kept\n").expect("writable");
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "-m", "Begin"]);
    repository
}

/// Makes one kind of repository below a directory, and returns the path for its project.
type Maker = fn(&Path) -> std::path::PathBuf;

const UNUSUAL: [(&str, Maker); 14] = [
    ("bare", |place| {
        let full = with_sub(&place.join("full"), &[]);
        let bare = place.join("bare.git");
        full.git(&["clone", "--quiet", "--bare", ".", &bare.display().to_string()]);
        bare
    }),
    ("subdirectory", |place| with_sub(place, &[]).path.join("sub")),
    ("linked", |place| {
        let full = with_sub(&place.join("full"), &[]);
        let linked = place.join("linked");
        full.git(&["worktree", "add", "--quiet", "-b", "side", &linked.display().to_string()]);
        linked
    }),
    ("shallow", |place| {
        let full = with_sub(&place.join("full"), &[]);
        full.git(&["commit", "--quiet", "--allow-empty", "-m", "Continue"]);
        let (from, to) = (format!("file://{}", full.path.display()), place.join("shallow"));
        full.git(&["clone", "--quiet", "--depth=1", &from, &to.display().to_string()]);
        to
    }),
    ("submodule", |place| {
        let module = with_sub(&place.join("module"), &[]);
        let full = with_sub(&place.join("full"), &[]);
        let from = module.path.display().to_string();
        full.git(&[
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            &from,
            "module",
        ]);
        full.git(&["commit", "--quiet", "-m", "Add a module"]);
        full.path
    }),
    ("sparse", |place| {
        let full = with_sub(place, &[]);
        full.git(&["sparse-checkout", "set", "--no-cone", "/README.md"]);
        full.path
    }),
    ("unsmudged", |place| {
        let full = with_sub(place, &[]);
        fs::write(place.join(".gitattributes"), "*.txt filter=gone\n").expect("writable");
        full.git(&["add", "."]);
        full.git(&["commit", "--quiet", "-m", "Filter"]);
        full.git(&["config", "filter.gone.clean", "/nonexistent/clean"]);
        full.git(&["config", "filter.gone.smudge", "/nonexistent/smudge"]);
        full.path
    }),
    ("detached", |place| {
        let full = with_sub(place, &[]);
        full.git(&["checkout", "--quiet", "--detach"]);
        full.path
    }),
    ("elsewhere", |place| {
        let full = with_sub(&place.join("full"), &[]);
        full.git(&["checkout", "--quiet", "-b", "side"]);
        full.git(&[
            "worktree",
            "add",
            "--quiet",
            &place.join("main").display().to_string(),
            "main",
        ]);
        full.path
    }),
    ("worktree-config", |place| {
        let full = with_sub(&place.join("full"), &[]);
        let tree = full.path.display().to_string();
        full.git(&["config", "core.worktree", &tree]);
        full.path
    }),
    ("signing", |place| {
        let full = with_sub(place, &[]);
        for key in ["commit.gpgsign", "tag.gpgsign", "merge.verifySignatures", "push.gpgsign"] {
            full.git(&["config", key, "true"]);
        }
        full.git(&["config", "gpg.program", "/bin/false"]);
        for hook in ["pre-commit", "commit-msg", "post-checkout", "reference-transaction"] {
            let path = place.join(".git/hooks").join(hook);
            fs::create_dir_all(path.parent().expect("writable")).expect("writable");
            fs::write(&path, "#!/bin/sh\nexit 1\n").expect("writable");
            fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("writable");
        }
        full.path
    }),
    ("reftable", |place| with_sub(place, &["--ref-format=reftable"]).path),
    ("sha256", |place| with_sub(place, &["--object-format=sha256"]).path),
    ("crlf", |place| {
        let full = with_sub(place, &[]);
        full.git(&["config", "core.autocrlf", "true"]);
        full.path
    }),
];

/// What an agent leaves: names with a line break, without UTF-8 or that differ only in case, in a
/// new directory.
const LEAVES: &str = r#"fake: build: run printf 'new\n' >new.txt; mkdir -p Deep/er; touch Deep/er/a Deep/er/A "$(printf 'two\nlines')" "$(printf 'no-utf8-\377')"; rm -f README.md"#;

#[e2e::scenario]
async fn tickets_run_in_unusual_repositories_and_leave_the_users_side_alone() {
    let bed = Bed::with(Setup::default().max_workers(16)).await;
    // As long as a title may be, in characters of four bytes each.
    let title = "🐢".repeat(200);
    let mut begun = Vec::new();
    for (name, make) in UNUSUAL {
        let place = bed.server.path("projects").join(name);
        fs::create_dir(&place).unwrap();
        let path = make(&place);
        let is_bare = name == "bare";
        let status = || {
            if is_bare {
                String::new()
            } else {
                git(&path, &["status", "--porcelain=v2", "--branch"])
            }
        };
        let before = (status(), git(&path, &["rev-parse", "HEAD"]));
        let project = bed.project_at(name, &path, json!({})).await;
        assert_eq!(text(&project, "isolation"), "worktree", "{name}");
        bed.worker_type(name, "build", json!({})).await;
        let more = json!({"title": title});
        let ticket = bed.ticket_with(name, &["build"], LEAVES, more).await;
        begun.push((name, path.clone(), ticket, before));
    }
    for (name, path, ticket, before) in begun {
        let done = bed.completed(&ticket).await;
        let branch = text(&done, "branch");
        let prefix = if name == "subdirectory" { "sub/" } else { "" };
        let names = git(
            &path,
            &["-c", "core.quotePath=true", "ls-tree", "-r", "--name-only", "--full-tree", &branch],
        );
        let left = ["new.txt", "Deep/er/a", "Deep/er/A", "two\\nlines", "no-utf8-\\377"];
        for left in left {
            let quoted = format!("\"{prefix}{left}\"");
            let is_there =
                names.lines().any(|line| line == format!("{prefix}{left}") || line == quoted);
            assert!(is_there, "{name}: {left} is not in {names}");
        }
        assert!(names.contains("sub/kept.txt"), "{name}: what nobody touched is gone: {names}");
        assert_eq!(
            names.lines().any(|line| line == "README.md"),
            name == "subdirectory",
            "{name}: {names}"
        );
        let status = if name == "bare" {
            String::new()
        } else {
            git(&path, &["status", "--porcelain=v2", "--branch"])
        };
        assert_eq!((status, git(&path, &["rev-parse", "HEAD"])), before, "{name}");
        git(&path, &["fsck", "--full", "--strict", "--no-dangling", "--no-progress"]);
    }
    let log = bed.server.log();
    for trouble in ["a step in a worktree failed", "changes were not looked after", "ERROR"] {
        assert!(!log.contains(trouble), "{trouble}: {log}");
    }
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn tickets_are_merged_in_unusual_repositories_or_say_why_not() {
    let bed = Bed::with(Setup::default().max_workers(16)).await;
    let mut begun = Vec::new();
    for (name, make) in UNUSUAL {
        let place = bed.server.path("projects").join(name);
        fs::create_dir(&place).unwrap();
        let path = make(&place);
        bed.project_at(name, &path, json!({"on_complete": "merge"})).await;
        bed.worker_type(name, "build", json!({})).await;
        begun.push((name, path, bed.ticket(name, &["build"], LEAVES).await));
    }
    for (name, path, ticket) in begun {
        if name == "detached" {
            let held = bed.ticket_is(&ticket, "on_hold").await;
            let reason = text(&held, "hold_reason");
            assert!(reason.contains("no branch checked out"), "{reason}");
            assert_reads_well(&bed, &reason);
            continue;
        }
        let done = bed.completed(&ticket).await;
        assert_eq!(text(&done, "merged_commit"), git(&path, &["rev-parse", "HEAD"]), "{name}");
        if name != "bare" {
            assert_eq!(
                git(&path, &["status", "--porcelain"]),
                "",
                "{name}: the checkout went along"
            );
        }
        git(&path, &["fsck", "--full", "--strict", "--no-dangling", "--no-progress"]);
    }
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_required_filter_that_is_missing_is_named() {
    let bed = Bed::start().await;
    let repository = with_sub(&bed.server.path("projects").join("shop"), &[]);
    fs::write(repository.path.join(".gitattributes"), "*.txt filter=lfs\n").unwrap();
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "-m", "Filter"]);
    for (key, value) in
        [("clean", "/nonexistent/lfs"), ("smudge", "/nonexistent/lfs"), ("required", "true")]
    {
        repository.git(&["config", &format!("filter.lfs.{key}"), value]);
    }
    bed.project_at("shop", &repository.path, json!({})).await;
    bed.worker_type("shop", "build", json!({})).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let held = bed.ticket_is(&ticket, "on_hold").await;
    let reason = text(&held, "hold_reason");
    assert!(reason.contains("filter") && reason.contains("lfs"), "{reason}");
    assert_reads_well(&bed, &reason);
    repository.git(&["config", "--remove-section", "filter.lfs"]);
    bed.client.ok("resume_ticket", json!({"ticket_id": ticket})).await;
    bed.completed(&ticket).await;
}
