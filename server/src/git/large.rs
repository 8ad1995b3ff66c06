//! Finds files that are too large or too many to be committed, before git copies them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::AtFlags;
use rustix::fs::FileType;

use super::error::GitError;
use super::gather::excluded;
use super::repository::Repository;
use super::room;
use super::site::Site;

/// Smaller files do not fill a disk: if one does not fit, the disk is already full, and that
/// passes.
const LARGE_BYTES: u64 = 64 << 20;

/// The largest file that is committed. Git reads and compresses every byte while every ticket of
/// the repository waits; a sparse file may have any size without taking any room on its disk.
pub(super) const MOST_BYTES: u64 = 4 << 30;

/// Each file is an object of its own, so this many take a minute or two and some hundred thousand
/// files of a disk.
pub(super) const MOST_FILES: usize = if cfg!(test) { 500 } else { 200_000 };

impl Repository {
    /// Refuses what git would add and could not hold: one file that is too large, files that
    /// together do not fit on the disk, or too many files.
    pub(super) async fn assert_fits(
        &self,
        site: &Site<'_>,
        without: &[PathBuf],
    ) -> Result<(), GitError> {
        let list = self.at(site, "ls-files")?;
        let list = list.args(["--others", "--modified", "--exclude-standard", "--deduplicate"]);
        let list = list.args(["-z", "--", "."]).args(without.iter().map(|path| excluded(path)));
        let list = list.run().await?;
        let mut largest = (0, String::new());
        let (mut sum, mut count) = (0_u64, 0);
        for path in list.bytes().split(|byte| *byte == 0).filter(|path| !path.is_empty()) {
            // It was deleted meanwhile.
            let Ok(found) = rustix::fs::statat(&*site.top, path, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
                continue;
            }
            let bytes = u64::try_from(found.st_size).unwrap_or_default();
            sum = sum.saturating_add(bytes);
            count += 1;
            if count > MOST_FILES {
                let all = list.bytes().split(|byte| *byte == 0).count() - 1;
                return Err(GitError::Many { count: all, most: MOST_FILES, path: shown(path) });
            }
            if bytes > largest.0 {
                largest = (bytes, shown(path));
            }
        }
        let (bytes, path) = largest;
        let refuse = |why: String| Err(GitError::Large { path: path.clone(), bytes, why });
        if bytes > MOST_BYTES {
            return refuse(format!(
                "files of more than {} GiB are not committed",
                MOST_BYTES >> 30
            ));
        }
        match room::free(self.real()) {
            Some(free) if bytes > free.max(LARGE_BYTES) => {
                refuse(format!("the disk of the repository has room for {} MiB", free >> 20))
            }
            // It is the largest of many files.
            Some(free) if sum > free.max(LARGE_BYTES) => refuse(format!(
                "the disk of the repository has room for {} MiB and there are {} MiB to commit",
                free >> 20,
                sum >> 20
            )),
            Some(_) | None => Ok(()),
        }
    }
}

fn shown(path: &[u8]) -> String {
    super::names::shown(&Path::new(OsStr::from_bytes(path)).to_string_lossy())
}
