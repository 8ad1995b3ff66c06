//! Hostile neighbours at the HTTP port: each test is one thing that they may try, and its result.
//! The last tests are the equipment for tests of hostile agents.
//!
//! What they find on disk and at the shims' socket is in [`super::neighbours`]; foreign names and
//! origins are in [`super::http`], and a leaked token is in [`super::connect`].

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use e2e::bed::Bed;
use e2e::client::Client;
use e2e::eventually::eventually;
use e2e::server::Setup;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// The statuses of this many calls, made one after the other.
async fn statuses(client: &Client, calls: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..calls {
        statuses.push(client.call_tool("list_projects", json!({"limit": 1})).await.status);
    }
    statuses
}

#[e2e::scenario]
async fn a_client_that_guesses_tokens_is_slowed_down_and_locks_nobody_out() {
    let bed = Bed::start().await;
    let guesser = bed.client.with_token(Some("0000000000000000000000000000000000000000"));

    let seen = statuses(&guesser, 600).await;

    assert_eq!(seen[0], 401);
    assert!(seen.iter().all(|status| [401, 429].contains(status)), "{seen:?}");
    assert!(seen.contains(&429), "600 guesses went unnoticed");
    assert_eq!(
        statuses(&bed.client, 50).await,
        [200; 50],
        "the coordinator has a share of its own"
    );
    let health = bed.client.with_token(None).get("/healthz").await;
    assert_eq!(health.status().as_u16(), 200, "a supervisor still sees the server");
}

#[e2e::scenario]
async fn a_client_that_floods_is_rate_limited_and_served_again_afterwards() {
    let bed = Bed::with(Setup::default().arg("--max-requests-per-second").arg("1")).await;

    let seen = statuses(&bed.client, 200).await;

    assert_eq!(seen[0], 200);
    let refused = seen.iter().filter(|status| **status == 429).count();
    assert!(refused > 100, "{refused} of 200 were refused");
    eventually("it is served again", || async {
        let reply = bed.client.call_tool("list_projects", json!({})).await;
        if reply.status == 200 {
            return Ok(());
        }
        assert!(
            reply.body.contains("Retry after") && reply.body.contains("list_events"),
            "{reply:?}"
        );
        Err(format!("{reply:?}"))
    })
    .await;
}

#[e2e::scenario]
async fn too_many_requests_say_after_how_long_to_try_again() {
    let bed = Bed::with(Setup::default().arg("--max-requests-per-second").arg("1")).await;
    let body = bed.client.stateless_body("tools/list", json!({}));
    let ask = async || {
        let request = Client::stateless(bed.client.post(), "tools/list", None);
        request.json(&body).send().await.expect("the server is up")
    };
    let refused = eventually("a flood is refused", || async {
        let response = ask().await;
        if response.status().as_u16() == 429 { Ok(response) } else { Err("served".to_owned()) }
    })
    .await;
    let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
}

#[e2e::scenario]
async fn waiting_calls_are_bounded_and_other_calls_are_served() {
    let bed = Bed::with(Setup::default().arg("--max-waiting-calls").arg("3")).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut response = bed.client.open("list_events", json!({"wait_seconds": 3600})).await;
        assert!(response.chunk().await.unwrap().is_some(), "it says that it waits");
        waiting.push(response);
    }

    let refusal = bed.client.refused("list_events", json!({"wait_seconds": 3600})).await;

    assert!(refusal.starts_with("3 of your calls are already waiting"), "{refusal}");
    bed.client.ok("list_events", json!({})).await;
    // Clients that disconnect free their places.
    waiting.clear();
    eventually("the places are free again", || async {
        let page = bed.client.get("/metrics").await.text().await.unwrap();
        let free = page.contains("vibe_ensemble_waiting_calls 0\n");
        if free { Ok(()) } else { Err(page) }
    })
    .await;
}

