//! What a hostile agent does to its supervisor, to the server, and to the attempts of others.
//!
//! An attack has no result of its own: the rest of the script decides how the agent ends. An attack
//! never follows a link that it finds, so an agent that runs twice does not change the target of
//! its first run's link.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::str::FromStr as _;

use e2e::fake;
use e2e::kept::is_shim;
use e2e::processes::Family;
use e2e::processes::MARK_VARIABLE;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use serde_json::Value;
use serde_json::json;
use shim_evidence::process;
use shim_protocol::run_dir;

use crate::places::Places;

/// Paths are relative to the directory in which the agent was started, and names in them are
/// replaced, see [`crate::places`].
#[derive(Debug, PartialEq)]
pub(crate) enum Attack {
    /// `attack KIND`: records that an attack of this kind follows, for
    /// [`e2e::fake::CallLog::attacks`].
    Note(String),
    /// `link PATH TARGET`: a symbolic link in the place of whatever is there.
    Link { path: String, target: String },
    /// `pipe PATH`: a named pipe in the place of whatever is there.
    Pipe(String),
    /// `remove PATH`: with everything below it.
    Remove(String),
    /// `read-only DIRECTORY`: makes one with a file in it, and removes the write permission of
    /// both.
    ReadOnly(String),
    /// `signal shim SIGNAL`: to the shim of this agent. `signal shims SIGNAL`: to all others of this server.
    Signal { whom: Whom, signal: Signal },
    /// `forge ATTEMPT NAMED WORKER REPORT`: an exit record of a success in the run directory of
    /// `ATTEMPT`, replacing an existing one, which claims to be the record of the attempt `NAMED`
    /// and of `WORKER`, or, for `theirs`, of the worker that has the attempt `NAMED`.
    Forge { attempt: String, named: String, worker: String, report: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    OwnShim,
    OtherShims,
}

/// Reads a command; returns `None` if the verb is none of these.
pub(crate) fn parse(verb: &str, rest: &str) -> Option<Result<Attack, String>> {
    let words: Vec<&str> = rest.split(' ').filter(|word| !word.is_empty()).collect();
    let wrong = || Err(format!("`{verb} {rest}` does not say what is needed"));
    Some(match (verb, words.as_slice()) {
        ("attack", [kind]) => Ok(Attack::Note((*kind).to_owned())),
        ("link", [path, target]) => {
            Ok(Attack::Link { path: (*path).to_owned(), target: (*target).to_owned() })
        }
        ("pipe", [path]) => Ok(Attack::Pipe((*path).to_owned())),
        ("remove", [path]) => Ok(Attack::Remove((*path).to_owned())),
        ("read-only", [path]) => Ok(Attack::ReadOnly((*path).to_owned())),
        ("signal", [whom, signal]) => {
            let whom = match *whom {
                "shim" => Whom::OwnShim,
                "shims" => Whom::OtherShims,
                _ => return Some(wrong()),
            };
            let name = format!("SIG{}", signal.trim_start_matches("SIG"));
            match Signal::from_str(&name) {
                Ok(signal) => Ok(Attack::Signal { whom, signal }),
                Err(_) => wrong(),
            }
        }
        ("forge", [attempt, named, worker, report @ ..]) => Ok(Attack::Forge {
            attempt: (*attempt).to_owned(),
            named: (*named).to_owned(),
            worker: (*worker).to_owned(),
            report: report.join(" "),
        }),
        ("attack" | "link" | "pipe" | "remove" | "read-only" | "signal" | "forge", _) => wrong(),
        _ => return None,
    })
}

/// Performs the attack. The error is the reason why the agent gives up: a script that cannot be
/// obeyed is no test.
pub(crate) fn act(attack: &Attack, places: &Places) -> Result<(), String> {
    match attack {
        Attack::Note(kind) => note(kind, places),
        Attack::Link { path, target } => {
            let path = cleared(&places.path(path))?;
            symlink(places.named(target), &path).map_err(|error| at(&path, &error))
        }
        Attack::Pipe(path) => {
            let path = cleared(&places.path(path))?;
            nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)
                .map_err(|errno| at(&path, &errno.into()))
        }
        Attack::Remove(path) => remove(&places.path(path)),
        Attack::ReadOnly(path) => read_only(&places.path(path)),
        Attack::Signal { whom: Whom::OwnShim, signal } => signal_own_shim(*signal),
        Attack::Signal { whom: Whom::OtherShims, signal } => signal_other_shims(*signal, places),
        Attack::Forge { attempt, named, worker, report } => {
            let [attempt, named, worker, report] =
                [attempt, named, worker, report].map(|text| places.named(text));
            forge(places, &attempt, &named, &worker, &report)
        }
    }
}

