//! Runs against real repositories and the git of this system.

mod attacks;
mod carry;
mod forward;
mod inside;
mod landing;
mod objects;
mod refs;
mod surroundings;
mod unfinished;

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::Repositories;
use super::Repository;
use super::look;
use super::refs::Author;
use super::stand::Place;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::worktree::DiffStat;
use crate::domain::worktree::Head;
use crate::domain::worktree::Worktree;

const TICKET: TicketId = TicketId::from_key(42);

/// A user's repository with one commit, and a directory for worktrees.
struct Bed {
    dir: TempDir,
    repositories: Repositories,
}

fn git_in(place: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=User",
            "-c",
            "user.email=user@localhost",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(arguments)
        .current_dir(place)
        .output()
        .expect("git runs");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn author(attempt: i64) -> Author {
    Author { ticket: TICKET, stage: "build".to_owned(), attempt: AttemptId::from_key(attempt) }
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let bed = Self { dir, repositories: Repositories::default() };
        fs::create_dir(bed.user()).expect("made");
        bed.git(&["init", "--quiet", "--initial-branch=main"]);
        bed.write("a.txt", "one\n");
        bed.write("sub/b.txt", "two\n");
        bed.write(".gitignore", "*.cache\n");
        bed.git(&["add", "."]);
        bed.git(&["commit", "--quiet", "-m", "Begin"]);
        bed
    }

    fn user(&self) -> PathBuf {
        self.dir.path().canonicalize().expect("there").join("user")
    }

    fn git(&self, arguments: &[&str]) -> String {
        git_in(&self.user(), arguments)
    }

    fn write(&self, name: &str, text: &str) {
        write(&self.user(), name, text);
    }

    async fn repository(&self) -> Repository {
        self.repositories.open(&self.user().join(".git")).await.expect("opens")
    }

    /// A ticket that begins at the checked-out branch, with its worktree.
    async fn work(&self, key: i64) -> Worktree {
        work_of(self, &self.user(), key).await
    }

    fn assert_sound(&self) {
        self.git(&["fsck", "--strict", "--no-dangling"]);
        let list = self.git(&["worktree", "list", "--porcelain"]);
        assert!(!list.contains("prunable") && !list.contains("locked"), "{list}");
    }
}

/// The same for a project in another repository.
async fn work_of(bed: &Bed, project: &Path, key: i64) -> Worktree {
    let id = TicketId::from_key(key);
    let ground = look(project).await.expect("looks").expect("a repository");
    let repository = bed.repositories.open(&ground.repository).await.expect("opens");
    let place = bed.user().with_file_name("state");
    let (branch, path) = repository.free_names(id, &place).await.expect("names");
    let work = Worktree {
        repository: ground.repository.display().to_string(),
        path: path.display().to_string(),
        prefix: ground.prefix,
        branch,
        base_branch: ground.branch,
        base_commit: ground.head.clone(),
        head: Head { commit: ground.head, stat: DiffStat::default() },
        owed: None,
        landing: false,
        merged_commit: None,
        removed: false,
        set_up: false,
        directory: None,
    };
    repository.stand_up(&work, Place::New).await.expect("made");
    work
}

fn write(place: &Path, name: &str, text: &str) {
    let path = place.join(name);
    fs::create_dir_all(path.parent().expect("below")).expect("made");
    fs::write(path, text).expect("written");
}

fn read(work: &Worktree, name: &str) -> String {
    fs::read_to_string(Path::new(&work.path).join(name)).unwrap_or_default()
}

fn put(work: &Worktree, name: &str, text: &str) {
    write(Path::new(&work.path), name, text);
}

fn at(work: &Worktree, arguments: &[&str]) -> String {
    git_in(Path::new(&work.path), arguments)
}