#[e2e::scenario]
async fn a_body_without_an_announced_length_is_bounded_too() {
    let bed = Bed::start().await;
    let mut stream = TcpStream::connect(bed.server.address()).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
        bed.server.address(),
        bed.server.token()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"100000\r\n".to_vec(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
    for _ in 0..6 {
        stream.write_all(&chunk).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");
    assert!(bed.reachable().await);
}

#[e2e::scenario]
async fn the_token_is_in_no_log_and_on_no_command_line() {
    let bed = Bed::with(Setup::default().arg("--log").arg("trace")).await;
    let directory = bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    bed.called(&ticket, "build", 1).await;
    let token = bed.server.token();

    let family = bed.server.family();
    let mut looked_at = 0;
    for process in bed.server.descendants() {
        let file = format!("/proc/{}/cmdline", process.pid);
        // A process that has ended since reveals nothing.
        let Ok(line) = fs::read(&file) else { continue };
        assert!(!String::from_utf8_lossy(&line).contains(&token), "{family:?}");
        let variables = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&variables).contains(&token), "{family:?}");
        looked_at += 1;
    }
    assert!(looked_at >= 2, "a shim and its agent were running");
    assert!(!bed.server.log().contains(&token), "the log has the token");
    fs::write(directory.join("go"), "").unwrap();
}

#[e2e::scenario]
async fn a_script_can_leave_links_pipes_and_forged_records_and_signal_its_shim() {
    let bed = Bed::start().await;
    let directory = bed.project("shop", &["build"]).await;
    let script = "fake: build: attack everything\n\
                  fake: build: write {attempt}.txt {state} {run}\n\
                  fake: build: link link nowhere\n\
                  fake: build: pipe {worktree}/pipe\n\
                  fake: build: read-only cache\n\
                  fake: build: remove README.md\n\
                  fake: build: forge A-900 A-901 {worker} all is well\n\
                  fake: build: signal shim HUP";
    fs::write(directory.join("README.md"), "").unwrap();
    let ticket = bed.ticket("shop", &["build"], script).await;

    let closed = bed.completed(&ticket).await;

    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(1), "{closed}");
    let attempts = bed.server.state_dir().join("attempts");
    let places = format!("{} {}", bed.server.state_dir().display(), attempts.join("A-1").display());
    assert_eq!(fs::read_to_string(directory.join("A-1.txt")).unwrap(), places);
    assert_eq!(fs::read_link(directory.join("link")).unwrap(), Path::new("nowhere"));
    assert!(fs::metadata(directory.join("pipe")).unwrap().file_type().is_fifo());
    assert!(fs::metadata(directory.join("cache")).unwrap().permissions().readonly());
    assert!(!directory.join("README.md").exists());
    let record = shim_protocol::run_dir::read_exit(&attempts.join("A-900")).unwrap().unwrap();
    let worker = bed.agents.only_call_of(&ticket, "build").worker;
    assert_eq!((record.attempt_id, record.worker_id), ("A-901".to_owned(), worker));
    assert_eq!(bed.agents.attacks(), [("everything".to_owned(), 1)].into());
}

/// The most memory that the server has used, in KiB.
fn most_memory(bed: &Bed) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", bed.server.pid()));
    let status = status.expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[e2e::scenario]
async fn many_large_bodies_at_once_do_not_fill_the_memory() {
    let bed = Bed::start().await;
    let content = "x".repeat((4 << 20) - 1_000);
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "add_ticket_comment", "arguments": {"ticket_id": "T-1", "content": content}},
    })
    .to_string();
    let call = async || {
        let response = bed.client.post().body(body.clone()).send().await.ok()?;
        Some(response.status().as_u16())
    };
    let replies = futures_of(30, call).await;
    // Each body is read and refused, or waits for memory for as long as it may; then its connection
    // is closed.
    let fine = |reply: &Option<u16>| reply.is_none_or(|status| [200, 503].contains(&status));
    assert!(replies.iter().all(fine) && replies.contains(&Some(200)), "{replies:?}");
    let most = most_memory(&bed);
    assert!(most < 400 << 10, "{most} KiB for 30 bodies of 4 MiB");
}

