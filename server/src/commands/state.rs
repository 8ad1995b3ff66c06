//! The directories of a server: made, locked (see [`super::instance`]), and given a token.

use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

pub use crate::commands::instance::ADDRESS;
pub use crate::commands::instance::Holder;
pub use crate::commands::instance::InstanceLock;
pub use crate::commands::instance::RUNTIME_LOCK;
pub use crate::commands::instance::holder;
use crate::commands::owned;
use crate::commands::owned::Owners;
use crate::commands::token;
use crate::commands::token::Origin;
use crate::commands::token::TokenError;
use crate::commands::token::TokenFile;
use crate::config;
use crate::config::Config;
use crate::domain::id::AttemptId;
use crate::domain::time::Timestamp;

/// The database, in the state directory.
pub const DATABASE: &str = "vibe-ensemble.db";
/// The run directories, in the state directory.
pub const ATTEMPTS: &str = "attempts";
/// One directory per worker, in the state directory.
pub const WORKERS: &str = "workers";
/// The worktrees of tickets by project, in the state directory.
pub const WORKTREES: &str = "worktrees";
/// The coordinator's token, in the state directory.
pub const TOKEN: &str = config::OWN_TOKEN;
/// What only the server writes, in the state directory; units of workers may read it and no more.
pub const SERVER: &str = "server";
/// Where shims dial, in the state directory: they outlive the runtime directory that they were launched with.
pub const SHIM_ADDRESS: &str = "server/shim.addr";
/// What the tokens of attempts are made with, in the state directory.
pub const ATTEMPT_KEY: &str = "tokens/attempts";
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("could not make the directory {path}{}", next_step(source))]
    MakeDirectory { path: PathBuf, source: io::Error },
    #[error("could not set the mode of {path}{}", next_step(source))]
    Mode { path: PathBuf, source: io::Error },
    #[error("could not read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("could not write {path}{}", next_step(source))]
    Write { path: PathBuf, source: io::Error },
    #[error("could not lock {path}{}", next_step(source))]
    Lock { path: PathBuf, source: io::Error },
    #[error(
        "{path} is held by {holder}; stop that one first, or give this one its own {directory}"
    )]
    Held { path: PathBuf, holder: Box<Holder>, directory: &'static str },
    #[error(
        "{path} is missing or empty, but {attempts} holds {count} run directories of a database that was there. Put a \
         backup in its place; or, to start empty, move {attempts} away first"
    )]
    DatabaseGone { path: PathBuf, attempts: PathBuf, count: usize },
    #[error(
        "the database in {copy} is a copy of the one in {original}, where {who}. Nothing was touched. Stop that one \
         and its workers first, or start empty in another --state-dir"
    )]
    Elsewhere { copy: PathBuf, original: PathBuf, who: String },
    #[error(
        "{place} is not used, because others could change it: {at} {fault}. Have its owner fix that, or name a directory of \
         your own with --state-dir or --runtime-dir"
    )]
    Foreign { place: PathBuf, at: PathBuf, fault: String },
    #[error("{path} holds no token; remove it, and the next start makes a new one")]
    NoToken { path: PathBuf },
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// What an operator can do about a directory that cannot be written; empty when the cause says enough.
fn next_step(cause: &io::Error) -> &'static str {
    let kind = cause.kind();
    if kind == io::ErrorKind::ReadOnlyFilesystem {
        "; its file system is read-only. Mount it writable, or name another place with --state-dir or --runtime-dir"
    } else if kind == io::ErrorKind::PermissionDenied {
        "; this user may not write there. Give it the directory, or name another with --state-dir or --runtime-dir"
    } else if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        "; its file system is full. Free some room there, then start again"
    } else {
        ""
    }
}

/// What a server needs before it opens anything.
#[derive(Debug)]
pub struct Prepared {
    pub lock: InstanceLock,
    /// The coordinator's token.
    pub token: String,
    /// What the tokens of attempts are made with.
    pub attempt_key: String,
}