#[tokio::test]
async fn a_look_reports_which_directories_can_have_worktrees() {
    let bed = Bed::new();
    let top = look(&bed.user()).await.unwrap().unwrap();
    assert_eq!(top.repository, bed.user().join(".git"));
    assert_eq!((top.prefix.as_str(), top.branch.as_deref()), ("", Some("refs/heads/main")));
    assert_eq!(top.head, bed.git(&["rev-parse", "HEAD"]));
    let below = look(&bed.user().join("sub")).await.unwrap().unwrap();
    assert_eq!(below.prefix, "sub/");
    fs::create_dir(bed.user().join("unknown")).unwrap();
    for place in ["unknown", ".git", ".."] {
        let found = look(&bed.user().join(place)).await.unwrap();
        assert!(found.is_err(), "{place}: {found:?}");
    }
    let empty = tempfile::tempdir().unwrap();
    git_in(empty.path(), &["init", "--quiet"]);
    assert!(look(empty.path()).await.unwrap().unwrap_err().said().contains("no commit"));
    bed.git(&["checkout", "--quiet", "--detach"]);
    assert_eq!(look(&bed.user()).await.unwrap().unwrap().branch, None);
    let bare = empty.path().join("bare.git");
    bed.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    let found = look(&bare).await.unwrap().unwrap();
    assert_eq!((found.repository, found.prefix.as_str()), (bare.canonicalize().unwrap(), ""));
}

#[tokio::test]
async fn accepted_work_is_on_the_branch_and_accepting_it_again_changes_nothing() {
    let bed = Bed::new();
    let mut work = bed.work(42).await;
    assert_eq!(work.branch, "vibe-ensemble/T-42");
    put(&work, "a.txt", "changed\n");
    at(&work, &["commit", "--quiet", "-am", "The agent's own"]);
    put(&work, "new.txt", "left\n");
    put(&work, "x.cache", "ignored\n");
    let repository = bed.repository().await;
    let head = repository.accept(&work, &author(17)).await.unwrap();
    assert_eq!(repository.accept(&work, &author(17)).await.unwrap(), head);
    assert_eq!(head.stat, DiffStat { files_changed: 2, insertions: 2, deletions: 1 });
    assert_eq!(bed.git(&["rev-parse", "vibe-ensemble/T-42"]), head.commit);
    assert_eq!(at(&work, &["status", "--porcelain"]), "");
    let log = bed.git(&["log", "--format=%an %s", "main..vibe-ensemble/T-42"]);
    assert_eq!(
        log,
        "Vibe-Ensemble T-42 build (A-17): commit what the worker left\nUser The agent's own"
    );
    // The next stage changes nothing.
    work.head = head.clone();
    assert_eq!(repository.accept(&work, &author(18)).await.unwrap(), head);
    assert_eq!(bed.git(&["status", "--porcelain"]), "");
    assert_eq!(bed.git(&["for-each-ref", "refs/vibe-ensemble"]), "");
    bed.assert_sound();
}

#[tokio::test]
async fn rejected_changes_are_kept_and_the_worktree_goes_back() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    put(&work, "a.txt", "bad\n");
    at(&work, &["commit", "--quiet", "-am", "A bad idea"]);
    put(&work, "worse.txt", "worse\n");
    put(&work, "x.cache", "cache\n");
    let repository = bed.repository().await;
    let kept = repository.put_aside(&work, &author(17)).await.unwrap();
    assert_eq!(kept.as_deref(), Some("refs/vibe-ensemble/attempts/A-17"));
    assert_eq!(repository.put_aside(&work, &author(17)).await.unwrap(), kept, "the same again");
    assert_eq!(read(&work, "worse.txt"), "worse\n", "an agent may still work in it");
    repository.put_back(&work, Place::Used).await.unwrap();
    assert_eq!(repository.put_aside(&work, &author(17)).await.unwrap(), None);
    assert_eq!((read(&work, "a.txt").as_str(), read(&work, "worse.txt").as_str()), ("one\n", ""));
    assert_eq!(read(&work, "x.cache"), "cache\n", "what is ignored stays");
    assert_eq!(bed.git(&["rev-parse", "vibe-ensemble/T-42"]), work.head.commit);
    let shown =
        |name: &str| bed.git(&["show", &format!("refs/vibe-ensemble/attempts/A-17:{name}")]);
    assert_eq!((shown("a.txt").as_str(), shown("worse.txt").as_str()), ("bad", "worse"));
    // Other changes of an attempt with the same number, as after a restored backup, get another
    // name.
    put(&work, "a.txt", "another\n");
    let other = repository.put_aside(&work, &author(17)).await.unwrap();
    assert_eq!(other.as_deref(), Some("refs/vibe-ensemble/attempts/A-17-2"));
    bed.assert_sound();
}

