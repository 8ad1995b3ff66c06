//! Repositories, worktrees and submodules inside a worktree, and what may be removed.

use std::fs;
use std::path::Path;

use super::*;
use crate::git::removal::Removal;

#[tokio::test]
async fn only_work_that_also_exists_elsewhere_is_removed() {
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
    assert_eq!(repository.remove(&merged, None).await.unwrap(), Removal::Done { branch: true });
    assert_eq!(repository.remove(&merged, None).await.unwrap(), Removal::Done { branch: true });
    assert_eq!(repository.remove(&unmerged, None).await.unwrap(), Removal::Done { branch: false });
    assert_eq!(repository.remove(&gone, None).await.unwrap(), Removal::Done { branch: true });
    for kept in [&dirty, &away] {
        let removal = repository.remove(kept, None).await.unwrap();
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
            // As an earlier version accepted it: to git it is clean.
            let removal = repository.remove(&work, None).await.expect("looks");
            assert!(matches!(removal, Removal::Kept(why) if why.contains("nested")));
        }

        fs::remove_dir_all(nested.join(".git")).expect("the inner repository's");
        if agent_commits {
            // To git, a link without its repository is a submodule that is absent, and it looks at
            // nothing below it.
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

/// A library that is a submodule of the worktree and has been fetched there.
fn with_submodule(bed: &Bed, work: &Worktree) -> PathBuf {
    let library = bed.user().with_file_name("library");
    fs::create_dir(&library).unwrap();
    git_in(&library, &["init", "--quiet", "--initial-branch=main"]);
    write(&library, "lib.txt", "a library\n");
    git_in(&library, &["add", "."]);
    git_in(&library, &["commit", "--quiet", "-m", "Begin"]);
    git_in(&library, &["checkout", "--quiet", "--detach"]);
    let from = library.to_str().unwrap();
    at(
        work,
        &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", from, "vendor/lib"],
    );
    Path::new(&work.path).join("vendor/lib")
}

#[tokio::test]
async fn work_that_exists_only_in_the_worktrees_submodule_is_not_accepted() {
    let bed = Bed::new();
    let mut work = bed.work(42).await;
    let inside = with_submodule(&bed, &work);
    let repository = bed.repository().await;
    work.head = repository.accept(&work, &author(1)).await.expect("it is elsewhere too");
    for edit in [
        |inside: &Path| write(inside, "lib.txt", "edited\n"),
        |inside: &Path| {
            git_in(inside, &["checkout", "--quiet", "lib.txt"]);
            write(inside, "new.txt", "new\n");
        },
    ] {
        edit(&inside);
        let refused = repository.accept(&work, &author(2)).await.expect_err("edited").to_string();
        assert!(refused.contains("vendor/lib") && refused.contains("not committed"), "{refused}");
    }
    git_in(&inside, &["add", "."]);
    git_in(&inside, &["commit", "--quiet", "-m", "Only here"]);
    for agent_commits in [false, true] {
        if agent_commits {
            at(&work, &["commit", "--quiet", "-am", "Take the library's newest"]);
        }
        let refused = repository.accept(&work, &author(2)).await.expect_err("a commit").to_string();
        assert!(refused.contains("vendor/lib") && refused.contains("push"), "{refused}");
    }
    git_in(&inside, &["push", "--quiet", "origin", "HEAD:main"]);
    let head = repository.accept(&work, &author(2)).await.expect("pushed");
    let library = bed.user().with_file_name("library");
    let newest = git_in(&library, &["rev-parse", "main"]);
    assert!(bed.git(&["ls-tree", &head.commit, "vendor/lib"]).contains(&newest));
}

#[tokio::test]
async fn an_inner_worktree_is_left_out_and_removed_when_it_holds_nothing_of_its_own() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    let inside = Path::new(&work.path).join(".claude/worktrees/agent-1");
    let add = |name: &str| {
        at(&work, &["worktree", "add", "--quiet", "-b", name, ".claude/worktrees/agent-1"]);
        at(
            &work,
            &[
                "worktree",
                "lock",
                "--reason",
                "claude agent agent-1 (pid 1)",
                ".claude/worktrees/agent-1",
            ],
        );
    };
    add("agent-1");
    write(&inside, "a.txt", "the subagent's\n");
    put(&work, "new.txt", "new\n");
    let repository = bed.repository().await;
    let refused =
        repository.accept(&work, &author(1)).await.expect_err("not committed").to_string();
    for part in [".claude/worktrees/agent-1", "worktree of this repository", "not committed"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert!(!refused.contains(".git directory"), "{refused}");
    git_in(&inside, &["commit", "--quiet", "-am", "The subagent's"]);
    let head = repository.accept(&work, &author(1)).await.expect("on a branch");
    assert_eq!(
        bed.git(&["ls-tree", "-r", "--name-only", &head.commit]),
        ".gitignore\na.txt\nnew.txt\nsub/b.txt"
    );
    assert_eq!(bed.git(&["show", "agent-1:a.txt"]), "the subagent's");
    assert!(!inside.exists());
    assert_eq!(repository.accept(&work, &author(1)).await.expect("again"), head);

    add("agent-2");
    write(&inside, "b.txt", "not committed\n");
    let kept = repository.put_aside(&work, &author(2)).await.unwrap().expect("kept");
    repository.put_back(&work, Place::Used).await.unwrap();
    assert!(!inside.exists());
    let refs = bed.git(&["for-each-ref", "--format=%(refname)", "refs/vibe-ensemble/attempts"]);
    let holds =
        refs.lines().any(|name| bed.git(&["ls-tree", "--name-only", name]).contains("b.txt"));
    assert!(holds, "{kept}: {refs}");
    bed.assert_sound();
}
