//! Hostile neighbours on the same machine: what they find on disk, and what they learn from the
//! shim socket.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::binaries;
use e2e::eventually::eventually;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use crate::old_shim::Peer;
use crate::old_shim::bed_with_orders;
use crate::old_shim::order;

/// Everything below a directory that another user could read, enter or write.
fn open_to_others(below: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(below).expect("our own directory") {
        let path = entry.expect("an entry").path();
        // A file that existed a moment ago may be gone.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let mode = metadata.permissions().mode() & 0o7777;
        let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
        if mode != wanted {
            found.push(format!("{} has mode {mode:04o}", path.display()));
        }
        if metadata.is_dir() {
            open_to_others(&path, found);
        }
    }
}

#[e2e::scenario]
async fn no_file_is_accessible_to_others_even_without_a_umask() {
    let setup = Setup { no_umask: true, ..Setup::default() };
    let bed = Bed::with(setup).await;
    let project = bed.project("shop", &["build"]).await;
    let long = "Be thorough. ".repeat(1000);
    bed.worker_type("shop", "review", json!({"system_prompt": long})).await;
    let script =
        "fake: *: touch made\nfake: *: fork 60\nfake: build#1: exit 3\nfake: review: wait-for go";
    let ticket = bed.ticket("shop", &["build", "review"], script).await;
    bed.called(&ticket, "review", 1).await;

    // While everything exists that can exist.
    let mut found = Vec::new();
    for directory in [bed.server.state_dir(), bed.server.runtime_dir()] {
        let mode = fs::metadata(&directory).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o700, "{}", directory.display());
        open_to_others(&directory, &mut found);
    }
    assert_eq!(found, Vec::<String>::new());
    let socket = fs::metadata(bed.server.runtime_dir().join("shim.sock")).unwrap();
    assert!(socket.file_type().is_socket());
    // What the agent makes belongs to the project, and has the umask of the user who started the
    // server.
    let made = fs::metadata(project.join("made")).unwrap().permissions().mode() & 0o777;
    assert_eq!(made, 0o666);
    fs::write(project.join("go"), "").unwrap();
    bed.completed(&ticket).await;
    found.clear();
    open_to_others(&bed.server.state_dir(), &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[e2e::scenario]
async fn a_stranger_at_the_shim_socket_learns_nothing_and_gets_no_work() {
    let directory = tempfile::tempdir().unwrap();
    let bed = bed_with_orders(directory.path()).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let first = order(directory.path()).await;

    let with = |worker: &Value, token: Value| {
        let mut forged = first.clone();
        forged["worker_id"] = worker.clone();
        forged["token"] = token;
        forged
    };
    let own = &first["worker_id"];
    let secret = text(&first, "token");
    let mut answers = Vec::new();
    for forged in [
        with(own, json!("0".repeat(64))),
        with(own, json!("")),
        with(own, json!(&secret[1..])),
        with(own, json!(format!("{secret}0"))),
        with(own, json!(secret.to_uppercase())),
        with(own, json!(bed.server.token())),
        // A worker that does not exist, and a valid token of another one.
        with(&json!("W-99"), json!(secret)),
        with(&json!("W-99"), json!("0".repeat(64))),
    ] {
        let answer = Peer::dial(&first).await.hello(&forged, 1).await;
        assert_eq!(answer["kind"], "refused", "{forged}: {answer}");
        answers.push(text(&answer, "reason"));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "who guesses learns nothing: {answers:?}");
    assert!(!bed.server.log().contains(&secret));

    // A peer that does not say hello first gets no answer.
    for message in [
        json!({"kind": "pull", "pull_id": "p-1"}),
        json!({"kind": "completed", "attempt_id": "A-1", "record": {}}),
        json!({"kind": "goodbye", "reason": "bye"}),
        json!({"nothing": 1}),
    ] {
        let mut peer = Peer::dial(&first).await;
        peer.say(message.clone()).await;
        assert_eq!(peer.rest().await, b"", "{message}");
    }
    // Neither does a peer that does not speak in frames, or announces more than any frame may have.
    let longer_than_a_hello = [0, 0, 0x10, 1];
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 64],
        &[0, 0, 0, 2, b'{', b'x'],
        &longer_than_a_hello,
    ] {
        let mut stream = UnixStream::connect(text(&first, "socket")).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        // A reset is as good an end as any.
        drop(stream.read_to_end(&mut rest).await);
        assert_eq!(rest, b"");
    }
    assert_eq!(bed.get(&ticket).await["attempts"], json!([]), "nothing was granted");

    // The peer with the token continues to work; once it has said goodbye, its token is useless.
    let mut peer = Peer::dial(&first).await;
    assert_eq!(peer.hello(&first, 1).await["kind"], "welcome");
    peer.say(json!({"kind": "goodbye", "reason": "done"})).await;
    bed.worker_where("is stopped", |worker| worker["state"] == "stopped").await;
    let answer = Peer::dial(&first).await.hello(&first, 1).await;
    assert_eq!(answer["kind"], "refused", "{answer}");
}

