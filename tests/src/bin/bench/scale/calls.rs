//! Every tool that reads, with every filter, and the writes that might read finished work.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Context;
use e2e::bed::Bed;
use serde_json::Value;
use serde_json::json;

use super::PLAN;
use super::table::Table;
use crate::connection;
use crate::connection::Connection;

/// Calls whose answer grows with the number of tickets; the table marks them.
const LONGER: [&str; 8] = [
    "list_tickets",
    "list_tickets by project",
    "list_tickets closed",
    "list_events",
    "get_usage by day",
    "get_usage by ticket",
    "get_usage by stage",
    "get_usage by attempt",
];

fn reads() -> Vec<(&'static str, &'static str, Value)> {
    let mut calls = vec![
        ("get_ticket", "get_ticket", json!({"ticket_id": "T-1"})),
        ("list_projects", "list_projects", json!({})),
        ("get_project", "get_project", json!({"project": "bench"})),
        ("list_worker_types", "list_worker_types", json!({"project": "bench"})),
        ("list_workers", "list_workers", json!({})),
        ("list_queues", "list_queues", json!({})),
        (
            "get_queue_status",
            "get_queue_status",
            json!({"project": "bench", "worker_type": "build"}),
        ),
        ("list_tickets", "list_tickets", json!({})),
        ("list_tickets by project", "list_tickets", json!({"project": "bench"})),
        ("list_tickets on hold", "list_tickets", json!({"state": "on_hold"})),
        ("list_tickets closed", "list_tickets", json!({"state": "closed"})),
        ("list_tickets by stage", "list_tickets", json!({"stage": "build"})),
        (
            "list_tickets by project and stage",
            "list_tickets",
            json!({"project": "bench", "stage": "build"}),
        ),
        (
            "list_tickets by project, stage, state",
            "list_tickets",
            json!({"project": "bench", "stage": "build", "state": "queued"}),
        ),
        ("list_events", "list_events", json!({"include_processed": true})),
        (
            "list_events of a kind that is not there",
            "list_events",
            json!({"kinds": ["queue_paused"]}),
        ),
        (
            "list_events of a project and kind",
            "list_events",
            json!({"project": "bench", "kinds": ["queue_paused", "ticket_sent_back"]}),
        ),
        (
            "list_events of a ticket",
            "list_events",
            json!({"ticket_id": "T-1", "include_processed": true}),
        ),
        (
            "list_events after the last but ten",
            "list_events",
            json!({"project": "bench", "limit": 10}),
        ),
    ];
    for by in ["day", "project", "worker_type", "ticket", "stage", "attempt"] {
        let name: &'static str = match by {
            "day" => "get_usage by day",
            "project" => "get_usage by project",
            "worker_type" => "get_usage by worker type",
            "ticket" => "get_usage by ticket",
            "stage" => "get_usage by stage",
            _ => "get_usage by attempt",
        };
        calls.push((name, "get_usage", json!({"group_by": by})));
    }
    calls.push((
        "get_usage of a ticket",
        "get_usage",
        json!({"group_by": "stage", "ticket_id": "T-1"}),
    ));
    calls.push((
        "get_usage of a worker type by attempt",
        "get_usage",
        json!({"group_by": "attempt", "worker_type": "build", "project": "bench"}),
    ));
    calls
}

