//! The files of the repository itself.

use super::*;

#[tokio::test]
async fn non_files_that_git_reads_in_the_repository_itself_end_in_a_clear_error() {
    let places = [
        "objects/info/alternates",
        "shallow",
        "info/attributes",
        "info/grafts",
        "packed-refs",
        "config",
        "HEAD",
        "refs/heads/vibe-ensemble/T-42",
        "objects/info/commit-graph",
    ];
    for name in places {
        let bed = Bed {
            repositories: Repositories::default().with_idle(Duration::from_millis(600)),
            ..Bed::new()
        };
        let work = bed.work(42).await;
        put(&work, "left.txt", "left\n");
        let place = bed.user().join(".git").join(name);
        let was = fs::read(&place).ok();
        beneath::remove(&place).unwrap();
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        pipe(&place);
        let repository = bed.repository().await;
        // Whatever the result, it ends, and the repository is free for the next step.
        let accepted = repository.accept(&work, &author(1)).await;
        if let Err(error) = &accepted {
            assert!(!error.is_passing(), "{name}: {error}");
        }
        drop(repository);
        // A pipe that stops every ticket is gone: it holds nothing, and git would wait for it.
        if fs::metadata(&place).is_ok_and(|found| found.file_type().is_fifo()) {
            assert_eq!(name, "refs/heads/vibe-ensemble/T-42", "it stops its own ticket alone");
            fs::remove_file(&place).unwrap();
        }
        if let Some(was) = was {
            fs::write(&place, was).unwrap();
        }
        let repository = bed.repository().await;
        let head = repository.accept(&work, &author(1)).await;
        let head = head.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(bed.git(&["show", &format!("{}:left.txt", head.commit)]), "left", "{name}");
        bed.assert_sound();
    }
}

#[tokio::test]
async fn a_forged_shallow_file_hides_nothing_of_what_is_accepted() {
    let bed = Bed::new();
    let first = bed.git(&["rev-parse", "HEAD"]);
    bed.write("a.txt", "second\n");
    bed.git(&["commit", "--quiet", "-am", "Second"]);
    let second = bed.git(&["rev-parse", "HEAD"]);
    let mut work = bed.work(42).await;
    put(&work, "left.txt", "left\n");
    // As if the history before the second commit were somewhere else.
    fs::write(bed.user().join(".git/shallow"), format!("{second}\n")).unwrap();
    let repository = bed.repository().await;
    let accepted = repository.accept(&work, &author(1)).await;
    work.head = accepted.unwrap();
    assert!(repository.contains(&work.head.commit, &second).await.unwrap());
    repository.put_back(&work, Place::Used).await.unwrap();
    fs::remove_file(bed.user().join(".git/shallow")).unwrap();
    assert!(repository.contains(&work.head.commit, &first).await.unwrap());
    // A file that cannot be parsed as such.
    fs::write(bed.user().join(".git/shallow"), "nonsense\n").unwrap();
    put(&work, "left.txt", "again\n");
    let refused = repository.accept(&work, &author(2)).await.expect_err("git refuses it");
    assert!(refused.to_string().contains("shallow"), "{refused}");
    fs::remove_file(bed.user().join(".git/shallow")).unwrap();
    repository.accept(&work, &author(2)).await.unwrap();
    bed.assert_sound();
}
