//! A file system that can be frozen: a process that writes to it then sleeps where no signal
//! reaches it, not even SIGKILL.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use shim_evidence::process::Process;
use shim_evidence::process::State;
use tempfile::TempDir;

/// An ext4 file system of a few MiB in a file. Dropping it thaws and unmounts it, so drop it before
/// what may hang in it.
#[derive(Debug)]
pub struct Frozen {
    directory: TempDir,
}

impl Frozen {
    /// Mounts one.
    ///
    /// # Errors
    ///
    /// What is missing: the rights, a loop device, or one of the programs.
    pub fn mount() -> Result<Self, String> {
        let disk =
            Self { directory: tempfile::tempdir().expect("the temporary directory is writable") };
        std::fs::create_dir(disk.path()).expect("a fresh directory");
        let image = disk.directory.path().join("image");
        std::fs::File::create(&image).and_then(|file| file.set_len(16 << 20)).expect("writable");
        let (image, path) = (image.display().to_string(), disk.path().display().to_string());
        let mounted = run("mkfs.ext4", &["-q", "-F", &image])
            .and_then(|()| run("mount", &["-o", "loop", &image, &path]));
        mounted.map(|()| disk)
    }

    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    /// From here on, every process that writes to it sleeps.
    pub fn freeze(&self) {
        let path = self.path().display().to_string();
        run("fsfreeze", &["--freeze", &path]).expect("it was mounted for this");
    }

    /// Processes that slept in it continue.
    pub fn thaw(&self) {
        let path = self.path().display().to_string();
        run("fsfreeze", &["--unfreeze", &path]).expect("it is frozen");
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let path = self.path().display().to_string();
        // It is frozen only if a test has failed half-way, and not mounted if mounting was
        // impossible.
        drop(run("fsfreeze", &["--unfreeze", &path]));
        drop(run("umount", &["--lazy", &path]));
    }
}

/// Whether a process sleeps where no signal reaches it.
#[must_use]
pub fn is_uninterruptible(pid: i32) -> bool {
    Process::read(pid).is_some_and(|process| process.state == State::Uninterruptible)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let found = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .into_iter()
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.exists())
        .ok_or_else(|| format!("there is no {program}"))?;
    let output = Command::new(found).args(arguments).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
