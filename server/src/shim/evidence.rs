//! Evidence about attempts and their trees, from run directories and from `/proc`.
//!
//! Only used for attempts whose shim has no link. Any process of this user can write to a run directory, so what is
//! found there is believed only as far as something else agrees.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use shim_evidence::cgroup::Group;
use shim_evidence::cgroup::Occupancy;
use shim_evidence::descendants;
use shim_evidence::environment::Environment;
use shim_evidence::locks::holds;
use shim_evidence::pinned;
use shim_evidence::pinned::Pinned;
use shim_evidence::process;
use shim_evidence::process::Process;
use shim_protocol::exit::ExitRecord;
use shim_protocol::run_dir;
use shim_protocol::run_dir::RunDirError;
use shim_protocol::run_dir::UnitPlace;

use crate::domain::reconcile::Lock;
use crate::domain::reconcile::Record;
use crate::domain::reconcile::Tree;
use crate::shim::holder::Holder;
use crate::shim::locks::lock;
use crate::shim::locks::lock_of;
use crate::shim::seal;

/// What marks every process of one attempt, in its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub server_id: String,
    /// A process with another place belongs to a copy of this database, or to its original.
    pub place_id: String,
    pub attempt_id: String,
    /// False for an attempt that was granted while the database was used elsewhere: nothing here belongs to it.
    pub here: bool,
}

/// What is known about an attempt's shim, besides its run directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The worker whose record it is.
    pub worker_id: String,
    /// The process of the shim, which took the locks in the run directory.
    pub shim: Option<i32>,
    /// The key that its records are signed with; `None` for a shim that cannot sign.
    pub seal_key: Option<String>,
    pub unit: Unit,
}

/// Where the unit of an attempt's shim is known from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// The shim reported it over its link, so the run directory is not needed as evidence.
    Said(Option<UnitPlace>),
    /// A shim that does not report it. Its run directory is believed about a unit of this name, if the name is known.
    File(Option<String>),
    /// Nothing is known of the shim.
    #[default]
    Anything,
}

/// What `exit.json` of a run directory holds, if it is this attempt's.
#[must_use]
pub fn record(run_dir: &Path, mark: &Mark, known: &Known) -> (Record, Option<ExitRecord>) {
    match run_dir::read_exit_file(run_dir) {
        Ok(None) => (Record::Absent, None),
        Ok(Some((found, bytes))) => {
            let is_its = found.attempt_id == mark.attempt_id
                && found.server_id == mark.server_id
                && (known.worker_id.is_empty() || found.worker_id == known.worker_id);
            match &known.seal_key {
                Some(key) if is_its && seal::is_sealed_by(key, &bytes) => {
                    (Record::Sealed, Some(found))
                }
                Some(_) => (Record::Unsigned, None),
                None if is_its => (Record::Unproven, Some(found)),
                None => (Record::Contradictory, None),
            }
        }
        Err(error) => {
            // It is read again and again; the caller that acts on it reports it once.
            tracing::debug!(attempt = %mark.attempt_id, %error, "an exit record could not be used");
            if known.seal_key.is_some() && is_of_no_shim(&error) {
                return (Record::Unsigned, None);
            }
            (Record::Contradictory, None)
        }
    }
}

/// Whether what lies in the place of a record cannot come from a shim that signs. Such a shim gives
/// its record's name only to a whole file that it has signed for this attempt. Anything else is an
/// agent's, even if another shim has signed it, and must not keep an attempt whose shim was killed
/// from being repeated. A file that cannot be read may be the record.
fn is_of_no_shim(error: &RunDirError) -> bool {
    match error {
        RunDirError::Malformed { .. } => true,
        RunDirError::Read { path, source } => {
            let is_other = fs::symlink_metadata(path).is_ok_and(|found| !found.is_file());
            // No directory can contain it.
            let nowhere = source.kind() == io::ErrorKind::NotADirectory;
            is_other || nowhere || source.kind() == io::ErrorKind::FileTooLarge
        }
    }
}

/// Whether processes of the attempt are left: something holds `tree.lock`, or carries the attempt's marks, or is in the
/// unit that contained it.
#[must_use]
pub fn tree(run_dir: &Path, mark: &Mark, known: &Known) -> Tree {
    if !mark.here {
        return Tree::Gone;
    }
    let Ok(place) = unit(run_dir, mark, known) else { return Tree::Unknown };
    let unit = place.as_ref().map_or(Occupancy::Empty, |place| Group::of(place).occupancy());
    let lock = match lock_of(&run_dir.join(run_dir::TREE_LOCK), None, known.shim) {
        Lock::Held if !is_its(run_dir, mark) => Lock::Gone,
        found @ (Lock::Held | Lock::Free | Lock::Gone | Lock::Unknown) => found,
    };
    match (lock, members(run_dir, mark, known), unit) {
        (Lock::Held, _, _) | (_, _, Occupancy::Populated) => Tree::Alive,
        (_, Ok(members), _) if !members.is_empty() => Tree::Alive,
        // Without a lock file, the marks must suffice.
        (Lock::Free | Lock::Gone, Ok(_), Occupancy::Empty) => Tree::Gone,
        (Lock::Unknown, _, _) | (_, Err(_), _) | (_, _, Occupancy::Unknown) => Tree::Unknown,
    }
}

