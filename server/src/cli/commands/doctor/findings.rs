//! What the doctor says about what it found: one function for each finding, so that all of its words stand in one place and
//! in one snapshot.

use super::check::Check;
use crate::config::Launcher;
use crate::domain::notify::Notifier;
use crate::domain::notify::Progress;
use crate::domain::text;
use crate::locate;
use crate::store::Stuck;

const MIB: u64 = 1 << 20;
/// Less free space than this is a warning, and a failure below a tenth of it.
const FREE: u64 = 1024 * MIB;

/// `free` is in bytes, `at` the directory whose file system was asked.
pub(super) fn space(free: u64, at: &str) -> Check {
    let name = "disk space";
    let found = format!("{} MiB free at {at}", free / MIB);
    let next = "free some space, or move the state directory: a full disk stops every worker";
    match free {
        free if free < FREE / 10 => Check::fail(name, found, next),
        free if free < FREE => Check::warn(name, found, next),
        _ => Check::ok(name, found),
    }
}

pub(super) fn no_database_yet(path: &str) -> Check {
    Check::ok("database", format!("{path} does not exist yet; the first start creates it"))
}

pub(super) fn database_is_no_file(path: &str) -> Check {
    let next = "stop the server, move it out of the way, and restore a backup";
    Check::fail("database", format!("{path} is not a regular file"), next)
}

pub(super) fn database_unreadable(path: &str, error: &str) -> Check {
    Check::fail("database", format!("{path}: {error}"), "run this as the server's user")
}

/// `problems` are those that the check of the whole file found.
pub(super) fn database(path: &str, problems: &[String]) -> Check {
    if problems.is_empty() {
        return Check::ok("database", format!("{path} is sound"));
    }
    damaged(&problems.join("; "))
}

/// The database could not be checked.
pub(super) fn damaged(error: &str) -> Check {
    let next = "stop the server, keep a copy of the file and its -wal, and restore a backup";
    Check::fail("database", error, next)
}

/// The database is sound, and too old for any release; a backup of it is refused too.
pub(super) fn unreleased(error: &str) -> Check {
    Check::fail("database", error, "move the state directory away, and start again")
}

pub(super) fn stuck(stuck: &[Stuck]) -> Check {
    let name = "attempts";
    if stuck.is_empty() {
        return Check::ok(name, "no attempt is stuck");
    }
    let each = stuck.iter().map(|s| {
        let why = s.trouble.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{} of {} ({}){why}", s.attempt, s.ticket, s.worker)
    });
    let next = "examine its run directory below attempts/. Then discard its result and run the stage again with \
                `vibe-ensemble worker stop W-N --mode interrupt`, or end the ticket with `vibe-ensemble ticket close T-N`";
    Check::warn(name, format!("stuck: {}", each.collect::<Vec<_>>().join(", ")), next)
}

/// `unusable` is why it cannot send anything, `progress` what the database knows of it.
pub(super) fn notifier(
    notifier: &Notifier,
    unusable: Option<String>,
    progress: Option<&Progress>,
) -> Check {
    let check = "notifier";
    let name = &notifier.name;
    if let Some(why) = unusable {
        let next = "fix that; the next message is signed with what the file contains then";
        return Check::fail(check, format!("{name} cannot send anything: {why}"), next);
    }
    let failing = progress.and_then(|progress| Some((progress, progress.error.as_deref()?)));
    let Some((progress, error)) = failing else {
        return Check::ok(check, format!("{name} to {}", notifier.target.shown()));
    };
    let next = format!("fix the cause, then run `vibe-ensemble notify resume {name}`");
    if progress.paused_at.is_some() {
        return Check::warn(check, format!("{name} is paused: {error}"), next);
    }
    let tries = text::counted(progress.tries, "try");
    Check::warn(check, format!("{name} has failed {tries}: {error}"), next)
}

pub(super) fn no_attempts_yet() -> Check {
    Check::ok("attempts", "none yet")
}