/// Recorded before the attack, because the attacker may not survive it.
fn note(kind: &str, places: &Places) -> Result<(), String> {
    let Some(directory) = places.variable(fake::DIRECTORY_VARIABLE) else { return Ok(()) };
    let file = Path::new(directory).join("attacks").join(format!("{}.{kind}", places.attempt));
    fs::write(&file, "").map_err(|error| at(&file, &error))
}

/// The path, with nothing there and its directory created.
fn cleared(path: &Path) -> Result<std::path::PathBuf, String> {
    remove(path)?;
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).map_err(|error| at(above, &error))?;
    }
    Ok(path.to_owned())
}

/// Removes what is there, a link rather than its target. If others remove or create something
/// meanwhile, it tries again.
fn remove(path: &Path) -> Result<(), String> {
    for _ in 0..100 {
        let removed = match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Nothing is there, or something below it has disappeared.
                if fs::symlink_metadata(path).is_err() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) => return Err(at(path, &error)),
        }
    }
    Err(format!("{}: others fill it faster than it can be removed", path.display()))
}

fn read_only(directory: &Path) -> Result<(), String> {
    let failed = |error: io::Error| at(directory, &error);
    fs::create_dir_all(directory).map_err(failed)?;
    let file = directory.join("kept");
    fs::write(&file, "read-only\n").map_err(failed)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).map_err(failed)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o500)).map_err(failed)
}

fn signal_own_shim(signal: Signal) -> Result<(), String> {
    let parent = nix::unistd::getppid();
    let command = process::command(parent.as_raw()).unwrap_or_default();
    // If its shim has died, the agent has another parent, which must not be hit.
    if !command.split(' ').next().is_some_and(|program| program.ends_with("vibe-ensemble-shim")) {
        return Ok(());
    }
    send(parent, signal)
}

fn signal_other_shims(signal: Signal, places: &Places) -> Result<(), String> {
    let mark = places.variable(MARK_VARIABLE).ok_or_else(|| format!("no {MARK_VARIABLE}"))?;
    let own = nix::unistd::getppid().as_raw();
    let alive = Family::new(mark.to_owned(), places.state()).alive();
    for shim in alive.iter().filter(|process| is_shim(process) && process.pid != own) {
        send(Pid::from_raw(shim.pid), signal)?;
    }
    Ok(())
}

fn send(pid: Pid, signal: Signal) -> Result<(), String> {
    match nix::sys::signal::kill(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(format!("{signal} to {pid}: {errno}")),
    }
}

fn forge(
    places: &Places,
    attempt: &str,
    named: &str,
    worker: &str,
    report: &str,
) -> Result<(), String> {
    let own = grant(places.run());
    let theirs = grant(&places.attempts().join(named));
    let worker = if worker == "theirs" { text(&theirs, "worker_id") } else { worker.to_owned() };
    let record = json!({
        "version": 1, "server_id": text(&own, "server_id"), "attempt_id": named,
        "worker_id": worker, "build": env!("CARGO_PKG_VERSION"),
        "status": {"type": "exited", "code": 0}, "session_id": theirs["claude_session_id"],
        "turns": 1, "started_at_ms": 1, "ended_at_ms": 2, "swept": 0,
        "result": {
            "subtype": "success", "is_error": false, "num_turns": 1, "total_cost_usd": 0.01,
            "terminal_reason": "completed", "result": report,
            "structured_output": {"outcome": "completed", "report": report},
        },
    });
    let path = cleared(&places.attempts().join(attempt).join(run_dir::EXIT))?;
    fs::write(&path, record.to_string()).map_err(|error| at(&path, &error))
}

/// The grant in a run directory, or null.
fn grant(run: &Path) -> Value {
    let bytes = fs::read(run.join(run_dir::GRANT)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

fn at(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_a_link_spares_its_target() {
        let directory = tempfile::tempdir().unwrap();
        let [target, link] = ["target", "link"].map(|name| directory.path().join(name));
        fs::create_dir(&target).unwrap();
        fs::write(target.join("file"), "kept").unwrap();
        symlink(&target, &link).unwrap();
        remove(&link).unwrap();
        assert!(fs::symlink_metadata(&link).is_err() && target.join("file").exists());
        remove(&target).unwrap();
        assert!(!target.exists());
        remove(&target).unwrap();
    }

    #[test]
    fn a_mistake_in_an_attack_is_an_error() {
        for (verb, rest) in [("link", "one"), ("signal", "shim LOUD"), ("signal", "all TERM")] {
            assert!(parse(verb, rest).is_some_and(|parsed| parsed.is_err()), "{verb} {rest}");
        }
        let signal = Attack::Signal { whom: Whom::OwnShim, signal: Signal::SIGSTOP };
        assert_eq!(parse("signal", "shim STOP"), Some(Ok(signal)));
        assert_eq!(parse("dance", ""), None);
    }
}
