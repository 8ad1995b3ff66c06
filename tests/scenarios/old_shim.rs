//! Shims of another version: the oldest possible one works a whole attempt, and one without a
//! common protocol learns so.
//!
//! There is no earlier release, so its shim is imitated here: a program that only stores its launch
//! order, and a peer that sends what protocol 1 requires, nothing optional, and things that this
//! server has never heard of.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

/// A server whose shims only leave their launch orders in a directory.
pub(crate) async fn bed_with_orders(directory: &Path) -> Bed {
    let program = directory.join("shim");
    let kept = directory.display();
    let script =
        format!("#!/bin/sh\ncat > {kept}/.order.$$ && mv {kept}/.order.$$ {kept}/order.$$\n");
    fs::write(&program, script).expect("a fresh directory");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("our own file");
    let bed = Bed::with(Setup::default().arg("--shim").arg(program.display().to_string())).await;
    bed.project("shop", &["build"]).await;
    bed
}

/// The next launch order.
pub(crate) async fn order(directory: &Path) -> Value {
    let path = eventually("a shim is launched", || async {
        let entries =
            fs::read_dir(directory).expect("readable").flatten().map(|entry| entry.path());
        let mut orders = entries.filter(|path| {
            path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("order."))
        });
        orders.next().ok_or_else(|| "no order".to_owned())
    })
    .await;
    let bytes = fs::read(&path).expect("it has its name, so it is whole");
    fs::remove_file(&path).expect("our own file");
    serde_json::from_slice(&bytes[4..]).expect("a frame of JSON")
}

/// One end of a link that frames messages and knows nothing else.
pub(crate) struct Peer(UnixStream);

impl Peer {
    pub(crate) async fn dial(order: &Value) -> Self {
        Self(UnixStream::connect(text(order, "socket")).await.expect("the server listens"))
    }

    pub(crate) fn into_stream(self) -> UnixStream {
        self.0
    }

    pub(crate) async fn say(&mut self, message: Value) {
        let body = message.to_string().into_bytes();
        let length = u32::try_from(body.len()).expect("short").to_be_bytes();
        self.0.write_all(&[&length[..], &body].concat()).await.expect("the link is up");
    }

    pub(crate) async fn hear(&mut self) -> Value {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).await.expect("an answer");
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut body).await.expect("a whole answer");
        serde_json::from_slice(&body).expect("JSON")
    }

    /// Everything that arrives until the server closes the link.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).await.expect("the server closes");
        rest
    }

    pub(crate) async fn hello(&mut self, order: &Value, protocol: u16) -> Value {
        self.say(json!({
            "kind": "hello", "protocol_min": protocol, "protocol_max": protocol, "build": "0.0.1",
            "worker_id": order["worker_id"], "token": order["token"], "pid": 4711,
        }))
        .await;
        self.hear().await
    }
}

#[e2e::scenario]
async fn the_oldest_shim_works_a_whole_attempt() {
    let directory = tempfile::tempdir().unwrap();
    let bed = bed_with_orders(directory.path()).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let order = order(directory.path()).await;
    let mut peer = Peer::dial(&order).await;

    let welcome = peer.hello(&order, 1).await;
    assert_eq!((&welcome["kind"], &welcome["protocol"]), (&json!("welcome"), &json!(1)));
    peer.say(json!({"kind": "telemetry", "mood": "calm"})).await;
    let answer = peer.hear().await;
    assert_eq!(answer, json!({"kind": "unsupported", "unsupported": "telemetry"}));

    peer.say(json!({"kind": "pull", "pull_id": "p-1", "colour": "blue"})).await;
    let granted = peer.hear().await;
    assert_eq!((&granted["kind"], &granted["pull_id"]), (&json!("grant"), &json!("p-1")));
    let grant = &granted["grant"];
    let attempt = text(grant, "attempt_id");
    // A pull that, as far as the shim knows, was not answered is answered with the same grant.
    peer.say(json!({"kind": "pull", "pull_id": "p-1"})).await;
    assert_eq!(&peer.hear().await["grant"]["attempt_id"], attempt.as_str());
    let started = json!({"kind": "started", "attempt_id": attempt, "child_pid": 4712, "at_ms": 1});
    peer.say(started).await;
    peer.say(json!({"kind": "heartbeat"})).await;
    let worker = bed.worker_of(&ticket).await;
    assert_eq!(worker["worker_id"], order["worker_id"]);

    let record = json!({
        "version": 1, "server_id": grant["server_id"], "attempt_id": attempt, "worker_id": order["worker_id"],
        "build": "0.0.1", "status": {"type": "exited", "code": 0}, "ended_at_ms": 2, "weather": {"wind": 3},
        "result": {"subtype": "success", "structured_output": {"outcome": "completed", "report": "done manually"}},
    });
    let completed = json!({"kind": "completed", "attempt_id": attempt, "record": record});
    peer.say(completed.clone()).await;
    let ack = json!({"kind": "ack", "attempt_id": attempt, "verdict": "accepted"});
    assert_eq!(peer.hear().await, ack);
    peer.say(completed).await;
    assert_eq!(peer.hear().await["verdict"], "duplicate");
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["comments"][0]["content"], "done manually");

    peer.say(json!({"kind": "goodbye", "reason": "out of work"})).await;
    let stopped = |worker: &Value| worker["state"] == "stopped";
    let worker = bed.worker_where("is stopped", stopped).await;
    assert_eq!(worker["worker_id"], order["worker_id"]);
}

