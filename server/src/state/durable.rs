//! Files that exist completely or not at all, whatever happens while they are written.

use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

/// What happens to a file that already exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    Keep,
    Replace,
}

/// A file in the making: it is beside its final place under another name, and is removed unless it
/// is put in place.
#[derive(Debug)]
pub struct Draft<'p> {
    place: &'p Path,
    directory: &'p Path,
    file: NamedTempFile,
}

impl<'p> Draft<'p> {
    /// Begins an empty file for `place`, with this mode as far as the umask allows.
    pub fn of(place: &'p Path, mode: u32) -> io::Result<Self> {
        let directory = place.parent().unwrap_or(Path::new("/"));
        let file = tempfile::Builder::new()
            .prefix(".vibe-ensemble.")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(directory)?;
        Ok(Self { place, directory, file })
    }

    /// Where the file is until it is put in place.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Sets this mode, whatever the umask.
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.file.as_file().set_permissions(permissions)
    }

    /// Appends to the draft.
    pub fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.file.write_all(content)
    }

    /// Puts the file in its place, durably, and returns its size in bytes. With [`Existing::Keep`]
    /// it fails with [`io::ErrorKind::AlreadyExists`] if something is there.
    pub fn put(self, existing: Existing) -> io::Result<u64> {
        self.file.as_file().sync_all()?;
        let bytes = self.file.as_file().metadata()?.len();
        match existing {
            Existing::Keep => self.file.persist_noclobber(self.place)?,
            Existing::Replace => self.file.persist(self.place)?,
        };
        // Without this, a crash may lose the name, although not the content.
        File::open(self.directory)?.sync_all()?;
        Ok(bytes)
    }
}

/// Writes a file for this user alone.
pub fn write(place: &Path, content: &[u8], existing: Existing) -> io::Result<()> {
    let mut draft = Draft::of(place, 0o600)?;
    draft.write(content)?;
    draft.put(existing).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unplaced_draft_leaves_nothing_and_a_placed_one_can_keep_the_existing_file() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let names = || {
            let entries = std::fs::read_dir(dir.path()).expect("reads");
            entries.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
        };
        let place = dir.path().join("file");
        let mut draft = Draft::of(&place, 0o600).expect("begins");
        draft.write(b"half").expect("writes");
        assert_eq!(names().len(), 1);
        drop(draft);
        assert!(names().is_empty());
        write(&place, b"one", Existing::Keep).expect("writes");
        let error = write(&place, b"two", Existing::Keep).expect_err("it is there");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&place).expect("reads"), b"one");
        write(&place, b"two", Existing::Replace).expect("writes");
        assert_eq!(std::fs::read(&place).expect("reads"), b"two");
        let mode = std::fs::metadata(&place).expect("is there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(names(), ["file"]);
    }
}
