//! What `status` knows, from a few questions to the server.

use serde_json::Value;
use serde_json::json;

use crate::cli::client::Client;
use crate::cli::client::ClientError;
use crate::cli::waiting::Waiting;
use crate::wire::queue::QueueView;
use crate::wire::status::ServerStatus;
use crate::wire::worker::WorkerView;

/// Most queues that are looked at.
const MOST_QUEUES: u32 = 1000;

/// Items of the inbox that are looked at.
const MOST_ITEMS: u32 = 50;

/// What is on the screen.
#[derive(Debug, Default)]
pub struct Shown {
    pub url: String,
    pub status: ServerStatus,
    pub queues: Vec<QueueView>,
    /// Those that are not stopped.
    pub workers: Vec<WorkerView>,
    /// What waits for somebody.
    pub waiting: Waiting,
}

impl Shown {
    /// Asks the server.
    pub async fn of(client: &Client) -> Result<Self, ClientError> {
        let (shown, _) = Self::with_json(client).await?;
        Ok(shown)
    }

    /// The same, and as JSON with all that the server said.
    pub async fn with_json(client: &Client) -> Result<(Self, Value), ClientError> {
        let status = client.status().await?;
        let queues = client.list("list_queues", "queues", json!({}), MOST_QUEUES).await?;
        let live = client.live_workers(&json!({})).await?;
        let waiting = Waiting::read(client, None, MOST_ITEMS).await?;
        let json = json!({
            "url": client.url(), "ready": status.ready, "version": status.version, "disk_low": status.disk_low,
            "draining": status.draining, "pauses": status.pauses, "tickets": status.tickets,
            "at_work": status.at_work, "today": status.today,
            "workers": live, "queues": queues, "inbox": waiting.raw, "waiting": waiting.counts,
        });
        let shown = Self {
            url: client.url().to_owned(),
            status,
            queues: client.read("list_queues", queues.into())?,
            workers: client.read("list_workers", live.into())?,
            waiting,
        };
        Ok((shown, json))
    }
}