/// Makes the directories, takes both locks, reads the token or makes it on the first start.
pub fn prepare(config: &Config, now: Timestamp) -> Result<Prepared, StateError> {
    let (state, runtime) = (&config.state_dir, &config.runtime_dir);
    let token = TokenFile::of(config);
    for place in [state, runtime] {
        // Before anything is made in a place that is somebody else's, and again for what was there.
        owned::check(place, Owners::of_server())?;
        make(place)?;
        owned::close(place)?;
    }
    let lock = InstanceLock::take(state, runtime, token.clone(), now)?;
    refuse_lost_database(state)?;
    for below in ["tokens", SERVER, ATTEMPTS, WORKERS, WORKTREES] {
        let path = state.join(below);
        make(&path)?;
        owned::check(&path, Owners::of_server())?;
        // Everything in these is ours, so a laxer mode is a mistake to be mended; where a link leads it is not ours alone.
        if !path.is_symlink() {
            set_mode(&path, 0o700)?;
        }
    }
    for file in [state.join(DATABASE), state.join(ATTEMPT_KEY)] {
        owned::check(&file, Owners::of_server())?;
    }
    if token.origin == Origin::Own {
        owned::check(&token.path, Owners::of_server())?;
    }
    let (token, attempt_key) = (token.begin()?, token::own(&state.join(ATTEMPT_KEY))?);
    Ok(Prepared { lock, token, attempt_key })
}

/// Says where shims dial.
pub fn publish_socket(state_dir: &Path, socket: &Path) -> Result<(), StateError> {
    let path = state_dir.join(SHIM_ADDRESS);
    write_durably(&path, socket.as_os_str().as_bytes(), Existing::Replace)
        .map_err(|source| StateError::Write { path, source })
}

/// Refuses to begin with an empty database where there was one: its tickets would be gone without a word.
fn refuse_lost_database(state_dir: &Path) -> Result<(), StateError> {
    let path = state_dir.join(DATABASE);
    match fs::metadata(&path) {
        Ok(file) if file.len() > 0 => return Ok(()),
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(StateError::Read { path, source });
        }
        Ok(_) | Err(_) => {}
    }
    let attempts = state_dir.join(ATTEMPTS);
    let entries = match fs::read_dir(&attempts) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(StateError::Read { path: attempts, source }),
    };
    let is_run_dir = |name: &std::ffi::OsStr| {
        name.to_str().is_some_and(|name| name.parse::<AttemptId>().is_ok())
    };
    let count = entries.flatten().filter(|entry| is_run_dir(&entry.file_name())).count();
    if count == 0 { Ok(()) } else { Err(StateError::DatabaseGone { path, attempts, count }) }
}

pub(super) fn make(path: &Path) -> Result<(), StateError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| StateError::MakeDirectory { path: path.to_owned(), source })
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), StateError> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|source| StateError::Mode { path: path.to_owned(), source })
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Keep,
    Replace,
}

