//! Whether a place on disk belongs to this user, all the way up, as ssh demands of its own files.
//!
//! A user who may rename a directory above a file decides what is read and written there, so each
//! directory must belong to this user or to root, and be writable by nobody else. A directory for
//! everybody, such as /tmp, is acceptable if its sticky bit protects everybody's files from others.
//! Symbolic links are followed and judged like the directories that contain them.

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use nix::unistd::Gid;
use nix::unistd::Group;
use nix::unistd::Uid;
use nix::unistd::User;

use crate::state::error::StateError;
use crate::state::files;

const ROOT: u32 = 0;
/// The kernel follows as many.
const MOST_LINKS: u32 = 40;
const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o022;

/// Who may own the directories on the way.
#[derive(Clone, Copy, Debug)]
pub struct Owners {
    me: u32,
    /// Another user who is trusted as this user is.
    also: Option<u32>,
    /// The owner that is shown for users that this process's user namespace does not know: root,
    /// for example, in a user's own service to which its manager gives namespaces.
    unmapped: Option<u32>,
}

impl Owners {
    /// This user and root: for a server, which works with what it finds.
    #[must_use]
    pub fn of_server() -> Self {
        Self { me: nix::unistd::geteuid().as_raw(), also: None, unmapped: unmapped() }
    }

    /// For a command about the server that owns this directory. Root asks about the servers of
    /// others, too.
    #[must_use]
    pub fn of_client(directory: &Path) -> Self {
        let own = Self::of_server();
        let owner = || fs::metadata(directory).ok().map(|found| found.uid());
        Self { also: if own.me == ROOT { owner() } else { None }, ..own }
    }

    /// For a file that somebody named: its owner, who knows its contents, is trusted like the user
    /// who named it.
    #[must_use]
    pub fn of_named(file: &Path) -> Self {
        Self { also: fs::metadata(file).ok().map(|found| found.uid()), ..Self::of_server() }
    }

    fn include(self, uid: u32) -> bool {
        uid == self.me || uid == ROOT || Some(uid) == self.also || Some(uid) == self.unmapped
    }
}

/// The owner that stands for all users that this process's user namespace does not know; none in
/// the first namespace, which knows everybody.
fn unmapped() -> Option<u32> {
    /// The kernel's default.
    const OVERFLOW: u32 = 65_534;
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    let known: u64 =
        map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum();
    (known > 0 && known < u64::from(u32::MAX)).then_some(OVERFLOW)
}

/// Refuses a place that others can change or replace. A missing place cannot be wrong; its parents
/// can.
pub fn check(place: &Path, owners: Owners) -> Result<(), StateError> {
    let read = |path: &Path, source| StateError::Read { path: path.to_owned(), source };
    let mut at = PathBuf::from("/");
    let absolute = std::path::absolute(place).map_err(|source| read(place, source))?;
    let mut ahead = parts_of(&absolute);
    let mut links = 0;
    judge(place, &at, &fs::symlink_metadata(&at).map_err(|source| read(&at, source))?, owners)?;
    while let Some(part) = ahead.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        at.push(part);
        let found = match fs::symlink_metadata(&at) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(read(&at, source)),
        };
        judge(place, &at, &found, owners)?;
        if found.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(read(&at, nix::errno::Errno::ELOOP.into()));
            }
            let target = fs::read_link(&at).map_err(|source| read(&at, source))?;
            at.pop();
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            ahead.extend(parts_of(&target));
        }
    }
    Ok(())
}

/// Refuses an open file that others own or may write, whatever its path leads to by now.
pub fn check_file(path: &Path, file: &File, owners: Owners) -> Result<(), StateError> {
    let read = |source| StateError::Read { path: path.to_owned(), source };
    judge(path, path, &file.metadata().map_err(read)?, owners)
}

/// Removes others' access to a directory of ours. A mount point, or a directory at the very top of
/// the file system, serves more than this server, however empty it is, and is left as it is.
pub fn close(path: &Path) -> Result<(), StateError> {
    let failed = |source| StateError::Read { path: path.to_owned(), source };
    let real = path.canonicalize().map_err(failed)?;
    let found = fs::metadata(&real).map_err(failed)?;
    let mode = found.mode() & 0o7777;
    let of_others = mode & 0o077;
    if of_others == 0 {
        return Ok(());
    }
    let (directory, mode) = (path.display(), format!("{mode:04o}"));
    let above = real.parent().filter(|above| above.parent().is_some());
    let on_same = above.and_then(|above| fs::metadata(above).ok());
    let is_ours = found.uid() == nix::unistd::geteuid().as_raw();
    if !is_ours || on_same.is_none_or(|above| above.dev() != found.dev()) {
        tracing::warn!(%directory, mode, owner = found.uid(), "others can read this directory, and it is shared or not ours, so its mode was not changed");
        return Ok(());
    }
    files::set_mode(path, 0o700)?;
    tracing::warn!(%directory, mode, "others could read this directory; its mode was changed to 0700");
    Ok(())
}

/// The components of a path, last first.
fn parts_of(path: &Path) -> Vec<OsString> {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().filter_map(part).rev().collect()
}