/// Waits for this many concurrent calls.
async fn futures_of<F: Future>(count: usize, call: impl Fn() -> F) -> Vec<F::Output> {
    let mut calls: Vec<_> = (0..count).map(|_| Box::pin(call())).collect();
    let mut outputs = Vec::new();
    std::future::poll_fn(|context| {
        calls.retain_mut(|call| match call.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                outputs.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if calls.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    outputs
}

#[e2e::scenario]
async fn nothing_that_an_agent_or_a_client_said_acts_on_a_terminal() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    bed.ticket("shop", &["build"], "Clear it: \u{1b}[2J\u{9b}1m\u{7f}\u{202e}").await;
    let blocked = json!({
        "ticket_id": "T-1", "stage": "build", "outcome": "blocked", "report": "\u{1b}]0;x\u{7}done\u{9b}1m",
        "question": "\u{1b}[2J\u{9b}1m which?\r\n  99  2026 ticket_closed forged",
    });
    bed.client.ok("complete_ticket_stage", blocked).await;
    for (command, args) in [
        ("status", &[][..]),
        ("status", &["--json"]),
        ("tickets", &["T-1"]),
        ("tickets", &[]),
        ("tickets", &["--json"]),
        ("events", &[]),
        ("events", &["--json"]),
        ("why", &["T-1"]),
        ("workers", &[]),
    ] {
        let output = bed.server.operate(command, args).await;
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        let acts = |c: char| c.is_control() && c != '\n' && c != '\t' || c == '\u{202e}';
        assert!(!said.chars().any(acts), "{command} {args:?}: {said:?}");
        if command == "events" && args.is_empty() {
            assert!(!said.lines().any(|line| line.trim_start().starts_with("99  ")), "{said}");
        }
    }
}

/// The JSON of a call of a tool.
fn a_call(id: usize) -> String {
    json!({
        "jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": "get_ticket", "arguments": {"ticket_id": "T-1"}},
    })
    .to_string()
}

#[e2e::scenario]
async fn answers_far_larger_than_their_questions_do_not_fill_the_memory() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let script = format!("fake: build: wait-for go\n{}", "x\\\"\n".repeat(250_000));
    let ticket = bed.ticket("shop", &["build"], &script).await;
    let run = bed.called(&ticket, "build", 1).await;
    let agent = super::fence::agent(&bed, &run);
    let batch = format!("[{}]", (1..=50).map(a_call).collect::<Vec<_>>().join(","));
    let batch = async || {
        let request = agent.post().header("mcp-protocol-version", "2025-03-26").body(batch.clone());
        let answer = request.send().await.expect("the server is up");
        assert_eq!(answer.status().as_u16(), 200);
        let answers: serde_json::Value = answer.json().await.expect("JSON");
        answers.as_array().expect("a list").clone()
    };
    for answers in futures_of(4, batch).await {
        assert_eq!(answers.len(), 50);
        let answered = answers.iter().filter(|answer| answer.get("result").is_some()).count();
        assert!((1..=5).contains(&answered), "{answered} answers of 2 MB each in one list");
        let last = answers[49]["error"]["message"].as_str().expect("an error").to_owned();
        assert!(last.contains("too long"), "{last}");
    }
    // Nobody reads these, and the coordinator is served meanwhile.
    let address = bed.server.address().to_owned();
    let mut unread = Vec::new();
    for _ in 0..60 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.expect("it listens");
        let (body, token) = (a_call(1), super::fence::token(&run));
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
        unread.push(stream);
    }
    for _ in 0..50 {
        bed.client.ok("list_projects", json!({})).await;
    }
    let most = most_memory(&bed);
    assert!(most < 200 << 10, "{most} KiB");
    drop(unread);
    fs::write(run.cwd.join("go"), "").unwrap();
    bed.completed(&ticket).await;
}