#[tokio::test]
async fn whatever_state_an_agent_leaves_can_be_accepted_or_put_back() {
    type Mess = fn(&Worktree);
    let messes: [(&str, Mess); 8] = [
        ("locks of a killed git", |work| {
            let admin = at(work, &["rev-parse", "--path-format=absolute", "--git-dir"]);
            for lock in ["index.lock", "HEAD.lock", "AUTO_MERGE.lock"] {
                fs::write(Path::new(&admin).join(lock), "").unwrap();
            }
            let common = at(work, &["rev-parse", "--path-format=absolute", "--git-common-dir"]);
            fs::write(Path::new(&common).join("refs/heads/vibe-ensemble/T-42.lock"), "").unwrap();
        }),
        ("a detached head", |work| {
            at(work, &["checkout", "--quiet", "--detach"]);
        }),
        ("a branch of its own", |work| {
            at(work, &["checkout", "--quiet", "-b", "mine"]);
            at(work, &["commit", "--quiet", "--allow-empty", "-m", "Mine"]);
        }),
        ("the past", |work| {
            put(work, "a.txt", "later\n");
            at(work, &["commit", "--quiet", "-am", "Later"]);
            at(work, &["checkout", "--quiet", "--detach", "HEAD~1"]);
        }),
        ("history written anew", |work| {
            at(work, &["commit", "--quiet", "--amend", "-m", "Never mind the user's commit"]);
        }),
        ("no .git file", |work| fs::remove_file(Path::new(&work.path).join(".git")).unwrap()),
        ("no directory", |work| fs::remove_dir_all(&work.path).unwrap()),
        ("a branch that is gone", |work| {
            at(work, &["checkout", "--quiet", "--detach"]);
            at(work, &["branch", "--quiet", "-D", "vibe-ensemble/T-42"]);
        }),
    ];
    for (name, mess) in messes {
        for accept in [true, false] {
            let bed = Bed::new();
            let work = bed.work(42).await;
            let there = name != "no directory";
            mess(&work);
            if there {
                put(&work, "left.txt", "left\n");
            }
            let repository = bed.repository().await;
            let kept = if accept {
                let head = repository.accept(&work, &author(1)).await.unwrap();
                assert_eq!(repository.accept(&work, &author(1)).await.unwrap(), head, "{name}");
                assert_eq!(bed.git(&["rev-parse", "vibe-ensemble/T-42"]), head.commit, "{name}");
                head.commit
            } else {
                let kept = repository.put_aside(&work, &author(1)).await.unwrap();
                repository.put_back(&work, Place::Used).await.unwrap();
                assert_eq!(
                    bed.git(&["rev-parse", "vibe-ensemble/T-42"]),
                    work.head.commit,
                    "{name}"
                );
                assert_eq!(read(&work, "a.txt"), "one\n", "{name}");
                assert_eq!(read(&work, "left.txt"), "", "{name}");
                kept.unwrap_or(work.head.commit.clone())
            };
            if there {
                assert_eq!(bed.git(&["show", &format!("{kept}:left.txt")]), "left", "{name}");
            }
            assert_eq!(at(&work, &["status", "--porcelain"]), "", "{name}");
            assert_eq!(
                at(&work, &["symbolic-ref", "HEAD"]),
                "refs/heads/vibe-ensemble/T-42",
                "{name}"
            );
            assert_eq!(bed.git(&["status", "--porcelain"]), "", "{name}: the user's checkout");
            bed.assert_sound();
        }
    }
}

