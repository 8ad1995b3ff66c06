//! Secrets in files that somebody else made: read each time they are needed, and judged like the coordinator's token.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use shim_protocol::plain_file;

use crate::state::error::StateError;
use crate::state::owned;
use crate::state::owned::Owners;
use crate::telemetry::chain;

/// A longer file holds no secret.
const LONGEST: u64 = 4096;
/// Where systemd keeps the credentials of the system's services.
const CREDENTIALS_OF_SYSTEM: &str = "/run/credentials";

/// What keeps a file from being read as a secret.
#[derive(Debug)]
pub(super) enum Unfit {
    Missing,
    /// A pipe would be empty at the next reading, or block it.
    NoFile,
    TooLong,
    /// This mode gives others access.
    Open(u32),
    /// Others could exchange it.
    Place(StateError),
    Unreadable(io::Error),
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::Missing
        } else if error.kind() == io::ErrorKind::InvalidInput {
            Self::NoFile
        } else {
            Self::Unreadable(error)
        }
    }
}

/// The content of a file that only this user may read and only this user or root may change. The file is opened once, and
/// that open file is judged and read, whatever its path leads to by then.
pub(super) fn judged(path: &Path, owners: Owners) -> Result<Vec<u8>, Unfit> {
    let file = plain_file::open_linked(path)?;
    let found = file.metadata()?;
    if found.len() > LONGEST {
        return Err(Unfit::TooLong);
    }
    let mode = found.mode() & 0o7777;
    if mode & open_to_others(path, found.uid()) != 0 {
        return Err(Unfit::Open(mode));
    }
    let judged = owned::check(path, owners).and_then(|()| owned::check_file(path, &file, owners));
    judged.map_err(Unfit::Place)?;
    Ok(plain_file::whole(file, LONGEST)?)
}

/// The bits of a mode that give others access to a secret. Somebody else's file may be open to this
/// user through its group; in systemd's credentials those bits are the mask of an access list that
/// names this user alone.
pub(super) fn open_to_others(path: &Path, owner: u32) -> u32 {
    let through_group = owner != nix::unistd::geteuid().as_raw();
    if through_group || path.starts_with(CREDENTIALS_OF_SYSTEM) { 0o037 } else { 0o077 }
}

/// The content of such a file.
///
/// # Errors
///
/// What is wrong with the file and what to do about it, as a clause.
pub fn read(path: &Path, owners: Owners) -> Result<Vec<u8>, String> {
    let shown = path.display();
    judged(path, owners).map_err(|unfit| match unfit {
        Unfit::Missing => format!("{shown} does not exist"),
        Unfit::NoFile => format!("{shown} is not a regular file"),
        Unfit::TooLong => format!("{shown} is longer than a secret can be"),
        Unfit::Open(mode) => {
            format!(
                "others can read or change {shown}, which has mode {mode:04o}; run chmod 600 on it"
            )
        }
        Unfit::Place(error) => chain(&error),
        Unfit::Unreadable(error) => format!("{shown} could not be read: {error}"),
    })
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

    #[test]
    fn a_group_may_give_this_user_access_to_anothers_file_and_to_systemds() {
        let (own, other) = (nix::unistd::geteuid().as_raw(), u32::MAX);
        assert_eq!(open_to_others(Path::new("/etc/token"), own), 0o077);
        assert_eq!(open_to_others(Path::new("/etc/token"), other), 0o037);
        let credential = Path::new("/run/credentials/vibe-ensemble.service/coordinator-token");
        assert_eq!(open_to_others(credential, own), 0o037);
    }
}
