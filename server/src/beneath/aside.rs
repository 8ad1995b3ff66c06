//! Makes room for a file of the server's own where someone put something else.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::CWD;
use rustix::fs::RenameFlags;
use rustix::fs::renameat_with;

/// How many directories are put aside from one place before an operator has to look.
const MOST: u32 = 100;

/// Clears a place for a regular file. A directory is renamed, with all its contents; a link, a pipe or a socket holds
/// nothing and is removed. A regular file stays. Returns whether anything was in the way.
pub fn make_room(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Ok(_) | Err(_) => clear(path).map(|()| true),
    }
}

/// Clears a place for a directory. What has contents is renamed; a link, a pipe or a socket is removed.
pub fn clear(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() && !found.is_file() {
        return fs::remove_file(path);
    }
    for number in 1..=MOST {
        match renameat_with(CWD, path, CWD, aside(path, number), RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => {}
            done => return done.map_err(io::Error::from),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many directories were put aside there"))
}

fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(format!(".aside.{number}"));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_a_directory_is_kept_elsewhere_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("http.addr");
        assert!(!make_room(&path).unwrap(), "nothing is there");
        fs::write(&path, "kept").unwrap();
        assert!(!make_room(&path).unwrap());
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(make_room(&path).unwrap());
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "kept");
        clear(&path).unwrap_err();
        fs::write(&path, "content").unwrap();
        clear(&path).unwrap();
        assert_eq!(fs::read_to_string(aside(&path, 1)).unwrap(), "content");
        fs::remove_file(aside(&path, 1)).unwrap();
        for number in 1..=2 {
            fs::create_dir(&path).unwrap();
            fs::write(path.join("inside"), number.to_string()).unwrap();
            assert!(make_room(&path).unwrap() && !path.exists());
            let kept = aside(&path, number).join("inside");
            assert_eq!(fs::read_to_string(kept).unwrap(), number.to_string());
        }
    }
}
