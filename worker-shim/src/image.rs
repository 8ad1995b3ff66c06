//! The agent's program, ready to be executed: `execve` and nothing around it.
//!
//! The library's own search (`execvp`) hands a file that the kernel refuses to execute to
//! `/bin/sh`. A half-written agent, or a file of text in its place, would be run line by line as a
//! script.
#![expect(unsafe_code, reason = "execve takes pointers")]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::ptr;

use nix::libc;

/// Where a program without a path is looked up if the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Program, arguments and environment as the kernel takes them. Made before the fork: nothing may
/// be allocated after it.
#[derive(Debug)]
pub struct Image {
    /// Where the program may be; the first existing one is used.
    candidates: Vec<CString>,
    arguments: Strings,
    environment: Strings,
}

impl Image {
    /// `program` is a path, or a name to look up in the `PATH` of `environment`.
    pub fn new(
        program: &Path,
        arguments: &[String],
        environment: &BTreeMap<OsString, OsString>,
    ) -> io::Result<Self> {
        let path = environment.get(OsStr::new("PATH")).map(OsString::as_os_str);
        let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
        let candidates = candidates(program, path);
        let with_name = std::iter::once(program.as_os_str())
            .chain(arguments.iter().map(OsStr::new))
            .map(|argument| CString::new(argument.as_bytes()));
        let variables = environment
            .iter()
            .map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()));
        Ok(Self {
            candidates: candidates
                .iter()
                .map(|path| CString::new(path.as_os_str().as_bytes()))
                .collect::<Result<_, _>>()?,
            arguments: Strings::new(with_name.collect::<Result<_, _>>()?),
            environment: Strings::new(variables.collect::<Result<_, _>>()?),
        })
    }

    /// Becomes the program, or returns the error. Async-signal-safe: it may be called between fork
    /// and exec.
    ///
    /// As in a shell, a file that must not be executed does not hide a later one in the search
    /// path; its error is returned if there is no other.
    #[must_use = "it only returns when it failed"]
    pub fn execute(&self) -> io::Error {
        let mut found = libc::ENOENT;
        for candidate in &self.candidates {
            // SAFETY: the string ends with NUL, both lists end with a null pointer, and all of them outlive the call.
            unsafe {
                libc::execve(
                    candidate.as_ptr(),
                    self.arguments.pointers.as_ptr(),
                    self.environment.pointers.as_ptr(),
                );
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                Some(libc::EACCES) => found = libc::EACCES,
                Some(_) | None => return error,
            }
        }
        io::Error::from_raw_os_error(found)
    }
}

/// A path is the program itself; a name may be in any directory of `path`.
fn candidates(program: &Path, path: &OsStr) -> Vec<PathBuf> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return vec![program.to_owned()];
    }
    // An empty entry means the working directory, which the agent can write; nothing is run from
    // there unasked.
    let entries = path.as_bytes().split(|byte| *byte == b':').filter(|entry| !entry.is_empty());
    entries.map(|entry| Path::new(OsStr::from_bytes(entry)).join(program)).collect()
}

/// Strings with the list of pointers that `execve` requires.
#[derive(Debug)]
struct Strings {
    /// Pointers into `_owned`, whose buffers stay where they are; a null pointer ends the list.
    pointers: Vec<*const libc::c_char>,
    _owned: Vec<CString>,
}

// SAFETY: the pointers lead into the strings beside them, which nobody changes.
unsafe impl Send for Strings {}
// SAFETY: as above.
unsafe impl Sync for Strings {}

impl Strings {
    fn new(owned: Vec<CString>) -> Self {
        let pointers = owned.iter().map(|one| one.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _owned: owned }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_in_the_path_and_a_path_is_used_unchanged() {
        let of = |program: &str, path: &str| candidates(Path::new(program), OsStr::new(path));
        assert_eq!(of("claude", "/a::/b"), [Path::new("/a/claude"), Path::new("/b/claude")]);
        assert_eq!(of("/opt/claude", "/a"), [Path::new("/opt/claude")]);
        assert_eq!(of("./claude", "/a"), [Path::new("./claude")]);
        assert!(of("claude", "").is_empty());
    }

    #[test]
    fn a_program_that_cannot_be_executed_reports_why() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("text"), "echo run by a shell\n").unwrap();
        std::fs::write(at("closed"), "#!/bin/sh\n").unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(at("text"), executable).unwrap();
        let error = |program: &Path| {
            let image = Image::new(program, &[], &BTreeMap::new()).unwrap();
            image.execute().raw_os_error()
        };
        assert_eq!(error(&at("text")), Some(libc::ENOEXEC));
        assert_eq!(error(&at("closed")), Some(libc::EACCES));
        assert_eq!(error(&at("none")), Some(libc::ENOENT));
        assert_eq!(error(Path::new("no-such-program-anywhere")), Some(libc::ENOENT));
    }
}