#[e2e::scenario]
async fn silent_strangers_keep_no_shim_out() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let socket = bed.server.runtime_dir().join("shim.sock");
    let mut strangers = tokio::task::JoinSet::new();
    let connected = Arc::new(AtomicUsize::new(0));
    for _ in 0..1_500 {
        let (socket, connected) = (socket.clone(), Arc::clone(&connected));
        strangers.spawn(async move {
            loop {
                // A stranger that is turned away comes back.
                if let Ok(mut stream) = UnixStream::connect(&socket).await {
                    connected.fetch_add(1, Ordering::Relaxed);
                    drop(stream.read(&mut [0]).await);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    eventually("all of them have dialled", || {
        let connected = connected.load(Ordering::Relaxed);
        std::future::ready(if connected >= 1_500 { Ok(()) } else { Err(connected.to_string()) })
    })
    .await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let done = bed.completed(&ticket).await;
    assert_eq!(done["attempts"].as_array().map(Vec::len), Some(1), "{done}");
    // The first launched worker was admitted.
    let log = bed.server.log();
    assert!(!log.contains("launching a worker failed"), "{}", bed.server.log_tail());
    assert_eq!(log.matches("connections to the shim socket are silent").count(), 1);
}

#[e2e::scenario]
async fn a_stranger_at_the_shim_socket_writes_no_line_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let bed = bed_with_orders(directory.path()).await;
    bed.ticket("shop", &["build"], "").await;
    let mut forged = order(directory.path()).await;
    forged["worker_id"] = json!("W-9\n2026-11-29T00:00:00Z ERROR forged\u{1b}[2J\u{9b}1m");
    let answer = Peer::dial(&forged).await.hello(&forged, 1).await;
    assert_eq!(answer["kind"], "refused", "{answer}");
    let log = bed.server.log();
    let told = log
        .lines()
        .find(|line| line.contains("a shim was refused"))
        .expect("the refusal is logged");
    assert!(told.contains(r"W-9\n2026-11-29T00:00:00Z ERROR forged\u{1b}[2J\u{9b}1m"), "{told}");
    assert!(!log.lines().any(|line| line.starts_with("2026-11-29T00:00:00Z ERROR")), "{log}");
}

/// The server's memory use, by a line of its status, in KiB.
fn memory(bed: &Bed, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", bed.server.pid()));
    let status = status.expect("the server runs");
    let found = status.lines().find_map(|found| found.strip_prefix(line)).expect("a line");
    found.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[e2e::scenario]
async fn large_reports_of_many_workers_at_once_do_not_fill_the_memory() {
    const WORKERS: usize = 8;
    let directory = tempfile::tempdir().unwrap();
    let bed = bed_with_orders(directory.path()).await;
    bed.worker_type("shop", "report", json!({"max_workers": WORKERS})).await;
    let mut peers = Vec::new();
    // One after the other: a launch that nobody answers in time would be given up.
    for _ in 0..WORKERS {
        bed.client.ok("spawn_worker", json!({"project": "shop", "worker_type": "report"})).await;
        let order = order(directory.path()).await;
        let mut peer = Peer::dial(&order).await;
        assert_eq!(peer.hello(&order, 1).await["kind"], "welcome");
        peers.push(peer);
    }
    let before = memory(&bed, "VmRSS:");
    // Each announces the longest possible message, and sends all of it but the end.
    let sending: Vec<_> = peers
        .into_iter()
        .map(|peer| {
            tokio::spawn(async move {
                let (mut from, mut to) = peer.into_stream().into_split();
                let length: u32 = 32 << 20;
                to.write_all(&length.to_be_bytes()).await.expect("the link is up");
                let most = usize::try_from(length).expect("fits") - 1;
                let chunk = vec![b' '; 64 << 10];
                let mut sent = 0;
                while sent < most {
                    let part = chunk.len().min(most - sent);
                    // The link that has the memory is dropped if it does not finish.
                    if to.write_all(&chunk[..part]).await.is_err() {
                        break;
                    }
                    sent += part;
                }
                drop(from.read(&mut [0]).await);
                sent
            })
        })
        .collect();
    eventually("one of them has been sent", || async {
        let grown = memory(&bed, "VmHWM:").saturating_sub(before);
        if grown > 24 << 10 { Ok(()) } else { Err(format!("{grown} KiB")) }
    })
    .await;
    // Another worker's report arrives meanwhile, and so does a call of the coordinator.
    let ticket = bed.ticket("shop", &["build"], "").await;
    let order = order(directory.path()).await;
    let mut peer = Peer::dial(&order).await;
    assert_eq!(peer.hello(&order, 1).await["kind"], "welcome");
    peer.say(json!({"kind": "pull", "pull_id": "p-1"})).await;
    assert_eq!(peer.hear().await["grant"]["ticket_id"], ticket.as_str());
    let grown = memory(&bed, "VmHWM:").saturating_sub(before);
    assert!(grown < 120 << 10, "{grown} KiB more for {WORKERS} messages of 32 MiB");
    for task in sending {
        task.abort();
    }
}

/// Another user.
pub(crate) const NOBODY: u32 = 65_534;

/// Opens the way to the shim socket, as somebody might who wants to debug a shim, and returns a
/// program that another user can start.
fn loosened(bed: &Bed) -> PathBuf {
    let program = bed.server.path("neighbour");
    fs::copy(binaries::fake_claude(), &program).expect("our own directory");
    for (path, mode) in [
        (bed.server.path(""), 0o755),
        (program.clone(), 0o755),
        (bed.server.runtime_dir(), 0o777),
        (bed.server.runtime_dir().join("shim.sock"), 0o666),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own files");
    }
    program
}

/// Starts the program as that user.
fn neighbour(program: &Path, user: u32, play: &str, socket: &Path) -> Child {
    let mut command = Command::new(program);
    command.env_clear().arg(play).arg(socket).uid(user).gid(user);
    command.stdout(Stdio::piped()).spawn().expect("it can be started")
}

/// The output of a neighbour.
async fn told(child: Child) -> String {
    let waiting = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = waiting.await.expect("no panic").expect("our own child");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[e2e::scenario(needs(Root))]
async fn another_user_is_turned_away_although_the_modes_were_loosened() {
    let bed = Bed::start().await;
    let program = loosened(&bed);
    let socket = bed.server.runtime_dir().join("shim.sock");
    assert_eq!(told(neighbour(&program, 0, "dial", &socket)).await, "refused");
    assert_eq!(told(neighbour(&program, NOBODY, "dial", &socket)).await, "closed");
    eventually("the stranger is logged", || {
        let told = bed.server.log().contains("another user dialled the shim socket");
        std::future::ready(if told { Ok(()) } else { Err(bed.server.log_tail()) })
    })
    .await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
}

#[e2e::scenario(needs(Root))]
async fn a_shim_says_nothing_to_a_server_of_another_user() {
    let mut bed = Bed::start().await;
    let program = loosened(&bed);
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;
    bed.server.kill().await;
    let socket = bed.server.runtime_dir().join("shim.sock");
    fs::remove_file(&socket).unwrap();

    assert_eq!(told(neighbour(&program, NOBODY, "play-server", &socket)).await, "nothing");

    // A server does not start in a directory that others may write.
    let own = fs::Permissions::from_mode(0o700);
    fs::set_permissions(bed.server.runtime_dir(), own).expect("our own directory");
    bed.launch().await;
    fs::write(call.cwd.join("go"), "").unwrap();
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(1), "{closed}");
}
