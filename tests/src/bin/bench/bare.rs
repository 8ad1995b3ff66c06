//! The scale: a bare axum handler that takes and returns JSON of the size of a ticket, in a process of its own.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::Context;
use axum::Json;
use axum::Router;
use axum::routing::post;
use axum::serve::ListenerExt;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::process::Command;

/// Serves until it is killed; the first line it prints is its address.
#[expect(clippy::print_stdout, reason = "standard output is how the parent learns the address")]
pub(crate) async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("could not listen")?;
    println!("{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("could not set TCP_NODELAY: {error}");
        }
    });
    axum::serve(listener, Router::new().route("/mcp", post(answer)))
        .await
        .context("could not serve")
}

async fn answer(Json(request): Json<Value>) -> Json<Value> {
    let text = "A description of ordinary length.";
    let ticket = json!({
        "ticket_id": request["ticket_id"], "project": "bench", "title": "a piece of work",
        "description": text, "state": "queued", "resolution": null, "hold_reason": null,
        "execution_plan": ["build"], "stage_index": 0, "current_stage": "build",
        "priority": "normal", "depends_on": [], "attempts_used": 0, "rework_laps": 0,
        "cost_usd": 0.0, "created_at": "2026-11-22T18:00:00.000Z",
        "updated_at": "2026-11-22T18:00:00.000Z", "closed_at": null, "comments": [], "attempts": [],
    });
    // A tool says everything twice: as text and as structured content.
    Json(json!({"content": [{"type": "text", "text": ticket.to_string()}], "structured": ticket}))
}

/// The bare server's process. Dropping it ends it.
pub(crate) struct BareServer {
    _process: Child,
    address: SocketAddr,
}

impl BareServer {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--bare")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("could not start the bare server")?;
        let output = process.stdout.take().context("its standard output is a pipe")?;
        let line = BufReader::new(output).lines().next_line().await?.unwrap_or_default();
        let address = line.parse().with_context(|| format!("{line:?} is not an address"))?;
        Ok(Self { _process: process, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
