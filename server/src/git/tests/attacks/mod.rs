//! What an agent can leave to mislead its supervisor, or to make it wait forever.

mod files;
mod held;
mod links;
mod programs;
mod repository;

use std::fs::Permissions;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;
use crate::beneath;
use crate::git::GitError;
use crate::git::removal::Removal;

/// A repository of somebody else, with an uncommitted change.
struct Canary {
    path: PathBuf,
    before: String,
}

impl Canary {
    fn beside(bed: &Bed) -> Self {
        let path = bed.user().with_file_name("canary");
        fs::create_dir(&path).unwrap();
        git_in(&path, &["init", "--quiet", "--initial-branch=main"]);
        write(&path, "a.txt", "committed\n");
        git_in(&path, &["add", "."]);
        git_in(&path, &["commit", "--quiet", "-m", "Begin"]);
        write(&path, "a.txt", "precious\n");
        write(&path, "precious.txt", "precious\n");
        let before = picture(&path);
        Self { path, before }
    }

    fn assert_untouched(&self, case: &str) {
        assert_eq!(picture(&self.path), self.before, "{case}");
        git_in(&self.path, &["fsck", "--strict"]);
    }
}

/// Every file below a directory, with its contents.
fn picture(path: &Path) -> String {
    let mut found = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(place) = waiting.pop() {
        for entry in fs::read_dir(place).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(format!("{} {:?}", path.display(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found.join("\n")
}

fn pipe(path: &Path) {
    mkfifo(path, Mode::from_bits_truncate(0o600)).unwrap();
}

fn admin_of(bed: &Bed) -> PathBuf {
    bed.user().join(".git/worktrees/T-42")
}
