//! A server that hangs, a shim that is killed, what the journal says about both, and what a worker
//! may and may not do.

use e2e::eventually::eventually;

use crate::load::Load;
use crate::operator::SERVER;
use crate::say;

const MANUAL: &str = include_str!("../../../../packaging/OPERATING.md");

/// The slice and each worker have their limits, as far as this machine can enforce them.
pub(crate) async fn limits(load: &Load<'_>) {
    let operator = &load.operator;
    let running = load.running(1, "limits", "").await;
    let (unit, _) = load.unit_of(&running.tickets[0]).await;
    let of = |unit: &str, name: &str| operator.property(unit, name);
    assert_eq!(of(&unit, "Slice"), "vibe-ensemble-workers.slice");
    for (name, wanted) in [("TasksMax", "4096"), ("OOMPolicy", "continue"), ("KillMode", "mixed")] {
        assert_eq!(of(&unit, name), wanted, "{name}");
    }
    assert_ne!(of(&unit, "MemoryMax"), "infinity");
    assert_ne!(of("vibe-ensemble-workers.slice", "MemoryMax"), "infinity");
    assert!(!of(&unit, "Requires").contains(SERVER), "nothing ties it to the server");
    load.finish_once(&running).await;
    load.nobody_is_left().await;
    let controllers = operator.machine.sh("cat /sys/fs/cgroup/cgroup.controllers");
    say(&format!(
        "limits of workers and their slice are set; what the kernel offers here to enforce them: {:?}{}",
        controllers,
        if controllers.contains("memory") {
            ""
        } else {
            " (who is held to them: container --limits)"
        }
    ));
}

/// An agent can work and cannot read the server's secrets.
pub(crate) async fn secrets(load: &Load<'_>) {
    let state = load.operator.place.state;
    let script = load.gate("try");
    load.operator.machine.write(
        &script,
        &format!(
            "echo token $(cat {state}/tokens/coordinator 2>&1 | wc -c) >tried\n\
             for f in {state}/tokens/coordinator {state}/vibe-ensemble.db; do if head -c1 $f >/dev/null 2>&1; then echo read $f; fi; done >>tried\n\
             touch /usr/tried /etc/tried 2>/dev/null && echo wrote the system >>tried\n\
             for d in \"$HOME\" . /tmp; do touch \"$d/tried-here\" && rm \"$d/tried-here\" || echo cannot write $d; done >>tried 2>&1\n\
             printf '#!/bin/sh\\necho ran\\n' >/tmp/program && chmod +x /tmp/program && /tmp/program >>tried\n\
             git status --porcelain >/dev/null && echo git works >>tried\n\
             cp tried {}\n",
            load.gate("tried")
        ),
    );
    load.operator.own(&format!("{}/fake", load.operator.place.home));
    let ticket = load.ticket(&format!("fake: build: run sh {script}")).await;
    load.completed(&ticket).await;
    let tried = load.operator.machine.sh(&format!("cat {}", load.gate("tried")));
    for forbidden in ["read ", "wrote the system", "cannot write"] {
        assert!(!tried.contains(forbidden), "{tried}");
    }
    for wanted in ["ran", "git works"] {
        assert!(tried.lines().any(|line| line == wanted), "{tried}");
    }
    say(
        "an agent writes its home, its worktree and /tmp, runs programs and git; the system, the token and the database \
         are closed to it",
    );
}

/// The watchdog kills a hanging server and starts it again, without a worker noticing.
pub(crate) async fn watchdog(load: &Load<'_>) {
    let operator = &load.operator;
    let running = load.running(3, "watchdog", "").await;
    operator.drop_in(SERVER, "watchdog", "[Service]\nWatchdogSec=3s\n");
    operator.systemctl(&["restart", SERVER]);
    let before = operator.server_pid();
    operator.kill("STOP", before);
    operator.is_back(before).await;
    let told = operator.journal(&[&operator.about(SERVER)]);
    let bitten = told.iter().any(|entry| {
        entry["MESSAGE"].as_str().is_some_and(|text| text.contains("Watchdog timeout"))
    });
    assert!(bitten, "it was the watchdog");
    load.assert_untouched(&running, "the watchdog");
    load.finish_once(&running).await;
    operator.drop_in(SERVER, "watchdog", "");
    operator.systemctl(&["restart", SERVER]);
    say(
        "a server that was stopped with SIGSTOP was ended by its watchdog and started again; three workers ran on",
    );
}

