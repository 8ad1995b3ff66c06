//! The places in a repository that git follows without a look: each must be what git made there.
//!
//! An agent can write the repository's own directory. With a link in the place of `refs/heads/vibe-ensemble`, git would keep
//! the branches of all tickets wherever the link leads, and none of them in the repository; a pipe in the place of
//! `packed-refs` would stop every step for as long as git may take.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::path::PathBuf;

use super::error::GitError;
use super::error::file_error;
use crate::beneath;

/// Directories that only hold what this server has git keep. Parents come first.
const OWN: [&str; 5] = [
    "worktrees",
    "refs/heads/vibe-ensemble",
    "refs/vibe-ensemble",
    "refs/vibe-ensemble/attempts",
    "logs/refs/heads/vibe-ensemble",
];
/// Directories in which the user's own are too.
const SHARED: [&str; 5] = ["refs", "refs/heads", "logs", "logs/refs", "logs/refs/heads"];
/// Files that git opens and waits for.
const FILES: [&str; 9] = [
    "HEAD",
    "config",
    "packed-refs",
    "shallow",
    "info/attributes",
    "info/exclude",
    "info/grafts",
    "objects/info/alternates",
    "objects/info/commit-graph",
];
/// What git calls its own: nothing below them is a directory that was moved away from its place.
const GITS: [&str; 8] =
    ["refs", "logs", "objects", "worktrees", "hooks", "info", "modules", "branches"];

/// Removes links, pipes and devices from those places, and puts back a directory that a link there leads to if it was only
/// renamed within the repository. A link in the place of a directory of the user's is an error.
pub(super) fn straighten(common: &Path) -> Result<(), GitError> {
    for name in SHARED.into_iter().chain(OWN) {
        let place = common.join(name);
        let Ok(found) = place.symlink_metadata() else { continue };
        let kind = found.file_type();
        if kind.is_dir() || kind.is_file() {
            continue;
        }
        if kind.is_symlink() {
            if let Some(moved) = moved_within(common, &place) {
                tracing::warn!(place = %place.display(), from = %moved.display(), "a directory of a repository had been moved and was put back");
                fs::remove_file(&place).map_err(file_error(&place))?;
                fs::rename(&moved, &place).map_err(file_error(&moved))?;
                continue;
            }
            if SHARED.contains(&name) {
                return Err(GitError::Led { path: place });
            }
        }
        remove(&place)?;
    }
    for name in FILES {
        let place = common.join(name);
        let Ok(found) = place.symlink_metadata() else { continue };
        let kind = found.file_type();
        if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
            remove(&place)?;
        }
    }
    Ok(())
}

/// Where a link in this place leads, if that is a directory of nobody else within the repository.
fn moved_within(common: &Path, place: &Path) -> Option<PathBuf> {
    let target = place.canonicalize().ok().filter(|target| target.is_dir())?;
    let below = target.strip_prefix(common).ok()?;
    let first = below.components().next()?;
    let is_gits = GITS.iter().any(|name| first.as_os_str() == *name);
    (!is_gits && !place.starts_with(&target)).then_some(target)
}

fn remove(place: &Path) -> Result<(), GitError> {
    tracing::warn!(place = %place.display(), "a link, a pipe or a device was removed from a place where git keeps a directory or a file");
    beneath::remove(place).map_err(file_error(place))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn repository() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let common = dir.path().canonicalize().unwrap().join(".git");
        for name in OWN.into_iter().chain(SHARED) {
            fs::create_dir_all(common.join(name)).unwrap();
        }
        fs::create_dir_all(common.join("objects/info")).unwrap();
        fs::create_dir_all(common.join("info")).unwrap();
        fs::write(common.join("refs/heads/vibe-ensemble/T-1"), "one").unwrap();
        (dir, common)
    }

    #[test]
    fn a_link_to_elsewhere_is_removed_and_what_it_leads_to_is_left_alone() {
        for name in OWN {
            let (dir, common) = repository();
            let elsewhere = dir.path().canonicalize().unwrap().join("elsewhere");
            fs::create_dir(&elsewhere).unwrap();
            fs::write(elsewhere.join("T-1"), "precious").unwrap();
            fs::remove_dir_all(common.join(name)).unwrap();
            symlink(&elsewhere, common.join(name)).unwrap();
            straighten(&common).unwrap();
            assert!(common.join(name).symlink_metadata().is_err(), "{name}");
            assert_eq!(fs::read_to_string(elsewhere.join("T-1")).unwrap(), "precious", "{name}");
            // Git makes it again.
            straighten(&common).unwrap();
        }
    }

    #[test]
    fn a_directory_that_was_only_renamed_is_put_back_and_never_one_of_gits_own() {
        let (_dir, common) = repository();
        let own = common.join("refs/heads/vibe-ensemble");
        fs::rename(&own, common.join("moved")).unwrap();
        symlink("../../moved", &own).unwrap();
        straighten(&common).unwrap();
        assert_eq!(fs::read_to_string(own.join("T-1")).unwrap(), "one");
        assert!(!own.is_symlink() && !common.join("moved").exists());
        fs::rename(common.join("refs"), common.join("moved")).unwrap();
        symlink("moved", common.join("refs")).unwrap();
        straighten(&common).unwrap();
        assert_eq!(fs::read_to_string(own.join("T-1")).unwrap(), "one");
        for target in ["../../refs/heads", "../../objects", "../..", "."] {
            fs::remove_dir_all(&own).unwrap();
            symlink(target, &own).unwrap();
            straighten(&common).unwrap();
            assert!(own.symlink_metadata().is_err() && common.join("objects").is_dir(), "{target}");
            fs::create_dir(&own).unwrap();
        }
    }

    #[test]
    fn branches_of_the_user_are_not_looked_for_behind_a_link() {
        let (dir, common) = repository();
        let elsewhere = dir.path().canonicalize().unwrap().join("elsewhere");
        fs::rename(common.join("refs/heads"), &elsewhere).unwrap();
        symlink(&elsewhere, common.join("refs/heads")).unwrap();
        let refused = straighten(&common).unwrap_err();
        assert!(
            matches!(&refused, GitError::Led { path } if path.ends_with("refs/heads")),
            "{refused}"
        );
        assert_eq!(fs::read_to_string(elsewhere.join("vibe-ensemble/T-1")).unwrap(), "one");
    }

    #[test]
    fn a_pipe_that_git_would_wait_for_is_removed_and_a_file_stays() {
        let (_dir, common) = repository();
        fs::write(common.join("config"), "[core]\n").unwrap();
        for name in FILES.into_iter().filter(|name| *name != "config") {
            nix::unistd::mkfifo(&common.join(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        straighten(&common).unwrap();
        for name in FILES {
            assert_eq!(common.join(name).symlink_metadata().is_ok(), name == "config", "{name}");
        }
    }
}