fn judge(place: &Path, at: &Path, found: &Metadata, owners: Owners) -> Result<(), StateError> {
    let (is_dir, is_link) = (found.is_dir(), found.is_symlink());
    let is_private = is_private_group(found.gid()) && !has_access_list(at);
    match fault(found.uid(), found.mode(), is_dir, is_link, is_private, owners) {
        None => Ok(()),
        Some(fault) => {
            Err(StateError::Foreign { place: place.to_owned(), at: at.to_owned(), fault })
        }
    }
}

/// What is wrong with one directory or link on the way, and what to do about it.
fn fault(
    uid: u32,
    mode: u32,
    is_dir: bool,
    is_link: bool,
    is_private_group: bool,
    owners: Owners,
) -> Option<String> {
    if !owners.include(uid) {
        return Some(format!("belongs to user {uid}, who can change its content"));
    }
    let writable = if is_private_group { mode & 0o002 } else { mode & OTHERS_WRITE };
    // Everybody may write to a link; the directory that contains it decides who may replace it.
    if is_link || writable == 0 || is_dir && mode & STICKY != 0 {
        return None;
    }
    let mode = mode & 0o7777;
    Some(format!("has mode {mode:04o}, so others can change its content; run chmod go-w on it"))
}

/// Whether an access control list lets others in: the rights of the group are then the most that any of them has.
fn has_access_list(at: &Path) -> bool {
    match rustix::fs::lgetxattr(at, "system.posix_acl_access", &mut [0_u8; 256]) {
        Ok(length) => length > 0,
        Err(rustix::io::Errno::RANGE) => true,
        // There is none, or this file system has no such lists.
        Err(_) => false,
    }
}

/// Whether a group has no member but this user: many systems create one for each user.
fn is_private_group(gid: u32) -> bool {
    let user = User::from_uid(Uid::effective()).ok().flatten();
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    let (Some(user), Some(group)) = (user, group) else { return false };
    user.gid == group.gid
        && user.name == group.name
        && group.mem.iter().all(|member| *member == user.name)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    const OWNERS: Owners = Owners { me: 1000, also: None, unmapped: None };

    #[test]
    fn each_directory_on_the_way_is_ours_or_roots_and_closed_to_other_writers() {
        let dir = |uid, mode| fault(uid, mode, true, false, false, OWNERS).is_none();
        for (uid, mode, good) in [
            (1000, 0o700, true),
            (1000, 0o755, true),
            (0, 0o755, true),
            (0, 0o1777, true),
            (1000, 0o1777, true),
            (1000, 0o775, false),
            (1000, 0o757, false),
            (0, 0o777, false),
            (1001, 0o700, false),
            (1001, 0o1777, false),
        ] {
            assert_eq!(dir(uid, mode), good, "{uid} {mode:o}");
        }
        let private = |mode| fault(1000, mode, true, false, true, OWNERS).is_none();
        assert!(private(0o775) && !private(0o777) && !private(0o757));
        let file = |uid, mode| fault(uid, mode, false, false, false, OWNERS).is_none();
        assert!(file(1000, 0o644) && !file(1000, 0o1666) && !file(1001, 0o600));
        let link = |uid| fault(uid, 0o777, false, true, false, OWNERS).is_none();
        assert!(link(1000) && link(0) && !link(1001));
        let with = Owners { also: Some(1001), ..OWNERS };
        assert_eq!(fault(1001, 0o700, true, false, false, with), None);
    }

    #[test]
    fn a_place_is_judged_all_the_way_up_and_through_links() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/b/c")).expect("makes");
        let mode = |name: &str, mode: u32| {
            fs::set_permissions(at(name), Permissions::from_mode(mode)).expect("sets");
        };
        for name in ["a", "a/b", "a/b/c"] {
            mode(name, 0o755);
        }
        symlink("a/b", at("link")).expect("links");
        symlink(at("link"), at("link2")).expect("links");
        symlink("loop", at("loop")).expect("links");
        let look = |name: &str| check(&at(name), Owners::of_server());
        for good in ["a/b/c", "link2/c", "a/b/c/not/yet", "a/../link/c", "a/./b"] {
            look(good).expect(good);
        }
        assert!(matches!(look("loop"), Err(StateError::Read { .. })));
        mode("a", 0o777);
        for bad in ["a/b/c", "link2/c", "a/b/c/not/yet", "a"] {
            let error = look(bad).expect_err(bad).to_string();
            let told = format!("{} has mode 0777", at("a").display());
            assert!(error.contains(&told) && error.contains("chmod go-w"), "{error}");
        }
        mode("a", 0o1777);
        look("a/b/c").expect("each takes away only what is his own");
    }

    #[test]
    fn an_access_list_lets_others_in_whose_group_has_one_member() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let place = dir.path().join("place");
        fs::create_dir(&place).expect("makes");
        fs::set_permissions(&place, Permissions::from_mode(0o770)).expect("sets");
        assert!(!has_access_list(&place));
        // Version 2; tag, rights and id of the owner, of user 65534, of the group, of the mask, and of all others.
        let entries: [(u16, u16, u32); 5] = [
            (1, 7, u32::MAX),
            (2, 7, 65_534),
            (4, 7, u32::MAX),
            (16, 7, u32::MAX),
            (32, 0, u32::MAX),
        ];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            list.extend(tag.to_le_bytes());
            list.extend(rights.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&place, "system.posix_acl_access", &list, flags).expect("sets");
        assert!(has_access_list(&place));
        let error = check(&place, Owners::of_server()).expect_err("others write").to_string();
        assert!(error.contains("mode 0770"), "{error}");
    }
}
