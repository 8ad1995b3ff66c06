//! Merges, rebases and similar operations that an agent or the user has not finished.

use super::*;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::git::GitError;
use crate::git::merge::Landing;

/// A branch `other` whose change conflicts with the ticket's change.
fn rivals(work: &Worktree) {
    at(work, &["branch", "other"]);
    put(work, "a.txt", "ours\n");
    at(work, &["commit", "--quiet", "-am", "Ours"]);
    at(work, &["checkout", "--quiet", "other"]);
    put(work, "a.txt", "theirs\n");
    at(work, &["commit", "--quiet", "-am", "Theirs"]);
    at(work, &["checkout", "--quiet", "vibe-ensemble/T-42"]);
}

/// Runs git where it stops in a conflict.
fn stops(place: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=User", "-c", "user.email=user@localhost"];
    let run = Command::new("git").args(identity).args(arguments).current_dir(place).output();
    assert!(!run.unwrap().status.success(), "git {arguments:?} went through");
}

fn at_stops(work: &Worktree, arguments: &[&str]) {
    stops(Path::new(&work.path), arguments);
}

#[tokio::test]
async fn an_unfinished_operation_is_not_accepted_and_is_named() {
    type Begin = fn(&Worktree);
    let begun: [(&str, &str, Begin); 7] = [
        ("git merge", "a.txt", |work| at_stops(work, &["merge", "other"])),
        ("git rebase", "", |work| at_stops(work, &["rebase", "other"])),
        ("git rebase", "", |work| at_stops(work, &["rebase", "--apply", "other"])),
        ("git cherry-pick", "a.txt", |work| at_stops(work, &["cherry-pick", "other"])),
        ("git cherry-pick or git revert", "", |work| {
            at(work, &["checkout", "--quiet", "other"]);
            at(work, &["commit", "--quiet", "--allow-empty", "-m", "More"]);
            at(work, &["checkout", "--quiet", "vibe-ensemble/T-42"]);
            at_stops(work, &["cherry-pick", "other~1", "other"]);
        }),
        ("git bisect", "", |work| {
            at(work, &["bisect", "start"]);
        }),
        ("git merge", "a.txt", |work| at_stops(work, &["stash", "apply", "--quiet", "stash@{0}"])),
    ];
    for (what, file, begin) in begun {
        let bed = Bed::new();
        let work = bed.work(42).await;
        rivals(&work);
        put(&work, "a.txt", "stashed\n");
        at(&work, &["stash", "--quiet"]);
        put(&work, "a.txt", "ours again\n");
        at(&work, &["commit", "--quiet", "-am", "Ours again"]);
        begin(&work);
        let before = at(&work, &["for-each-ref"]);
        let repository = bed.repository().await;
        let refused = repository.accept(&work, &author(1)).await.expect_err(what);
        let said = refused.to_string();
        assert!(matches!(refused, GitError::Unfinished { .. }), "{said}");
        assert!(said.contains(what) && said.contains(file), "{what}: {said}");
        assert_eq!(at(&work, &["for-each-ref"]), before, "{what}: something was moved");
        // The repeated attempt begins without any of it.
        repository.put_aside(&work, &author(1)).await.unwrap().expect("kept");
        repository.put_back(&work, Place::Used).await.unwrap();
        assert_eq!(at(&work, &["status", "--porcelain"]), "");
        assert_eq!(repository.accept(&work, &author(2)).await.unwrap().commit, work.head.commit);
    }
}

