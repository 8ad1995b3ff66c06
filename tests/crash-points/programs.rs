//! The programs under test, built from a copy of the source: with the crash points, and with at
//! most one bug.
//!
//! The ordinary programs and the source stay as they are. The copy shares its compiled dependencies
//! with the ordinary build, so that only the two programs are compiled: once as they are, and once
//! more for each bug, incrementally. The copy's own packages have another version: with the same
//! version, cargo would take what it built from the copy for the ordinary packages, and would not
//! notice that one of their files has changed since.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::PoisonError;

use e2e::binaries;
use e2e::plants;
use tempfile::TempDir;

const SERVER: &str = "vibe-ensemble";
const SHIM: &str = "vibe-ensemble-shim";

/// There is one copy, and it contains one bug at a time. True once the programs without a bug are
/// built.
static COPY: Mutex<bool> = Mutex::new(false);

/// A directory with server and shim, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Programs(TempDir);

impl Programs {
    /// The programs with the crash points, and with this bug.
    pub(crate) async fn with(bug: Option<&'static str>) -> Self {
        let built = tokio::task::spawn_blocking(move || build(bug));
        built.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

fn build(bug: Option<&str>) -> Programs {
    let mut is_built = COPY.lock().unwrap_or_else(PoisonError::into_inner);
    if !*is_built {
        copy_source();
        cargo_build(&[SERVER, SHIM]);
        for program in [SERVER, SHIM] {
            take(program, &place().join("plain"));
        }
        *is_built = true;
    }
    let programs =
        Programs(tempfile::tempdir_in(place()).expect("the build directory is writable"));
    let Some(bug) = bug else {
        for program in [SERVER, SHIM] {
            link(program, programs.0.path());
        }
        return programs;
    };
    // Removes any bug that was planted earlier.
    copy_source();
    plant(bug);
    let of_the_shim = plants::changes(bug).iter().all(|file| file.starts_with("worker-shim/"));
    let (broken, whole) = if of_the_shim { (SHIM, SERVER) } else { (SERVER, SHIM) };
    cargo_build(&[broken]);
    take(broken, programs.0.path());
    link(whole, programs.0.path());
    copy_source();
    programs
}

/// The directory for everything that is made here, beside the ordinary programs.
fn place() -> PathBuf {
    let target = binaries::directory();
    target.parent().expect("a profile lies in the target directory").join("planted")
}

fn tree() -> PathBuf {
    place().join("tree")
}

/// Makes the copy equal to the source. A file that is already equal keeps its time, so that it is
/// not compiled again.
fn copy_source() {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(plants::source())
        .output()
        .expect("git can be started");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).expect("our paths are text");
    let mut kept = BTreeSet::new();
    for path in listed.split_terminator('\0') {
        let (from, to) = (plants::source().join(path), tree().join(path));
        let Ok(content) = fs::read(&from) else { continue };
        let content = match path {
            "Cargo.toml" => replaced(&content),
            "Cargo.lock" => of_own_packages(&content),
            _ => content,
        };
        kept.insert(to.clone());
        if fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        fs::create_dir_all(to.parent().expect("below the copy")).expect("the copy is writable");
        fs::write(&to, content).expect("the copy is writable");
    }
    remove_others(&tree(), &kept).expect("the copy is writable");
}

/// The text with the version of the copy instead of the ordinary version.
fn replaced(text: &[u8]) -> Vec<u8> {
    let version = |of: &str| format!("\nversion = \"{of}\"\n");
    let (ordinary, ours) = (env!("CARGO_PKG_VERSION"), concat!(env!("CARGO_PKG_VERSION"), "-copy"));
    String::from_utf8_lossy(text).replace(&version(ordinary), &version(ours)).into_bytes()
}

/// The same in a lock file, where packages from elsewhere name their source.
fn of_own_packages(lock: &[u8]) -> Vec<u8> {
    const PACKAGE: &str = "[[package]]";
    let lock = String::from_utf8_lossy(lock);
    let packages = lock.split(PACKAGE).map(|package| {
        let is_ours = !package.contains("\nsource = ");
        if is_ours { replaced(package.as_bytes()) } else { package.as_bytes().to_vec() }
    });
    packages.collect::<Vec<_>>().join(PACKAGE.as_bytes())
}

fn remove_others(directory: &Path, kept: &BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, kept)?;
        } else if !kept.contains(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn plant(bug: &str) {
    let applied = Command::new("git")
        .arg("apply")
        .arg(plants::patch(bug))
        .current_dir(tree())
        // The copy is not a repository. Inside one, git would look for the files there.
        .env("GIT_CEILING_DIRECTORIES", place())
        .output()
        .expect("git can be started");
    let problem = String::from_utf8_lossy(&applied.stderr).into_owned();
    assert!(applied.status.success(), "{bug} does not apply any more: {problem}");
}

/// Builds programs of the copy. The example selects the same features of dependencies as a build
/// with all targets, and so reuses the dependencies that such a build left.
fn cargo_build(programs: &[&str]) {
    let target = binaries::directory();
    let target = target.parent().expect("a profile lies in the target directory");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--workspace", "--locked", "--features", "faults/crash-points"])
        .args(["--example", "pages"])
        .current_dir(tree())
        .env("CARGO_TARGET_DIR", place().join("target"))
        .env("CARGO_BUILD_BUILD_DIR", target)
        .env("CARGO_INCREMENTAL", "1");
    for program in programs {
        cargo.args(["--bin", program]);
    }
    let built = cargo.output().expect("cargo can be started");
    let problem = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(built.status.success(), "{programs:?} cannot be built: {problem}");
}

/// Copies a program that was just built; the next build replaces it.
fn take(program: &str, into: &Path) {
    fs::create_dir_all(into).expect("the build directory is writable");
    let built = place().join("target/debug").join(program);
    // A program that is still running cannot be overwritten.
    drop(fs::remove_file(into.join(program)));
    fs::copy(&built, into.join(program)).expect("the program was built");
}

/// Adds a program without a bug.
fn link(program: &str, into: &Path) {
    fs::hard_link(place().join("plain").join(program), into.join(program))
        .expect("the same file system");
}
