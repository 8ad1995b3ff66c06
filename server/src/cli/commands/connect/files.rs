//! Files in somebody's directory: written whole or not at all, and never over what is not ours.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use sha2::Digest as _;
use sha2::Sha256;
use shim_protocol::plain_file;

use super::merge::MergeError;
use crate::domain::names::names;
use crate::domain::text::hex;
use crate::state::durable::Draft;
use crate::state::durable::Existing;

names! {
    /// What became of a file.
    pub(super) enum Did {
        Wrote = "wrote",
        Updated = "updated",
        Unchanged = "unchanged",
        /// Somebody else made or changed it.
        LeftAlone = "left alone",
        Removed = "removed",
    }
}

/// What became of one file or entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) place: PathBuf,
    pub(super) did: Did,
    /// Whether it is about our entry in the file, and not about the file.
    pub(super) is_entry: bool,
}

impl Step {
    pub(super) const fn of_file(place: PathBuf, did: Did) -> Self {
        Self { place, did, is_entry: false }
    }

    pub(super) const fn of_entry(place: PathBuf, did: Did) -> Self {
        Self { place, did, is_entry: true }
    }
}

impl Did {
    /// What would be done.
    pub(super) const fn would(self) -> &'static str {
        match self {
            Self::Wrote => "would write",
            Self::Updated => "would update",
            Self::Unchanged => "unchanged",
            Self::LeftAlone => "left alone",
            Self::Removed => "would remove",
        }
    }
}

/// A change that is decided and not made yet.
#[derive(Debug)]
pub(super) struct Change {
    place: PathBuf,
    is_new: bool,
    /// `None` when it is already as it should be.
    text: Option<String>,
}

/// Whether changes are made, or only told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Make,
    /// `--dry-run`.
    Tell,
}

impl Change {
    pub(super) fn carry_out(self, mode: Mode) -> anyhow::Result<Step> {
        let did = match (&self.text, self.is_new) {
            (None, _) => Did::Unchanged,
            (Some(text), _) if is_empty(text) => Did::Removed,
            (Some(_), true) => Did::Wrote,
            (Some(_), false) => Did::Updated,
        };
        match &self.text {
            Some(text) if mode == Mode::Make && is_empty(text) => remove(&self.place)?,
            Some(text) if mode == Mode::Make => write(&self.place, text)?,
            Some(_) | None => {}
        }
        Ok(Step::of_file(self.place, did))
    }
}

/// Whether nothing is left in a JSON file, so that the file need not be there either.
fn is_empty(text: &str) -> bool {
    text.trim().is_empty()
}

