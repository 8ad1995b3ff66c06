//! Secrets in files that somebody else made: read each time they are needed, and judged like the coordinator's token.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use shim_protocol::plain_file;

use crate::state::owned;
use crate::state::owned::Owners;
use crate::state::token;
use crate::telemetry::chain;

/// A longer file holds no secret.
const LONGEST: u64 = 4096;

/// The content of a file that only this user may read and only this user or root may change.
///
/// # Errors
///
/// What is wrong with the file and what to do about it, as a clause.
pub fn read(path: &Path, owners: Owners) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let failed = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            format!("{shown} does not exist")
        } else if error.kind() == io::ErrorKind::InvalidInput {
            format!("{shown} is not a regular file")
        } else {
            format!("{shown} could not be read: {error}")
        }
    };
    // Opened once: the open file is judged and read, whatever its path leads to by then.
    let file = plain_file::open_linked(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if found.len() > LONGEST {
        return Err(format!("{shown} is longer than a secret can be"));
    }
    let mode = found.mode() & 0o7777;
    if mode & token::open_to_others(path, found.uid()) != 0 {
        return Err(format!(
            "others can read or change {shown}, which has mode {mode:04o}; run chmod 600 on it"
        ));
    }
    let judged = owned::check(path, owners).and_then(|()| owned::check_file(path, &file, owners));
    judged.map_err(|error| chain(&error))?;
    plain_file::whole(file, LONGEST).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_that_others_can_read_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("secret");
        let look = || read(&path, Owners::of_server());
        assert!(look().expect_err("none").contains("does not exist"));
        fs::write(&path, "secret").expect("writes");
        for (mode, good) in [(0o600, true), (0o400, true), (0o644, false), (0o660, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("sets");
            assert_eq!(look().is_ok(), good, "{mode:o}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("sets");
        assert!(look().expect_err("open").contains("chmod 600"));
        assert!(read(dir.path(), Owners::of_server()).is_err());
    }
}
