//! Ignored files of the checkout, copied into a worktree.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;

use super::*;
use crate::git::Carried;
use crate::git::FileAt;
use crate::git::is_as_committed;

async fn carry(bed: &Bed, work: &Worktree, patterns: &[&str]) -> Carried {
    let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    let carried = bed.repository().await.carry(work, &bed.user(), &patterns).await;
    carried.expect("git runs").expect("not too much")
}

fn ignoring(lines: &str) -> Bed {
    let bed = Bed::new();
    bed.write(".gitignore", lines);
    bed.git(&["commit", "--quiet", "-am", "Ignore"]);
    bed
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

#[tokio::test]
async fn ignored_files_that_match_are_copied_with_their_modes() {
    let bed = ignoring(".env\nconfig/*.local.toml\nnode_modules/\nkeys/\n");
    for (name, text) in [
        (".env", "TOKEN=1"),
        ("sub/.env", "TOKEN=2"),
        ("config/dev.local.toml", "dev"),
        ("config/deep/dev.local.toml", "is not ignored, so it is the user's own work"),
        ("node_modules/.env", "not searched for a bare name"),
        ("node_modules/left-pad/index.js", "x"),
        ("keys/a/b/id", "key"),
        ("keys/.git/config", "a repository"),
    ] {
        bed.write(name, text);
    }
    let env = bed.user().join(".env");
    fs::set_permissions(&env, fs::Permissions::from_mode(0o4640)).unwrap();
    let work = bed.work(1).await;
    let carried = carry(&bed, &work, &[".env", "config/*.local.toml"]).await;
    assert_eq!((carried.files, carried.left), (3, vec![]));
    assert_eq!(read(&work, ".env"), "TOKEN=1");
    assert_eq!(read(&work, "sub/.env"), "TOKEN=2");
    assert_eq!(read(&work, "config/dev.local.toml"), "dev");
    assert_eq!(
        mode(&Path::new(&work.path).join(".env")),
        0o640,
        "but nothing that makes it run as its owner"
    );
    for other in ["config/deep/dev.local.toml", "node_modules/.env", "keys/a/b/id"] {
        assert_eq!(read(&work, other), "", "{other}");
    }
    // A second time there is nothing to do, and what is there stays.
    put(&work, ".env", "TOKEN=changed");
    assert_eq!(carry(&bed, &work, &[".env"]).await, Carried::default());
    assert_eq!(read(&work, ".env"), "TOKEN=changed");
    // A directory that is ignored as a whole, but without a repository inside it.
    assert_eq!(carry(&bed, &work, &["keys/", "node_modules/*/index.js"]).await.files, 1);
    assert_eq!(read(&work, "node_modules/left-pad/index.js"), "x");
    assert!(!Path::new(&work.path).join("keys").exists(), "a repository is no file");
    let head = bed.repository().await.accept(&work, &author(1)).await.unwrap();
    assert_eq!(head.commit, work.base_commit, "none of them is committed");
    assert!(
        !fs::read_dir(bed.user().with_file_name("state"))
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().contains("copying") })
    );
}

#[tokio::test]
async fn the_checkouts_worktreeinclude_counts_as_well() {
    let bed = ignoring("*.local\n");
    bed.write("a.local", "a");
    bed.write("b.local", "b");
    bed.write(".worktreeinclude", "# what agents need\n\n*.local\n!b.local\n");
    let work = bed.work(1).await;
    assert_eq!(carry(&bed, &work, &[]).await.files, 1);
    assert_eq!((read(&work, "a.local"), read(&work, "b.local")), ("a".into(), String::new()));
}

#[tokio::test]
async fn nothing_is_copied_through_a_link_that_leaves_the_checkout() {
    let bed = ignoring(".env\nout\ninside\nshared/\n");
    let outside = bed.user().with_file_name("outside");
    fs::create_dir(&outside).unwrap();
    write(&outside, "secret", "outside");
    write(&outside, "shared/key", "outside");
    bed.write("shared/.env", "inside");
    symlink("../outside/secret", bed.user().join(".env")).unwrap();
    symlink(&outside, bed.user().join("out")).unwrap();
    symlink("shared/.env", bed.user().join("inside")).unwrap();
    symlink("../../outside/shared", bed.user().join("shared/linked")).unwrap();
    let work = bed.work(1).await;
    let carried = carry(&bed, &work, &[".env", "/out", "/inside", "shared/"]).await;
    let top = Path::new(&work.path);
    assert!(top.join(".env").symlink_metadata().is_err());
    assert!(top.join("out").symlink_metadata().is_err());
    assert!(top.join("shared/linked").symlink_metadata().is_err());
    assert_eq!(read(&work, "inside"), "inside", "a link that stays inside is followed");
    assert_eq!(read(&work, "shared/.env"), "inside");
    let left: Vec<&str> = carried.left.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(left, [".env", "out", "shared/linked"]);
}

