//! What is known about refs without asking git, compared with what git says.

use std::fs;
use std::process::Command;

use super::Bed;

#[tokio::test]
async fn a_ref_is_said_not_to_exist_only_where_git_says_so() {
    let bed = Bed::new();
    bed.git(&["branch", "loose"]);
    bed.git(&["branch", "above/below"]);
    bed.git(&["branch", "packed/below"]);
    bed.git(&["pack-refs", "--all"]);
    bed.git(&["branch", "late"]);
    bed.git(&["branch", "late-above/below"]);
    let broken = bed.user().join(".git/refs/heads/broken");
    fs::write(&broken, "nonsense\n").unwrap();
    std::os::unix::fs::symlink("nowhere", broken.with_file_name("dangling")).unwrap();
    let repository = bed.repository().await;
    for (name, absent, free) in [
        ("refs/heads/loose", false, false),
        ("refs/heads/late", false, false),
        ("refs/heads/above/below", false, false),
        ("refs/heads/above", true, false),
        ("refs/heads/packed", true, false),
        ("refs/heads/late-above", true, false),
        ("refs/heads/lat", true, true),
        ("refs/heads/none/at/all", true, true),
        ("refs/heads/late/below", false, false),
        ("refs/heads/broken", false, false),
        ("refs/heads/dangling", false, false),
        ("HEAD", false, false),
        ("main", false, false),
    ] {
        assert_eq!(repository.has_no_ref(name), absent, "{name}");
        assert_eq!(repository.has_no_ref_at_or_below(name), free, "{name}");
        let asked = ["show-ref", "--verify", "--quiet", name];
        let asked = Command::new("git").args(asked).current_dir(bed.user()).status().unwrap();
        assert!(!(absent && asked.success()), "{name}");
    }
}

#[tokio::test]
async fn of_a_repository_that_keeps_refs_in_another_way_nothing_is_said() {
    let bed = Bed::new();
    fs::create_dir(bed.user().join(".git/reftable")).unwrap();
    let repository = bed.repository().await;
    assert!(!repository.has_no_ref("refs/heads/none"));
    assert!(!repository.has_no_ref_at_or_below("refs/heads/none"));
}
