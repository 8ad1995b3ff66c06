//! The same calls on an empty server and on one with a great many closed tickets, to find what
//! grows with finished work.
//!
//! `bench --tickets 1000000` runs one real ticket of three stages, copies its rows, starts a server
//! on the copy and one on a fresh directory, and sends both the same requests in turn.

mod calls;
mod offline;
mod table;

use std::time::Instant;

use e2e::bed::Bed;
use e2e::seed;
use e2e::server::Setup;
use serde_json::json;

pub(crate) use self::table::Table;
use crate::memory;

/// The worker types of every plan here.
const PLAN: [&str; 3] = ["design", "build", "review"];

/// A server, and how long it took to create.
struct Side {
    bed: Bed,
    ready_ms: f64,
    idle_kib: u64,
}

/// Compares a server with `tickets` closed tickets with a new one.
pub(crate) async fn compare(tickets: u64, rounds: usize) -> anyhow::Result<Table> {
    let mut table = Table::new(tickets);
    eprintln!("two servers, each with one ticket that ran …");
    let mut small = prepare().await;
    let mut large = prepare().await;
    small.server.stop().await;
    large.server.stop().await;
    let database = large.server.state_dir().join("vibe-ensemble.db");
    let begun = Instant::now();
    seed::multiply(&database, tickets).await?;
    eprintln!("{tickets} tickets made in {:.0} s", begun.elapsed().as_secs_f64());
    table.database_bytes = std::fs::metadata(&database)?.len();

    let small = launch(small).await?;
    let large = launch(large).await?;
    table.pair("READY", &[small.ready_ms], &[large.ready_ms]);
    calls::measure(&small.bed, &large.bed, rounds, &mut table).await?;
    offline::looks(&small.bed, &large.bed, rounds, &mut table)?;
    offline::measure(&small.bed, &large.bed, &mut table)?;
    table.memory = [
        (small.idle_kib, memory::resident(small.bed.server.pid())?),
        (large.idle_kib, memory::resident(large.bed.server.pid())?),
    ];
    Ok(table)
}

/// A server with a project, its worker types and one ticket that went through all of them.
async fn prepare() -> Bed {
    let setup = Setup::default().arg("--max-requests-per-second").arg("0");
    let bed = Bed::with(setup).await;
    bed.project("bench", &PLAN).await;
    let ticket = bed.ticket("bench", &PLAN, "A description of ordinary length.").await;
    bed.completed(&ticket).await;
    bed.nothing_is_left().await;
    bed.client.ok("list_projects", json!({})).await;
    bed
}

async fn launch(mut bed: Bed) -> anyhow::Result<Side> {
    let begun = Instant::now();
    bed.launch().await;
    let ready_ms = begun.elapsed().as_secs_f64() * 1000.0;
    let idle_kib = memory::resident(bed.server.pid())?;
    Ok(Side { bed, ready_ms, idle_kib })
}
