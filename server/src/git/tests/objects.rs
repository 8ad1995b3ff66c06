//! What an agent can do to the objects of a repository: have others shown in their place, or store
//! them elsewhere.

use super::*;

/// Commits in a worktree like an agent that keeps its objects in a directory of its own and makes
/// the repository borrow them from there.
fn commit_elsewhere(bed: &Bed, work: &Worktree) -> PathBuf {
    let elsewhere = bed.user().with_file_name("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let own = bed.user().join(".git/objects");
    for arguments in [&["add", "."][..], &["commit", "--quiet", "-m", "Elsewhere"]] {
        let output = Command::new("git")
            .args(["-c", "user.name=Agent", "-c", "user.email=agent@localhost"])
            .args(arguments)
            .current_dir(&work.path)
            .env("GIT_OBJECT_DIRECTORY", &elsewhere)
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &own)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    fs::write(own.join("info/alternates"), format!("{}\n", elsewhere.display())).unwrap();
    elsewhere
}

#[tokio::test]
async fn accepted_work_lies_in_the_repository_itself() {
    let bed = Bed::new();
    let mut work = bed.work(42).await;
    put(&work, "a.txt", "borrowed\n");
    put(&work, "new/c.txt", "borrowed as well\n");
    let elsewhere = commit_elsewhere(&bed, &work);
    let repository = bed.repository().await;
    work.head = repository.accept(&work, &author(1)).await.unwrap();
    let again = repository.accept(&work, &author(1)).await.unwrap();
    assert_eq!(again.commit, work.head.commit, "accepted twice, it is the same");

    fs::remove_dir_all(&elsewhere).unwrap();
    fs::remove_file(bed.user().join(".git/objects/info/alternates")).unwrap();
    let shown = bed.git(&["show", &format!("{}:new/c.txt", work.branch)]);
    assert_eq!(shown, "borrowed as well");
    assert!(!bed.user().join(".git/vibe-ensemble.bundle").exists());
    bed.assert_sound();
}

#[tokio::test]
async fn work_with_missing_objects_is_not_accepted() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    put(&work, "a.txt", "borrowed\n");
    let elsewhere = commit_elsewhere(&bed, &work);
    fs::remove_dir_all(&elsewhere).unwrap();
    let refused = bed.repository().await.accept(&work, &author(1)).await;
    assert!(refused.is_err(), "{refused:?}");
    let tip = bed.git(&["rev-parse", "main"]);
    assert_eq!(tip, work.base_commit, "the user's branch is as it was");
}

#[tokio::test]
async fn the_server_sees_commits_as_everyone_who_clones_sees_them() {
    let bed = Bed::new();
    let first = bed.git(&["rev-parse", "HEAD"]);
    bed.write("a.txt", "second\n");
    bed.git(&["commit", "--quiet", "-am", "Second"]);
    let second = bed.git(&["rev-parse", "HEAD"]);
    let tree = bed.git(&["rev-parse", "HEAD^{tree}"]);
    // Other contents in the place of the second commit, and no parent.
    bed.git(&["replace", &second, &first]);
    fs::write(bed.user().join(".git/info/grafts"), format!("{second}\n")).unwrap();
    let repository = bed.repository().await;
    assert_eq!(repository.tree_of(&second).await.unwrap(), tree);
    assert!(repository.contains(&second, &first).await.unwrap());
    bed.git(&["replace", "-d", &second]);
    assert!(repository.contains(&second, &first).await.unwrap(), "by the graft, it is not");
}