/// Whether something else is in the place of a file that says what is left of the attempt.
#[must_use]
pub fn is_tampered(run_dir: &Path, known: &Known) -> bool {
    let is_read = match &known.unit {
        Unit::Said(_) => false,
        Unit::File(_) | Unit::Anything => true,
    };
    (is_read && run_dir::read_unit(run_dir).is_err())
        || lock(&run_dir.join(run_dir::TREE_LOCK), None) == Lock::Unknown
}

/// The unit that contains the attempt, as far as the evidence can be believed.
fn unit(run_dir: &Path, mark: &Mark, known: &Known) -> Result<Option<UnitPlace>, ()> {
    let written = || run_dir::read_unit(run_dir).map_err(drop);
    match &known.unit {
        Unit::Said(place) => Ok(place.clone()),
        Unit::File(Some(name)) => Ok(written()?.filter(|place| place.unit == *name)),
        Unit::File(None) => written(),
        // Where nothing is known of the shim, at least the grant must say that it was given here. A copied directory
        // does not.
        Unit::Anything => Ok(written()?.filter(|_| was_granted_here(run_dir, mark))),
    }
}

/// Whether the directory is the attempt's, by its grant. A directory that was exchanged for another attempt's has that
/// attempt's locks, and the processes that hold them must not be killed for this one.
fn is_its(run_dir: &Path, mark: &Mark) -> bool {
    match run_dir::read_grant(run_dir) {
        Ok(Some(grant)) => grant.attempt_id == mark.attempt_id && grant.server_id == mark.server_id,
        Ok(None) | Err(_) => true,
    }
}

fn was_granted_here(run_dir: &Path, mark: &Mark) -> bool {
    let Ok(Some(grant)) = run_dir::read_grant(run_dir) else { return false };
    let place = grant.env.get(run_dir::PLACE_VARIABLE);
    grant.server_id == mark.server_id && place.is_none_or(|place| *place == mark.place_id)
}