#[tokio::test]
async fn an_old_commit_left_checked_out_undoes_nothing() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    put(&work, "a.txt", "later\n");
    at(&work, &["commit", "--quiet", "-am", "Later"]);
    let tip = at(&work, &["rev-parse", "HEAD"]);
    at(&work, &["checkout", "--quiet", "--detach", "HEAD~1"]);
    let head = bed.repository().await.accept(&work, &author(1)).await.unwrap();
    assert_eq!(head.commit, tip);
    assert_eq!(read(&work, "a.txt"), "later\n");
}

#[tokio::test]
async fn the_repository_around_the_worktrees_is_never_mistaken_for_theirs() {
    let bed = Bed::new();
    // The state directory is in another repository, which has changes of its own.
    let around = bed.user().with_file_name("state");
    fs::create_dir(&around).unwrap();
    git_in(&around, &["init", "--quiet"]);
    write(&around, "precious.txt", "precious\n");
    let work = bed.work(42).await;
    fs::remove_file(Path::new(&work.path).join(".git")).unwrap();
    put(&work, "left.txt", "left\n");
    let repository = bed.repository().await;
    repository.put_aside(&work, &author(1)).await.unwrap().unwrap();
    repository.put_back(&work, Place::Used).await.unwrap();
    assert_eq!(fs::read_to_string(around.join("precious.txt")).unwrap(), "precious\n");
    assert_eq!(git_in(&around, &["status", "--porcelain", "precious.txt"]), "?? precious.txt");
}

#[tokio::test]
async fn a_branch_name_that_is_taken_is_left_alone() {
    let bed = Bed::new();
    bed.git(&["branch", "vibe-ensemble/T-42"]);
    let forgotten = bed.user().with_file_name("state").join("T-42-2");
    write(&forgotten, "left.txt", "left\n");
    let tip = bed.git(&["rev-parse", "vibe-ensemble/T-42"]);
    let work = bed.work(42).await;
    assert_eq!(work.branch, "vibe-ensemble/T-42-3");
    put(&work, "a.txt", "mine\n");
    bed.repository().await.accept(&work, &author(1)).await.unwrap();
    assert_eq!(bed.git(&["rev-parse", "vibe-ensemble/T-42"]), tip);
    assert_eq!(fs::read_to_string(forgotten.join("left.txt")).unwrap(), "left\n");
}

/// Two accepted tickets that changed different files.
async fn two_accepted(bed: &Bed) -> (Worktree, Worktree) {
    let mut works = Vec::new();
    for (key, file) in [(1, "a.txt"), (2, "c.txt")] {
        let mut work = bed.work(key).await;
        put(&work, file, "changed\n");
        work.head = bed.repository().await.accept(&work, &author(key)).await.unwrap();
        works.push(work);
    }
    let second = works.pop().unwrap();
    (works.pop().unwrap(), second)
}

#[tokio::test]
async fn sixteen_worktrees_are_made_and_accepted_side_by_side() {
    let bed = std::sync::Arc::new(Bed::new());
    let mut tasks = tokio::task::JoinSet::new();
    for key in 1..=16 {
        let bed = std::sync::Arc::clone(&bed);
        tasks.spawn(async move {
            let work = bed.work(key).await;
            put(&work, "a.txt", &format!("{key}\n"));
            let head = bed.repository().await.accept(&work, &author(key)).await.unwrap();
            (work, head)
        });
    }
    while let Some(done) = tasks.join_next().await {
        let (work, head) = done.unwrap();
        assert_eq!(bed.git(&["rev-list", "--count", &format!("main..{}", work.branch)]), "1");
        assert_eq!(head.stat.files_changed, 1);
    }
    bed.assert_sound();
}
