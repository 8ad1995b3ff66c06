//! Configurations and repositories that change what git does.

use super::*;
use crate::git::merge::Landing;

/// Settings that a user may have, and that must not change what our git does.
const SETTINGS: [(&str, &str); 30] = [
    ("submodule.recurse", "true"),
    ("core.ignoreStat", "true"),
    ("core.safecrlf", "true"),
    ("core.preferSymlinkRefs", "true"),
    ("core.splitIndex", "true"),
    ("core.untrackedCache", "true"),
    ("core.fsmonitor", "/bin/false"),
    ("core.hooksPath", "/nonexistent"),
    ("add.ignoreErrors", "true"),
    ("branch.main.mergeOptions", "--squash --no-commit"),
    ("branch.autoSetupMerge", "always"),
    ("checkout.workers", "4"),
    ("clean.requireForce", "true"),
    ("color.ui", "always"),
    ("column.ui", "always"),
    ("commit.gpgSign", "true"),
    ("gpg.program", "/bin/false"),
    ("diff.external", "/bin/false"),
    ("diff.relative", "true"),
    ("diff.noPrefix", "true"),
    ("diff.ignoreSubmodules", "all"),
    ("i18n.commitEncoding", "ISO-8859-1"),
    ("index.sparse", "true"),
    ("feature.manyFiles", "true"),
    ("merge.ff", "false"),
    ("merge.autoStash", "true"),
    ("merge.verifySignatures", "true"),
    ("status.showUntrackedFiles", "no"),
    ("status.renames", "copies"),
    ("status.showStash", "true"),
];

#[tokio::test]
async fn a_users_settings_change_nothing_about_what_is_accepted_and_merged() {
    let bed = Bed::new();
    let library = bed.user().with_file_name("library");
    fs::create_dir(&library).unwrap();
    git_in(&library, &["init", "--quiet"]);
    git_in(&library, &["commit", "--quiet", "--allow-empty", "-m", "Begin"]);
    let allow = ["-c", "protocol.file.allow=always"];
    let from = library.to_str().unwrap();
    bed.git(&[&allow[..], &["submodule", "--quiet", "add", from, "vendor/lib"]].concat());
    bed.git(&["commit", "--quiet", "-m", "Add a library"]);
    for (key, value) in SETTINGS {
        bed.git(&["config", key, value]);
    }
    let begin = bed.git(&["rev-parse", "main"]);
    let mut work = bed.work(42).await;
    fs::write(Path::new(&work.path).join("a.txt"), "changed\r\n").unwrap();
    put(&work, "sub/b.txt", "2wo\n");
    put(&work, "new.txt", "new\n");
    let repository = bed.repository().await;
    let head = repository.accept(&work, &author(1)).await.unwrap();
    assert_eq!(head.stat, DiffStat { files_changed: 3, insertions: 3, deletions: 2 });
    work.head = head.clone();
    let landed = repository.land(&work, "Größe").await.unwrap();
    assert_eq!(landed, Landing::Landed(head.commit.clone()));
    assert_eq!(bed.git(&["rev-parse", "main"]), head.commit);
    assert_eq!(fs::read_to_string(bed.user().join("new.txt")).unwrap(), "new\n");
    put(&work, "more.txt", "more\n");
    let kept = repository.put_aside(&work, &author(2)).await.unwrap().expect("kept");
    repository.put_back(&work, Place::Used).await.unwrap();
    assert_eq!(bed.git(&["show", &format!("{kept}:more.txt")]), "more");
    assert_eq!(read(&work, "more.txt"), "");
    assert_eq!(bed.git(&["rev-parse", "main~1"]), begin);
    let list = bed.git(&["cat-file", "commit", &head.commit]);
    assert!(!list.contains("encoding") && !list.contains("gpgsig"), "{list}");
}

#[tokio::test]
async fn an_agent_never_works_on_the_users_checkout() {
    let bed = Bed::new();
    let user = bed.user().display().to_string();
    bed.git(&["config", "extensions.worktreeConfig", "true"]);
    bed.git(&["config", "core.worktree", &user]);
    let work = bed.work(42).await;
    assert_eq!(at(&work, &["rev-parse", "--show-toplevel"]), work.path);
    at(&work, &["rm", "--quiet", "a.txt"]);
    assert!(bed.user().join("a.txt").exists(), "the user's file is gone");
    let head = bed.repository().await.accept(&work, &author(1)).await.unwrap();
    assert_eq!(bed.git(&["ls-tree", "--name-only", &head.commit]), ".gitignore\nsub");
}