#[e2e::scenario]
async fn a_shim_without_a_common_protocol_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let bed = bed_with_orders(directory.path()).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let order = order(directory.path()).await;
    for protocol in [0, 99] {
        let answer = Peer::dial(&order).await.hello(&order, protocol).await;
        assert_eq!(answer["kind"], "refused", "{answer}");
        assert!(text(&answer, "reason").contains("protocol"), "{answer}");
    }
    assert_eq!(bed.get(&ticket).await["attempts"], json!([]), "nothing was granted");

    // The same worker with a common protocol is welcome as ever; a wrong token is not.
    let mut wrong = order.clone();
    wrong["token"] = json!("0".repeat(64));
    assert_eq!(Peer::dial(&order).await.hello(&wrong, 1).await["kind"], "refused");
    assert_eq!(Peer::dial(&order).await.hello(&order, 1).await["kind"], "welcome");
}

/// A refused shim of an earlier version stops its agent and reports "cancel", as if somebody had
/// cancelled the work.
#[e2e::scenario]
async fn a_cancel_nobody_ordered_does_not_put_a_ticket_on_hold() {
    let directory = tempfile::tempdir().unwrap();
    let bed = bed_with_orders(directory.path()).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let first = order(directory.path()).await;
    let mut peer = Peer::dial(&first).await;
    peer.hello(&first, 1).await;
    peer.say(json!({"kind": "pull", "pull_id": "p-1"})).await;
    let grant = peer.hear().await["grant"].clone();
    let attempt = text(&grant, "attempt_id");
    let record = json!({
        "version": 1, "server_id": grant["server_id"], "attempt_id": attempt, "worker_id": first["worker_id"],
        "build": "0.0.1", "status": {"type": "exited", "code": 143}, "ended_at_ms": 2,
        "stop": {"reason": "cancel", "signal": null},
    });
    peer.say(json!({"kind": "completed", "attempt_id": attempt, "record": record})).await;
    assert_eq!(peer.hear().await["verdict"], "accepted");
    let ticket = bed.get(&ticket).await;
    assert_ne!(ticket["state"], "on_hold", "{ticket}");
    assert_eq!(ticket["attempts"][0]["outcome"], "interrupted");
    assert_eq!(ticket["attempts_used"], 0);
}

#[e2e::scenario]
async fn a_shim_that_is_too_old_for_setup_and_gates_is_granted_none_and_the_log_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let bed = bed_with_orders(directory.path()).await;
    let file = "[worktree]\nsetup = [[\"true\"]]\n";
    let path = bed.server.path("projects").join("built");
    let repository = e2e::repository::Repository::make(&path);
    fs::write(path.join(".vibe-ensemble.toml"), file).expect("writable");
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "-m", "Say how to build"]);
    bed.server.give_away(&path);
    bed.project_at("built", &path, json!({})).await;
    bed.worker_type("built", "build", json!({})).await;
    let ticket = bed.ticket("built", &["build"], "").await;
    let order = order(directory.path()).await;

    let answer = Peer::dial(&order).await.hello(&order, 1).await;

    assert_eq!(answer["kind"], "refused", "{answer}");
    assert!(text(&answer, "reason").contains("runs no setup and no gate"), "{answer}");
    let found = bed.get(&ticket).await;
    assert_eq!((&found["state"], &found["attempts"]), (&json!("running"), &json!([])), "{found}");
    assert!(bed.server.log().contains("install the one of this version"));
    let why = text(&found, "waiting_for");
    for told in ["runs no setup and no gate", "Install the vibe-ensemble-shim of this version"] {
        assert!(why.contains(told), "{told}: {why}");
    }
    // A shim of this version says what it can run, and is welcome as a worker of agents meanwhile.
    let id = bed.ticket("shop", &["build"], "").await;
    let another = self::order(directory.path()).await;
    assert_eq!(Peer::dial(&another).await.hello(&another, 1).await["kind"], "welcome");
    assert_eq!(text(&bed.get(&id).await, "state"), "queued");
}
