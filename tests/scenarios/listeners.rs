//! The coordinator's token is sent only to the server, never to a program that listens in its place
//! or on the way.

use std::fs;
use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Child;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use e2e::bed::Bed;
use e2e::binaries;
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpListener;

use crate::neighbours::NOBODY;

/// Another user's program that listens where the server should.
struct Stranger {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Stranger {
    /// Listens on `address` and passes requests on to the server behind it, if there is one.
    fn start(bed: &Bed, address: &str, behind: Option<&str>) -> Self {
        let program = bed.server.path("stranger");
        fs::copy(binaries::fake_claude(), &program).expect("our own directory");
        for path in [bed.server.path(""), program.clone()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("our own files");
        }
        let argument = behind.map_or(address.to_owned(), |behind| format!("{address},{behind}"));
        let mut command = Command::new(program);
        command.env_clear().args(["play-http", &argument]).uid(NOBODY).gid(NOBODY);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = loop {
            match command.spawn() {
                // A process that another scenario is just starting holds the copy open for writing
                // until it executes its own program.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                    thread::yield_now();
                }
                child => break child.expect("it can be started"),
            }
        };
        let mut says = BufReader::new(child.stdout.take().expect("it was asked for"));
        let mut line = String::new();
        says.read_line(&mut line).expect("it says that it listens");
        assert_eq!(line, "listens\n");
        Self { child, says }
    }

    /// Ends it; returns the requests that it received.
    fn heard(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let lines = self.says.lines().map(|line| line.expect("text")).collect();
        self.child.wait().expect("our own child");
        lines
    }
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// A command that would use this proxy, with every variable that names one.
fn proxied(bed: &Bed, command: &str, args: &[&str], proxy: &str) -> tokio::process::Command {
    let mut run = tokio::process::Command::from(bed.server.command(command));
    run.args(args).kill_on_drop(true).stdin(Stdio::null());
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    {
        run.env(name, proxy);
    }
    run
}

#[e2e::scenario]
async fn no_proxy_receives_the_token() {
    let bed = Bed::start().await;
    let directory = bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = format!("http://{}", proxy.local_addr().expect("has an address"));
    let directory = directory.display().to_string();
    let backup = bed.server.path("backup.db").display().to_string();
    let url = format!("http://{}", bed.server.address());
    for (command, args) in [
        ("status", &[][..]),
        ("status", &["--json"]),
        ("workers", &[]),
        ("tickets", &[]),
        ("tickets", &[&ticket]),
        ("why", &[&ticket]),
        ("logs", &[&ticket]),
        ("events", &[]),
        ("usage", &[]),
        ("headers", &[]),
        ("headers", &["--url", &url]),
        ("connect", &[&directory]),
        ("connect", &[&directory]),
        ("drain", &[]),
        ("drain", &["--off"]),
        ("doctor", &[]),
        ("check-config", &[]),
        ("backup", &[&backup]),
        ("pause", &["shop"]),
        ("resume", &["shop"]),
        ("rotate-token", &[]),
        ("status", &[]),
    ] {
        let mut run = proxied(&bed, command, args, &address);
        run.env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir())
            .env("VIBE_ENSEMBLE_RUNTIME_DIR", bed.server.runtime_dir());
        let ended = run.output();
        tokio::select! {
            biased;
            _ = proxy.accept() => panic!("{command} asked the proxy"),
            output = ended => {
                let output = output.expect("the program can be started");
                // The doctor may find other problems here.
                assert!(output.status.success() || command == "doctor", "{command}: {}", words(&output));
            }
        }
    }
}

#[e2e::scenario]
async fn no_proxy_receives_the_token_from_events_follow_or_demo() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = format!("http://{}", proxy.local_addr().expect("has an address"));

    let mut follow = proxied(&bed, "events", &["--follow", "--json"], &address);
    follow
        .env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir())
        .env("VIBE_ENSEMBLE_RUNTIME_DIR", bed.server.runtime_dir());
    let mut following = follow.stdout(Stdio::piped()).spawn().expect("it can be started");
    let mut lines =
        tokio::io::BufReader::new(following.stdout.take().expect("it was asked for")).lines();
    let told = async {
        // What existed already, then what arrives while it waits.
        let first = lines.next_line().await;
        let next = bed.ticket("shop", &["build"], "").await;
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains(&next) && line.contains("ticket_closed") {
                break;
            }
        }
        first.expect("readable").expect("an event")
    };
    tokio::select! {
        biased;
        _ = proxy.accept() => panic!("events --follow asked the proxy"),
        first = told => assert!(first.starts_with('{'), "{first}"),
    }
    following.kill().await.expect("our own child");

    let ended = proxied(&bed, "demo", &[], &address).output().await.expect("it can be started");
    assert!(ended.status.success(), "{}", words(&ended));
    let asked = tokio::time::timeout(Duration::ZERO, proxy.accept()).await;
    assert!(asked.is_err(), "demo asked the proxy");
}

