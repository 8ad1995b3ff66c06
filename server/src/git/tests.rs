//! Against real repositories and the git of this system.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::Repositories;
use super::Repository;
use super::look;
use super::merge::Landing;
use super::work::Author;
use super::work::Removal;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::worktree::DiffStat;
use crate::domain::worktree::Head;
use crate::domain::worktree::Worktree;

const TICKET: TicketId = TicketId::from_key(42);

/// A user's repository with one commit, and a place for worktrees.
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

    /// A ticket that begins at the branch checked out, its worktree made.
    async fn work(&self, key: i64) -> Worktree {
        let id = TicketId::from_key(key);
        let ground = look(&self.user()).await.expect("looks").expect("a repository");
        let repository = self.repository().await;
        let place = self.user().with_file_name("state");
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
        };
        repository.stand_up(&work).await.expect("made");
        work
    }

    fn assert_sound(&self) {
        self.git(&["fsck", "--strict", "--no-dangling"]);
        let list = self.git(&["worktree", "list", "--porcelain"]);
        assert!(!list.contains("prunable") && !list.contains("locked"), "{list}");
    }
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
async fn a_look_tells_what_can_have_worktrees() {
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
    // The next stage leaves nothing.
    work.head = head.clone();
    assert_eq!(repository.accept(&work, &author(18)).await.unwrap(), head);
    assert_eq!(bed.git(&["status", "--porcelain"]), "");
    assert_eq!(bed.git(&["for-each-ref", "refs/vibe-ensemble"]), "");
    bed.assert_sound();
}

#[tokio::test]
async fn what_was_not_accepted_is_kept_and_the_worktree_goes_back() {
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
    assert_eq!(read(&work, "worse.txt"), "worse\n", "an agent may still go on in it");
    repository.put_back(&work).await.unwrap();
    assert_eq!(repository.put_aside(&work, &author(17)).await.unwrap(), None);
    assert_eq!((read(&work, "a.txt").as_str(), read(&work, "worse.txt").as_str()), ("one\n", ""));
    assert_eq!(read(&work, "x.cache"), "cache\n", "what is ignored stays");
    assert_eq!(bed.git(&["rev-parse", "vibe-ensemble/T-42"]), work.head.commit);
    let shown =
        |name: &str| bed.git(&["show", &format!("refs/vibe-ensemble/attempts/A-17:{name}")]);
    assert_eq!((shown("a.txt").as_str(), shown("worse.txt").as_str()), ("bad", "worse"));
    // Other changes of an attempt of that number, as after a restored backup, get another name.
    put(&work, "a.txt", "another\n");
    let other = repository.put_aside(&work, &author(17)).await.unwrap();
    assert_eq!(other.as_deref(), Some("refs/vibe-ensemble/attempts/A-17-2"));
    bed.assert_sound();
}

