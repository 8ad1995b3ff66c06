//! Clears the administrations of all worktrees of a repository, before git reads them.
//!
//! Git reads a few files of every worktree whenever it makes or removes one, and an agent can write
//! those of its own worktree. A pipe in the place of one `HEAD` would make git wait in the step of
//! another ticket while it holds the repository, and the ticket that owns the pipe could not be
//! repaired meanwhile. A link to a device would be read without end.

use std::fs;
use std::io;
use std::path::Path;

use super::layout::SMALL;
use crate::beneath;

/// What git 2.47 reads of other worktrees.
const READ: [&str; 5] = ["HEAD", "gitdir", "commondir", "locked", "index"];

/// What [`clear`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cleared {
    Nothing,
    Something,
}

/// Removes everything that is not a file which git would read there. What was removed is restored
/// when the server next looks at the worktree's own ticket; until then git takes that worktree for
/// a broken one and continues.
pub(super) fn clear(common: &Path) -> io::Result<Cleared> {
    let all = common.join("worktrees");
    // Anything else with this name is refused by the step that needs it.
    if !all.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return Ok(Cleared::Nothing);
    }
    let mut cleared = Cleared::Nothing;
    for entry in fs::read_dir(&all)? {
        let entry = entry?;
        let admin = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {}
            Ok(_) => {
                report(&admin);
                cleared = Cleared::Something;
                beneath::remove(&admin)?;
                continue;
            }
            // It was removed meanwhile.
            Err(_) => continue,
        }
        for name in READ {
            let path = admin.join(name);
            let Ok(found) = path.symlink_metadata() else { continue };
            // The index is mapped into memory and may be large; the others are one line.
            if !found.is_file() || (name != "index" && found.len() > SMALL) {
                report(&path);
                cleared = Cleared::Something;
                beneath::remove(&path)?;
            }
        }
    }
    Ok(cleared)
}

fn report(path: &Path) {
    tracing::warn!(
        path = %path.display(),
        "a link, a pipe or an oversized file was removed from the administration of a worktree"
    );
}
