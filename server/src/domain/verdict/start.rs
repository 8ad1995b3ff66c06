//! Why no agent was started: what a machine lacks, what a ticket or a worker type names wrongly.

use crate::domain::outcome::Failure;

/// Linux's error numbers for a program or directory that does not exist, must not be used or is of another kind: EPERM,
/// ENOENT, ENOEXEC, EACCES, ENOTDIR, ELOOP.
const NOT_THERE: [i32; 6] = [1, 2, 8, 13, 20, 40];

/// Error numbers for something that a machine lacks, or cannot do at the moment: EINTR, EIO,
/// EAGAIN, ENOMEM, EBUSY, ENFILE, EMFILE, ETXTBSY, ENOSPC, EROFS, ENOLCK, ELIBACC, ELIBBAD,
/// ENOBUFS, ENOTCONN, ETIMEDOUT, EHOSTDOWN, ESTALE, EDQUOT. The agent is being replaced, a file
/// system is unavailable, processes or files are used up. It is not the fault of any ticket, and it
/// passes.
const PASSING: [i32; 19] =
    [4, 5, 11, 12, 16, 23, 24, 26, 28, 30, 37, 79, 80, 105, 107, 110, 112, 116, 122];

/// Whether a program could not be started for lack of something that comes back by itself.
#[must_use]
pub fn is_of_the_machine(errno: i32) -> bool {
    PASSING.contains(&errno)
}

/// Why no agent was started.
pub(super) fn not_started(errno: Option<i32>, worktree_gone: bool) -> Failure {
    let is_one_of = |numbers: &[i32]| errno.is_some_and(|errno| numbers.contains(&errno));
    if is_one_of(&NOT_THERE) && worktree_gone {
        Failure::WorktreeGone
    } else if is_one_of(&NOT_THERE) {
        Failure::NoAgent
    } else if is_one_of(&PASSING) {
        Failure::SpawnFailed
    } else {
        Failure::NotStarted
    }
}
