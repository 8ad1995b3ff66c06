//! The user's checkout when git could not fast-forward it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::*;
use crate::git::abandoned;
use crate::git::merge::Landing;

/// A checkout with a file whose filter does what a test says, and a ticket that changes it among
/// other files.
async fn bed_with_filter() -> (Bed, Worktree) {
    let bed = Bed::new();
    let program = bed.user().with_file_name("filter");
    let how = how(&bed);
    let script = format!(
        "#!/bin/sh\ntext=$(cat)\nif [ \"$text\" = after ]; then\ncase $(cat '{}' 2>/dev/null) in\n\
         fail) exit 1;;\nkill) kill -9 $PPID;;\nesac\nfi\nprintf '%s\\n' \"$text\"\n",
        how.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    bed.git(&["config", "filter.odd.clean", "cat"]);
    bed.git(&["config", "filter.odd.smudge", program.to_str().unwrap()]);
    bed.git(&["config", "filter.odd.required", "true"]);
    bed.write(".gitattributes", "m.txt filter=odd\n");
    bed.write("gone/deep.txt", "will be gone\n");
    bed.write("m.txt", "before\n");
    bed.git(&["add", "."]);
    bed.git(&["commit", "--quiet", "-m", "More"]);
    let mut work = bed.work(42).await;
    for (name, text) in [
        ("a.txt", "changed\n"),
        ("before/new.txt", "new\n"),
        ("m.txt", "after\n"),
        ("z.txt", "never reached\n"),
    ] {
        put(&work, name, text);
    }
    fs::remove_dir_all(Path::new(&work.path).join("gone")).unwrap();
    std::os::unix::fs::symlink("a.txt", Path::new(&work.path).join("before/link")).unwrap();
    work.head = bed.repository().await.accept(&work, &author(1)).await.unwrap();
    (bed, work)
}

fn how(bed: &Bed) -> PathBuf {
    bed.user().with_file_name("how")
}

/// What differs from the commit, and the names of all files.
fn state(bed: &Bed) -> (String, String, String) {
    let files = git_in(&bed.user(), &["ls-files", "--others", "--cached", "--stage"]);
    (bed.git(&["status", "--porcelain"]), bed.git(&["diff", "HEAD"]), files)
}

#[tokio::test]
async fn a_checkout_that_git_could_not_fast_forward_is_restored() {
    let (bed, work) = bed_with_filter().await;
    bed.write("mine.txt", "the user's\n");
    let before = state(&bed);
    fs::write(how(&bed), "fail").unwrap();
    let repository = bed.repository().await;
    let error = repository.land(&work, "Work").await.unwrap_err();
    assert!(error.to_string().contains("fast-forward"), "{error}");
    assert_eq!(state(&bed), before);
    assert!(!bed.user().join("before").exists());
    fs::remove_file(how(&bed)).unwrap();
    let landed = repository.land(&work, "Work").await.unwrap();
    assert_eq!(landed, Landing::Landed(work.head.commit.clone()));
    assert_eq!(bed.git(&["status", "--porcelain"]), "?? mine.txt");
    assert!(!bed.user().join(".git/vibe-ensemble-forward").exists());
    bed.assert_sound();
}

#[tokio::test]
async fn what_a_killed_git_left_in_a_checkout_is_undone_before_the_next_try() {
    let (bed, work) = bed_with_filter().await;
    fs::write(how(&bed), "kill").unwrap();
    let repository = bed.repository().await;
    let error = repository.land(&work, "Work").await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    fs::remove_file(how(&bed)).unwrap();
    assert!(bed.user().join(".git/index.lock").exists(), "git was killed at its work");
    // A file that was truncated when the disk was full.
    fs::write(bed.user().join("a.txt"), "chan").unwrap();
    // Nobody else's lock is that old.
    std::thread::sleep(abandoned::AGE + Duration::from_secs(1));
    let landed = repository.land(&work, "Work").await.unwrap();
    assert_eq!(landed, Landing::Landed(work.head.commit.clone()));
    assert_eq!(bed.git(&["status", "--porcelain"]), "");
    assert_eq!(fs::read_to_string(bed.user().join("a.txt")).unwrap(), "changed\n");
    bed.assert_sound();
}

#[tokio::test]
async fn a_checkout_that_the_user_changed_meanwhile_is_left_to_the_user() {
    let (bed, work) = bed_with_filter().await;
    fs::write(how(&bed), "kill").unwrap();
    let repository = bed.repository().await;
    repository.land(&work, "Work").await.unwrap_err();
    fs::remove_file(how(&bed)).unwrap();
    fs::remove_file(bed.user().join(".git/index.lock")).unwrap();
    bed.write("a.txt", "the user's\n");
    let Landing::Refused(why) = repository.land(&work, "Work").await.unwrap() else {
        panic!("over the user's change");
    };
    assert!(why.reason.contains("a.txt"), "{}", why.reason);
    assert_eq!(fs::read_to_string(bed.user().join("a.txt")).unwrap(), "the user's\n");
    // From now on everything is the user's.
    bed.git(&["checkout", "--quiet", "a.txt"]);
    fs::remove_file(bed.user().join("sub/b.txt")).unwrap();
    assert!(matches!(repository.land(&work, "Work").await.unwrap(), Landing::Refused(_)));
    assert!(!bed.user().join("sub/b.txt").exists());
}

#[tokio::test]
async fn an_index_that_was_ahead_of_its_branch_is_brought_back() {
    let (bed, work) = bed_with_filter().await;
    let (from, to) = (bed.git(&["rev-parse", "main"]), work.head.commit.clone());
    // As if everything had been written except the branch.
    bed.git(&["read-tree", "-m", "-u", &to]);
    fs::write(bed.user().join(".git/vibe-ensemble-forward"), format!("{from}\n{to}\n")).unwrap();
    let landed = bed.repository().await.land(&work, "Work").await.unwrap();
    assert_eq!(landed, Landing::Landed(to));
    assert_eq!(bed.git(&["status", "--porcelain"]), "");
    bed.assert_sound();
}

#[tokio::test]
async fn a_stale_note_changes_nothing() {
    let (bed, work) = bed_with_filter().await;
    let from = bed.git(&["rev-parse", "main"]);
    for noted in [format!("{from}\n"), String::new(), format!("{}\n{from}\n", work.head.commit)] {
        fs::write(bed.user().join(".git/vibe-ensemble-forward"), noted).unwrap();
        bed.write("a.txt", "the user's\n");
        let refused = bed.repository().await.land(&work, "Work").await.unwrap();
        assert!(matches!(refused, Landing::Refused(_)), "{refused:?}");
        assert_eq!(bed.git(&["status", "--porcelain"]), " M a.txt");
    }
}
