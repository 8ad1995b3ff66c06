//! Measures how fast a killed server is back: `cargo run --release -p e2e --bin readiness [--
//! --agents N --tickets N]`.
//!
//! Starts agents that only sleep, kills the server, starts it again, and prints when it was ready
//! and when it had every worker back. Then it measures the same start without any agent, for the
//! cost of the database check. Asserts no time. The agents end by themselves after two minutes, and
//! with this program at the latest.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use clap::Parser;
use e2e::bed::Bed;
use e2e::eventually::eventually_within;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

/// Measures the way back of a killed server
#[derive(Parser)]
struct Options {
    /// Agents that run when the server is killed
    #[arg(long, default_value_t = 200)]
    agents: u32,
    /// Further tickets in the database, which wait all the time
    #[arg(long, default_value_t = 10_000)]
    tickets: u32,
}

/// Coordinators that create tickets at the same time; they share commits.
const CREATORS: u32 = 16;

const PATIENCE: Duration = Duration::from_mins(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut bed = Bed::with(Setup::default().max_workers(options.agents.max(1))).await;
    bed.repository("shop", &[], json!({})).await;
    bed.worker_type("shop", "sleep", json!({"max_workers": options.agents.max(1)})).await;
    bed.worker_type("shop", "wait", json!({"auto_spawn": false})).await;

    let empty = restart(&mut bed).await?;
    let begun = Instant::now();
    create(&bed, options.tickets).await?;
    report("created", &format!("{} tickets in {:?}", options.tickets, begun.elapsed()));
    let mut full = Vec::new();
    for _ in 0..3 {
        full.push(restart(&mut bed).await?);
    }
    let size = std::fs::metadata(bed.server.state_dir().join("vibe-ensemble.db"))?.len();
    report("database", &format!("{} MiB", size >> 20));
    report("start, empty database", &format!("{empty:?}"));
    report("start, that database", &format!("{full:?}"));

    for _ in 0..options.agents {
        bed.ticket("shop", &["sleep"], "fake: sleep: sleep 120").await;
    }
    eventually_within(PATIENCE, "every agent runs", || async {
        let running = bed.agents.runs().len();
        let wanted = options.agents as usize;
        if running == wanted { Ok(()) } else { Err(format!("{running} of {wanted}")) }
    })
    .await;
    bed.server.signal(Signal::SIGKILL);
    bed.server.ended().await;
    let begun = Instant::now();
    bed.launch().await;
    ensure!(bed.client.get("/readyz").await.status() == 200, "it listens and is not ready");
    report(
        "start, live attempts",
        &format!("{} attempts, ready in {:?}", options.agents, begun.elapsed()),
    );
    let adopted = "a running worker was adopted";
    eventually_within(PATIENCE, "every worker is back", || async {
        let back = bed.server.log().matches(adopted).count();
        let wanted = options.agents as usize;
        if back >= wanted { Ok(()) } else { Err(format!("{back} of {wanted}")) }
    })
    .await;
    report("all adopted", &format!("after {:?}", begun.elapsed()));
    let busy = busy(&bed).await.context("the workers could not be listed")?;
    report("busy workers", &busy.to_string());
    Ok(())
}

/// Kills the server and starts it again; returns how long it took to be ready.
async fn restart(bed: &mut Bed) -> anyhow::Result<Duration> {
    bed.server.kill().await;
    let begun = Instant::now();
    bed.launch().await;
    ensure!(bed.client.get("/readyz").await.status() == 200, "it listens and is not ready");
    Ok(begun.elapsed())
}

async fn create(bed: &Bed, tickets: u32) -> anyhow::Result<()> {
    let description = "What a ticket says in a paragraph or two. ".repeat(12);
    let creators: Vec<_> = (0..CREATORS)
        .map(|creator| {
            let share = tickets / CREATORS + u32::from(creator < tickets % CREATORS);
            let (client, description) = (bed.client.clone(), description.clone());
            tokio::spawn(async move {
                for _ in 0..share {
                    let ticket = json!({
                        "project": "shop", "title": "waits", "execution_plan": ["wait"], "description": description,
                    });
                    client.ok("create_ticket", ticket).await;
                }
            })
        })
        .collect();
    for creator in creators {
        creator.await?;
    }
    Ok(())
}

async fn busy(bed: &Bed) -> Option<usize> {
    let workers = bed.all("list_workers", "workers", json!({"state": "busy"})).await;
    let with_child = |worker: &&Value| worker["child_pid"].is_number();
    Some(workers.iter().filter(with_child).count())
}

#[expect(clippy::print_stdout, reason = "this program reports")]
fn report(what: &str, seen: &str) {
    println!("{what:<24} {seen}");
}