/// Writes a file, mode 0600, so that after a crash it is there whole or not at all.
pub(super) fn write_durably(path: &Path, content: &[u8], existing: Existing) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    match existing {
        Existing::Keep => file.persist_noclobber(path)?,
        Existing::Replace => file.persist(path)?,
    };
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Environment;
    use crate::config::Flags;

    const NOW: Timestamp = Timestamp::from_millis(1_795_305_600_000);

    fn config(state: &Path, runtime: &Path) -> Config {
        let given = [("state_dir", state), ("runtime_dir", runtime)]
            .map(|(name, path)| (name, path.display().to_string()));
        let flags = Flags { config: None, given: given.into() };
        crate::config::load(&flags, &Environment::default()).expect("loads")
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("is there").permissions().mode() & 0o7777
    }

    #[test]
    fn a_first_start_makes_everything_for_its_user_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (state, runtime) = (dir.path().join("a/state"), dir.path().join("run"));
        let prepared = prepare(&config(&state, &runtime), NOW).expect("prepares");
        for path in
            [&state, &runtime, &state.join("tokens"), &state.join(ATTEMPTS), &state.join(WORKERS)]
        {
            assert_eq!(mode(path), 0o700, "{}", path.display());
        }
        for token in [TOKEN, ATTEMPT_KEY] {
            assert_eq!(mode(&state.join(token)), 0o600, "{token}");
        }
        assert_eq!((prepared.token.len(), prepared.attempt_key.len()), (64, 64));
        assert_ne!(prepared.token, prepared.attempt_key);
        assert_eq!(fs::read_to_string(state.join(TOKEN)).expect("reads"), prepared.token);
    }

    #[test]
    fn the_token_survives_starts_and_its_mode_is_mended() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = config(dir.path(), &dir.path().join("run"));
        let first = prepare(&config, NOW).expect("prepares").token;
        let path = dir.path().join(TOKEN);
        set_mode(&path, 0o644).expect("sets");
        assert_eq!(prepare(&config, NOW).expect("prepares").token, first);
        assert_eq!(mode(&path), 0o600);
        fs::write(&path, "").expect("writes");
        assert!(matches!(prepare(&config, NOW), Err(StateError::NoToken { .. })));
    }

    #[test]
    fn a_lost_database_is_no_reason_to_start_empty() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = config(dir.path(), &dir.path().join("run"));
        prepare(&config, NOW).expect("a first start");
        prepare(&config, NOW).expect("a first start that was cut short");
        let run_dir = dir.path().join(ATTEMPTS).join("A-7");
        fs::create_dir(&run_dir).expect("makes");
        for content in [None, Some("")] {
            if let Some(content) = content {
                fs::write(dir.path().join(DATABASE), content).expect("writes");
            }
            let error = prepare(&config, NOW).expect_err("refuses").to_string();
            assert!(error.contains("backup") && error.contains("to start empty"), "{error}");
        }
        fs::write(dir.path().join(DATABASE), "something").expect("writes");
        prepare(&config, NOW).expect("the store judges what is there");
        fs::remove_file(dir.path().join(DATABASE)).expect("removes");
        fs::remove_dir(&run_dir).expect("removes");
        prepare(&config, NOW).expect("somebody wants to start empty");
    }

    #[test]
    fn a_second_server_is_told_who_holds_either_directory() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| dir.path().join(name);
        let first = config(&at("state"), &at("run"));
        let mut prepared = prepare(&first, NOW).expect("prepares");
        prepared.lock.publish("127.0.0.1:3276".parse().expect("an address")).expect("publishes");
        let own_pid = i32::try_from(std::process::id()).ok();
        for second in
            [first.clone(), config(&at("state"), &at("run2")), config(&at("s2"), &at("run"))]
        {
            match prepare(&second, NOW) {
                Err(error @ StateError::Held { .. }) => {
                    let text = error.to_string();
                    assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
                    assert!(text.contains("listening on 127.0.0.1:3276"), "{text}");
                }
                other => panic!("expected a refusal, got {other:?}"),
            }
        }
        assert_eq!(holder(&at("run")).expect("reads").and_then(|h| h.pid), own_pid);
        assert_eq!(fs::read_to_string(at("run").join(ADDRESS)).expect("reads"), "127.0.0.1:3276");

        prepared.lock.withdraw().expect("withdraws");
        assert!(!at("run").join(ADDRESS).exists());
        drop(prepared);
        // A process that another test starts in this moment has the lock until it runs its program.
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(10)
            && holder(&at("run")).expect("reads").is_some()
        {
            std::thread::yield_now();
        }
        assert_eq!(holder(&at("run")).expect("reads"), None);
        let listened = |prepared: &Prepared| prepared.lock.listened().map(|at| at.to_string());
        let again = prepare(&first, NOW).expect("prepares again");
        assert_eq!(listened(&again).as_deref(), Some("127.0.0.1:3276"));
        drop(again);
        let again = prepare(&first, NOW).expect("prepares once more");
        assert_eq!(listened(&again).as_deref(), Some("127.0.0.1:3276"), "one that never listened");
    }
}