/// Removes a file, and what is empty then of Claude Code's directory that it is in. Directories of the user's stay.
fn remove(place: &Path) -> anyhow::Result<()> {
    match fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("could not remove {}", place.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let is_claudes =
        |directory: &&Path| directory.components().any(|it| it.as_os_str() == ".claude");
    // A directory with something of others in it stays.
    for directory in place.ancestors().skip(1).take_while(is_claudes) {
        if fs::remove_dir(directory).is_err() {
            break;
        }
    }
    Ok(())
}

/// Removes a file of our own, unless somebody changed it.
pub(super) fn disown(place: &Path, mode: Mode) -> anyhow::Result<Option<Step>> {
    let did = match read(place)? {
        None => return Ok(None),
        Some(found) if is_signed(&found) => Did::Removed,
        Some(_) => Did::LeftAlone,
    };
    if did == Did::Removed && mode == Mode::Make {
        remove(place)?;
    }
    Ok(Some(Step::of_file(place.to_owned(), did)))
}

/// A file that others write to as well, with what `merge` puts into it.
pub(super) fn merged(
    place: &Path,
    merge: impl FnOnce(&str) -> Result<Option<String>, MergeError>,
) -> anyhow::Result<Change> {
    let found = read(place)?;
    let text = merge(found.as_deref().unwrap_or_default())
        .with_context(|| format!("{} was not changed", place.display()))?;
    Ok(Change { place: place.to_owned(), is_new: found.is_none(), text })
}

/// Writes a file of our own, signed, unless there is one that does not carry our signature any more.
pub(super) fn own(place: &Path, text: &str, mode: Mode) -> anyhow::Result<Step> {
    let signed = signed(text);
    let did = match read(place)? {
        None => Did::Wrote,
        Some(found) if found == signed => Did::Unchanged,
        Some(found) if is_signed(&found) => Did::Updated,
        Some(_) => Did::LeftAlone,
    };
    if mode == Mode::Make && matches!(did, Did::Wrote | Did::Updated) {
        write(place, &signed)?;
    }
    Ok(Step::of_file(place.to_owned(), did))
}

const SIGNATURE: &str =
    "\n<!-- Written by `vibe-ensemble connect`, which updates it while it is unchanged: ";
const SIGNATURE_END: &str = " -->\n";

fn signed(text: &str) -> String {
    format!("{text}{SIGNATURE}{}{SIGNATURE_END}", hash(text))
}

/// Whether this command, of whatever version, wrote exactly this.
fn is_signed(found: &str) -> bool {
    let parts = found.rsplit_once(SIGNATURE);
    parts.is_some_and(|(text, rest)| rest.strip_suffix(SIGNATURE_END) == Some(hash(text).as_str()))
}

fn hash(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// Most bytes of a file of somebody's configuration.
const MOST_BYTES: u64 = 64 << 20;

fn read(place: &Path) -> anyhow::Result<Option<String>> {
    match plain_file::read_linked(place, MOST_BYTES) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("could not read {}", place.display())),
    }
}

/// Replaces a file at once; a link stays one, and a mode is kept.
fn write(place: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("could not write {}", place.display());
    let place = match fs::canonicalize(place) {
        Ok(real) => real,
        Err(_) => place.to_owned(),
    };
    let directory = place.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).with_context(failed)?;
    let mode = fs::metadata(&place).ok().map(|found| found.permissions());
    // As any editor would make it; the umask applies.
    let mut draft = Draft::of(&place, 0o666).with_context(failed)?;
    draft.write(text.as_bytes()).with_context(failed)?;
    if let Some(mode) = mode {
        draft.set_permissions(mode).with_context(failed)?;
    }
    draft.put(Existing::Replace).map(drop).with_context(failed)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_of_ours_is_updated_until_somebody_changes_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join(".claude/skills/x/SKILL.md");
        let did = |text: &str| own(&place, text, Mode::Make).unwrap().did;
        assert_eq!(did("one\n"), Did::Wrote);
        assert_eq!(did("one\n"), Did::Unchanged);
        assert_eq!(did("two\n"), Did::Updated);
        let written = fs::read_to_string(&place).unwrap();
        assert!(written.starts_with("two\n\n<!-- "), "{written}");
        let changed = written.replace("two", "mine");
        fs::write(&place, &changed).unwrap();
        assert_eq!(did("three\n"), Did::LeftAlone);
        let gone = |mode| disown(&place, mode).unwrap().map(|step| step.did);
        assert_eq!(gone(Mode::Make), Some(Did::LeftAlone));
        assert_eq!(fs::read_to_string(&place).unwrap(), changed);
        fs::remove_file(&place).unwrap();
        own(&place, "one\n", Mode::Tell).unwrap();
        assert_eq!(gone(Mode::Make), None, "nothing was written to tell what would be");
        own(&place, "one\n", Mode::Make).unwrap();
        assert_eq!(gone(Mode::Tell), Some(Did::Removed));
        assert!(place.exists());
        assert_eq!(gone(Mode::Make), Some(Did::Removed));
        assert!(!dir.path().join(".claude").exists() && dir.path().exists());
    }

    #[test]
    fn a_link_stays_one_and_a_mode_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "").unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write(&link, "x").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "x");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
