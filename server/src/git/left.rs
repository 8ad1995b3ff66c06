//! What an interrupted git has left in a checkout, file by file.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::ffi::OsStringExt as _;

use shim_protocol::plain_file;

use super::checkout::Checkout;
use super::error::GitError;
use super::repository::Repository;
use crate::beneath;
use crate::beneath::Found;

/// As many arguments as the kernel allows for one command, whatever their length.
pub(super) const PATHS_AT_ONCE: usize = 256;

/// Larger files are not compared with the beginning of another file: both would be in memory.
const COMPARED_BYTES: u64 = 16 << 20;

const SUBMODULE: &str = "160000";

/// A file that differs between two commits.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) path: OsString,
    /// Its object in the first commit; `None` for a new file.
    pub(super) old: Option<String>,
    new: Option<String>,
    is_submodule: bool,
}

/// The state of a file that git was to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    AsBefore,
    /// Written by git, in full or in part.
    ByGit,
    ByOthers,
}

impl Repository {
    pub(super) async fn changes(&self, from: &str, to: &str) -> Result<Vec<Change>, GitError> {
        let list = self.git("diff-tree")?.args(["-r", "-z", "--raw", "--no-renames"]);
        let list = list.args(["--no-abbrev", from, to, "--"]).run().await?;
        let mut parts = list.bytes().split(|byte| *byte == 0).filter(|part| !part.is_empty());
        let mut changes = Vec::new();
        while let (Some(what), Some(path)) = (parts.next(), parts.next()) {
            let what = String::from_utf8_lossy(what).into_owned();
            let fields: Vec<&str> = what.trim_start_matches(':').split(' ').collect();
            let [old_mode, new_mode, old, new, _] = fields.as_slice() else {
                return Err(list.strange());
            };
            let object = |name: &str| (!name.trim_matches('0').is_empty()).then(|| name.to_owned());
            changes.push(Change {
                path: OsString::from_vec(path.to_vec()),
                old: object(old),
                new: object(new),
                is_submodule: [old_mode, new_mode].into_iter().any(|mode| *mode == SUBMODULE),
            });
        }
        Ok(changes)
    }

    /// The sizes of those of these files that a commit has.
    pub(super) async fn sizes(
        &self,
        changes: &[Change],
        commit: &str,
    ) -> Result<HashMap<OsString, u64>, GitError> {
        let mut sizes = HashMap::new();
        for some in changes.chunks(PATHS_AT_ONCE) {
            let list = self.git("ls-tree")?.env("GIT_LITERAL_PATHSPECS", "1");
            let list = list.args(["-r", "-l", "-z", "--full-tree", commit, "--"]);
            let list = list.args(some.iter().map(|change| &change.path)).run().await?;
            for entry in list.bytes().split(|byte| *byte == 0) {
                let Some(tab) = entry.iter().position(|byte| *byte == b'\t') else { continue };
                let about = String::from_utf8_lossy(&entry[..tab]).into_owned();
                // A submodule has no size.
                let Some(Ok(size)) = about.split_whitespace().last().map(str::parse) else {
                    continue;
                };
                sizes.insert(OsString::from_vec(entry[tab + 1..].to_vec()), size);
            }
        }
        Ok(sizes)
    }

