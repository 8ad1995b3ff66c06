//! Gates with `network = false`: they run without a network, or not at all.

use std::fs;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::server::Setup;
use e2e::systemd::WorkerSocket;
use serde_json::Value;
use serde_json::json;

use crate::gates::count;
use crate::gates::gate;
use crate::gates::project;

/// A gate without a network that runs a line of shell.
fn offline(line: &str) -> String {
    format!("{}network = false\n", gate("test", line))
}

fn units() -> Setup {
    Setup { launcher: Some("unit"), ..Setup::default() }
}

/// A bed whose workers come from a socket, and the one for gates, if there is any.
async fn bed(setup: Setup, keeps: Option<bool>) -> (Bed, Vec<WorkerSocket>) {
    let mut bed = Bed::prepare(setup);
    let mut sockets = vec![WorkerSocket::listen(&bed.server, 8)];
    sockets.extend(keeps.map(|keeps| WorkerSocket::listen_for_gates(&bed.server, keeps)));
    bed.launch().await;
    (bed, sockets)
}

/// Asserts that a ticket waits for somebody, and that its reason says all of this.
fn assert_refused(held: &Value, told: &[&str]) {
    assert_eq!(text(held, "hold_kind"), "configuration", "{held}");
    let reason = text(held, "hold_reason");
    for told in ["its gate test must have no network", "waive the gate"].iter().chain(told) {
        assert!(reason.contains(told), "{told}: {reason}");
    }
}

#[e2e::scenario]
async fn a_gate_without_a_network_is_not_run_where_workers_are_plain_processes() {
    let bed = Bed::start().await;
    let ran = bed.server.path("ran");
    let file = format!(
        "{}{}",
        gate("before", &format!("touch {}", ran.display())),
        offline(&format!("touch {}", ran.display()))
    );
    project(&bed, &["build"], &file, json!({})).await;
    let id = bed.ticket("shop", &["build"], "fake: build: write a.txt {ticket}").await;
    let held = bed.ticket_is(&id, "on_hold").await;
    assert_refused(
        &held,
        &["this server cannot keep a gate away from it", "Set network of that gate"],
    );
    assert!(!ran.exists(), "nothing ran");
    // Allowed to use the network, it runs like any other.
    let gates = json!([{"name": "test", "network": true}]);
    bed.client.ok("update_project", json!({"project": "shop", "gates": gates})).await;
    bed.client.ok("resume_ticket", json!({"ticket_id": id})).await;
    bed.completed(&id).await;
    assert_eq!(count(&bed, &id, "gate_passed").await, 2);
}

#[e2e::scenario]
async fn a_gate_without_a_network_names_the_socket_that_is_missing_and_can_be_waived() {
    let (bed, _sockets) = bed(units(), None).await;
    project(&bed, &["build"], &offline("true"), json!({})).await;
    let id = bed.ticket("shop", &["build"], "fake: build: write a.txt {ticket}").await;
    let held = bed.ticket_is(&id, "on_hold").await;
    let enable = "systemctl enable --now vibe-ensemble-gate.socket";
    assert_refused(&held, &["vibe-ensemble-gate.socket", "is not active", enable]);
    // A socket file without a listener is no better.
    let path = bed.server.runtime_dir().join("gate.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("writable"));
    bed.client.ok("resume_ticket", json!({"ticket_id": id})).await;
    let held = bed.ticket_is(&id, "on_hold").await;
    assert_refused(&held, &["is not active", enable]);
    let why = json!({"ticket_id": id, "gate": "test", "reason": "Nothing to fetch."});
    bed.client.ok("waive_gate", why).await;
    bed.client.ok("resume_ticket", json!({"ticket_id": id})).await;
    bed.completed(&id).await;
    assert_eq!(count(&bed, &id, "ticket_on_hold").await, 2);
}

#[e2e::scenario]
async fn a_gate_whose_worker_has_a_network_nevertheless_is_not_run() {
    let (bed, sockets) = bed(units(), Some(false)).await;
    let ran = bed.server.path("ran");
    project(&bed, &["build"], &offline(&format!("touch {}", ran.display())), json!({})).await;
    let id = bed.ticket("shop", &["build"], "fake: build: write a.txt {ticket}").await;
    let held = bed.ticket_is(&id, "on_hold").await;
    assert_refused(
        &held,
        &["vibe-ensemble-gate.socket started is in one all the same", "PrivateNetwork="],
    );
    assert!(!ran.exists(), "it was not run");
    assert_eq!(sockets[1].seen(), 1, "one worker was enough to see it");
    bed.nothing_is_left().await;
}

#[e2e::scenario(needs(Networks))]
async fn a_gate_without_a_network_reaches_nobody_and_is_compared_and_settled_all_the_same() {
    // One slot, and workers that wait longer than anybody here: those with and without a network make room for each other.
    let setup = units().arg("--max-gates").arg("1").env("VIBE_ENSEMBLE_LINGER_MS", "60000");
    let (bed, sockets) = bed(setup, Some(true)).await;
    let port = bed.server.address().rsplit(':').next().expect("a port").to_owned();
    let (reached, seen) = (bed.server.path("reached"), bed.server.path("seen"));
    let dial = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    let setup_line = format!("{dial} && echo $PWD >> {}", reached.display());
    let gate_line = format!(
        "tail -n +3 /proc/self/net/dev | cut -d: -f1 | tr -d ' ' >> {}; ({dial}) 2>/dev/null && exit 0; grep -q good a.txt || exit 1",
        seen.display()
    );
    let file = offline(&gate_line).replace("baseline = false", "baseline = true");
    let file = file.replace("[\"sh\",", "[\"bash\",");
    let setup = json!([["bash", "-c", setup_line]]);
    let file = format!("{file}[worktree]\nsetup = {setup}\n");
    project(&bed, &["build"], &file, json!({})).await;
    // The first try is as bad as the base commit, which has no such file.
    let script = "fake: build: write a.txt bad";
    let known = bed.ticket("shop", &["build"], script).await;
    bed.completed(&known).await;
    let good = bed.ticket("shop", &["build"], "fake: build: write a.txt good").await;
    bed.completed(&good).await;
    let seen = fs::read_to_string(&seen).expect("it ran");
    assert_eq!(seen, "lo\nlo\nlo\n", "at both commits, and for the second ticket");
    let reached = fs::read_to_string(&reached).expect("it ran");
    let reached: Vec<&str> = reached.lines().collect();
    assert_eq!(reached.len(), 3, "{reached:?}");
    assert!(reached[1].ends_with(&format!("{known}.base")), "{reached:?}");
    assert_eq!(sockets[1].seen(), 3, "each gate after a setup had a worker of its own");
    assert_eq!(count(&bed, &known, "gate_passed").await, 1);
    assert_eq!(count(&bed, &known, "gate_failed").await, 0);
}
