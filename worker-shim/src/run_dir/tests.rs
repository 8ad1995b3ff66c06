//! Run directories, and what another process can put in the place of one.

use shim_protocol::run_dir;
use shim_protocol::run_dir::UnitPlace;

use super::dir::is_plain_name;
use super::error::StoreError;
use super::open::Opened;
use super::open::open;
use crate::seal;

#[test]
fn an_attempt_id_can_only_name_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    for id in ["", "A-", "A-1/..", "../A-1", "A-x", "T-1", "."] {
        assert!(matches!(open(dir.path(), id), Err(StoreError::BadName { .. })), "{id}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn anything_in_the_place_of_a_directory_is_renamed_and_not_written_through() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    for (attempt, led) in [("A-1", true), ("A-2", false)] {
        let path = dir.path().join(attempt);
        if led {
            std::os::unix::fs::symlink(elsewhere.path(), &path).unwrap();
        } else {
            std::fs::write(&path, "a file").unwrap();
        }
        let Opened::Fresh(fresh) = open(dir.path(), attempt).unwrap() else { panic!("new") };
        assert!(std::fs::symlink_metadata(&path).unwrap().is_dir());
        drop(fresh.lock_tree().unwrap());
        assert!(std::fs::symlink_metadata(path.with_extension("foreign.1")).is_ok());
        // Its agent puts a link there while it runs.
        std::fs::rename(&path, dir.path().join("moved")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &path).unwrap();
        std::fs::write(fresh.held_path().join("segment"), "x").unwrap();
        assert!(dir.path().join("moved/segment").exists());
        std::fs::remove_dir_all(dir.path().join("moved")).unwrap();
    }
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn an_attempt_runs_only_in_a_new_directory() {
    let dir = tempfile::tempdir().unwrap();
    let Opened::Fresh(fresh) = open(dir.path(), "A-1").unwrap() else { panic!("new") };
    assert!(matches!(open(dir.path(), "A-1"), Err(StoreError::Held { .. })));
    let tree = fresh.lock_tree().unwrap();
    drop(fresh);
    assert!(matches!(open(dir.path(), "A-1"), Err(StoreError::Held { .. })), "a tree lives");
    drop(tree);
    assert!(matches!(open(dir.path(), "A-1").unwrap(), Opened::Foreign(_)));
}

#[test]
fn links_in_the_place_of_files_are_never_written_through() {
    let dir = tempfile::tempdir().unwrap();
    let Opened::Fresh(fresh) = open(dir.path(), "A-1").unwrap() else { panic!("new") };
    let precious = dir.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    let place = UnitPlace {
        unit: "w.service".to_owned(),
        cgroup: "/w.service".into(),
        inode: 1,
        boot_id: None,
        extra: serde_json::Map::new(),
    };
    let own = format!(".{}.{}.tmp", run_dir::UNIT, std::process::id());
    for name in [run_dir::UNIT, ".unit.json.tmp", &own] {
        let link = fresh.path().join(name);
        let _none = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        // A link with the very name of this moment is in the way, once.
        assert_eq!(fresh.store_place(&place).is_err(), name == own, "{name}");
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious", "{name}");
    }
    fresh.store_place(&place).unwrap();
    assert!(std::fs::symlink_metadata(fresh.path().join(run_dir::UNIT)).unwrap().is_file());
}

#[test]
fn a_prompt_that_is_a_pipe_or_a_link_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let Opened::Fresh(fresh) = open(dir.path(), "A-1").unwrap() else { panic!("new") };
    let path = fresh.path().join(run_dir::PROMPT);
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(fresh.prompt().is_err());
    std::fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let (said, hears) = std::sync::mpsc::channel();
    std::thread::spawn(move || said.send(fresh.prompt().is_err()));
    let refused = hears.recv_timeout(std::time::Duration::from_secs(60));
    assert_eq!(refused, Ok(true), "it was waited for");
}

#[test]
fn the_space_for_the_record_is_reserved_at_once_and_released_for_it() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let Opened::Fresh(fresh) = open(dir.path(), "A-1").unwrap() else { panic!("new") };
    fresh.reserve().unwrap();
    let reserve = fresh.path().join(run_dir::EXIT_RESERVE);
    assert!(std::fs::metadata(&reserve).unwrap().blocks() * 512 >= 64 << 10);
    seal::release(&reserve).unwrap();
    assert!(!reserve.exists());
    seal::release(&reserve).unwrap();
}

#[test]
fn names_the_shim_needs_for_itself_are_refused() {
    for name in [
        "exit.json",
        "unit.json",
        "grant.json",
        "prompt.md",
        "a/b",
        "",
        ".x",
        "stdout.000001.jsonl",
    ] {
        assert!(!is_plain_name(name), "{name}");
    }
    assert!(is_plain_name("settings.json"));
}
