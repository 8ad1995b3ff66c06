//! Which directory a worktree is.
//!
//! An agent can rename whatever its user owns: it can put the worktree of another ticket in the place of its own, or
//! exchange the two. Each path is then right, `.git` can be repaired, and the work is the other ticket's. So a worktree is
//! also known by what its file system says of it, which a new name does not change and a user cannot set.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::RenameFlags;
use rustix::fs::StatxFlags;
use rustix::fs::renameat_with;

use super::error::GitError;
use super::error::file_error;
use super::site::aside_of;
use super::site::put_aside;
use crate::beneath;
use crate::beneath::Found;

/// What became of a worktree that was not in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// It is in its place.
    There,
    /// It was elsewhere, and is in its place again. What was there instead is now where it was.
    Again(PathBuf),
    /// It is not among the worktrees.
    Lost,
}

/// The inode of an open directory, and when it was made: the number alone is used again. `None` if the file system does
/// not keep that time.
pub(super) fn identity(directory: impl AsFd) -> io::Result<Option<String>> {
    let wanted = StatxFlags::INO | StatxFlags::BTIME;
    let found = rustix::fs::statx(directory, "", AtFlags::EMPTY_PATH, wanted)?;
    let is_known = StatxFlags::from_bits_retain(found.stx_mask).contains(wanted);
    let made = found.stx_btime;
    Ok(is_known.then(|| format!("{}-{}.{:09}", found.stx_ino, made.tv_sec, made.tv_nsec)))
}

/// The same of whatever directory a path leads to, through no link. What an agent has closed to its own user on the way is
/// opened up.
pub fn directory_at(path: &Path) -> Result<Option<String>, GitError> {
    for closed in path.ancestors().skip(1).take(2).collect::<Vec<_>>().into_iter().rev() {
        // If it cannot be, the look says what is wrong.
        beneath::open_up(closed).unwrap_or_default();
    }
    match beneath::look(path).map_err(file_error(path))? {
        Found::Directory(found) => identity(found).map_err(file_error(path)),
        Found::Nothing | Found::Link(_) | Found::Other(_) => Ok(None),
    }
}

/// Has the directory above a worktree be one: all worktrees of a project stand there, and none could be made or found while
/// something else has its name. If a link there leads to where the directory of this worktree (`own`) is, what it leads to
/// was only renamed, and is put back. Returns whether anything was in the way.
pub fn clear_above(path: &Path, own: Option<&str>) -> Result<bool, GitError> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Ok(false) };
    match above.symlink_metadata() {
        Ok(found) if !found.is_dir() => {}
        Ok(_) | Err(_) => return Ok(false),
    }
    if let (Ok(target), Some(own)) = (above.canonicalize(), own)
        && directory_at(&target.join(name))?.as_deref() == Some(own)
    {
        fs::remove_file(above).map_err(file_error(above))?;
        fs::rename(&target, above).map_err(file_error(&target))?;
        return Ok(true);
    }
    beneath::clear(above).map_err(file_error(above))?;
    Ok(true)
}

/// Brings a worktree back to its place from wherever it is among `all`, the worktrees by project.
pub fn bring_home(path: &Path, directory: &str, all: &Path) -> Result<Home, GitError> {
    let there = directory_at(path)?;
    if there.as_deref() == Some(directory) {
        return Ok(Home::There);
    }
    let Some(found) = find(directory, all).map_err(file_error(all))? else { return Ok(Home::Lost) };
    let how = if path.symlink_metadata().is_ok() {
        RenameFlags::EXCHANGE
    } else {
        RenameFlags::NOREPLACE
    };
    rename(&found, path, how)?;
    Ok(Home::Again(found))
}

/// Moves the worktree of another ticket out of a place that is not its own: to its own, or aside if something is there.
pub fn hand_over(path: &Path, its_own: &Path) -> Result<(), GitError> {
    match rename(path, its_own, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(_) => put_aside(path, &aside_of(path)?),
    }
}