    /// The state of each of these files in a checkout.
    pub(super) async fn left(
        &self,
        checkout: &Checkout,
        changes: &[Change],
        from: &str,
        to: &str,
    ) -> Result<Vec<Left>, GitError> {
        let kinds: Vec<Kind> = changes.iter().map(|change| kind(checkout, &change.path)).collect();
        let files = changes.iter().zip(&kinds).filter(|(_, kind)| matches!(kind, Kind::File(_)));
        let files: Vec<&OsString> = files.map(|(change, _)| &change.path).collect();
        let mut objects = HashMap::new();
        for paths in files.chunks(PATHS_AT_ONCE) {
            let hash = self.git_of(checkout, "hash-object")?.arg("--").args(paths).run().await?;
            objects.extend(paths.iter().copied().zip(hash.text().lines().map(str::to_owned)));
        }
        let mut states = Vec::new();
        for (change, kind) in changes.iter().zip(kinds) {
            let is = |object: &Option<String>, found: &str| object.as_deref() == Some(found);
            let state = match kind {
                _ if change.is_submodule && change.old.is_none() => Left::ByGit,
                _ if change.is_submodule => Left::AsBefore,
                Kind::Nothing if change.old.is_none() => Left::AsBefore,
                Kind::Nothing => Left::ByGit,
                // Another of these files is below it and decides.
                Kind::Directory if has_below(changes, &change.path) => Left::ByGit,
                Kind::Directory | Kind::Other => Left::ByOthers,
                Kind::Link(target) => {
                    let target = self.object_of(&target, change).await?;
                    match target {
                        Some(found) if is(&change.old, &found) => Left::AsBefore,
                        Some(_) => Left::ByGit,
                        None => Left::ByOthers,
                    }
                }
                Kind::File(size) => match objects.get(&change.path) {
                    Some(found) if is(&change.old, found) => Left::AsBefore,
                    Some(found) if is(&change.new, found) => Left::ByGit,
                    _ => {
                        // Truncated, on the way to the new commit or on the way back.
                        let new = change.new.is_some()
                            && self.begins(checkout, to, &change.path, size).await?;
                        let old = change.old.is_some()
                            && self.begins(checkout, from, &change.path, size).await?;
                        if new || old { Left::ByGit } else { Left::ByOthers }
                    }
                },
            };
            states.push(state);
        }
        Ok(states)
    }

    /// Which of the two objects of a change is a link with this target.
    async fn object_of(&self, target: &OsStr, change: &Change) -> Result<Option<String>, GitError> {
        for object in [&change.old, &change.new].into_iter().flatten() {
            let text = self.git("cat-file")?.args(["blob", object]).run().await?;
            if text.bytes() == target.as_bytes() {
                return Ok(Some(object.clone()));
            }
        }
        Ok(None)
    }

    /// Whether the contents of a file of this size are the beginning of the committed file.
    async fn begins(
        &self,
        checkout: &Checkout,
        commit: &str,
        path: &OsStr,
        size: u64,
    ) -> Result<bool, GitError> {
        let mut name = OsString::from(format!("{commit}:"));
        name.push(path);
        let long = self.git("cat-file")?.arg("-s").arg(&name).run().await?.text();
        if size > COMPARED_BYTES || long.parse::<u64>().is_ok_and(|long| long > COMPARED_BYTES) {
            return Ok(false);
        }
        let whole = self.git_of(checkout, "cat-file")?.arg("--filters").arg(name).run().await?;
        let mut there = Vec::new();
        // A process that changes it now is not ours.
        let mut options = fs::File::options();
        let read = plain_file::open_with(options.read(true), &checkout.top.join(path))
            .and_then(|file| file.take(COMPARED_BYTES).read_to_end(&mut there));
        Ok(read.is_ok() && whole.bytes().starts_with(&there))
    }
}

enum Kind {
    Nothing,
    /// A file of this many bytes.
    File(u64),
    Link(OsString),
    Directory,
    Other,
}

/// What is at a path in a checkout. No link on the way is followed.
fn kind(checkout: &Checkout, path: &OsStr) -> Kind {
    let place = checkout.top.join(path);
    let Some(parent) = place.parent() else { return Kind::Other };
    match beneath::look(parent) {
        Ok(Found::Directory(_)) => {}
        // Nothing, or a file that is still in the place of the directory.
        Ok(Found::Nothing | Found::Other(_)) => return Kind::Nothing,
        Ok(Found::Link(_)) | Err(_) => return Kind::Other,
    }
    match fs::symlink_metadata(&place) {
        Ok(found) if found.is_file() => Kind::File(found.len()),
        Ok(found) if found.is_dir() => Kind::Directory,
        Ok(found) if found.is_symlink() => {
            fs::read_link(&place).map_or(Kind::Other, |target| Kind::Link(target.into()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Kind::Nothing,
        Ok(_) | Err(_) => Kind::Other,
    }
}

fn has_below(changes: &[Change], path: &OsStr) -> bool {
    let path = std::path::Path::new(path);
    let is_below = |other: &std::path::Path| other != path && other.starts_with(path);
    changes.iter().any(|change| is_below(std::path::Path::new(&change.path)))
}
