//! A user's git repository: a checkout with hooks, and whatever the user has not committed.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

/// Hooks that a server could trigger.
const HOOKS: [&str; 10] = [
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-rewrite",
    "pre-auto-gc",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "reference-transaction",
];

#[derive(Clone, Debug)]
pub struct Repository {
    pub path: PathBuf,
}

/// Everything of the user's that nobody else may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    head: String,
    status: String,
    stashes: String,
    branches: String,
    index: Vec<u8>,
}

impl Repository {
    /// A new repository with one commit on `main`.
    #[must_use]
    pub fn make(path: &Path) -> Self {
        fs::create_dir_all(path).expect("writable");
        let made = Self { path: path.to_owned() };
        made.git(&["init", "--quiet", "--initial-branch=main"]);
        fs::write(path.join("README.md"), "# A project\n").expect("writable");
        made.git(&["add", "."]);
        made.git(&["commit", "--quiet", "-m", "Begin"]);
        made
    }

    /// A clone of the repository that contains these tests, on a branch `main`.
    #[must_use]
    pub fn clone_of_this_project(path: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("below the workspace");
        let clone = Command::new("git")
            .args(["-c", "safe.directory=*", "clone", "--quiet", "--single-branch", "--no-tags"])
            .arg(source)
            .arg(path)
            .output()
            .expect("git runs");
        let clone_failed = String::from_utf8_lossy(&clone.stderr).into_owned();
        assert!(
            clone.status.success(),
            "these tests have to be in a git repository: {clone_failed}"
        );
        let made = Self { path: path.to_owned() };
        made.git(&["checkout", "--quiet", "-B", "main"]);
        made
    }

    /// Makes every hook record that it ran, in the returned file.
    #[must_use]
    pub fn with_hooks(&self) -> PathBuf {
        let noted = self.path.join(".git/hooks-that-ran");
        for hook in HOOKS {
            let path = self.path.join(".git/hooks").join(hook);
            fs::create_dir_all(path.parent().expect("below")).expect("writable");
            let script = format!("#!/bin/sh\necho {hook} >> '{}'\n", noted.display());
            fs::write(&path, script).expect("writable");
            fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("writable");
        }
        noted
    }

    /// The output of a git command of the user. Panics if it fails.
    #[must_use = "use `git` for what it prints"]
    pub fn ask(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {complaint}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// The output of a git command of the user, even if it fails because it found nothing.
    #[must_use]
    pub fn ask_quietly(&self, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&self.output(arguments).stdout).trim_end().to_owned()
    }

    /// Runs a git command of the user. Panics if it fails.
    pub fn git(&self, arguments: &[&str]) {
        drop(self.ask(arguments));
    }

    fn output(&self, arguments: &[&str]) -> Output {
        Command::new("git")
            .args([
                "--no-optional-locks",
                "-c",
                "user.name=User",
                "-c",
                "user.email=user@localhost",
            ])
            .args(["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false"])
            .args(["-c", "gc.auto=0"])
            .args(arguments)
            .current_dir(&self.path)
            .output()
            .expect("git runs")
    }

    /// The full object name of a commit.
    #[must_use]
    pub fn commit(&self, name: &str) -> String {
        self.ask(&["rev-parse", "--verify", name])
    }

    /// A file of a commit; `None` if there is none.
    #[must_use]
    pub fn file(&self, commit: &str, name: &str) -> Option<String> {
        let output = self.output(&["show", &format!("{commit}:{name}")]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }

    /// The subjects of the commits in a range, oldest first.
    #[must_use]
    pub fn subjects(&self, range: &str) -> Vec<String> {
        // Not by date: commits of the same second on two branches have no order.
        let log = self.ask(&["log", "--topo-order", "--reverse", "--format=%s", range]);
        log.lines().map(str::to_owned).collect()
    }

    /// The refs below a prefix, without the prefix.
    #[must_use]
    pub fn refs(&self, prefix: &str) -> Vec<String> {
        let list = self.ask(&["for-each-ref", "--format=%(refname)", prefix]);
        list.lines().map(|name| name.trim_start_matches(prefix).to_owned()).collect()
    }

    /// The user's own side of it.
    #[must_use]
    pub fn picture(&self) -> Picture {
        let own = |line: &&str| !line.contains("refs/heads/vibe-ensemble/");
        let branches = self.ask(&["for-each-ref", "refs/heads", "refs/stash", "refs/tags"]);
        Picture {
            head: self.ask(&["rev-parse", "--symbolic-full-name", "HEAD"]),
            status: self.ask(&["status", "--porcelain=v2", "--branch"]),
            stashes: self.ask(&["stash", "list"]),
            branches: branches.lines().filter(own).collect::<Vec<_>>().join("\n"),
            index: fs::read(self.path.join(".git/index")).expect("there is an index"),
        }
    }

    /// What git finds wrong with it: damage, misplaced worktrees, abandoned locks.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let fsck = self.output(&["fsck", "--full", "--strict", "--no-dangling", "--no-progress"]);
        if !fsck.status.success() || !fsck.stdout.is_empty() {
            let said = [fsck.stdout, fsck.stderr].concat();
            problems.push(format!("git fsck: {}", String::from_utf8_lossy(&said)));
        }
        let list = self.ask(&["worktree", "list", "--porcelain"]);
        for entry in list.split("\n\n").filter(|entry| !entry.is_empty()) {
            let detached = entry.lines().any(|line| line == "detached");
            if entry.contains("\nprunable") || entry.contains("\nlocked") || detached {
                problems.push(format!("git worktree list: {entry}"));
            }
        }
        let mut locks = Vec::new();
        find_locks(&self.path.join(".git"), &mut locks);
        problems.extend(locks.iter().map(|lock| format!("a lock is left: {}", lock.display())));
        problems
    }

    /// The checked-out branches, by the directory of their checkout.
    #[must_use]
    pub fn worktrees(&self) -> Vec<(PathBuf, String)> {
        let list = self.ask(&["worktree", "list", "--porcelain"]);
        let of = |entry: &str, field: &str| {
            entry.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default().to_owned()
        };
        list.split("\n\n")
            .map(|entry| (of(entry, "worktree ").into(), of(entry, "branch refs/heads/")))
            .collect()
    }
}

fn find_locks(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "objects") {
                find_locks(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "lock")
            // The server's own lock, which is held and never removed.
            && path.file_name().is_some_and(|name| name != "vibe-ensemble.lock")
        {
            found.push(path);
        }
    }
}
