//! Listeners that are passed to the server, as systemd does, and outlive it.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;

use e2e::bed::Bed;
use e2e::server::Setup;
use serde_json::json;

/// A bed with both listeners passed, not started yet.
fn passed() -> (Bed, String) {
    let mut bed = Bed::prepare(Setup::default());
    let http = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = http.local_addr().expect("bound").to_string();
    fs::create_dir(bed.server.runtime_dir()).expect("a fresh directory");
    let shims =
        UnixListener::bind(bed.server.runtime_dir().join("shim.sock")).expect("a fresh path");
    // In any order: their address family distinguishes them.
    bed.server.pass([shims.into(), http.into()]);
    (bed, address)
}

#[e2e::scenario]
async fn a_restart_refuses_no_connection() {
    let (mut bed, address) = passed();
    bed.launch().await;
    assert_eq!(bed.server.address(), address, "http.addr says where it listens");
    assert!(bed.server.log().contains("the option listen is ignored"), "{}", bed.server.log());
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;

    assert_eq!(bed.server.stop().await.code(), Some(0));
    let socket = bed.server.runtime_dir().join("shim.sock");
    drop(UnixStream::connect(&socket).expect("the server took away what is not its own"));
    let addr = fs::read_to_string(bed.server.runtime_dir().join("http.addr")).unwrap();
    assert_eq!(addr.trim(), address, "a client that connects there is served by the next server");
    // A client that dials while nobody serves is answered by the next server.
    let client = bed.client.clone();
    let meanwhile = tokio::spawn(async move { client.call("list_projects", json!({})).await });
    fs::write(call.cwd.join("go"), "").unwrap();
    bed.launch().await;
    meanwhile.await.unwrap().expect("nobody was refused");

    bed.completed(&ticket).await;
    assert_eq!(bed.agents.calls().len(), 1);
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_socket_of_somebody_else_is_neither_taken_nor_removed() {
    let mut bed = Bed::start().await;
    bed.server.stop().await;
    let socket = bed.server.runtime_dir().join("shim.sock");
    let theirs = UnixListener::bind(&socket).or_else(|_| {
        fs::remove_file(&socket)?;
        UnixListener::bind(&socket)
    });
    let theirs = theirs.unwrap();
    let refused = bed.server.operate("serve", &["--listen", "127.0.0.1:0"]).await;
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{words}");
    assert!(words.contains("vibe-ensemble.socket") && words.contains("--runtime-dir"), "{words}");
    drop(UnixStream::connect(&socket).expect("it is where it was"));
    drop(theirs);
    // What a dead process left behind is no obstacle.
    bed.launch().await;
    assert!(bed.reachable().await);
}

#[e2e::scenario]
async fn sockets_that_make_no_sense_are_refused_by_name() {
    let (mut bed, _) = passed();
    let two: [OwnedFd; 2] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap().into());
    bed.server.pass(two);
    let ended = bed.server.try_launch().await.expect_err("one too many");
    assert_eq!(ended.code(), Some(1));
    assert!(bed.server.log().contains("two TCP sockets"), "{}", bed.server.log());

    let (connected, _other) = UnixStream::pair().unwrap();
    bed.server.pass([TcpListener::bind("127.0.0.1:0").unwrap().into(), connected.into()]);
    bed.server.try_launch().await.expect_err("a connection is no listener");
    assert!(bed.server.log().contains("Accept=no"), "{}", bed.server.log());
}
