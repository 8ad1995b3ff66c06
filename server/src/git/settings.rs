//! The settings of the server's git, in one place, whatever the server's environment and the user's
//! configuration contain.
//!
//! When you add a command, look through `git help --config` for settings that would change it. The
//! user's settings stay for everything that decides how files become objects and what is ignored
//! (filters, line ends, `core.excludesFile`), how results are merged (`merge.*` except signatures),
//! and how objects and refs are stored: otherwise work would come out different from the user's
//! own.

/// Variables that git would read from the environment and must not: the server may have been
/// started from a hook or from within another repository.
pub const WITHHELD: [&str; 45] = [
    "GIT_ADVICE",
    "GIT_ALLOW_PROTOCOL",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_ASK_YESNO",
    "GIT_ATTR_NOSYSTEM",
    "GIT_ATTR_SOURCE",
    "GIT_AUTHOR_DATE",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMITTER_DATE",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DEFAULT_HASH",
    "GIT_DEFAULT_REF_FORMAT",
    "GIT_DIFF_OPTS",
    "GIT_DIR",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_GLOB_PATHSPECS",
    "GIT_GRAFT_FILE",
    "GIT_ICASE_PATHSPECS",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INDEX_VERSION",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_OPTIONAL_LOCKS",
    "GIT_PREFIX",
    "GIT_PROTOCOL_FROM_USER",
    "GIT_QUARANTINE_PATH",
    "GIT_REDIRECT_STDERR",
    "GIT_REDIRECT_STDOUT",
    "GIT_REFLOG_ACTION",
    "GIT_REF_PARANOIA",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_TEMPLATE_DIR",
    "GIT_TRACE",
    "GIT_TRACE_SETUP",
    "GIT_WORK_TREE",
];

/// The variables that git gets instead.
pub(super) const SET: [(&str, &str); 8] = [
    ("LC_ALL", "C"),
    // There is no user to answer a question.
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", ""),
    ("GIT_EDITOR", "true"),
    // An agent can write `refs/replace` and `info/grafts` in the repository: the server would see
    // other contents and another history than anyone who clones it. A path that cannot exist is no
    // graft, and git accepts it silently.
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_GRAFT_FILE", "/dev/null/none"),
    // If objects are missing, as in a clone without all blobs, git would fetch them with programs
    // that the configuration names, and wait for a network while it holds the repository. The
    // second variable is for versions before 2.45.
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_ALLOW_PROTOCOL", ""),
];

/// Arguments of every command, before its verb.
pub(super) const ALWAYS: [&str; 44] = [
    "--no-pager",
    "--no-optional-locks",
    // The user's programs, which expect the user's own work.
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    // During many commits, all of them would wait for it.
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    // A worktree begins without its submodules, and the submodules of the user's checkout belong to
    // the user.
    "-c",
    "submodule.recurse=false",
    // It would hide changes to a file that git itself has written.
    "-c",
    "core.ignoreStat=false",
    // They would leave a file out of what was accepted, or have all of it refused.
    "-c",
    "add.ignoreErrors=false",
    "-c",
    "core.safecrlf=false",
    // The server reads its own worktrees only.
    "-c",
    "core.preferSymlinkRefs=false",
    "-c",
    "core.splitIndex=false",
    "-c",
    "worktree.useRelativePaths=false",
    "-c",
    "i18n.commitEncoding=UTF-8",
    "-c",
    "core.quotePath=false",
    "-c",
    "color.ui=false",
    // Another git may hold the lock of a ref for a moment.
    "-c",
    "core.filesRefLockTimeout=1000",
    "-c",
    "core.packedRefsTimeout=1000",
    "-c",
    "reftable.lockTimeout=1000",
    "-c",
    "merge.verifySignatures=false",
    "-c",
    "credential.interactive=false",
    "-c",
    "status.showStash=false",
    "-c",
    "diff.relative=false",
];

/// Who makes the commits of this server.
pub(super) const NAME: &str = "Vibe-Ensemble";
pub(super) const EMAIL: &str = "vibe-ensemble@localhost";