/// Calls both servers in turn, so that other work on the machine affects both.
pub(super) async fn measure(
    small: &Bed,
    large: &Bed,
    rounds: usize,
    table: &mut Table,
) -> anyhow::Result<()> {
    let mut connections = [open(small).await?, open(large).await?];
    for (name, tool, arguments) in reads() {
        eprintln!("  {name}");
        let requests = [small, large].map(|bed| connection::tool_call(bed, tool, &arguments));
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for side in 0..2 {
                let sent = Instant::now();
                connections[side].exchange(&requests[side]).await.context(name)?;
                took[side].push(sent.elapsed().as_secs_f64() * 1000.0);
            }
        }
        let name =
            if LONGER.contains(&name) { format!("{name} (more rows)") } else { name.to_owned() };
        table.pair(&name, &took[0], &took[1]);
    }
    eprintln!("  metrics");
    let mut took = [Vec::new(), Vec::new()];
    for (side, bed) in [small, large].into_iter().enumerate() {
        for _ in 0..rounds.min(50) {
            let sent = Instant::now();
            bed.client.get("/metrics").await.text().await.context("metrics")?;
            took[side].push(sent.elapsed().as_secs_f64() * 1000.0);
        }
    }
    table.pair("/metrics", &took[0], &took[1]);
    writes(small, large, rounds, table).await
}

async fn writes(small: &Bed, large: &Bed, rounds: usize, table: &mut Table) -> anyhow::Result<()> {
    eprintln!("  writes");
    let (mut create, mut comment, mut mark, mut whole) = Default::default();
    for (side, bed) in [small, large].into_iter().enumerate() {
        let mut timed = Timed { bed, connection: open(bed).await? };
        // The first mark covers everything; a comment sent meanwhile must not wait for it.
        let last = bed.client.ok("list_events", json!({"limit": 1})).await["last_seq"].clone();
        let beside = async {
            let mut other = Timed { bed, connection: open(bed).await? };
            let arguments = json!({"ticket_id": "T-1", "content": "beside the mark"});
            let mut longest = 0.0_f64;
            for _ in 0..20 {
                longest = longest.max(other.call("add_ticket_comment", &arguments).await?);
            }
            anyhow::Ok(longest)
        };
        let arguments = json!({"up_to_seq": last});
        let (marked, longest) =
            tokio::try_join!(timed.call("mark_events_processed", &arguments), beside)?;
        push(&mut mark, side, marked);
        push(&mut comment, side, longest);
        for _ in 0..rounds {
            let arguments = json!({
                "project": "bench", "title": "a piece of work", "execution_plan": ["build"],
                "description": "A description of ordinary length.",
            });
            bed.client
                .ok(
                    "update_worker_type",
                    json!({
                        "project": "bench", "worker_type": "build", "auto_spawn": false
                    }),
                )
                .await;
            push(&mut create, side, timed.call("create_ticket", &arguments).await?);
        }
        let listed = bed
            .client
            .ok("list_tickets", json!({"project": "bench", "state": "queued", "limit": 200}))
            .await;
        for ticket in listed["tickets"].as_array().into_iter().flatten() {
            bed.client.ok("close_ticket", json!({"ticket_id": ticket["ticket_id"]})).await;
        }
        bed.client
            .ok(
                "update_worker_type",
                json!({
                    "project": "bench", "worker_type": "build", "auto_spawn": true
                }),
            )
            .await;
        for _ in 0..rounds.min(20) {
            let begun = Instant::now();
            let ticket = bed.ticket("bench", &PLAN, "").await;
            bed.completed(&ticket).await;
            push(&mut whole, side, begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
    table.two("mark_events_processed, everything", &mark);
    table.two("the slowest comment beside it", &comment);
    table.two("create_ticket", &create);
    table.two("a ticket's three stages", &whole);
    Ok(())
}

fn push(into: &mut [Vec<f64>; 2], side: usize, ms: f64) {
    into[side].push(ms);
}

struct Timed<'a> {
    bed: &'a Bed,
    connection: Connection,
}

impl Timed<'_> {
    async fn call(&mut self, tool: &str, arguments: &Value) -> anyhow::Result<f64> {
        let request = connection::tool_call(self.bed, tool, arguments);
        let sent = Instant::now();
        self.connection.exchange(&request).await.with_context(|| tool.to_owned())?;
        Ok(sent.elapsed().as_secs_f64() * 1000.0)
    }
}

async fn open(bed: &Bed) -> anyhow::Result<Connection> {
    let address: SocketAddr = bed.server.address().parse().context("http.addr holds no address")?;
    Connection::open(address).await
}
