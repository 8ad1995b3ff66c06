use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

/// A directory, and one beside it that must not be touched.
fn bed() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let top = dir.path().canonicalize().expect("there");
    let (ours, canary) = (top.join("ours"), top.join("canary"));
    for place in [&ours, &canary] {
        fs::create_dir(place).expect("made");
    }
    fs::write(canary.join("precious"), "precious").expect("written");
    (dir, ours, canary)
}

fn assert_untouched(canary: &Path) {
    assert_eq!(fs::read_to_string(canary.join("precious")).expect("there"), "precious");
    assert_eq!(fs::read_dir(canary).expect("there").count(), 1);
}

fn pipe(path: &Path) {
    mkfifo(path, Mode::from_bits_truncate(0o600)).expect("made");
}

#[test]
fn no_link_is_followed_wherever_it_is_on_the_way() {
    let (_dir, ours, canary) = bed();
    symlink(&canary, ours.join("link")).unwrap();
    for path in [ours.join("link"), ours.join("link/below"), ours.join("link/precious")] {
        assert!(matches!(look(&path).unwrap(), Found::Link(at) if at == ours.join("link")));
        assert!(make_directory(&path).unwrap_err().to_string().contains("symbolic link"));
    }
    assert!(remove(&ours.join("link/precious")).is_err());
    assert!(matches!(look(&ours.join("none/below")).unwrap(), Found::Nothing));
    assert!(matches!(look(&canary.join("precious/below")).unwrap(), Found::Other(_)));
    assert!(look(&ours.join("../canary")).is_err());
    remove(&ours.join("link")).unwrap();
    assert!(ours.join("link").symlink_metadata().is_err());
    assert_untouched(&canary);
}

#[test]
fn a_directory_that_was_opened_stays_the_one_that_was_found() {
    let (_dir, ours, canary) = bed();
    let place = ours.join("place");
    let held = make_directory(&place).unwrap();
    fs::rename(&place, ours.join("moved")).unwrap();
    symlink(&canary, &place).unwrap();
    write_new(&held, ".git", "text").unwrap();
    assert_eq!(fs::read_to_string(ours.join("moved/.git")).unwrap(), "text");
    assert_untouched(&canary);
}

#[test]
fn whatever_an_agent_made_is_removed_and_nothing_it_points_to() {
    let (_dir, ours, canary) = bed();
    let place = ours.join("place");
    fs::create_dir_all(place.join("cache/module/sub")).unwrap();
    fs::write(place.join("cache/module/sub/file"), "").unwrap();
    pipe(&place.join("cache/pipe"));
    drop(UnixListener::bind(place.join("cache/socket")).unwrap());
    symlink(&canary, place.join("cache/link")).unwrap();
    fs::create_dir(place.join(".vibe-ensemble-going-1")).unwrap();
    fs::write(place.join(".vibe-ensemble-going-1/file"), "").unwrap();
    for (closed, mode) in [("cache/module/sub", 0o555), ("cache/module", 0o000), ("cache", 0o500)] {
        fs::set_permissions(place.join(closed), Permissions::from_mode(mode)).unwrap();
    }
    // Deeper than any path can name.
    let mut at =
        rustix::fs::open(&place, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..5000 {
        rustix::fs::mkdirat(&at, "d", rustix::fs::Mode::from_raw_mode(0o500)).unwrap();
        let next =
            rustix::fs::openat(&at, "d", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty());
        rustix::fs::chmodat(
            &at,
            "d",
            rustix::fs::Mode::from_raw_mode(0o700),
            rustix::fs::AtFlags::empty(),
        )
        .unwrap();
        at = next.unwrap();
    }
    remove(&place).unwrap();
    assert!(place.symlink_metadata().is_err());
    assert_untouched(&canary);
    remove(&place).unwrap();
}

#[test]
fn a_walk_sees_what_everything_is_and_opens_what_is_closed() {
    let (_dir, ours, canary) = bed();
    fs::create_dir_all(ours.join("a/b")).unwrap();
    fs::write(ours.join("a/b/file"), "").unwrap();
    pipe(&ours.join("a/.gitignore"));
    symlink(&canary, ours.join("link")).unwrap();
    let mode = |path: &str| fs::metadata(ours.join(path)).unwrap().permissions().mode() & 0o7777;
    fs::set_permissions(ours.join("a/b"), Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(ours.join("a"), Permissions::from_mode(0o500)).unwrap();
    let root = make_directory(&ours).unwrap();
    let seen = |access| {
        let mut seen = Vec::new();
        walk(&root, access, |path, kind| {
            seen.push((path.to_str().unwrap().to_owned(), kind));
            true
        })
        .unwrap();
        seen.sort_by(|one, two| one.0.cmp(&two.0));
        seen
    };
    let all = [
        ("a".to_owned(), Kind::Directory),
        ("a/.gitignore".to_owned(), Kind::Special),
        ("a/b".to_owned(), Kind::Directory),
        ("a/b/file".to_owned(), Kind::File),
        ("link".to_owned(), Kind::Link),
    ];
    assert_eq!(seen(Access::Read), all);
    assert_eq!((mode("a"), mode("a/b")), (0o500, 0o500));
    assert_eq!(seen(Access::Change), all);
    assert_eq!((mode("a"), mode("a/b")), (0o700, 0o700));
}

#[test]
fn a_walk_ends_where_no_path_leads_further() {
    let (_dir, ours, _) = bed();
    let mut at =
        rustix::fs::open(&ours, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&at, "d", rustix::fs::Mode::from_raw_mode(0o700)).unwrap();
        let next =
            rustix::fs::openat(&at, "d", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty());
        at = next.unwrap();
    }
    let root = make_directory(&ours).unwrap();
    let mut deep = Vec::new();
    walk(&root, Access::Read, |path, kind| {
        if kind == Kind::Deep {
            deep.push(path.to_owned());
        }
        true
    })
    .unwrap();
    assert_eq!(deep.len(), 1);
    remove(&ours.join(&deep[0])).unwrap();
    fs::remove_dir_all(ours.join("d")).unwrap();
}

#[test]
fn only_regular_files_of_a_sensible_size_are_read() {
    let (_dir, ours, canary) = bed();
    fs::write(ours.join("good"), "gitdir: x\n").unwrap();
    fs::write(ours.join("large"), "x".repeat(101)).unwrap();
    pipe(&ours.join("pipe"));
    symlink(canary.join("precious"), ours.join("link")).unwrap();
    assert_eq!(read_text(&ours.join("good"), 100).unwrap(), "gitdir: x\n");
    for odd in ["large", "pipe", "link", ".", "none"] {
        assert!(read_text(&ours.join(odd), 100).is_err(), "{odd}");
    }
}
