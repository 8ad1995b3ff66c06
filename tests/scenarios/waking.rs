//! The real `claude` in a terminal, idle: what wakes it.

use std::path::Path;
use std::process::Stdio;

use e2e::bed::Bed;
use e2e::claude;
use e2e::claude::real_claude;
use e2e::eventually::eventually;
use e2e::messages_api::MessagesApi;
use e2e::messages_api::Turn;
use serde_json::json;
use tokio::process::Command;

#[tokio::test]
async fn the_plugins_monitor_wakes_an_idle_session_when_a_ticket_closes() {
    let Some(claude) = real_claude() else { return };
    let api = MessagesApi::play(vec![Turn::Say("I see.".to_owned())]).await;
    let bed = Bed::start().await;
    let directory = bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    claude::settle_in(&bed.server.home(), &directory);
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/claude-plugin");

    // Of util-linux: gives it the terminal without which it would not be interactive.
    let mut command = Command::from(bed.server.command_of(Path::new("/usr/bin/script")));
    let session = format!("'{}' --plugin-dir '{}'", claude.display(), plugin.display());
    let path = format!("{}:/usr/bin:/bin", e2e::binaries::directory().display());
    command
        .args(["--quiet", "--return", "--command", &session, "/dev/null"])
        .envs(claude::environment(&api))
        .env("PATH", path)
        .env("TERM", "xterm-256color")
        .env("VIBE_ENSEMBLE_URL", bed.client.url(""))
        .env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir())
        .env("VIBE_ENSEMBLE_RUNTIME_DIR", bed.server.runtime_dir())
        .current_dir(&directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut session = command.spawn().expect("script can be started");
    eventually("the monitor waits for events", || async {
        let page = bed.client.get("/metrics").await.text().await.expect("a page");
        if page.contains("vibe_ensemble_waiting_calls 1\n") { Ok(()) } else { Err(page) }
    })
    .await;
    let told =
        || api.asks().into_iter().find(|ask| ask.body["messages"].to_string().contains(&ticket));
    assert_eq!(told(), None, "nobody has said anything yet");

    bed.client.ok("close_ticket", json!({"ticket_id": ticket})).await;

    let woken = eventually("the session begins a turn", || {
        std::future::ready(told().ok_or_else(|| format!("{} requests", api.asks().len())))
    })
    .await;
    let words = woken.body["messages"].to_string();
    assert!(words.contains("ticket_closed") && words.contains("Monitor event"), "{words}");
    session.kill().await.expect("it is our child");
}
