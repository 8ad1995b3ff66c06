//! Files beside the work that belong to no ticket: at the end, every byte of them must be
//! unchanged.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;

use e2e::kept::Kept;
use e2e::repository::Repository;

pub(crate) const DIRECTORY: &str = "canary";
pub(crate) const REPOSITORY: &str = "canary-repository";
/// A line in the canaries' files, to find out whether their contents leaked anywhere.
pub(crate) const CONTENT: &str = "sung by a canary";

/// Everything that could change about a file, a directory or a link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    inode: u64,
    links: u64,
    /// Of the contents and of everything else, in nanoseconds: a time that was set back shows in
    /// the second.
    changed: [(i64, i64); 2],
    /// The bytes of a file, the target of a link, nothing for a directory.
    content: Vec<u8>,
}

/// The canaries, and everything else beside the state directory, as they were before anything ran.
#[derive(Debug)]
pub(crate) struct Canary {
    places: Vec<PathBuf>,
    before: BTreeMap<PathBuf, Entry>,
    beside: PathBuf,
    names: BTreeSet<String>,
}

impl Canary {
    /// Makes a directory and a repository with somebody's unfinished work, and remembers both.
    pub(crate) fn make(kept: &Kept) -> Self {
        let directory = kept.directory.join(DIRECTORY);
        fs::create_dir_all(directory.join("below/empty")).expect("writable");
        for name in ["file", "exit.json", "below/file"] {
            fs::write(directory.join(name), format!("{CONTENT} in {name}\n")).expect("writable");
        }
        symlink("below/file", directory.join("link")).expect("writable");
        symlink("nowhere", directory.join("dangling")).expect("writable");
        let kept_file = directory.join("below/read-only");
        fs::write(&kept_file, CONTENT).expect("writable");
        fs::set_permissions(&kept_file, fs::Permissions::from_mode(0o400)).expect("our own");

        let repository = Repository::make(&kept.directory.join(REPOSITORY));
        let file = |name: &str, content: &str| {
            fs::write(repository.path.join(name), format!("{CONTENT}, {content}\n"))
                .expect("writable");
        };
        file("committed", "committed");
        repository.git(&["add", "."]);
        repository.git(&["commit", "--quiet", "-m", "Sing"]);
        repository.git(&["branch", "other"]);
        file("committed", "stashed");
        repository.git(&["stash", "--quiet"]);
        file("committed", "changed and not committed");
        file("staged", "staged");
        repository.git(&["add", "staged"]);
        file("untracked", "known to nobody");

        let places = vec![directory, repository.path];
        let before = picture(&places);
        Self { places, before, beside: kept.directory.clone(), names: names(&kept.directory) }
    }

    /// Everything that has changed.
    pub(crate) fn changes(&self) -> Vec<String> {
        let after = picture(&self.places);
        let paths: BTreeSet<&PathBuf> = self.before.keys().chain(after.keys()).collect();
        let mut changes: Vec<String> = paths
            .into_iter()
            .filter_map(|path| {
                let what = match (self.before.get(path), after.get(path)) {
                    (Some(before), Some(after)) if before == after => return None,
                    (Some(before), Some(after)) => difference(before, after),
                    (Some(_), None) => "is gone".to_owned(),
                    (None, _) => "is new".to_owned(),
                };
                Some(format!("{} {what}", path.display()))
            })
            .collect();
        let strange: Vec<String> = names(&self.beside).difference(&self.names).cloned().collect();
        if !strange.is_empty() {
            changes.push(format!("new beside the state directory: {strange:?}"));
        }
        changes
    }
}

fn difference(before: &Entry, after: &Entry) -> String {
    let fields = [
        ("mode", before.mode != after.mode),
        ("owner", before.owner != after.owner),
        ("inode", before.inode != after.inode),
        ("number of links", before.links != after.links),
        ("time", before.changed != after.changed),
        ("content", before.content != after.content),
    ];
    let changed: Vec<&str> = fields.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    format!("has another {}", changed.join(", "))
}

/// The contents of a test's directory before the server's first run, and what its first start adds.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).expect("our own directory").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !["state", "run", "server.log"].contains(&name.as_str())).collect()
}

fn picture(places: &[PathBuf]) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    for place in places {
        look(place, &mut found);
    }
    found
}

fn look(path: &Path, found: &mut BTreeMap<PathBuf, Entry>) {
    let Ok(there) = fs::symlink_metadata(path) else { return };
    let content = if there.is_symlink() {
        fs::read_link(path).map(|target| target.into_os_string().into_encoded_bytes())
    } else if there.is_file() {
        fs::read(path)
    } else {
        Ok(Vec::new())
    };
    let entry = Entry {
        mode: there.mode(),
        owner: (there.uid(), there.gid()),
        inode: there.ino(),
        links: there.nlink(),
        changed: [(there.mtime(), there.mtime_nsec()), (there.ctime(), there.ctime_nsec())],
        content: content.unwrap_or_default(),
    };
    found.insert(path.to_owned(), entry);
    if there.is_dir() {
        for below in fs::read_dir(path).into_iter().flatten().flatten() {
            look(&below.path(), found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let places = [directory.path().to_owned()];
        fs::write(file("one"), "1").unwrap();
        fs::write(file("two"), "2").unwrap();
        let before = picture(&places);
        assert_eq!(before, picture(&places));

        // The same bytes under the same name, in another file.
        fs::write(file("new"), "1").unwrap();
        fs::rename(file("new"), file("one")).unwrap();
        let after = picture(&places);
        assert!(difference(&before[&file("one")], &after[&file("one")]).contains("inode"));
        assert_eq!(before[&file("two")], after[&file("two")]);
        assert_ne!(before[directory.path()], after[directory.path()]);
    }
}