/// The check of the database says what to do about it.
pub(super) fn attempts_not_looked_at() -> Check {
    Check::ok("attempts", "not looked at: the database is from before the first release")
}

pub(super) fn attempts_unreadable(error: &str) -> Check {
    let next = "start the server of this version once, then run doctor again";
    Check::warn("attempts", error, next)
}

pub(super) fn no_shim() -> Check {
    let found = format!("{} is neither beside this program nor in PATH", locate::SHIM);
    shim_failed(&found)
}

pub(super) fn shim_failed(error: &str) -> Check {
    let next =
        format!("install {} beside vibe-ensemble, or give its path with --shim", locate::SHIM);
    Check::fail("shim", error, next)
}

/// `version` is what the shim says, `own` this program's.
pub(super) fn shim(path: &str, version: &str, own: &str) -> Check {
    if version.split_whitespace().any(|word| word == own) {
        return Check::ok("shim", format!("{path}, {version}"));
    }
    let found = format!("{path} has version {version:?}, but this program has {own}");
    Check::warn("shim", found, "install both programs from one package")
}

pub(super) fn agent(path: &str, version: &str) -> Check {
    Check::ok("agent", format!("{path}, {version}"))
}

pub(super) fn no_agent(command: &str) -> Check {
    agent_failed(&format!("{command} is not in PATH"))
}

pub(super) fn agent_failed(error: &str) -> Check {
    let next = "install Claude Code (npm install -g @anthropic-ai/claude-code), or give its path with --agent-command";
    Check::fail("agent", error, next)
}

/// `said` is the version as git writes it, `found` its numbers.
pub(super) fn git(said: &str, found: (u32, u32)) -> Check {
    if found >= crate::git::OLDEST {
        return Check::ok("git", format!("git version {said}"));
    }
    git_failed(&format!("git version {said} is too old"))
}

pub(super) fn no_git() -> Check {
    git_failed("not in PATH")
}

pub(super) fn git_failed(error: &str) -> Check {
    let (major, minor) = crate::git::OLDEST;
    let next =
        format!("install git {major}.{minor} or newer: projects in git repositories need it");
    Check::warn("git", error, next)
}

/// `systemd`: it runs this machine; `by_systemd`: it started this program.
pub(super) fn launcher(chosen: Launcher, systemd: bool, by_systemd: bool) -> Check {
    let name = "launcher";
    let unit_next = "install the package's units, or use --launcher plain";
    match chosen {
        Launcher::Plain => Check::ok(name, "plain, as configured: workers are detached processes"),
        Launcher::Unit if systemd => Check::ok(name, "unit, as configured: each worker is a unit"),
        Launcher::Unit => Check::fail(name, "unit, but systemd is not running here", unit_next),
        Launcher::Auto if !systemd => Check::ok(name, "plain: systemd is not running here"),
        Launcher::Auto if by_systemd => Check::ok(
            name,
            "unit if the worker socket exists, otherwise plain: systemd started this program",
        ),
        Launcher::Auto => {
            Check::ok(name, "plain when you start the server manually, unit when systemd starts it")
        }
    }
}

pub(super) fn no_server() -> Check {
    Check::ok("server", "not running")
}

pub(super) fn server_unknown(error: &str) -> Check {
    Check::fail("server", error, "run this as the server's user")
}

/// `holder` names the process that holds the runtime directory.
pub(super) fn server_starts(holder: &str) -> Check {
    Check::warn("server", format!("{holder} is not listening yet"), "try again in a moment")
}

pub(super) fn server(holder: &str, is_ready: bool) -> Check {
    if is_ready {
        return Check::ok("server", format!("{holder}, is ready"));
    }
    Check::warn("server", format!("{holder}, is not ready"), "check its log")
}

