//! Every row of the table of signals, sent with `systemctl kill` and with plain `kill`.

use e2e::eventually::eventually;
use serde_json::Value;

use crate::load::Load;
use crate::load::Running;
use crate::operator::SERVER;
use crate::say;

/// How a signal is sent.
#[derive(Clone, Copy, Debug)]
enum By {
    Systemctl,
    Kill,
}

const WAYS: [By; 2] = [By::Systemctl, By::Kill];

impl By {
    fn send(self, load: &Load<'_>, signal: &str, unit: &str, pid: i32) {
        match self {
            Self::Systemctl => load.operator.systemctl_kill(signal, unit),
            Self::Kill => load.operator.kill(signal, pid),
        }
    }
}

pub(crate) async fn to_the_server(load: &Load<'_>) {
    let running = load.running(2, "signals", "").await;
    for by in WAYS {
        for signal in ["TERM", "INT"] {
            ends_it(load, &running, by, signal, None).await;
        }
        ends_it(load, &running, by, "QUIT", Some("131")).await;
        logs(load, by, "HUP", "configuration reloaded").await;
        logs(load, by, "USR1", "state").await;
        drains(load, by).await;
        load.assert_untouched(&running, "signals to the server");
    }
    let (before, logged) =
        (load.operator.server_pid(), load.operator.logged("configuration reloaded"));
    load.operator.systemctl(&["reload", SERVER]);
    eventually_logged(load, "configuration reloaded", logged).await;
    assert_eq!(load.operator.server_pid(), before, "systemctl reload restarts nothing");
    load.finish_once(&running).await;
    say(
        "signals to the server, by systemctl kill and by kill: TERM and INT (exit 0, back, workers run on), QUIT (131), \
         HUP and systemctl reload, USR1, USR2",
    );
}

/// A signal that ends the server, which systemd starts again. `status` is its exit status, unless
/// that is success.
async fn ends_it(load: &Load<'_>, running: &Running, by: By, signal: &str, status: Option<&str>) {
    let before = load.operator.server_pid();
    by.send(load, signal, SERVER, before);
    load.operator.is_back(before).await;
    load.assert_untouched(running, signal);
    let Some(status) = status else { return };
    // systemd reports an exit other than success.
    eventually("systemd tells of the exit", || async {
        let told = load.operator.journal(&[&load.operator.about(SERVER)]);
        let exits: Vec<&Value> = told
            .iter()
            .map(|entry| &entry["EXIT_STATUS"])
            .filter(|exit| exit.is_string())
            .collect();
        let found = exits.last().is_some_and(|last| **last == status);
        if found { Ok(()) } else { Err(format!("{exits:?}")) }
    })
    .await;
}

/// A signal that makes the server log something, and does nothing else.
async fn logs(load: &Load<'_>, by: By, signal: &str, message: &str) {
    let (before, logged) = (load.operator.server_pid(), load.operator.logged(message));
    by.send(load, signal, SERVER, before);
    eventually_logged(load, message, logged).await;
    assert_eq!(load.operator.server_pid(), before, "{signal} restarts nothing");
}

async fn eventually_logged(load: &Load<'_>, message: &str, before: usize) {
    eventually(&format!("the journal says {message:?} once more"), || async {
        if load.operator.logged(message) > before { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
}

/// SIGUSR2: nothing new is granted until the signal is sent again.
async fn drains(load: &Load<'_>, by: By) {
    let pid = load.operator.server_pid();
    by.send(load, "USR2", SERVER, pid);
    let ticket = load.ticket("").await;
    load.ticket_where(&ticket, "waits for the drain", |found| {
        found["waiting_for"].as_str().is_some_and(|why| why.contains("draining"))
    })
    .await;
    by.send(load, "USR2", SERVER, pid);
    load.completed(&ticket).await;
}

/// One ticket for each signal and each way of sending it, all at the same time.
pub(crate) async fn to_shims(load: &Load<'_>) {
    let mut sent = Vec::new();
    let signals = ["TERM", "INT", "HUP", "USR1", "USR2", "QUIT"];
    let running = load.running(signals.len() * WAYS.len() + 1, "shims", "").await;
    let mut tickets = running.tickets.iter();
    for by in WAYS {
        for signal in signals {
            let ticket = tickets.next().expect("as many as were made");
            let (unit, pid) = load.unit_of(ticket).await;
            by.send(load, signal, &unit, pid);
            sent.push((ticket, signal, by));
        }
    }
    // Without --kill-who everything in the unit receives it, including the agent; the shim's report
    // still decides.
    let ticket = tickets.next().expect("as many as were made");
    let (unit, _) = load.unit_of(ticket).await;
    load.operator.systemctl(&["kill", "--signal=TERM", &unit]);
    sent.push((ticket, "TERM", By::Systemctl));

    // A second run does not wait; these are the runs that a signal must not affect.
    for (ticket, signal, by) in &sent {
        match *signal {
            "TERM" | "QUIT" => {
                let found = load.completed(ticket).await;
                let first = &found["attempts"][0];
                assert_eq!(first["outcome"], "interrupted", "{signal} {by:?}: {found}");
                assert_eq!(found["attempts_used"], 0, "{signal} {by:?}: uncharged: {found}");
            }
            "INT" => {
                let held = |found: &Value| found["state"] == "on_hold";
                let found = load.ticket_where(ticket, "is on hold", held).await;
                assert_eq!(found["attempts"][0]["outcome"], "cancelled", "{by:?}: {found}");
            }
            "USR1" => {
                let found = load.completed(ticket).await;
                let calls = load.agents().calls_of(ticket, "build");
                assert_eq!(calls.len(), 2, "{by:?}: {found}");
                let session = calls[0].argument("--session-id");
                assert_eq!(calls[1].argument("--resume"), session, "the same session, {by:?}");
                assert_eq!(found["attempts_used"], 0, "{by:?}: {found}");
            }
            _ => {}
        }
    }
    load.open("shims");
    for (ticket, signal, by) in &sent {
        if ["HUP", "USR2"].contains(signal) {
            let found = load.completed(ticket).await;
            let attempts = found["attempts"].as_array().expect("a list");
            assert_eq!(attempts.len(), 1, "{signal} {by:?} leaves its agent alone: {found}");
        }
    }
    load.assert_no_overlaps();
    load.nobody_is_left().await;
    say(
        "signals to shims, by systemctl kill and by kill: TERM and QUIT (requeued, uncharged), INT (on hold), HUP, USR1 \
         (same session), USR2",
    );
}
