//! Prepares what a server needs before it opens anything: its directories, closed to others, both
//! locks, and its tokens.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use shim_protocol::plain_file;

use crate::beneath;
use crate::config::Config;
use crate::domain::id::AttemptId;
use crate::domain::time::Timestamp;
use crate::state::durable;
use crate::state::durable::Existing;
use crate::state::error::StateError;
use crate::state::files::ATTEMPT_KEY;
use crate::state::files::ATTEMPTS;
use crate::state::files::BELOW;
use crate::state::files::DATABASE;
use crate::state::files::SHIM_ADDRESS;
use crate::state::files::TOKEN;
use crate::state::files::make;
use crate::state::files::restore;
use crate::state::files::set_mode;
use crate::state::holder::Origin;
use crate::state::holder::TokenFile;
use crate::state::lock::InstanceLock;
use crate::state::owned;
use crate::state::owned::Owners;
use crate::state::token;

/// What a server needs before it opens anything.
#[derive(Debug)]
pub struct Prepared {
    pub lock: InstanceLock,
    /// The coordinator's token.
    pub token: String,
    /// The key with which the tokens of attempts are made.
    pub attempt_key: String,
}

/// Makes the directories, takes both locks, and reads the token, or makes it on the first start.
pub fn prepare(config: &Config, now: Timestamp) -> Result<Prepared, StateError> {
    let (state, runtime) = (&config.state_dir, &config.runtime_dir);
    let token = TokenFile::of(config);
    check_configuration(config)?;
    take_places(config)?;
    let lock = InstanceLock::take(state, runtime, token.clone(), now)?;
    refuse_lost_database(state)?;
    for below in BELOW {
        let path = state.join(below);
        if !restore(&path)? {
            make(&path)?;
        }
        owned::check(&path, Owners::of_server())?;
        // Everything in these is ours, so a laxer mode is a mistake to fix; behind a link it may
        // not be ours alone.
        if !path.is_symlink() {
            set_mode(&path, 0o700)?;
        }
    }
    for name in [DATABASE, "vibe-ensemble.db-wal", "vibe-ensemble.db-shm", ATTEMPT_KEY, TOKEN] {
        // What is missing is made, and what is no file has an error of its own.
        plain_file::open_up(&state.join(name)).unwrap_or_default();
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

/// Makes the directories and takes both locks, and nothing else: for a command that acts in place
/// of a server.
pub fn hold(config: &Config, now: Timestamp) -> Result<InstanceLock, StateError> {
    let (state, runtime) = (&config.state_dir, &config.runtime_dir);
    take_places(config)?;
    InstanceLock::take(state, runtime, TokenFile::of(config), now)
}

/// Makes both directories, for this user alone.
fn take_places(config: &Config) -> Result<(), StateError> {
    for place in [&config.state_dir, &config.runtime_dir] {
        // Before anything is made in somebody else's place.
        owned::check(place, Owners::of_server())?;
        // What an agent has closed to its own user is opened up again.
        if !restore(place)? {
            make(place)?;
        }
        owned::close(place)?;
    }
    Ok(())
}

/// Refuses a configuration that others can change: it names the programs that are run, and its templates instruct the workers.
pub fn check_configuration(config: &Config) -> Result<(), StateError> {
    let named = config.names_its_file();
    let owners = |path: &Path| if named { Owners::of_named(path) } else { Owners::of_server() };
    for path in config.file.iter().chain([&config.templates_dir]) {
        owned::check(path, owners(path)).map_err(StateError::of_the_configuration)?;
    }
    Ok(())
}

/// Publishes where shims dial.
pub fn publish_socket(state_dir: &Path, socket: &Path) -> Result<(), StateError> {
    let path = state_dir.join(SHIM_ADDRESS);
    let failed = |source| StateError::Write { path: path.clone(), source };
    beneath::make_room(&path).map_err(failed)?;
    durable::write(&path, socket.as_os_str().as_bytes(), Existing::Replace).map_err(failed)
}

/// Refuses to begin with an empty database if there was one: its tickets would be gone silently.
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;
    use crate::config::Environment;
    use crate::config::Flags;
    use crate::state::files::ADDRESS;
    use crate::state::lock::holder;

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
            [&state, &runtime, &state.join("tokens"), &state.join(ATTEMPTS), &state.join("workers")]
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
    fn the_token_survives_starts_and_its_mode_is_fixed() {
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
    fn a_second_server_learns_who_holds_either_directory() {
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
        // A process that another test starts at this moment holds the lock until it executes its
        // program.
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
