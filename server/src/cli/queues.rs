//! Whether there is the worker type that somebody named: an empty list alone would hide a typing error.

use crate::cli::client;
use crate::cli::client::Client;
use crate::domain::nearest;
use crate::wire::queue::QueueView;

/// More than any server has.
const MOST: u32 = 10_000;

/// What to say of a worker type that no project has, or not the one that is named; `None` when there is one.
pub async fn unknown(
    client: &Client,
    project: Option<&str>,
    worker_type: &str,
) -> anyhow::Result<Option<String>> {
    let arguments = client::given([("project", &project.map(str::to_owned))]);
    let queues = client.list("list_queues", "queues", arguments, MOST).await?;
    let queues: Vec<QueueView> = client.read("list_queues", queues.into())?;
    if queues.iter().any(|queue| queue.worker_type == worker_type) {
        return Ok(None);
    }
    let (nobody_has, lists) = match project {
        Some(name) => (format!("The project {name} has no"), format!("type list {name}")),
        None => ("No project has a".to_owned(), "queue list".to_owned()),
    };
    let names = queues.iter().map(|queue| queue.worker_type.as_str());
    let nearest = nearest::near(worker_type, names);
    let meant = nearest.map(|name| format!(" Did you mean {name}?")).unwrap_or_default();
    Ok(Some(format!(
        "{nobody_has} worker type {worker_type}.{meant} `vibe-ensemble {lists}` lists them."
    )))
}