#[e2e::scenario]
async fn no_headers_are_printed_where_nobody_listens() {
    let mut bed = Bed::start().await;
    let url = format!("http://{}", bed.server.address());
    bed.server.stop().await;

    // Somebody may listen at the next moment.
    let output = bed.server.operate("headers", &["--url", &url]).await;
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(69), &b""[..]),
        "{}",
        words(&output)
    );
}

#[e2e::scenario(needs(Root))]
async fn a_stranger_on_the_port_of_a_stopped_server_learns_nothing() {
    let mut bed = Bed::start().await;
    let address = bed.server.address().to_owned();
    let url = format!("http://{address}");
    let file = bed.server.state_dir().join("tokens/coordinator").display().to_string();
    let token = bed.server.token();
    bed.server.stop().await;

    let stranger = Stranger::start(&bed, &address, None);
    for (command, args) in [
        ("headers", &["--url", &url][..]),
        ("headers", &["--url", &url, "--token-file", &file]),
        ("tickets", &["--url", &url, "--token-file", &file]),
        ("workers", &["--url", &url]),
        ("events", &["--url", &url]),
    ] {
        let output = bed.server.operate(command, args).await;
        let said = words(&output);
        assert_eq!(output.status.code(), Some(69), "{command}: {said}");
        assert!(said.contains("65534") && said.contains("was not sent"), "{command}: {said}");
        assert!(!said.contains(&token), "{command} prints it");
    }
    let mut helper = tokio::process::Command::from(bed.server.command("headers"));
    helper.env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir());
    helper.env("CLAUDE_CODE_MCP_SERVER_URL", format!("{url}/mcp"));
    let output = helper.output().await.expect("the program can be started");
    assert_eq!(output.status.code(), Some(69), "{}", words(&output));
    let heard = stranger.heard();
    assert!(!heard.is_empty() && heard.iter().all(|what| what == "no token"), "{heard:?}");
}

#[e2e::scenario(needs(Root))]
async fn relaying_the_servers_proof_does_not_give_a_stranger_the_token() {
    let bed = Bed::start().await;
    let server = bed.server.address();
    let (_, port) = server.rsplit_once(':').expect("a port");
    let elsewhere = format!("127.0.0.2:{port}");
    let stranger = Stranger::start(&bed, &elsewhere, Some(server));
    let url = format!("http://{elsewhere}");
    let output = bed.server.operate("headers", &["--url", &url]).await;
    assert_eq!(output.status.code(), Some(69), "{}", words(&output));
    assert_eq!(stranger.heard(), ["no token"]);

    // The address that a running server published, changed by a user with the right to do so.
    let stranger = Stranger::start(&bed, &elsewhere, Some(server));
    fs::write(bed.server.runtime_dir().join("http.addr"), &elsewhere).expect("our own file");
    let output = bed.server.operate("tickets", &[]).await;
    assert_eq!(output.status.code(), Some(69), "{}", words(&output));
    assert_eq!(stranger.heard(), ["no token"]);
}

#[e2e::scenario]
async fn anyone_gets_an_answer_to_a_challenge_and_to_nothing_else() {
    let bed = Bed::start().await;
    let client = bed.client.with_token(None);
    let ask = async |query: &str| client.get(&format!("/proof{query}")).await;
    let good = format!("?challenge={}", "0a".repeat(32));
    let answer = ask(&good).await;
    assert_eq!(answer.status().as_u16(), 200);
    let text = answer.text().await.expect("a body");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for name in ["listener", "port"] {
        assert_eq!(answer[name].as_str().map(str::len), Some(64), "{text}");
    }
    assert!(!text.contains(&bed.server.token()));
    for bad in ["", "?challenge=", "?challenge=00", "?challenge=GET%20/"] {
        assert_eq!(ask(bad).await.status().as_u16(), 404, "{bad}");
    }
}
