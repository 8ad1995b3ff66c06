//! Directories that are not this server's alone.
//!
//! A user may name a directory that others use, such as /tmp or /run. The server does not change that directory: what
//! it needs is in a directory of its own below, where a command that is given the same directory finds it.

use std::fs;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

/// The name of our own directory in a shared one.
const OWN: &str = "vibe-ensemble";
/// What is in the root of many file systems, and belongs to no user.
const LOST_AND_FOUND: &str = "lost+found";

/// What says that a state directory is a server's own.
pub(super) const STATE_MARKS: &[&str] =
    &[".lock", "vibe-ensemble.db", "tokens", "attempts", "workers"];
/// What says that a runtime directory is.
pub(super) const RUNTIME_MARKS: &[&str] = &["server.lock", "shim.sock", "worker.sock", "gate.sock"];

/// Our own directory below a shared one; `None` if `directory` is our own, or can become it.
pub(super) fn own_below(directory: &Path, marks: &[&str]) -> Option<PathBuf> {
    let found = fs::metadata(directory).ok().filter(Metadata::is_dir)?;
    let me = nix::unistd::geteuid().as_raw();
    let (owner, mode) = (found.uid(), found.mode());
    // A mark that anyone could have put there is not one.
    let is_mark = |name: &&str| {
        let mark = fs::symlink_metadata(directory.join(name)).ok();
        mark.is_some_and(|mark| [me, 0, owner].contains(&mark.uid()))
    };
    let of_others = mode & 0o077;
    if of_others == 0 || marks.iter().any(is_mark) {
        return None;
    }
    let is_free = owner == me && mode & 0o022 == 0 && is_empty(directory).unwrap_or(true);
    (!is_free).then(|| directory.join(OWN))
}

fn is_empty(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        if entry?.file_name() != LOST_AND_FOUND {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_shared_directory_gets_one_of_our_own_below_and_any_other_is_taken() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let place = dir.path().join("place");
        let look = || own_below(&place, RUNTIME_MARKS);
        let below = Some(place.join(OWN));
        assert_eq!(look(), None, "it is not there yet");
        fs::create_dir(&place).expect("makes");
        let mode = |mode| fs::set_permissions(&place, Permissions::from_mode(mode)).expect("sets");
        for (bits, wanted) in
            [(0o700, None), (0o755, None), (0o1777, below.clone()), (0o775, below.clone())]
        {
            mode(bits);
            assert_eq!(look(), wanted, "empty, {bits:o}");
        }
        mode(0o755);
        fs::create_dir(place.join(LOST_AND_FOUND)).expect("makes");
        assert_eq!(look(), None);
        fs::write(place.join("somebodys"), "").expect("writes");
        assert_eq!(look(), below);
        mode(0o700);
        assert_eq!(look(), None, "whatever is in it, nobody else may look");
        mode(0o755);
        fs::write(place.join("server.lock"), "").expect("writes");
        assert_eq!(look(), None, "a server has been there");
        fs::write(dir.path().join("file"), "").expect("writes");
        assert_eq!(own_below(&dir.path().join("file"), STATE_MARKS), None);
    }
}
