//! Gates with `network = false` in real units: they run without a network, or not at all.

use serde_json::json;

use crate::load::Load;
use crate::load::PROJECT;
use crate::package::GATE_SOCKET;
use crate::say;

const UNIT: &str = "vibe-ensemble-gate@.service";

const WORK: &str = "fake: build: append work {attempt}\nfake: build: commit Work";

/// A gate looks around and tries to reach its server, whose address is of its own machine. It succeeds only when it cannot.
pub(crate) async fn without_a_network(load: &Load<'_>) {
    let operator = &load.operator;
    let place = operator.place;
    let (seen, script) = (load.gate("seen"), load.gate("look"));
    let (host, port) = place.address.split_once(':').expect("an address");
    operator.machine.write(
        &script,
        &format!(
            "tail -n +3 /proc/self/net/dev | cut -d: -f1 | tr -d ' ' >{seen}\n\
             sed -n 's/^0:://p' /proc/self/cgroup >>{seen}\n\
             if (exec 3<>/dev/tcp/{host}/{port}) 2>/dev/null; then echo reached the server >>{seen}; exit 1; fi\n\
             test -S {}/shim.sock && echo sees the socket >>{seen}\n",
            runtime(load)
        ),
    );
    operator.own(&format!("{}/fake", place.home));
    set(load, &json!([{
        "name": "apart", "command": ["bash", script], "network": false, "retries": 0, "baseline": false,
    }]))
    .await;
    let ticket = load.ticket(WORK).await;
    load.completed(&ticket).await;
    let seen = operator.machine.read(&seen);
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines.first(), Some(&"lo"), "nothing but the loopback interface: {seen}");
    assert!(lines[1].contains("/vibe-ensemble-workers.slice/vibe-ensemble-gate@"), "{seen}");
    assert_eq!(lines[2..], ["sees the socket"], "what lies in the file system is there: {seen}");

    // systemd leaves the network to it: its shim says so, and no gate runs.
    operator.drop_in(UNIT, "network", "[Service]\nPrivateNetwork=no\n");
    let held = held(load, &load.ticket(WORK).await, "is in one all the same").await;
    operator.drop_in(UNIT, "network", "");
    finish(load, &held).await;

    operator.systemctl(&["stop", GATE_SOCKET]);
    let held = self::held(load, &load.ticket(WORK).await, "is not active").await;
    operator.systemctl(&["enable", "--now", GATE_SOCKET]);
    finish(load, &held).await;

    set(load, &json!([])).await;
    load.nobody_is_left().await;
    say(&format!(
        "a gate without a network ran in {}: it saw the loopback interface alone and could not reach its server; where it \
         would have had a network, and where its socket was stopped, its ticket waited and said why",
        lines[1].rsplit('/').next().unwrap_or_default()
    ));
}

/// The server's runtime directory.
fn runtime(load: &Load<'_>) -> String {
    match load.operator.place.user {
        None => "/run/vibe-ensemble".to_owned(),
        Some(_) => format!("/run/user/{}/vibe-ensemble", load.operator.uid()),
    }
}

async fn set(load: &Load<'_>, gates: &serde_json::Value) {
    load.client.ok("update_project", json!({"project": PROJECT, "gates": gates})).await;
}

/// The ticket is on hold for its gate, for this reason.
async fn held(load: &Load<'_>, ticket: &str, why: &str) -> String {
    let found = load.ticket_where(ticket, "is on hold", |t| t["state"] == "on_hold").await;
    assert_eq!(found["hold_kind"], "configuration", "{found}");
    let reason = found["hold_reason"].as_str().expect("a reason");
    assert!(reason.contains("must have no network") && reason.contains(why), "{why}: {reason}");
    ticket.to_owned()
}

/// What was wrong is fixed.
async fn finish(load: &Load<'_>, ticket: &str) {
    load.client.ok("resume_ticket", json!({"ticket_id": ticket})).await;
    load.completed(ticket).await;
}
