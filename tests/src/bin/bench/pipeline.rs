//! Tickets through real shims with an agent that ends at once.

use std::fs;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use anyhow::Context;
use chrono::DateTime;
use e2e::bed::Bed;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

use crate::memory;
use crate::report::Quantiles;
use crate::report::per_second;

const PLAN: [&str; 3] = ["design", "build", "review"];

/// Rounds of tickets, each from the first creation to the last close.
#[derive(Debug)]
pub(crate) struct Throughput {
    /// The tickets of each round.
    pub(crate) tickets: usize,
    pub(crate) rounds: Vec<Round>,
}

/// How long one round took, and how much memory the server held afterwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) took: Duration,
    pub(crate) server_kib: u64,
}

impl Throughput {
    /// The same tickets on one server again and again: whatever stays in its memory after the first
    /// round stays for good, and so do the worktrees.
    pub(crate) async fn measure(tickets: usize, rounds: usize) -> anyhow::Result<Self> {
        let bed = Bed::with(Setup::default().max_workers(12)).await;
        bed.repository("bench", &[], json!({})).await;
        for stage in PLAN {
            bed.worker_type("bench", stage, json!({"max_workers": 4})).await;
        }
        let mut measured = Vec::with_capacity(rounds);
        for round in 1..=rounds {
            let begun = Instant::now();
            for _ in 0..tickets {
                bed.ticket("bench", &PLAN, "").await;
            }
            bed.until_closed(round * tickets).await;
            let took = begun.elapsed();
            bed.nothing_is_left().await;
            measured.push(Round { took, server_kib: memory::resident(bed.server.pid())? });
        }
        Ok(Self { tickets, rounds: measured })
    }

    pub(crate) fn rate(&self, round: Round) -> f64 {
        per_second(self.tickets, round.took)
    }

    pub(crate) fn to_json(&self) -> Value {
        let rounds: Vec<Value> = self
            .rounds
            .iter()
            .map(|round| {
                json!({
                    "seconds": round.took.as_secs_f64(), "tickets_per_second": self.rate(*round),
                    "server_kib": round.server_kib,
                })
            })
            .collect();
        json!({"tickets_per_round": self.tickets, "rounds": rounds})
    }
}

/// From the moment an attempt is committed to the first instruction of its agent.
#[derive(Debug)]
pub(crate) struct ClaimToExec {
    pub(crate) attempts: usize,
    /// Since the attempt's `granted_at`, which is truncated to a millisecond, so up to one too
    /// much.
    pub(crate) since_claim: Quantiles,
    /// Since the shim stored the grant; the rest is the way from the database to the shim.
    pub(crate) since_grant_stored: Quantiles,
}

impl ClaimToExec {
    /// One worker, one ticket after the other: only the programs themselves use the processor.
    pub(crate) async fn measure(attempts: usize) -> anyhow::Result<Self> {
        let bed = Bed::with(Setup::default().max_workers(1)).await;
        bed.project("bench", &["build"]).await;
        let mut tickets = Vec::with_capacity(attempts);
        for _ in 0..attempts {
            tickets.push(bed.ticket("bench", &["build"], "").await);
        }
        bed.until_closed(attempts).await;

        let (mut since_claim, mut since_grant_stored) = (Vec::new(), Vec::new());
        for ticket in &tickets {
            let call = bed.agents.only_call_of(ticket, "build");
            let started = SystemTime::UNIX_EPOCH + Duration::from_nanos(call.started_ns);
            let found = bed.get(ticket).await;
            let granted = found["attempts"][0]["granted_at"].as_str().context("no granted_at")?;
            let granted = SystemTime::from(DateTime::parse_from_rfc3339(granted)?);
            since_claim.push(started.duration_since(granted).unwrap_or_default());
            let run_dir = bed.server.state_dir().join("attempts").join(&call.attempt);
            // Run directories of reported attempts may be removed already; the remaining ones
            // suffice.
            if let Ok(stored) = fs::metadata(run_dir.join(shim_protocol::run_dir::GRANT)) {
                let stored = stored.modified().context("no modification time")?;
                since_grant_stored.push(started.duration_since(stored).unwrap_or_default());
            }
        }
        Ok(Self {
            attempts: since_claim.len(),
            since_claim: Quantiles::of(since_claim),
            since_grant_stored: Quantiles::of(since_grant_stored),
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "attempts": self.attempts, "since_claim": self.since_claim.to_json(),
            "since_grant_stored": self.since_grant_stored.to_json(),
        })
    }
}