/// Kills what is left of an attempt whose shim is dead, and waits a moment for it to go. Returns how many it found.
///
/// The caller looks again afterwards: a process that cannot be killed stays, and with it the attempt.
pub fn stop_tree(run_dir: &Path, mark: &Mark, known: &Known) -> io::Result<usize> {
    const ROUNDS: u32 = 50;
    let mut most = 0;
    for _ in 0..ROUNDS {
        let members = members(run_dir, mark, known)?;
        if members.is_empty() {
            break;
        }
        most = most.max(members.len());
        for pid in members {
            kill(pid, run_dir, mark, known);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(most)
}

/// Kills what runs for an attempt whose shim is alive and does nothing, and waits a moment for it to go: the processes
/// below the shim and those that carry the attempt's marks, but not the shim. Returns how many it found.
pub fn stop_below(run_dir: &Path, mark: &Mark, known: &Known, shim: &Holder) -> io::Result<usize> {
    const ROUNDS: u32 = 50;
    let mut most = 0;
    for _ in 0..ROUNDS {
        // If another process has its number by now, nothing below that process belongs to the attempt.
        let mut below = if shim.is_it()? { descendants::below(shim.pid)? } else { Vec::new() };
        below.retain(|process| !process.is_zombie());
        let mut marked = members(run_dir, mark, known)?;
        marked.retain(|pid| *pid != shim.pid && below.iter().all(|process| process.pid != *pid));
        if below.is_empty() && marked.is_empty() {
            break;
        }
        most = most.max(below.len() + marked.len());
        below.iter().for_each(kill_descendant);
        for pid in marked {
            kill(pid, run_dir, mark, known);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(most)
}

/// Kills one process, if it still is one of the attempt's. The handle pins the process, so another process that was
/// given its pid between the look and the signal is not hit.
fn kill(pid: i32, run_dir: &Path, mark: &Mark, known: &Known) {
    let Ok(pinned) = Pinned::open(pid) else { return };
    let belongs = belongs(pid, tree_lock(run_dir, mark, known).as_ref(), mark)
        || contained(run_dir, mark, known).contains(&pid);
    if belongs && let Err(error) = pinned.signal(Signal::SIGKILL) {
        tracing::warn!(pid, attempt = %mark.attempt_id, %error, "a process of an attempt could not be killed");
    }
}

fn kill_descendant(target: &Process) {
    if let Err(error) = pinned::signal(target, Signal::SIGKILL) {
        tracing::warn!(pid = target.pid, %error, "a process below a silent shim could not be killed");
    }
}

/// The processes of an attempt.
fn members(run_dir: &Path, mark: &Mark, known: &Known) -> io::Result<Vec<i32>> {
    if !mark.here {
        return Ok(Vec::new());
    }
    let tree_lock = tree_lock(run_dir, mark, known);
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut found = contained(run_dir, mark, known);
    found.retain(|pid| *pid != own);
    for pid in process::pids()? {
        if pid != own && !found.contains(&pid) && belongs(pid, tree_lock.as_ref(), mark) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// The attempt's own `tree.lock`, while it is there and nobody but its shim took it. The file of another attempt that an
/// agent has put there was taken by the shim of that attempt.
fn tree_lock(run_dir: &Path, mark: &Mark, known: &Known) -> Option<fs::Metadata> {
    let path = run_dir.join(run_dir::TREE_LOCK);
    let file = fs::metadata(&path).ok()?;
    let is_its = is_its(run_dir, mark) && lock_of(&path, None, known.shim) != Lock::Gone;
    is_its.then_some(file)
}

/// The processes in the unit that contained the attempt. Its shim is dead, so all of them are left over.
fn contained(run_dir: &Path, mark: &Mark, known: &Known) -> Vec<i32> {
    let place = unit(run_dir, mark, known).ok().flatten();
    place.map(|place| Group::of(&place).processes()).unwrap_or_default()
}

/// Whether a process carries the attempt's marks or holds its `tree.lock`. A process that cannot be examined is another
/// user's, or is just ending. The marks of a copy of this database, or of its original, do not excuse a process that holds
/// the lock: any process chooses its own environment, and the lock was taken here.
fn belongs(pid: i32, tree_lock: Option<&fs::Metadata>, mark: &Mark) -> bool {
    let environment = Environment::settled(pid);
    environment.attempt_of(&mark.server_id, &mark.place_id) == Some(&mark.attempt_id)
        || tree_lock.is_some_and(|wanted| holds(pid, wanted))
}

/// The processes that claim to belong to an attempt of this database granted in another place: of the original, if this
/// is a copy, or of a copy.
#[must_use]
pub fn living_elsewhere(server_id: &str, place_id: Option<&str>) -> Vec<i32> {
    let is_elsewhere = |pid: &i32| {
        let environment = Environment::of(*pid);
        let place = environment.value(run_dir::PLACE_VARIABLE);
        place.is_some_and(|place| place_id.is_none_or(|own| place != own.as_bytes()))
            && environment.has(run_dir::SERVER_VARIABLE, server_id)
            && environment.value(run_dir::ATTEMPT_VARIABLE).is_some()
    };
    process::pids().unwrap_or_default().into_iter().filter(is_elsewhere).collect()
}

/// The same for an original, whose copies are unknown: only processes that a shim supervises which is none of `own`. Every
/// agent can claim for a process of its own that it belongs to a copy; that process is below the agent's shim, or below
/// none when its shim is dead.
#[must_use]
pub fn living_under_others(server_id: &str, place_id: &str, own: &[i32]) -> Vec<i32> {
    let mut found = living_elsewhere(server_id, Some(place_id));
    found.retain(|pid| {
        let above = descendants::above(*pid);
        above.iter().all(|process| !own.contains(&process.pid))
            && above.iter().any(|process| process.name().as_deref() == Some(SHIM_NAME))
    });
    found
}

/// The kernel keeps so much of the program's name.
const SHIM_NAME: &str = "vibe-ensemble-s";

#[cfg(test)]
mod tests {
    use std::process::Child;
    use std::process::Command;
    use std::process::Stdio;

    use super::*;
    use crate::shim::seal::tests::sealed;

    fn mark() -> Mark {
        Mark {
            server_id: "server-one".into(),
            place_id: "here".into(),
            attempt_id: "A-1".into(),
            here: true,
        }
    }

    fn sleeper(server: &str, place: Option<&str>) -> Child {
        let mut command = Command::new("sleep");
        command
            .arg("600")
            .env(run_dir::ATTEMPT_VARIABLE, "A-1")
            .env(run_dir::SERVER_VARIABLE, server)
            .stdin(Stdio::null());
        if let Some(place) = place {
            command.env(run_dir::PLACE_VARIABLE, place);
        }
        command.spawn().unwrap()
    }

    #[test]
    fn a_marked_process_is_found_and_killed_and_others_are_left() {
        let dir = tempfile::tempdir().unwrap();
        let (mark, known) = (mark(), Known::default());
        let mut ours = [Some("here"), None].map(|place| sleeper("server-one", place));
        let mut theirs = [sleeper("server-two", Some("here")), sleeper("server-one", Some("copy"))];
        // `spawn` returns when the child has a memory of its own, a moment before its environment is in it.
        let begun = std::time::Instant::now();
        while members(dir.path(), &mark, &known).unwrap().len() < 2
            && begun.elapsed() < Duration::from_secs(10)
        {
            std::thread::yield_now();
        }
        assert_eq!(tree(dir.path(), &mark, &known), Tree::Alive);
        let elsewhere = Mark { here: false, ..mark.clone() };
        assert_eq!(tree(dir.path(), &elsewhere, &known), Tree::Gone, "granted somewhere else");
        assert_eq!(stop_tree(dir.path(), &elsewhere, &known).unwrap(), 0);
        let copy = i32::try_from(theirs[1].id()).unwrap();
        assert_eq!(living_elsewhere("server-one", Some("here")), [copy]);
        let reaper = std::thread::spawn(move || ours.each_mut().map(|one| one.wait().unwrap()));
        assert_eq!(stop_tree(dir.path(), &mark, &known).unwrap(), 2);
        assert!(reaper.join().unwrap().iter().all(|status| !status.success()));
        assert_eq!(tree(dir.path(), &mark, &known), Tree::Gone);
        for one in &mut theirs {
            assert_eq!(one.try_wait().unwrap(), None);
            one.kill().unwrap();
            one.wait().unwrap();
        }
    }

    fn written(dir: &Path, content: &[u8], known: &Known) -> Record {
        fs::write(dir.join(run_dir::EXIT), content).unwrap();
        record(dir, &mark(), known).0
    }

    #[test]
    fn a_record_is_valid_when_the_shim_of_its_attempt_signed_it() {
        let dir = tempfile::tempdir().unwrap();
        let json = |attempt: &str, worker: &str| {
            serde_json::json!({
                "version": 1, "server_id": "server-one", "attempt_id": attempt, "worker_id": worker, "build": "0",
                "status": {"type": "exited", "code": 0}, "ended_at_ms": 1,
            })
            .to_string()
            .into_bytes()
        };
        let (key, file) = sealed(1, &json("A-1", "W-1"));
        let signs = Known { worker_id: "W-1".into(), seal_key: Some(key), ..Known::default() };
        let old = Known { seal_key: None, ..signs.clone() };
        assert_eq!(record(dir.path(), &mark(), &signs).0, Record::Absent);
        assert_eq!(written(dir.path(), &file, &signs), Record::Sealed);
        assert_eq!(written(dir.path(), &json("A-1", "W-1"), &signs), Record::Unsigned);
        let (_, by_another) = sealed(2, &json("A-1", "W-1"));
        assert_eq!(written(dir.path(), &by_another, &signs), Record::Unsigned);
        for (attempt, worker) in [("A-2", "W-1"), ("A-1", "W-2")] {
            let (_, of_another) = sealed(1, &json(attempt, worker));
            assert_eq!(written(dir.path(), &of_another, &signs), Record::Unsigned);
            assert_eq!(written(dir.path(), &json(attempt, worker), &old), Record::Contradictory);
        }
        assert_eq!(written(dir.path(), &json("A-1", "W-1"), &old), Record::Unproven);
        assert_eq!(written(dir.path(), b"{", &old), Record::Contradictory);
        let cut = &file[..file.len() - 1];
        assert_eq!(
            written(dir.path(), cut, &signs),
            Record::Unsigned,
            "nobody can read what it says"
        );
    }

    #[test]
    fn anything_that_no_shim_would_leave_is_not_taken_for_a_record() {
        let dir = tempfile::tempdir().unwrap();
        let (key, file) = sealed(1, b"{}");
        let signs = Known { worker_id: "W-1".into(), seal_key: Some(key), ..Known::default() };
        let old = Known { seal_key: None, ..signs.clone() };
        let path = dir.path().join(run_dir::EXIT);
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, file).unwrap();
        let put: [(&str, &dyn Fn()); 5] = [
            ("a pipe", &|| assert!(Command::new("mkfifo").arg(&path).status().unwrap().success())),
            ("a directory", &|| fs::create_dir(&path).unwrap()),
            ("a link", &|| std::os::unix::fs::symlink(&elsewhere, &path).unwrap()),
            ("no JSON", &|| fs::write(&path, "{").unwrap()),
            ("a file without an end", &|| {
                fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
            }),
        ];
        for (what, put) in put {
            put();
            assert_eq!(record(dir.path(), &mark(), &signs).0, Record::Unsigned, "{what}");
            assert_eq!(record(dir.path(), &mark(), &old).0, Record::Contradictory, "{what}");
            if fs::remove_file(&path).is_err() {
                fs::remove_dir(&path).unwrap();
            }
        }
    }
}