#[tokio::test]
async fn a_checkout_of_a_repository_that_claims_to_be_bare_is_fast_forwarded() {
    for more in [false, true] {
        let bed = Bed::new();
        let mut work = bed.work(1).await;
        put(&work, "new.txt", "new\n");
        work.head = bed.repository().await.accept(&work, &author(1)).await.unwrap();
        bed.git(&["config", "core.bare", "true"]);
        if more {
            bed.git(&["config", "extensions.worktreeConfig", "true"]);
        }
        let repository = bed.repository().await;
        let landed = repository.land(&work, "One").await.unwrap();
        assert_eq!(landed, Landing::Landed(work.head.commit.clone()));
        repository.put_back(&work, Place::Used).await.unwrap();
        assert_eq!(at(&work, &["rev-parse", "--show-toplevel"]), work.path);
        bed.git(&["config", "core.bare", "false"]);
        assert_eq!(bed.git(&["status", "--porcelain"]), "");
        assert_eq!(fs::read_to_string(bed.user().join("new.txt")).unwrap(), "new\n");
    }
}

#[tokio::test]
async fn a_ticket_works_in_a_submodule_as_in_any_other_project() {
    let bed = Bed::new();
    let around = bed.user().with_file_name("around");
    fs::create_dir(&around).unwrap();
    git_in(&around, &["init", "--quiet"]);
    let from = bed.user().display().to_string();
    git_in(
        &around,
        &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &from, "in"],
    );
    git_in(&around, &["commit", "--quiet", "-m", "Begin"]);
    let inside = around.join("in");
    let common = PathBuf::from(git_in(
        &inside,
        &["rev-parse", "--path-format=absolute", "--git-common-dir"],
    ));
    for extension in [false, true] {
        if extension {
            git_in(&inside, &["config", "extensions.worktreeConfig", "true"]);
        }
        let key = i64::from(extension) + 1;
        let mut work = work_of(&bed, &inside, key).await;
        let name = format!("new-{key}.txt");
        put(&work, &name, "new\n");
        at(&work, &["add", "."]);
        let repository = bed.repositories.open(&common).await.unwrap();
        work.head = repository.accept(&work, &author(key)).await.unwrap();
        let landed = repository.land(&work, "One").await.unwrap();
        assert!(matches!(landed, Landing::Landed(_)), "{landed:?}");
        assert_eq!(fs::read_to_string(inside.join(&name)).unwrap(), "new\n");
        assert_eq!(git_in(&inside, &["status", "--porcelain"]), "");
    }
}

#[tokio::test]
async fn files_without_an_administration_are_kept_as_the_work() {
    for accept in [true, false] {
        let bed = Bed::new();
        let work = bed.work(42).await;
        put(&work, "a.txt", "committed\n");
        at(&work, &["commit", "--quiet", "-am", "The agent's own"]);
        put(&work, "left.txt", "left\n");
        fs::remove_file(Path::new(&work.path).join("sub/b.txt")).unwrap();
        fs::remove_file(Path::new(&work.path).join(".git")).unwrap();
        bed.git(&["worktree", "prune", "--expire=now"]);
        let repository = bed.repository().await;
        let commit = if accept {
            let head = repository.accept(&work, &author(1)).await.unwrap();
            assert_eq!(repository.accept(&work, &author(1)).await.unwrap(), head);
            assert_eq!(head.stat.files_changed, 3);
            head.commit
        } else {
            let kept = repository.put_aside(&work, &author(1)).await.unwrap().expect("kept");
            repository.put_back(&work, Place::Used).await.unwrap();
            assert_eq!(read(&work, "left.txt"), "");
            kept
        };
        assert_eq!(
            bed.git(&["ls-tree", "-r", "--name-only", &commit]),
            ".gitignore\na.txt\nleft.txt"
        );
        assert_eq!(bed.git(&["show", &format!("{commit}:a.txt")]), "committed");
        assert_eq!(at(&work, &["status", "--porcelain"]), "");
        bed.assert_sound();
    }
}

#[tokio::test]
async fn files_are_merged_as_their_attributes_say() {
    let bed = Bed::new();
    bed.git(&["config", "merge.longer.driver", "cat %A %B > %A.new && mv %A.new %A"]);
    bed.write(".gitattributes", "log.txt merge=union\nsum.txt merge=longer\n");
    for file in ["log.txt", "sum.txt"] {
        bed.write(file, "begin\n");
    }
    bed.git(&["add", "."]);
    bed.git(&["commit", "--quiet", "-m", "Attributes"]);
    let mut works = Vec::new();
    for (key, text) in [(1, "one"), (2, "two")] {
        let mut work = bed.work(key).await;
        for file in ["log.txt", "sum.txt"] {
            put(&work, file, &format!("begin\n{text}\n"));
        }
        work.head = bed.repository().await.accept(&work, &author(key)).await.unwrap();
        works.push(work);
    }
    let repository = bed.repository().await;
    for work in &works {
        let landed = repository.land(work, "One").await.unwrap();
        assert!(matches!(landed, Landing::Landed(_)), "{landed:?}");
    }
    assert_eq!(fs::read_to_string(bed.user().join("log.txt")).unwrap(), "begin\none\ntwo\n");
    assert_eq!(fs::read_to_string(bed.user().join("sum.txt")).unwrap(), "begin\none\nbegin\ntwo\n");
    let results: Vec<_> =
        works.iter().map(|work| (work.branch.clone(), work.head.commit.clone())).collect();
    let base = works[0].base_commit.clone();
    assert!(repository.together(&base, &results).await.unwrap().is_ok());
}
