//! Combining results, and merging branches into their base.

use std::fs;

use super::*;
use crate::git::merge::Landing;

#[tokio::test]
async fn results_are_merged_together_or_the_conflicting_files_are_named() {
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

#[tokio::test]
async fn a_clean_checkout_of_the_base_is_fast_forwarded_with_its_files() {
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

/// Why a ticket's work is not merged: what the server finds beforehand, or git's answer, after
/// which the merge is retried.
async fn why_not(bed: &Bed, work: &Worktree) -> String {
    match bed.repository().await.land(work, "One").await {
        Ok(Landing::Refused(why)) => why.reason,
        Err(error) => error.to_string(),
        Ok(landed @ (Landing::Landed(_) | Landing::Moved)) => panic!("{landed:?}"),
    }
}

#[tokio::test]
async fn nothing_is_merged_over_uncommitted_changes_of_the_user() {
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
        let why = why_not(&bed, &work).await;
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
    let why = why_not(&bed, &work).await;
    assert!(why.contains("x.cache"), "{why}");
    assert_eq!(fs::read_to_string(bed.user().join("x.cache")).unwrap(), "the user's\n");
}