pub(super) fn server_is_silent(holder: &str, url: &str) -> Check {
    let next = "check its log; the signal USR1 makes it log its state, and TERM stops it without stopping workers";
    Check::fail("server", format!("{holder}, does not answer at {url}"), next)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::id::AttemptId;
    use crate::domain::id::EventSeq;
    use crate::domain::id::TicketId;
    use crate::domain::id::WorkerId;
    use crate::domain::notify::Target;
    use crate::domain::text::Name;
    use crate::domain::time::Timestamp;
    use crate::snapshot;

    #[test]
    fn the_findings_are_the_reviewed_ones() {
        let db = "/state/vibe-ensemble.db";
        let held = Stuck {
            attempt: AttemptId::from_key(17),
            ticket: TicketId::from_key(4),
            worker: WorkerId::from_key(2),
            trouble: Some("3 processes do not die".to_owned()),
        };
        let phone = Notifier {
            name: Name::from_row("phone".to_owned()),
            events: Notifier::usual_events(),
            projects: None,
            target: Target::Command(vec!["/usr/bin/tell".to_owned()]),
            quiet_hours: None,
            timeout: Duration::from_secs(30),
            max_tries: 20,
        };
        let at = Timestamp::from_millis(0);
        let progress = Progress {
            key: 1,
            name: phone.name.clone(),
            is_configured: true,
            cursor: EventSeq(7),
            sending: None,
            tries: 3,
            not_before: at,
            error: Some("/usr/bin/tell ended with exit status: 1".to_owned()),
            failing_since: Some(at),
            paused_at: None,
            delivered_at: None,
        };
        let paused = Progress { paused_at: Some(at), ..progress.clone() };
        let holder = "process 4711 at 127.0.0.1:3276";
        let mut all = vec![
            space(5000 * MIB, "/state"),
            space(500 * MIB, "/state"),
            space(50 * MIB, "/state"),
            no_database_yet(db),
            database_is_no_file(db),
            database_unreadable(db, "permission denied"),
            database(db, &[]),
            database(db, &["row 3 missing from index ticket_queue".to_owned()]),
            damaged("could not open the database"),
            unreleased("the database was made by an unreleased version"),
            stuck(&[]),
            stuck(&[Stuck { trouble: None, ..held.clone() }, held]),
            notifier(&phone, None, None),
            notifier(&phone, Some("/etc/secret does not exist".to_owned()), None),
            notifier(&phone, None, Some(&progress)),
            notifier(&phone, None, Some(&paused)),
            no_attempts_yet(),
            attempts_not_looked_at(),
            attempts_unreadable("could not read the database"),
            no_shim(),
            shim_failed("/usr/bin/vibe-ensemble-shim --version ended with exit status: 1"),
            shim("/usr/bin/vibe-ensemble-shim", "vibe-ensemble-shim 0.1.0", "0.1.0"),
            shim("/usr/bin/vibe-ensemble-shim", "vibe-ensemble-shim 0.1.0", "0.2.0"),
            agent("/usr/bin/claude", "2.1.330 (Claude Code)"),
            no_agent("claude"),
            agent_failed("/usr/bin/claude --version did not end within 10s"),
            git("2.47.1", (2, 47)),
            git("2.30.2", (2, 30)),
            no_git(),
            git_failed("could not run git"),
            no_server(),
            server_unknown("could not read server.lock"),
            server_starts(holder),
            server(holder, true),
            server(holder, false),
            server_is_silent(holder, "http://127.0.0.1:3276/mcp"),
        ];
        for chosen in [Launcher::Plain, Launcher::Unit, Launcher::Auto] {
            all.push(launcher(chosen, false, false));
            all.push(launcher(chosen, true, false));
        }
        all.push(launcher(Launcher::Auto, true, true));
        let lines: Vec<String> = all
            .iter()
            .map(|check| {
                let next = if check.next.is_empty() { "-" } else { &check.next };
                format!("{} {}: {}\n    {next}", check.name, check.verdict.name(), check.found)
            })
            .collect();
        snapshot::holds("doctor", &lines.join("\n"));
    }
}