/// The directory among `all` that has this identity.
fn find(directory: &str, all: &Path) -> io::Result<Option<PathBuf>> {
    let (inode, _) = directory.split_once('-').unwrap_or_default();
    for project in fs::read_dir(all)? {
        let project = project?;
        // No link is followed: what lies behind one was not made here.
        if !project.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        beneath::open_up(&project.path()).unwrap_or_default();
        for entry in fs::read_dir(project.path()).into_iter().flatten().flatten() {
            let is_it = entry.metadata().is_ok_and(|found| found.ino().to_string() == inode);
            let path = entry.path();
            if is_it
                && let Found::Directory(found) = beneath::look(&path)?
                && identity(&found)?.as_deref() == Some(directory)
            {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// Renames one entry, through no link on the way to either.
fn rename(from: &Path, to: &Path, how: RenameFlags) -> Result<(), GitError> {
    let (held_from, from_name) = parent_of(from)?;
    let (held_to, to_name) = parent_of(to)?;
    let [old, new] = [(&held_from, from_name), (&held_to, to_name)]
        .map(|(parent, name)| beneath::path_of(parent).join(name));
    renameat_with(CWD, old, CWD, new, how).map_err(|error| file_error(from)(error.into()))
}

fn parent_of(path: &Path) -> Result<(std::os::fd::OwnedFd, &std::ffi::OsStr), GitError> {
    let plain = || file_error(path)(io::ErrorKind::InvalidInput.into());
    let (parent, name) = (path.parent().ok_or_else(plain)?, path.file_name().ok_or_else(plain)?);
    Ok((beneath::make_directory(parent).map_err(file_error(parent))?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_found_and_brought_back_whoever_has_renamed_it() {
        let dir = tempfile::tempdir().unwrap();
        let all = dir.path().canonicalize().unwrap();
        let place = |name: &str| all.join(name);
        let (one, two) = (place("shop/T-1"), place("mill/T-2"));
        for path in [&one, &two] {
            fs::create_dir_all(path).unwrap();
            fs::write(path.join("mine"), path.display().to_string()).unwrap();
        }
        let Some(own) = directory_at(&one).unwrap() else { return };
        let others = directory_at(&two).unwrap().unwrap();
        assert_ne!(own, others);
        assert_eq!(bring_home(&one, &own, &all).unwrap(), Home::There);
        let is_in_place = || {
            [&one, &two].iter().all(|path| {
                fs::read_to_string(path.join("mine"))
                    .is_ok_and(|said| said == path.display().to_string())
            })
        };
        // Exchanged.
        renameat_with(CWD, &one, CWD, &two, RenameFlags::EXCHANGE).unwrap();
        assert_eq!(bring_home(&one, &own, &all).unwrap(), Home::Again(two.clone()));
        assert!(is_in_place());
        // In a place of nobody.
        fs::rename(&one, place("mill/elsewhere")).unwrap();
        assert_eq!(bring_home(&one, &own, &all).unwrap(), Home::Again(place("mill/elsewhere")));
        assert!(is_in_place());
        // Gone, and another's is there.
        fs::remove_dir_all(&one).unwrap();
        fs::rename(&two, &one).unwrap();
        assert_eq!(bring_home(&one, &own, &all).unwrap(), Home::Lost);
        assert_eq!(directory_at(&one).unwrap().as_ref(), Some(&others));
        hand_over(&one, &two).unwrap();
        assert!(!one.exists() && directory_at(&two).unwrap().as_ref() == Some(&others));
        // Its own place is taken.
        fs::create_dir(&one).unwrap();
        hand_over(&two, &one).unwrap();
        assert_eq!(directory_at(&place("mill/T-2.aside-1")).unwrap(), Some(others));
    }

    #[test]
    fn what_has_the_name_of_the_directory_above_makes_way() {
        let dir = tempfile::tempdir().unwrap();
        let all = dir.path().canonicalize().unwrap();
        let (path, moved) = (all.join("shop/T-1"), all.join("moved"));
        fs::create_dir_all(&path).unwrap();
        let own = directory_at(&path).unwrap();
        assert!(!clear_above(&path, own.as_deref()).unwrap());
        // Only renamed: everything in it is in its place again.
        fs::rename(all.join("shop"), &moved).unwrap();
        std::os::unix::fs::symlink(&moved, all.join("shop")).unwrap();
        if own.is_some() {
            assert!(clear_above(&path, own.as_deref()).unwrap());
            assert_eq!(directory_at(&path).unwrap(), own);
            assert!(!moved.exists() && !all.join("shop").is_symlink());
            fs::rename(all.join("shop"), &moved).unwrap();
        }
        // To the directory of somebody else, which stays where it is.
        let other = all.join("other");
        fs::create_dir_all(other.join("T-1")).unwrap();
        std::os::unix::fs::symlink(&other, all.join("shop")).unwrap();
        assert!(clear_above(&path, own.as_deref()).unwrap());
        assert!(other.join("T-1").is_dir() && all.join("shop").symlink_metadata().is_err());
        // A file may say something, so it is kept.
        fs::write(all.join("shop"), "said").unwrap();
        assert!(clear_above(&path, None).unwrap());
        assert_eq!(fs::read_to_string(all.join("shop.aside.1")).unwrap(), "said");
        assert!(!clear_above(&path, None).unwrap(), "nothing is there");
    }

    #[test]
    fn a_link_is_no_worktree_and_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let all = dir.path().canonicalize().unwrap();
        let (elsewhere, place) = (all.join("elsewhere/T-1"), all.join("all/shop/T-1"));
        fs::create_dir_all(&elsewhere).unwrap();
        fs::create_dir_all(all.join("all")).unwrap();
        std::os::unix::fs::symlink(all.join("elsewhere"), all.join("all/shop")).unwrap();
        let Some(identity) = directory_at(&elsewhere).unwrap() else { return };
        assert_eq!(directory_at(&place).unwrap(), None);
        assert_eq!(bring_home(&place, &identity, &all.join("all")).unwrap(), Home::Lost);
    }
}