/// `kill -9` of a shim ends everything that its agent left behind, and the ticket runs again.
pub(crate) async fn killed_shim(load: &Load<'_>) {
    let operator = &load.operator;
    let tree = "fake: build#1: ignore-term\nfake: build#1: fork 600\nfake: build#1: daemonize 600";
    let running = load.running(1, "killed", tree).await;
    let ticket = &running.tickets[0];
    let (unit, shim) = load.unit_of(ticket).await;
    let group = operator.property(&unit, "ControlGroup");
    let processes = || operator.machine.sh(&format!("cat /sys/fs/cgroup{group}/cgroup.procs"));
    let tree = eventually("the agent has left its tree", || async {
        let found = processes();
        // The shim, the agent, its child, its daemon.
        if found.lines().count() >= 4 { Ok(found) } else { Err(found) }
    })
    .await;
    operator.kill("KILL", shim);
    let numbers = tree.replace('\n', " ");
    eventually("its tree is gone", || async {
        let left = operator
            .machine
            .sh(&format!("for p in {numbers}; do if test -d /proc/$p; then echo $p; fi; done"));
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    let found = load.completed(ticket).await;
    assert_eq!(found["attempts"][0]["outcome"], "lost", "{found}");
    assert_eq!(load.agents().calls_of(ticket, "build").len(), 2, "{found}");
    load.assert_no_overlaps();
    say(&format!(
        "kill -9 of a shim: its {} processes were gone, daemon and all, and its ticket ran again",
        tree.lines().count()
    ));
}

/// The journal answers by ticket, by attempt and by the manual's message ids, and contains no
/// secret.
pub(crate) async fn journal(load: &Load<'_>) {
    let operator = &load.operator;
    // An old manual lists no message ids, and a server of its time writes no fields.
    if MANUAL.contains("| `server_started` |") {
        by_field(load).await;
    } else {
        say("NOT TRIED: the journal by field and by message id, of which the manual lists none");
    }
    let token = operator.machine.path(operator.place.state).join("tokens/coordinator");
    let token = std::fs::read_to_string(token).expect("the server made it");
    let all = ["journalctl", "-b", "-q", "--no-pager", "-o", "export", "--all"];
    let all = operator.machine.run(&all);
    assert!(!all.contains(token.trim()), "the token is in no log");
    assert!(!all.contains("Do the work."), "no prompt is in any log");
    say("no token and no prompt is in the journal");
}

async fn by_field(load: &Load<'_>) {
    let operator = &load.operator;
    let ticket = load.ticket("fake: build: say hello").await;
    let found = load.completed(&ticket).await;
    let attempt = found["attempts"][0]["attempt_id"].as_str().expect("an attempt has an id");
    for (field, value) in [("TICKET", ticket.as_str()), ("ATTEMPT", attempt)] {
        let asked = format!("VIBE_ENSEMBLE_{field}={value}");
        eventually(&format!("the journal answers {asked}"), || async {
            let entries = operator.journal(&[&asked]);
            let whole = entries.iter().any(|entry| {
                entry["VIBE_ENSEMBLE_PROJECT"].is_string() && entry["MESSAGE_ID"].is_string()
            });
            if whole { Ok(()) } else { Err(format!("{entries:?}")) }
        })
        .await;
    }
    // The events so far, among those that the manual tells operators to alert on.
    for kind in ["server_started", "ticket_on_hold", "worker_lost"] {
        let row = MANUAL.lines().find(|line| line.starts_with(&format!("| `{kind}` |")));
        let row = row.unwrap_or_else(|| panic!("the manual does not list {kind}"));
        let id = row.split('`').nth(3).expect("a row is `kind` and `number`");
        let entries = operator.journal(&[&format!("MESSAGE_ID={id}")]);
        assert!(!entries.is_empty(), "{kind}: MESSAGE_ID={id}");
    }
    say("the journal answers by ticket, by attempt and by the manual's message ids");
}
