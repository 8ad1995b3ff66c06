//! Workers that systemd starts, one for each connection to its socket. Here a stand-in accepts
//! them.

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::server::Server;
use e2e::server::Setup;
use e2e::systemd::WorkerSocket;
use nix::sys::signal::Signal;
use serde_json::json;

async fn bed(setup: Setup, max_connections: usize) -> (Bed, WorkerSocket) {
    let mut bed = Bed::prepare(setup);
    let socket = WorkerSocket::listen(&bed.server, max_connections);
    bed.launch().await;
    (bed, socket)
}

#[e2e::scenario]
async fn a_worker_is_started_by_the_socket_and_survives_the_server() {
    let setup = Setup { launcher: Some("unit"), ..Setup::default() };
    let (mut bed, socket) = bed(setup, 8).await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;
    let worker = bed.worker_of(&ticket).await;

    bed.server.kill().await;
    bed.launch().await;
    std::fs::write(call.cwd.join("go"), "").unwrap();

    bed.completed(&ticket).await;
    assert_eq!(bed.agents.calls().len(), 1);
    // It never forked: the process that systemd started is the one that worked.
    let shims = bed.worker_where("has left", |w| w["state"] == "stopped").await;
    assert_eq!(shims["worker_id"], worker["worker_id"]);
    eventually("the shim ends with 0", || {
        let codes = socket.exit_codes();
        std::future::ready(if codes == [Some(0)] { Ok(()) } else { Err(format!("{codes:?}")) })
    })
    .await;
    assert_eq!(socket.seen(), 1);
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_full_socket_is_reported_and_tried_again() {
    let setup = Setup { launcher: Some("unit"), ..Setup::default() };
    let (bed, socket) = bed(setup, 0).await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;

    let refused = bed.worker_where("was not launched", |w| w["state"] == "stopped").await;
    let reason = text(&refused, "stop_reason");
    assert!(reason.contains("MaxConnections=") && reason.contains("max_workers"), "{reason}");
    assert_eq!(bed.get(&ticket).await["state"], "queued", "nobody is charged, nothing is paused");
    bed.worker_where("is the second try", |w| w["worker_id"] == "W-2" && w["state"] == "stopped")
        .await;
    // One try for each wait, and the waits grow: without pauses there would have been thousands of
    // tries.
    assert!(socket.seen() <= 4, "{}", socket.seen());

    socket.set_max_connections(8);
    bed.completed(&ticket).await;
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_killed_shim_of_a_unit_is_lost_and_the_ticket_runs_again() {
    let setup = Setup { launcher: Some("unit"), ..Setup::default() };
    let (bed, _socket) = bed(setup, 8).await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
    bed.called(&ticket, "build", 1).await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");
    assert!(bed.server.send(shim, Signal::SIGKILL), "the shim was there");
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["outcome"], "lost");
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn auto_takes_units_only_as_a_service_with_the_socket_and_a_switch_keeps_workers() {
    let service = Setup { launcher: Some("auto"), as_a_service: true, ..Setup::default() };
    // As a service, but nobody made the socket: plain, with a message that explains it.
    let mut bed = Bed::with(service).await;
    bed.project("shop", &["build"]).await;
    let plain = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let call = bed.called(&plain, "build", 1).await;
    assert!(bed.server.log().contains("KillMode=process"), "{}", bed.server.log());
    bed.server.kill().await;

    let socket = WorkerSocket::listen(&bed.server, 8);
    bed.launch().await;
    bed.worker_type("shop", "check", json!({})).await;
    let unit = bed.ticket("shop", &["check"], "").await;
    std::fs::write(call.cwd.join("go"), "").unwrap();
    bed.completed(&plain).await;
    bed.completed(&unit).await;
    assert_eq!(socket.seen(), 1, "the new worker came from the socket");
    assert_eq!(bed.agents.calls_of(&plain, "build").len(), 1, "the plain worker was kept");
    bed.nothing_is_left().await;

    // The socket exists, but a person starts the server.
    bed.server.stop().await;
    let by_hand = Setup { launcher: Some("auto"), ..Setup::default() };
    let mut other = Bed::prepare(by_hand);
    let unused = WorkerSocket::listen(&other.server, 8);
    other.launch().await;
    other.project("shop", &["build"]).await;
    let ticket = other.ticket("shop", &["build"], "").await;
    other.completed(&ticket).await;
    assert_eq!(unused.seen(), 0);
}

#[e2e::scenario]
async fn units_without_the_socket_are_refused_with_the_next_step() {
    let server = Server::prepare(Setup::default());
    let refused = server.operate("serve", &["--listen", "127.0.0.1:0", "--launcher", "unit"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        words.contains("worker.sock") && words.contains("vibe-ensemble-worker.socket"),
        "{words}"
    );
    assert!(words.contains("--launcher plain"), "{words}");
}
