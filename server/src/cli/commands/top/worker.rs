//! A worker as `top` shows it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::processor::Look;
use crate::cli::client::Client;
use crate::cli::client::ClientError;
use crate::cli::terminal::read_time;
use crate::cli::transcript;
use crate::domain::time::Timestamp;
use crate::wire::status::AtWorkView;
use crate::wire::status::ServerStatus;
use crate::wire::worker::WorkerStatus;
use crate::wire::worker::WorkerView;

/// Most workers whose transcript is asked for: one call each, at every look.
const MOST_LOOKED_AT: usize = 50;

/// A worker, and what it is doing.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) worker: WorkerView,
    pub(super) at_work: Option<AtWorkView>,
    pub(super) memory: Option<i64>,
    /// Percentage of one processor.
    pub(super) processor: Option<u64>,
    pub(super) last: String,
}

impl Seen {
    /// How long its attempt has been running, or the worker itself.
    pub(super) fn lasted(&self, now: Timestamp) -> Duration {
        let since = self.at_work.as_ref().map_or(&self.worker.started_at, |at_work| &at_work.since);
        read_time(since).map(|since| now.since(since)).unwrap_or_default()
    }
}

/// Everything that `top` shows.
#[derive(Debug, Default)]
pub(super) struct All {
    pub(super) status: ServerStatus,
    pub(super) workers: Vec<Seen>,
}

/// By what the workers are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Time,
    Processor,
    Memory,
    Cost,
}

impl Order {
    pub(super) const fn of(letter: char) -> Option<Self> {
        match letter {
            't' => Some(Self::Time),
            'c' => Some(Self::Processor),
            'm' => Some(Self::Memory),
            'd' => Some(Self::Cost),
            _ => None,
        }
    }

    /// The most first; the busy ones before the others.
    fn compare(self, one: &Seen, other: &Seen) -> Ordering {
        let cost = |seen: &Seen| seen.at_work.as_ref().map_or(0.0, |at_work| at_work.cost_usd);
        let idle = |seen: &Seen| seen.at_work.is_none();
        let since = |seen: &Seen| {
            let since =
                seen.at_work.as_ref().map_or(&seen.worker.started_at, |at_work| &at_work.since);
            since.clone()
        };
        let first = match self {
            Self::Time => Ordering::Equal,
            Self::Processor => other.processor.cmp(&one.processor),
            Self::Memory => other.memory.cmp(&one.memory),
            Self::Cost => cost(other).total_cmp(&cost(one)),
        };
        first.then(idle(one).cmp(&idle(other))).then_with(|| since(one).cmp(&since(other)))
    }
}

/// Asks the server and `/proc`. `before` is the look before this one; without one, each worker's use of the processor is its
/// average.
pub(super) async fn look(
    client: &Client,
    before: Option<&Look>,
    order: Order,
) -> Result<(All, Look), ClientError> {
    let status = client.status().await?;
    let live = client.live_workers(&json!({})).await?;
    let live: Vec<WorkerView> = client.read("list_workers", live.into())?;
    let mut at_work: BTreeMap<String, AtWorkView> =
        status.at_work.iter().map(|found| (found.worker_id.clone(), found.clone())).collect();
    let now = Look::now();
    let mut workers: Vec<Seen> = live
        .into_iter()
        .map(|worker| {
            let at_work = at_work.remove(&worker.worker_id);
            let memory = at_work.as_ref().and_then(|found| found.memory_bytes);
            let processor = worker.pid.and_then(|pid| match before {
                Some(before) => now.percent(before, pid),
                None => now.average(pid),
            });
            Seen { worker, at_work, memory, processor, last: String::new() }
        })
        .collect();
    workers.sort_by(|one, other| order.compare(one, other));
    for seen in workers.iter_mut().filter(|seen| seen.at_work.is_some()).take(MOST_LOOKED_AT) {
        let id = json!({"worker_id": seen.worker.worker_id});
        // It may have ended since.
        if let Ok(status) = client.ask::<WorkerStatus>("get_worker_status", id).await {
            seen.memory = status.memory_bytes.or(seen.memory);
            seen.last = last_action(&status);
        }
    }
    Ok((All { status, workers }, now))
}

/// What its agent did or said last.
fn last_action(status: &WorkerStatus) -> String {
    if let Some(trouble) = &status.trouble {
        return trouble.clone();
    }
    let lines = status.transcript.iter().rev();
    let told = lines.filter_map(|line| transcript::readable(line).into_iter().next_back());
    let mut told = told.filter(|line| !line.trim().is_empty());
    let told = told.next().unwrap_or_default().trim().to_owned();
    match &status.progress {
        Some(progress) if told.is_empty() => progress.message.clone(),
        Some(_) | None => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_come_first_and_idle_ones_last() {
        let seen = |id: &str, since: Option<&str>, processor, memory| Seen {
            worker: WorkerView {
                worker_id: id.into(),
                started_at: "2026-11-29T05:00:00Z".into(),
                ..WorkerView::default()
            },
            at_work: since.map(|since| AtWorkView { since: since.into(), ..AtWorkView::default() }),
            memory,
            processor,
            last: String::new(),
        };
        let mut all = [
            seen("W-1", None, Some(0), None),
            seen("W-2", Some("2026-11-29T05:02:00Z"), Some(90), Some(5)),
            seen("W-3", Some("2026-11-29T05:01:00Z"), Some(10), Some(9)),
        ];
        let mut sorted = |order: Order| {
            all.sort_by(|one, other| order.compare(one, other));
            all.iter().map(|seen| seen.worker.worker_id.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(sorted(Order::Time), "W-3 W-2 W-1");
        assert_eq!(sorted(Order::Processor), "W-2 W-3 W-1");
        assert_eq!(sorted(Order::Memory), "W-3 W-2 W-1");
    }

    #[test]
    fn the_last_action_is_what_its_agent_did_or_what_keeps_it() {
        let mut status = WorkerStatus {
            transcript: vec![
                r#"{"type":"assistant","message":{"content":[{"type":"tool_use","name":"Bash","input":{"command":"cargo test"}}]}}"#.into(),
                r#"{"type":"user","message":{"content":[{"type":"tool_result","content":"ok"}]}}"#.into(),
            ],
            ..WorkerStatus::default()
        };
        assert_eq!(last_action(&status), "→ Bash cargo test");
        status.trouble = Some("a process does not die".into());
        assert_eq!(last_action(&status), "a process does not die");
    }
}
