//! Measures the programs as they are built: `cargo run --release -p e2e --bin bench [-- --json] [--
//! --quick] [-- --tickets N] [-- --commands N] [-- --rounds N] [-- --beside DIR]`.
//!
//! It starts the server beside it and asserts no time: it prints what it measured. `--quick` does a
//! little of everything, so that a check run can tell whether the benchmark still works.

mod bare;
mod commands;
mod connection;
mod load;
mod memory;
mod pipeline;
mod report;
mod scale;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use e2e::bed::Bed;
use e2e::server::Setup;
use serde_json::json;

use crate::bare::BareServer;
use crate::load::Load;
use crate::memory::Memory;
use crate::pipeline::ClaimToExec;
use crate::pipeline::Throughput;
use crate::report::Report;

/// Measures a server built beside this program
#[derive(Parser)]
struct Options {
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Do a fortieth of the work: shows that it runs, measures nothing
    #[arg(long)]
    quick: bool,
    /// Instead: compare a server with so many closed tickets with an empty one, call by call
    #[arg(long, value_name = "N")]
    tickets: Option<u64>,
    /// Instead: time the commands of a shell beside a server with so many tickets that wait
    #[arg(long, value_name = "N")]
    commands: Option<u64>,
    /// Send each load also to the server in this directory, in turn with the one beside this program
    #[arg(long, value_name = "DIR")]
    beside: Option<PathBuf>,
    /// Rounds of three-stage tickets on one server
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Serve the bare handler that is measured for scale (the benchmark starts itself with this)
    #[arg(long, hide = true)]
    bare: bool,
}

/// How much work to do.
#[derive(Clone, Copy, Debug)]
struct Size {
    gets: [usize; 2],
    /// Together, the tickets that the server holds when its memory is measured.
    creates: [usize; 2],
    pipeline_tickets: usize,
    claims: usize,
}

const FULL: Size =
    Size { gets: [10_000, 40_000], creates: [2_000, 8_000], pipeline_tickets: 200, claims: 200 };
const QUICK: Size = Size { gets: [250, 1_000], creates: [50, 200], pipeline_tickets: 5, claims: 5 };

/// The numbers of clients, as in [`Size::gets`] and [`Size::creates`].
const CLIENTS: [usize; 2] = [1, 10];

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.context("could not start the runtime").and_then(|runtime| {
        if options.bare {
            runtime.block_on(bare::serve())
        } else if let Some(tickets) = options.commands {
            let rounds = if options.quick { 1 } else { 11 };
            runtime.block_on(commands::measure(tickets, rounds, options.json))
        } else if let Some(tickets) = options.tickets {
            let rounds = if options.quick { 5 } else { 200 };
            let table = runtime.block_on(scale::compare(tickets, rounds))?;
            if options.json {
                table.print_json();
            } else {
                table.print();
            }
            Ok(())
        } else {
            let size = if options.quick { QUICK } else { FULL };
            let report = runtime.block_on(measure(size, options.beside, options.rounds))?;
            if options.json {
                report.print_json();
            } else {
                report.print_tables();
            }
            Ok(())
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(size: Size, beside: Option<PathBuf>, rounds: usize) -> anyhow::Result<Report> {
    let mut loads = Vec::new();
    eprintln!("a bare axum handler …");
    {
        let bare = BareServer::start().await?;
        let request = connection::request("/mcp", &[], &json!({"ticket_id": "T-1"}));
        for (clients, requests) in CLIENTS.into_iter().zip(size.gets) {
            let what = "bare axum JSON handler";
            loads.push(Load::run(what, bare.address(), clients, requests, &request).await?);
        }
    }
    eprintln!("get_ticket, list_projects and create_ticket …");
    let memory = requests(size, beside, &mut loads).await?;
    eprintln!("three-stage tickets …");
    let throughput = Throughput::measure(size.pipeline_tickets, rounds).await?;
    eprintln!("claim to exec …");
    let claim_to_exec = ClaimToExec::measure(size.claims).await?;
    let shim_kib = memory::of_a_shim().await?;
    Ok(Report { loads, throughput, claim_to_exec, memory: Memory { shim_kib, ..memory } })
}

/// A server with one ticket, to which requests are sent.
struct Asked {
    name: &'static str,
    bed: Bed,
    address: SocketAddr,
    ticket: String,
}

impl Asked {
    async fn start(name: &'static str, programs: Option<PathBuf>) -> anyhow::Result<Self> {
        // The benchmark measures the server, not its limit on one client.
        let setup = Setup { programs, ..Setup::default() };
        let bed = Bed::with(setup.arg("--max-requests-per-second").arg("0")).await;
        bed.project("bench", &[]).await;
        // Nothing runs here: the tickets wait.
        bed.worker_type("bench", "build", json!({"auto_spawn": false})).await;
        let ticket = bed.ticket("bench", &["build"], "A description of ordinary length.").await;
        let address = bed.server.address().parse().context("http.addr holds no address")?;
        Ok(Self { name, bed, address, ticket })
    }

    fn request(&self, tool: &str) -> Vec<u8> {
        let arguments = match tool {
            "get_ticket" => json!({"ticket_id": self.ticket}),
            "create_ticket" => json!({
                "project": "bench", "title": "a piece of work", "execution_plan": ["build"],
                "description": "A description of ordinary length.",
            }),
            _ => json!({}),
        };
        connection::tool_call(&self.bed, tool, &arguments)
    }
}

/// Reads one ticket and the projects again and again, then fills the server with tickets and
/// measures its memory.
async fn requests(
    size: Size,
    beside: Option<PathBuf>,
    loads: &mut Vec<Load>,
) -> anyhow::Result<Memory> {
    let mut asked = vec![Asked::start("", None).await?];
    let server_idle_kib = memory::resident(asked[0].bed.server.pid())?;
    if beside.is_some() {
        asked.push(Asked::start(", beside", beside).await?);
    }
    let tools =
        [("get_ticket", size.gets), ("list_projects", size.gets), ("create_ticket", size.creates)];
    for (tool, requests) in tools {
        for (clients, requests) in CLIENTS.into_iter().zip(requests) {
            let on: Vec<_> = asked
                .iter()
                .map(|one| (format!("{tool}{}", one.name), one.address, one.request(tool)))
                .collect();
            loads.extend(Load::in_turn(&on, clients, requests).await?);
        }
    }
    Ok(Memory {
        tickets: 1 + size.creates.iter().sum::<usize>(),
        server_idle_kib,
        server_full_kib: memory::resident(asked[0].bed.server.pid())?,
        shim_kib: 0,
    })
}