#[tokio::test]
async fn whatever_state_an_agent_leaves_can_be_accepted_or_put_back() {
    type Mess = fn(&Worktree);
    let messes: [(&str, Mess); 9] = [
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
        ("a merge in conflict", |work| {
            at(work, &["branch", "other"]);
            put(work, "a.txt", "ours\n");
            at(work, &["commit", "--quiet", "-am", "Ours"]);
            at(work, &["checkout", "--quiet", "other"]);
            put(work, "a.txt", "theirs\n");
            at(work, &["commit", "--quiet", "-am", "Theirs"]);
            at(work, &["checkout", "--quiet", "vibe-ensemble/T-42"]);
            let merge =
                Command::new("git").args(["merge", "other"]).current_dir(&work.path).output();
            assert!(!merge.unwrap().status.success());
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
                repository.put_back(&work).await.unwrap();
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
async fn somebody_who_looked_at_the_past_has_not_undone_the_present() {
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
async fn the_repository_around_the_worktrees_is_never_taken_for_theirs() {
    let bed = Bed::new();
    // The state directory lies in another repository, with changes of its own.
    let around = bed.user().with_file_name("state");
    fs::create_dir(&around).unwrap();
    git_in(&around, &["init", "--quiet"]);
    write(&around, "precious.txt", "precious\n");
    let work = bed.work(42).await;
    fs::remove_file(Path::new(&work.path).join(".git")).unwrap();
    put(&work, "left.txt", "left\n");
    let repository = bed.repository().await;
    repository.put_aside(&work, &author(1)).await.unwrap().unwrap();
    repository.put_back(&work).await.unwrap();
    assert_eq!(fs::read_to_string(around.join("precious.txt")).unwrap(), "precious\n");
    assert_eq!(git_in(&around, &["status", "--porcelain", "precious.txt"]), "?? precious.txt");
}

#[tokio::test]
async fn a_name_that_is_taken_belongs_to_somebody_else() {
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

#[tokio::test]
async fn results_come_together_or_the_files_are_named() {
    let bed = Bed::new();
    let mut results = Vec::new();
    for (key, file, text) in
        [(1, "a.txt", "first\n"), (2, "c.txt", "new\n"), (3, "a.txt", "third\n")]
    {
        let work = bed.work(key).await;
        put(&work, file, text);
        let head = bed.repository().await.accept(&work, &author(key)).await.unwrap();
        results.push((format!("T-{key}"), head.commit));
    }
    let repository = bed.repository().await;
    let base = bed.git(&["rev-parse", "main"]);
    let both = repository.together(&base, &results[..2]).await.unwrap().unwrap();
    assert_eq!(bed.git(&["show", &format!("{both}:a.txt")]), "first");
    assert_eq!(bed.git(&["show", &format!("{both}:c.txt")]), "new");
    assert_eq!(repository.together(&both, &results[..2]).await.unwrap(), Ok(both.clone()));
    let conflict = repository.together(&base, &results).await.unwrap().unwrap_err();
    assert_eq!((conflict.with.as_str(), conflict.files), ("T-3", vec!["a.txt".to_owned()]));
}

/// Two tickets that changed different files, accepted.
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
async fn a_clean_checkout_of_the_base_is_brought_forward_with_its_files() {
    let bed = Bed::new();
    let (first, second) = two_accepted(&bed).await;
    let repository = bed.repository().await;
    bed.write("untracked.txt", "mine\n");
    assert_eq!(
        repository.land(&first, "First").await.unwrap(),
        Landing::Landed(first.head.commit.clone())
    );
    let Landing::Landed(merge) = repository.land(&second, "Second").await.unwrap() else {
        panic!()
    };
    assert_eq!(bed.git(&["rev-parse", "main"]), merge);
    assert_eq!(bed.git(&["log", "-1", "--format=%s", "main"]), "Merge vibe-ensemble/T-2: Second");
    assert_eq!(bed.git(&["status", "--porcelain"]), "?? untracked.txt");
    assert_eq!(fs::read_to_string(bed.user().join("c.txt")).unwrap(), "changed\n");
    assert_eq!(repository.land(&second, "Second").await.unwrap(), Landing::Landed(merge));
    bed.assert_sound();
}

#[tokio::test]
async fn a_base_that_is_checked_out_nowhere_is_moved() {
    let bed = Bed::new();
    let (first, _) = two_accepted(&bed).await;
    bed.git(&["checkout", "--quiet", "-b", "elsewhere"]);
    bed.write("a.txt", "the user's change\n");
    let landed = bed.repository().await.land(&first, "First").await.unwrap();
    assert_eq!(landed, Landing::Landed(first.head.commit.clone()));
    assert_eq!(bed.git(&["rev-parse", "main"]), first.head.commit);
    assert_eq!(bed.git(&["status", "--porcelain"]), " M a.txt");
}

#[tokio::test]
async fn nothing_is_merged_over_what_the_user_has_not_committed() {
    type Change = fn(&Bed);
    let changes: [(&str, Change); 5] = [
        ("a.txt", |bed| bed.write("a.txt", "the user's change\n")),
        ("sub/b.txt", |bed| {
            bed.write("sub/b.txt", "the user's change\n");
            bed.git(&["add", "sub/b.txt"]);
        }),
        ("c.txt", |bed| bed.write("c.txt", "the user's own file\n")),
        ("conflicts with main in a.txt", |bed| {
            bed.write("a.txt", "the user's commit\n");
            bed.git(&["commit", "--quiet", "-am", "The user's"]);
        }),
        ("gone", |bed| {
            bed.git(&["checkout", "--quiet", "--detach"]);
            bed.git(&["branch", "--quiet", "-D", "main"]);
        }),
    ];
    for (named, change) in changes {
        let bed = Bed::new();
        let mut work = bed.work(1).await;
        put(&work, "a.txt", "changed\n");
        put(&work, "c.txt", "changed\n");
        work.head = bed.repository().await.accept(&work, &author(1)).await.unwrap();
        change(&bed);
        let picture = |bed: &Bed| {
            (
                bed.git(&["status", "--porcelain=v2", "--branch"]),
                bed.git(&["for-each-ref"]),
                bed.git(&["diff", "HEAD"]),
                fs::read(bed.user().join("c.txt")).ok(),
            )
        };
        let before = picture(&bed);
        let landing = bed.repository().await.land(&work, "One").await.unwrap();
        let Landing::Refused(why) = landing else { panic!("{named}: {landing:?}") };
        assert!(why.contains(named), "{named}: {why}");
        assert_eq!(picture(&bed), before, "{named}");
    }
}

#[tokio::test]
async fn an_ignored_file_of_the_user_is_not_overwritten() {
    let bed = Bed::new();
    let mut work = bed.work(1).await;
    put(&work, "x.cache", "the agent's\n");
    at(&work, &["add", "--force", "x.cache"]);
    work.head = bed.repository().await.accept(&work, &author(1)).await.unwrap();
    bed.write("x.cache", "the user's\n");
    let landing = bed.repository().await.land(&work, "One").await.unwrap();
    assert!(matches!(&landing, Landing::Refused(why) if why.contains("x.cache")), "{landing:?}");
    assert_eq!(fs::read_to_string(bed.user().join("x.cache")).unwrap(), "the user's\n");
}

#[tokio::test]
async fn only_what_is_elsewhere_too_is_removed() {
    let bed = Bed::new();
    let (merged, unmerged) = two_accepted(&bed).await;
    let dirty = bed.work(3).await;
    put(&dirty, "left.txt", "left\n");
    let away = bed.work(4).await;
    at(&away, &["commit", "--quiet", "--allow-empty", "-m", "Ahead"]);
    at(&away, &["checkout", "--quiet", "--detach"]);
    at(&away, &["commit", "--quiet", "--allow-empty", "-m", "Of no branch"]);
    let gone = bed.work(5).await;
    fs::remove_dir_all(&gone.path).unwrap();
    let repository = bed.repository().await;
    repository.land(&merged, "First").await.unwrap();
    assert_eq!(repository.remove(&merged).await.unwrap(), Removal::Done { branch: true });
    assert_eq!(repository.remove(&merged).await.unwrap(), Removal::Done { branch: true });
    assert_eq!(repository.remove(&unmerged).await.unwrap(), Removal::Done { branch: false });
    assert_eq!(repository.remove(&gone).await.unwrap(), Removal::Done { branch: true });
    for kept in [&dirty, &away] {
        let removal = repository.remove(kept).await.unwrap();
        assert!(matches!(removal, Removal::Kept(_)), "{removal:?}");
        assert!(Path::new(&kept.path).is_dir());
    }
    let branches = bed.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
    let names = ["main", "vibe-ensemble/T-2", "vibe-ensemble/T-3", "vibe-ensemble/T-4"];
    assert_eq!(branches.lines().collect::<Vec<_>>(), names);
    bed.assert_sound();
}

#[tokio::test]
async fn a_repository_inside_a_worktree_is_neither_accepted_nor_removed() {
    for (agent_commits, has_commit) in [(false, true), (true, true), (false, false)] {
        let bed = Bed::new();
        let work = bed.work(42).await;
        let repository = bed.repository().await;
        let nested = Path::new(&work.path).join("nested");
        put(&work, "nested/file.txt", "precious\n");
        git_in(&nested, &["init", "--quiet"]);
        if has_commit {
            git_in(&nested, &["add", "."]);
            git_in(&nested, &["commit", "--quiet", "-m", "Inside"]);
        }
        if agent_commits {
            at(&work, &["-c", "advice.addEmbeddedRepo=false", "add", "."]);
            at(&work, &["commit", "--quiet", "-m", "Outside"]);
        }
        let refused = repository.accept(&work, &author(1)).await.expect_err("is not accepted");
        assert!(refused.to_string().contains("nested"), "{refused}");
        if agent_commits {
            // As it was accepted by an earlier version, and is clean to git.
            let removal = repository.remove(&work).await.expect("looks");
            assert!(matches!(removal, Removal::Kept(why) if why.contains("nested")));
        }

        fs::remove_dir_all(nested.join(".git")).expect("the inner repository's");
        if agent_commits {
            // To git a link without its repository is a submodule that is not there, and nothing below it is looked at.
            at(&work, &["rm", "--quiet", "--cached", "nested"]);
        }
        let head = repository.accept(&work, &author(1)).await.expect("accepted");
        assert_eq!(bed.git(&["show", &format!("{}:nested/file.txt", head.commit)]), "precious");
        assert_eq!(repository.accept(&work, &author(1)).await.expect("again"), head);
    }
}

#[tokio::test]
async fn a_submodule_is_accepted() {
    let bed = Bed::new();
    let library = bed.dir.path().join("library");
    fs::create_dir(&library).expect("made");
    git_in(&library, &["init", "--quiet"]);
    write(&library, "lib.txt", "a library\n");
    git_in(&library, &["add", "."]);
    git_in(&library, &["commit", "--quiet", "-m", "Begin"]);
    let work = bed.work(42).await;
    let repository = bed.repository().await;
    let from = library.to_str().expect("text");
    at(
        &work,
        &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", from, "vendor/lib"],
    );
    let head = repository.accept(&work, &author(1)).await.expect("accepted");
    assert!(bed.git(&["ls-tree", &head.commit, "vendor/lib"]).starts_with("160000 commit"));
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
