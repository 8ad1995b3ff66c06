//! The real `claude` in a terminal, idle: what wakes it.

use std::path::Path;
use std::process::Stdio;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::claude;
use e2e::claude::real_claude;
use e2e::eventually::eventually;
use e2e::messages_api::Ask;
use e2e::messages_api::MessagesApi;
use e2e::messages_api::Turn;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// The real `claude` in a directory that it trusts, with a terminal, without which it would not be
/// interactive. `script` of util-linux provides the terminal; typed input comes through a pipe.
fn in_a_terminal(
    bed: &Bed,
    api: &MessagesApi,
    claude: &Path,
    directory: &Path,
    arguments: &str,
) -> Command {
    claude::settle_in(&bed.server.home(), directory);
    let mut command = Command::from(bed.server.command_of(Path::new("/usr/bin/script")));
    let session = format!("'{}' {arguments}", claude.display());
    let path = format!("{}:/usr/bin:/bin", e2e::binaries::directory().display());
    command
        .args(["--quiet", "--return", "--command", &session, "/dev/null"])
        .envs(claude::environment(api))
        .env("PATH", path)
        .env("TERM", "xterm-256color")
        .env("VIBE_ENSEMBLE_URL", bed.client.url(""))
        .env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir())
        .env("VIBE_ENSEMBLE_RUNTIME_DIR", bed.server.runtime_dir())
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}

#[e2e::scenario(needs(Claude))]
async fn the_plugins_monitor_wakes_an_idle_session_when_a_ticket_closes() {
    let claude = real_claude();
    let api = MessagesApi::play(vec![Turn::Say("I see.".to_owned())]).await;
    let bed = Bed::start().await;
    let directory = bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/claude-plugin");

    let mut command = in_a_terminal(
        &bed,
        &api,
        &claude,
        &directory,
        &format!("--plugin-dir '{}'", plugin.display()),
    );
    let mut session = command.spawn().expect("script can be started");
    eventually("the monitor waits for events", || async {
        let page = bed.client.get("/metrics").await.text().await.expect("a page");
        if page.contains("vibe_ensemble_waiting_calls 1\n") { Ok(()) } else { Err(page) }
    })
    .await;
    let told =
        || api.asks().into_iter().find(|ask| ask.body["messages"].to_string().contains(&ticket));
    assert_eq!(told(), None, "nobody has said anything yet");
    // What the session does itself is no news to it.
    let mut headers = bed.server.command("headers");
    headers.env("CLAUDE_PROJECT_DIR", &directory);
    headers.env("VIBE_ENSEMBLE_URL", bed.client.url(""));
    headers.env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir());
    let headers = headers.output().expect("it runs");
    let headers: Value = serde_json::from_slice(&headers.stdout).expect("JSON");
    let consumer = text(&headers, "vibe-ensemble-consumer");
    for tool in ["pause", "resume"] {
        bed.client.in_session(&consumer, tool, json!({"project": "shop"})).await;
    }

    bed.client.ok("close_ticket", json!({"ticket_id": ticket})).await;

    let woken = eventually("the session begins a turn", || {
        std::future::ready(told().ok_or_else(|| format!("{} requests", api.asks().len())))
    })
    .await;
    let words = woken.body["messages"].to_string();
    assert!(words.contains("ticket_closed") && words.contains("Monitor event"), "{words}");
    assert!(!words.contains("project_paused"), "{words}");
    session.kill().await.expect("it is our child");
}

/// `@vibe-ensemble:ticket://T-1` in typed text becomes the ticket itself in what the model reads.
#[e2e::scenario(needs(Claude))]
async fn a_ticket_is_mentioned_like_a_file() {
    let claude = real_claude();
    let api = MessagesApi::play(vec![Turn::Say("I see.".to_owned())]).await;
    let bed = Bed::start().await;
    let directory = bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let ticket = bed.ticket("shop", &["build"], "Paint the bikeshed in a quiet green.").await;
    let token = bed.server.token();
    let server = json!({
        "type": "http", "url": bed.client.url("/mcp"),
        "headers": {"Authorization": format!("Bearer {}", token)},
    });
    let file = bed.server.home().join("mcp.json");
    let servers = json!({"mcpServers": {"vibe-ensemble": server}});
    std::fs::write(&file, servers.to_string()).expect("our own directory");

    let arguments = format!("--strict-mcp-config --mcp-config '{}'", file.display());
    let mut command = in_a_terminal(&bed, &api, &claude, &directory, &arguments);
    let mut session = command.spawn().expect("script can be started");
    let keyboard = tokio::sync::Mutex::new(session.stdin.take().expect("a pipe"));
    let words = format!("Look at @vibe-ensemble:ticket://{ticket} please");
    let read = eventually("the model reads the ticket", || async {
        // Typed before its server is connected, the mention would be plain words, so it is typed
        // until it is more.
        let mut keyboard = keyboard.lock().await;
        keyboard.write_all(words.as_bytes()).await.expect("it reads");
        keyboard.write_all(b" \r").await.expect("it reads");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let mentions = |ask: &Ask| ask.body["messages"].to_string().contains("quiet green");
        let asks = api.asks();
        asks.into_iter().find(mentions).ok_or_else(|| format!("{} requests", api.asks().len()))
    })
    .await;
    assert!(read.body["messages"].to_string().contains(&ticket));
    session.kill().await.expect("it is our child");
}
