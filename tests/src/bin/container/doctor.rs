//! The doctor finds what an operator broke, and its own advice fixes it.

use serde_json::Value;

use crate::operator::Operator;
use crate::operator::SOCKET;
use crate::package::GATE_SOCKET;
use crate::package::WORKER_SOCKET;
use crate::say;

/// One of the doctor's checks.
fn check(operator: &Operator<'_>, name: &str) -> Value {
    let output = operator.output(&["vibe-ensemble", "doctor", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let checks = said["checks"].as_array().expect("a list");
    let found = checks.iter().find(|check| check["check"] == name);
    found.unwrap_or_else(|| panic!("nothing about {name}: {said}")).clone()
}

/// A check fails with these words, and the command that it advises fixes the problem.
fn fixed(operator: &Operator<'_>, name: &str, verdict: &str, words: &str) {
    let found = check(operator, name);
    assert_eq!(found["verdict"], verdict, "{found}");
    assert!(found["found"].as_str().expect("text").contains(words), "{words}: {found}");
    let next = found["next"].as_str().expect("text");
    let command = next.split(';').next().expect("a first part");
    operator.run(&["sh", "-euc", command]);
    let found = check(operator, name);
    assert_eq!(found["verdict"], "ok", "after {command}: {found}");
}

/// Sockets that were stopped, and a directory that was opened.
pub(crate) fn fixes(operator: &Operator<'_>) {
    let found = check(operator, "units");
    assert_eq!(found["verdict"], "ok", "{found}");
    for socket in [WORKER_SOCKET, SOCKET] {
        operator.systemctl(&["stop", "--job-mode=ignore-dependencies", socket]);
        fixed(operator, "units", "fail", socket);
    }
    operator.systemctl(&["stop", GATE_SOCKET]);
    fixed(operator, "gates", "warn", GATE_SOCKET);
    operator.systemctl(&["stop", SOCKET, WORKER_SOCKET]);
    fixed(operator, "units", "fail", SOCKET);
    let tokens = format!("{}/tokens", operator.place.state);
    operator.machine.run(&["chmod", "711", &tokens]);
    fixed(operator, "token", "fail", "0711");
    say(
        "the doctor reported each stopped socket and a directory that is open to others, and its command fixed each",
    );
}

/// A user whose services would end with the login.
pub(crate) fn tells_of_linger(operator: &Operator<'_>) {
    let account = operator.place.account;
    assert_eq!(check(operator, "linger")["verdict"], "ok");
    // Not through loginctl: without a session, that would end everything at once.
    operator.machine.run(&["rm", &format!("/var/lib/systemd/linger/{account}")]);
    let found = check(operator, "linger");
    operator.machine.run(&["loginctl", "enable-linger", account]);
    assert_eq!(found["verdict"], "warn", "{found}");
    assert_eq!(found["next"], "loginctl enable-linger", "{found}");
    assert_eq!(check(operator, "linger")["verdict"], "ok");
    say("the doctor told a user who does not linger to do so");
}
