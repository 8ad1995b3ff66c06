//! Hostile clients below HTTP: slow ones, silent ones, huge heads, whole pipelines. The coordinator
//! is served meanwhile.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use e2e::bed::Bed;
use e2e::binaries;
use e2e::eventually::eventually;
use e2e::server::Setup;
use serde_json::json;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::fence::token;

async fn dial(bed: &Bed) -> TcpStream {
    TcpStream::connect(bed.server.address()).await.expect("the server listens")
}

/// The head of a POST to `/mcp` without its last line end.
fn head(bed: &Bed, token: &str, more: &str) -> String {
    let host = bed.server.address();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{more}"
    )
}

/// Sends another byte now and then, for as long as the server accepts it, and returns the answer.
async fn drip(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    eventually("the server gives a slow client up", || {
        let sent = stream.try_write(b"x");
        let mut buffer = [0; 1_024];
        let read = stream.try_read(&mut buffer);
        if let Ok(count) = read {
            answer.extend_from_slice(&buffer[..count]);
        }
        let is_open = |result: &io::Result<usize>| match result {
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            Ok(_) => true,
        };
        let ended = matches!(read, Ok(0)) || !is_open(&sent) || !is_open(&read);
        std::future::ready(if ended { Ok(()) } else { Err("it is still open".to_owned()) })
    })
    .await;
    // What was still on its way.
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

#[e2e::scenario]
async fn slow_clients_are_disconnected_and_the_coordinator_is_served_meanwhile() {
    let bed = Bed::start().await;
    let (mut first_line, mut head_of, mut body_of) =
        (dial(&bed).await, dial(&bed).await, dial(&bed).await);
    first_line.write_all(b"PO").await.unwrap();
    head_of.write_all(head(&bed, "guess", "X-Slow: ").as_bytes()).await.unwrap();
    let announced = head(&bed, &bed.server.token(), "Content-Length: 100000\r\n\r\n");
    body_of.write_all(announced.as_bytes()).await.unwrap();
    let silent = dial(&bed).await;
    let unproven = async {
        // The token is checked before the body: nothing of this body is waited for.
        let mut stream = dial(&bed).await;
        let announced = head(&bed, "guess", "Content-Length: 100000\r\n\r\n");
        stream.write_all(announced.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let silence = async {
        let (mut stream, mut rest) = (silent, Vec::new());
        stream.read_to_end(&mut rest).await.map(|_| rest)
    };
    let served = async {
        for _ in 0..100 {
            bed.client.ok("list_projects", json!({})).await;
        }
    };

    let (line, heading, body, stranger, silence, ()) =
        tokio::join!(drip(first_line), drip(head_of), drip(body_of), unproven, silence, served);

    assert_eq!((line.as_str(), heading.as_str()), ("", ""), "nothing was asked yet");
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    assert_eq!(stranger, "HTTP/1.1 401");
    assert_eq!(silence.unwrap(), b"", "closed without a word");
    bed.client.ok("list_projects", json!({})).await;
}

#[e2e::scenario]
async fn a_thousand_silent_connections_keep_no_client_out() {
    let bed = Bed::with(Setup::default().arg("--max-connections").arg("100")).await;
    let mut waiting = bed.client.open("list_events", json!({"wait_seconds": 3600})).await;
    assert!(waiting.chunk().await.unwrap().is_some(), "it says that it waits");
    // In a process of its own: this process may not have as many descriptors everywhere.
    let mut holder = Command::new(binaries::fake_claude())
        .args(["hold-connections", bed.server.address()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert_eq!(said.next_line().await.unwrap().as_deref(), Some("1000"));

    for _ in 0..20 {
        // Each on a connection of its own, like a newcomer.
        let newcomer = e2e::client::Client::new(bed.server.address(), Some(bed.server.token()));
        newcomer.ok("list_projects", json!({})).await;
    }
    eventually("the server holds no more than it may", || {
        let sockets = sockets_of(bed.server.pid());
        // Its listeners and its own ends are sockets too.
        let few = sockets <= 110;
        std::future::ready(if few { Ok(()) } else { Err(format!("{sockets} sockets")) })
    })
    .await;

    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let rest = waiting.text().await.unwrap();
    assert!(rest.contains(&ticket), "the waiting call is answered: {rest}");
    drop(holder.stdin.take());
    assert!(holder.wait().await.unwrap().success());
}

#[e2e::scenario]
async fn an_agent_that_holds_every_connection_with_half_a_call_keeps_no_coordinator_out() {
    let bed = Bed::with(Setup::default().arg("--max-connections").arg("100")).await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;
    let half = head(&bed, &token(&call), "Content-Length: 1000\r\n\r\n{");
    let mut held = Vec::new();
    for _ in 0..130 {
        let mut stream = dial(&bed).await;
        stream.write_all(half.as_bytes()).await.unwrap();
        held.push(stream);
    }
    // It does not stop: whatever is closed is opened again.
    let (address, over) = (bed.server.address().to_owned(), Arc::new(AtomicBool::new(false)));
    let hordes: Vec<_> = (0..2)
        .map(|_| {
            let (address, half, over) = (address.clone(), half.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let mut held = VecDeque::new();
                while !over.load(Ordering::SeqCst) {
                    if let Ok(mut stream) = TcpStream::connect(&address).await {
                        drop(stream.write_all(half.as_bytes()).await);
                        held.push_back(stream);
                    }
                    held.truncate(30);
                    tokio::task::yield_now().await;
                }
                held.len()
            })
        })
        .collect();
    for _ in 0..50 {
        let newcomer = e2e::client::Client::new(bed.server.address(), Some(bed.server.token()));
        newcomer.ok("list_projects", json!({})).await;
    }
    over.store(true, Ordering::SeqCst);
    for horde in hordes {
        assert!(horde.await.unwrap() > 0, "it attacked");
    }
    drop(held);
    fs::write(call.cwd.join("go"), "").unwrap();
    bed.completed(&ticket).await;
}

fn sockets_of(pid: i32) -> usize {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    let target = |entry: io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
    open.filter_map(target)
        .filter(|target| target.to_string_lossy().starts_with("socket:["))
        .count()
}

/// Sends bytes on a connection of their own, and returns everything that comes back.
async fn exchange(bed: &Bed, bytes: &[u8]) -> String {
    let (mut reader, mut writer) = dial(bed).await.into_split();
    let writing = async {
        // A client that is refused halfway may find the connection closed.
        drop(writer.write_all(bytes).await);
        writer
    };
    let reading = async {
        let mut answer = Vec::new();
        drop(reader.read_to_end(&mut answer).await);
        answer
    };
    let (_writer, answer) = tokio::join!(writing, reading);
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

#[e2e::scenario]
async fn huge_and_malformed_heads_are_refused() {
    let bed = Bed::start().await;
    let token = bed.server.token();
    let own = |more: &str| head(&bed, &token, more);
    let close = "Connection: close\r\n";
    let big = "x".repeat(100_000);
    let many = "X-Many: 1\r\n".repeat(200);
    let path = format!("GET /{big} HTTP/1.1\r\nHost: {}\r\n\r\n", bed.server.address());
    for (what, request) in [
        ("a header of 100 KB", own(&format!("X-Big: {big}\r\n\r\n"))),
        ("200 headers", own(&format!("{many}\r\n"))),
        ("a path of 100 KB", path),
        ("no HTTP at all", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned()),
        ("a folded header", own(&format!("{close}X-A: 1\r\n 2\r\n\r\n"))),
        ("two lengths", own("Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}")),
        ("a length that is none", own("Content-Length: -1\r\n\r\n")),
        ("two tokens", own(&format!("{close}Authorization: Bearer {token}\r\n\r\n"))),
    ] {
        let answer = exchange(&bed, request.as_bytes()).await;
        let seen = statuses(&answer);
        let refused = seen.iter().all(|status| status.starts_with('4'));
        assert!(refused && seen.len() <= 1, "{what}: {answer}");
    }
    // A body within a body is not a second request: what follows the chunks is read as a new
    // request, without a token.
    let inner = format!("GET /mcp HTTP/1.1\r\nHost: {}\r\n{close}\r\n", bed.server.address());
    let both = own(&format!(
        "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
        inner.len() + 5
    ));
    let answer = exchange(&bed, both.as_bytes()).await;
    assert!(!statuses(&answer).contains(&"200"), "{answer}");
    bed.client.ok("list_projects", json!({})).await;
}

#[e2e::scenario]
async fn a_pipeline_is_answered_in_order_and_each_request_needs_its_own_token() {
    let bed = Bed::start().await;
    let body = r#"{"jsonrpc":"2.0","id":ID,"method":"ping"}"#;
    let ask = |id: usize, token: &str, more: &str| {
        let body = body.replace("ID", &id.to_string());
        let head = head(&bed, token, &format!("{more}Content-Length: {}\r\n\r\n", body.len()));
        format!("{head}{body}")
    };
    let token = bed.server.token();
    let mut pipeline: String = (1..=50).map(|id| ask(id, &token, "")).collect();
    pipeline.push_str(&ask(51, "guess", "Connection: close\r\n"));

    let answer = exchange(&bed, pipeline.as_bytes()).await;

    let seen = statuses(&answer);
    assert_eq!(seen.len(), 51, "{answer}");
    assert!(seen[..50].iter().all(|status| *status == "200") && seen[50] == "401", "{seen:?}");
    let places: Vec<_> = (1..=50).map(|id| answer.find(&format!("\"id\":{id},"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
}

#[e2e::scenario]
async fn no_spelling_of_a_path_bypasses_the_token() {
    let bed = Bed::start().await;
    let host = bed.server.address();
    for target in [
        "/healthz/../mcp".to_owned(),
        "/healthz/../../etc/passwd".to_owned(),
        "/../mcp".to_owned(),
        "//mcp".to_owned(),
        "/mcp/".to_owned(),
        "/MCP".to_owned(),
        "/%6dcp".to_owned(),
        "/healthz%2f..%2fmcp".to_owned(),
        "/mcp;/healthz".to_owned(),
        "/mcp?/healthz".to_owned(),
        "/healthz/mcp".to_owned(),
        "*".to_owned(),
        format!("http://{host}/mcp"),
        "http://evil.example/healthz".to_owned(),
    ] {
        for method in ["GET", "POST", "OPTIONS", "CONNECT", "TRACE"] {
            let request = format!(
                "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            );
            let answer = exchange(&bed, request.as_bytes()).await;
            let seen = statuses(&answer);
            let refused = seen.iter().all(|status| status.starts_with('4'));
            assert!(refused && seen.len() <= 1, "{method} {target}: {answer}");
            assert!(!answer.contains("jsonrpc"), "{method} {target}: {answer}");
        }
    }
    bed.client.ok("list_projects", json!({})).await;
}

#[e2e::scenario]
async fn json_bombs_do_no_harm() {
    let bed = Bed::start().await;
    let call = |arguments: String| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"list_projects","arguments":{arguments}}}}}"#
        )
    };
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let wide = format!("[{}0]", "0,".repeat(1_900_000));
    for (what, body) in [
        ("a million brackets", "[".repeat(1_000_000)),
        ("a deep body", deep(500_000)),
        ("deep arguments", call(format!("{{\"limit\":{}}}", deep(100_000)))),
        ("a deep object", call(format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000)))),
        ("wide arguments", call(format!("{{\"limit\":{wide}}}"))),
        ("a number beyond all numbers", call("{\"limit\":1e999999999}".to_owned())),
        ("a number of a megabyte", call(format!("{{\"limit\":{}}}", "9".repeat(1 << 20)))),
        ("a key twice", call("{\"limit\":1,\"limit\":2}".to_owned())),
        ("half a character", call("{\"cursor\":\"\\ud800\"}".to_owned())),
    ] {
        let request = bed.client.post().body(body);
        let response = request.send().await.expect("the server is up");
        let reply = e2e::client::read_reply(response).await.expect("a whole answer");
        // A list is read as a batch, and answered with one.
        let in_a_list = reply.body.starts_with("[{\"error\":");
        let refused =
            reply.rpc_error().is_some() || reply.message["result"]["isError"] == json!(true);
        assert!(refused || in_a_list || what == "a key twice", "{what}: {reply:?}");
        assert!(reply.body.len() < 2_000, "{what}: the answer repeats the bomb");
    }
    bed.client.ok("list_projects", json!({})).await;
}