#[tokio::test]
async fn nothing_is_written_through_a_link_in_the_worktree_and_nothing_is_replaced() {
    let bed = ignoring("cache/\n.env\n");
    bed.write("cache/a", "a");
    bed.write(".env", "secret");
    let work = bed.work(1).await;
    let victim = bed.user().with_file_name("victim");
    fs::create_dir(&victim).unwrap();
    symlink(&victim, Path::new(&work.path).join("cache")).unwrap();
    symlink(victim.join("new"), Path::new(&work.path).join(".env")).unwrap();
    let carried = carry(&bed, &work, &["cache/", ".env"]).await;
    assert_eq!(carried.files, 0);
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
}

#[tokio::test]
async fn what_the_base_commit_does_not_ignore_is_not_left_in_the_worktree() {
    let bed = Bed::new();
    let work = bed.work(1).await;
    bed.write(".gitignore", "*.cache\n.env\n");
    bed.write(".env", "the user has not committed the .gitignore yet");
    bed.write("a.cache", "a");
    let carried = carry(&bed, &work, &[".env", "*.cache"]).await;
    assert_eq!(carried.files, 1);
    assert_eq!(carried.left.len(), 1);
    assert!(!Path::new(&work.path).join(".env").exists());
    assert_eq!(read(&work, "a.cache"), "a");
}

#[tokio::test]
async fn tracked_files_pipes_and_files_of_others_are_no_files_to_copy() {
    let bed = Bed::new();
    bed.write("kept.cache", "tracked");
    bed.git(&["add", "--force", "kept.cache"]);
    bed.git(&["commit", "--quiet", "-m", "Track"]);
    bed.write("kept.cache", "changed by the user");
    nix::unistd::mkfifo(&bed.user().join("pipe.cache"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let work = bed.work(1).await;
    assert_eq!(carry(&bed, &work, &["*.cache"]).await.files, 0);
    assert_eq!(read(&work, "kept.cache"), "tracked");
}

#[tokio::test]
async fn a_project_below_the_top_gets_its_files_there() {
    let bed = ignoring(".env\n");
    bed.write("sub/.env", "below");
    bed.write(".env", "above");
    let work = work_of(&bed, &bed.user().join("sub"), 1).await;
    let patterns = [".env".to_owned()];
    let carried = bed.repository().await.carry(&work, &bed.user().join("sub"), &patterns).await;
    assert_eq!(carried.unwrap().unwrap().files, 1);
    assert_eq!((read(&work, "sub/.env"), read(&work, ".env")), ("below".into(), String::new()));
}

#[tokio::test]
async fn too_many_files_are_refused_before_any_is_copied() {
    let bed = ignoring("cache/\n");
    for number in 0..=20_000 {
        bed.write(&format!("cache/{}/{number}", number % 100), "");
    }
    let work = bed.work(1).await;
    let patterns = ["cache/".to_owned()];
    let carried = bed.repository().await.carry(&work, &bed.user(), &patterns).await.unwrap();
    assert_eq!(carried.unwrap_err().to_string(), "there are more than 20000 files");
    assert!(!Path::new(&work.path).join("cache").exists());
}

#[tokio::test]
async fn a_file_is_read_as_its_commit_has_it() {
    let bed = Bed::new();
    let head = bed.git(&["rev-parse", "HEAD"]);
    bed.write("sub/b.txt", "changed");
    let repository = bed.repository().await;
    let at = |path: &'static str, most| repository.file_at(&head, path, most);
    assert_eq!(at("sub/b.txt", 100).await.unwrap(), FileAt::Content(b"two\n".to_vec()));
    assert_eq!(at("sub/b.txt", 3).await.unwrap(), FileAt::TooLarge);
    assert_eq!(at("sub", 100).await.unwrap(), FileAt::Odd);
    assert_eq!(at("no", 100).await.unwrap(), FileAt::Nothing);
    assert_eq!(at("*.txt", 100).await.unwrap(), FileAt::Nothing, "a path is no pattern");
    symlink("a.txt", bed.user().join("link")).unwrap();
    bed.git(&["add", "."]);
    bed.git(&["commit", "--quiet", "-m", "Link"]);
    let next = bed.git(&["rev-parse", "HEAD"]);
    assert_eq!(repository.file_at(&next, "link", 100).await.unwrap(), FileAt::Odd);
    assert_eq!(
        repository.changed_files(&head, &next).await.unwrap(),
        Some(vec!["link".to_owned(), "sub/b.txt".to_owned()])
    );
    assert_eq!(is_as_committed(&bed.user(), "a.txt").await, Some(true));
    bed.write("a.txt", "changed");
    assert_eq!(is_as_committed(&bed.user(), "a.txt").await, Some(false));
    bed.write("new.txt", "new");
    assert_eq!(is_as_committed(&bed.user(), "new.txt").await, Some(false));
    assert_eq!(is_as_committed(bed.dir.path(), "a.txt").await, None);
}