#[tokio::test]
async fn a_merge_that_was_resolved_is_a_merge() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    rivals(&work);
    at_stops(&work, &["merge", "other"]);
    put(&work, "a.txt", "both\n");
    at(&work, &["add", "a.txt"]);
    let (ours, theirs) = (at(&work, &["rev-parse", "HEAD"]), at(&work, &["rev-parse", "other"]));
    let repository = bed.repository().await;
    let head = repository.accept(&work, &author(1)).await.unwrap();
    assert_eq!(bed.git(&["rev-parse", &format!("{}^@", head.commit)]), format!("{ours}\n{theirs}"));
    assert_eq!(bed.git(&["show", &format!("{}:a.txt", head.commit)]), "both");
    assert_eq!(repository.accept(&work, &author(1)).await.unwrap(), head);
    assert_eq!(at(&work, &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn a_resolved_merge_that_changes_no_file_is_a_merge_too() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    rivals(&work);
    at(&work, &["merge", "--quiet", "--no-commit", "--strategy=ours", "other"]);
    let head = bed.repository().await.accept(&work, &author(1)).await.unwrap();
    assert_eq!(bed.git(&["rev-list", "--count", "--merges", &head.commit]), "1");
}

/// The ticket's accepted work, which changes the base branch on which the user is working.
async fn accepted(bed: &Bed) -> Worktree {
    let mut work = bed.work(1).await;
    put(&work, "new.txt", "new\n");
    work.head = bed.repository().await.accept(&work, &author(1)).await.unwrap();
    work
}

#[tokio::test]
async fn a_base_with_an_operation_of_the_user_in_progress_is_not_moved() {
    type Begin = fn(&Bed) -> PathBuf;
    let begun: [(&str, Begin); 6] = [
        ("git rebase", |bed| {
            stops(&bed.user(), &["rebase", "side"]);
            bed.user()
        }),
        ("git rebase", |bed| {
            stops(&bed.user(), &["rebase", "--apply", "side"]);
            bed.user()
        }),
        ("git bisect", |bed| {
            bed.git(&["bisect", "start", "HEAD", "HEAD~1"]);
            bed.user()
        }),
        ("git rebase", |bed| {
            let linked = bed.user().with_file_name("linked");
            bed.git(&["checkout", "--quiet", "--detach"]);
            bed.git(&["worktree", "add", "--quiet", linked.to_str().unwrap(), "main"]);
            stops(&linked, &["rebase", "side"]);
            linked
        }),
        ("git merge", |bed| {
            bed.git(&["merge", "--quiet", "--no-commit", "--strategy=ours", "side"]);
            bed.user()
        }),
        ("git rebase", |bed| {
            bed.git(&["checkout", "--quiet", "-b", "stacked"]);
            bed.write("a.txt", "stacked\n");
            bed.git(&["commit", "--quiet", "-am", "Stacked"]);
            stops(&bed.user(), &["rebase", "--update-refs", "side"]);
            bed.user()
        }),
    ];
    for (what, begin) in begun {
        let bed = Bed::new();
        bed.git(&["checkout", "--quiet", "-b", "side"]);
        bed.write("a.txt", "side\n");
        bed.git(&["commit", "--quiet", "-am", "Side"]);
        bed.git(&["checkout", "--quiet", "main"]);
        bed.write("a.txt", "main\n");
        bed.git(&["commit", "--quiet", "-am", "Main"]);
        let work = accepted(&bed).await;
        let place = begin(&bed);
        let before = bed.git(&["rev-parse", "main"]);
        let landing = bed.repository().await.land(&work, "One").await.unwrap();
        let Landing::Refused(Hold { kind, reason: why }) = landing else {
            panic!("{what}: {landing:?}")
        };
        let place = place.display().to_string();
        assert_eq!(kind, HoldKind::Checkout, "{why}");
        assert!(why.contains(what) && why.contains(&place) && why.contains("main"), "{why}");
        assert_eq!(bed.git(&["rev-parse", "main"]), before, "{what}");
    }
}

#[tokio::test]
async fn a_lock_of_the_users_index_is_waited_for() {
    let bed = Bed::new();
    let work = accepted(&bed).await;
    let lock = bed.user().join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    let repository = bed.repository().await;
    let error = repository.land(&work, "One").await.expect_err("is locked");
    assert!(!error.is_lasting() && error.to_string().contains("index.lock"), "{error}");
    fs::remove_file(lock).unwrap();
    let landed = repository.land(&work, "One").await.unwrap();
    assert_eq!(landed, Landing::Landed(work.head.commit.clone()));
}
