//! Kills, stops and hostile agents against a running system, and an oracle that finds whatever was lost, done twice or
//! left behind, and every change outside of the system's own files.
//!
//! ```text
//! cargo build --workspace && cargo run -p e2e --bin storm -- --kills 1000 --seed 1     # full size, about ten minutes
//! cargo run -p e2e --bin storm -- --kills 40 --seed 1 --server-only                    # honest agents run exactly once
//! cargo run -p e2e --bin storm -- --trees 300                                          # daemons, and no faults
//! cargo run -p e2e --bin storm -- --kills 100 --shared                                 # directories, no worktrees
//! cargo run -p e2e --bin storm -- --kills 100 --gates                                  # half of the work is set up and judged
//! cargo run -p e2e --bin storm -- --kills 40 --attackers 50 --attack git-              # only attacks of these names
//! cargo run -p e2e --bin storm -- --kills 40 --attackers 0                             # honest agents only
//! ```
//!
//! The seed decides the faults, their order and the pauses between them, and which tickets attack and how; what they hit
//! depends on what is running then. An attacker may ruin its own ticket, which is then cancelled; the oracle is strict
//! about all other tickets, see [`attacks`].
//!
//! Only processes of this storm's own server are ever signalled. Every process tree is bounded and ends by itself.
#![expect(clippy::print_stdout, reason = "its output is for people")]

mod attacks;
mod canary;
mod faults;
mod gates;
mod load;
mod oracle;
mod random;
mod repository;
mod retention;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use clap::Parser;
use e2e::kept::Kept;
use e2e::server::Setup;

use crate::attacks::Attackers;
use crate::canary::Canary;
use crate::load::Behaviour;
use crate::load::Load;
use crate::load::Projects;

#[derive(Debug, Parser)]
#[command(
    about = "Kills, stops and attacks a running system at random, and checks that no work is lost or done twice"
)]
struct Cli {
    /// Number of faults to inject
    #[arg(long, default_value_t = 150)]
    kills: u32,
    /// Seed of the faults and the attacks: the same seed injects the same ones in the same order
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Inject faults into the server only; every agent that does not attack must then run exactly once
    #[arg(long)]
    server_only: bool,
    /// Stop injecting faults after this many minutes, even if fewer than --kills were injected
    #[arg(long, default_value_t = 11)]
    minutes: u64,
    /// Inject no faults: run at least this many agents that each leave a daemon and a child process behind
    #[arg(long)]
    trees: Option<u32>,
    /// Use plain directories, in which attempts take turns, instead of worktrees of a git repository
    #[arg(long)]
    shared: bool,
    /// Use a second repository for every other ticket, with a setup, a cleanup and three gates
    #[arg(long, conflicts_with_all = ["shared", "trees"])]
    gates: bool,
    /// Percentage of tickets whose agent attacks
    #[arg(long, value_name = "SHARE", default_value_t = 15, value_parser = clap::value_parser!(u64).range(0..=100))]
    attackers: u64,
    /// Use only attacks whose names begin with KIND; can be repeated
    #[arg(long = "attack", value_name = "KIND")]
    attacks: Vec<String>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let kept = Arc::new(Kept::prepare(
        Setup::default()
            .max_workers(8)
            .env("VIBE_ENSEMBLE_LOG", "info,rmcp=warn")
            .env("VIBE_ENSEMBLE_MAX_GATES", "4")
            .env("VIBE_ENSEMBLE_LINGER_MS", "500")
            .env("VIBE_ENSEMBLE_HEARTBEAT_MS", "1000")
            .env("VIBE_ENSEMBLE_RETRY_BACKOFF_MAX_MS", "500"),
    ));
    let begun = Instant::now();
    let projects = match (cli.shared, cli.gates) {
        (true, _) => Projects::Shared,
        (false, true) => Projects::Gated,
        (false, false) => Projects::Git,
    };
    // The effect of attackers depends on their rights alone, and `--trees` is about what agents
    // leave behind.
    let share = if cli.trees.is_some() { 0 } else { cli.attackers };
    let attackers =
        match Attackers::new(&kept, projects, share, &cli.attacks, cli.server_only, cli.seed) {
            Ok(attackers) => attackers,
            Err(error) => {
                println!("{error}");
                return ExitCode::FAILURE;
            }
        };
    println!(
        "seed {}, {} kills, server only: {}, {}",
        cli.seed,
        cli.kills,
        cli.server_only,
        attackers.describe()
    );
    load::prepare(&kept, projects).await;
    let canary = Canary::make(&kept);

    let behaviour = match (cli.trees, cli.server_only) {
        (Some(_), _) => Behaviour::Daemons,
        (None, true) => Behaviour::Successful,
        (None, false) => Behaviour::Everything,
    };
    let load = Arc::new(Load::new(Arc::clone(&kept), behaviour, projects, attackers, cli.seed));
    let faults_over = Arc::new(AtomicBool::new(false));
    let feeding = tokio::spawn(
        Arc::clone(&load).feed(cli.trees.map(load::tickets_for), Arc::clone(&faults_over)),
    );
    let consuming = tokio::spawn(oracle::consume(Arc::clone(&kept), Arc::clone(&load)));
    let made = if cli.trees.is_some() {
        faults::FaultsMade::default()
    } else {
        let until = begun + Duration::from_mins(cli.minutes);
        faults::make(&kept, cli.seed, cli.kills, cli.server_only, cli.gates, until).await
    };
    faults_over.store(true, Ordering::SeqCst);
    println!("{made} in {:?}", begun.elapsed());
    feeding.await.expect("the coordinator does not panic");
    println!("{} tickets were acknowledged; draining", load.acknowledged().len());

    let exactly_once = cli.server_only || cli.trees.is_some();
    let mut found = oracle::judge(&kept, &load, consuming, exactly_once).await;
    if found.drained {
        for project in projects.repositories() {
            repository::judge(&kept, &load, project, &mut found).await;
        }
        if cli.gates {
            gates::judge(&kept, &load, exactly_once, &mut found).await;
        }
        retention::judge(&kept, &load, &mut found).await;
        if cli.gates {
            gates::judge_cleanups(&kept, &load, &mut found);
        }
    }
    found.outside.extend(canary.changes());
    println!("{found}\n{} server starts, {:?} in all", kept.starts(), begun.elapsed());
    if !found.is_clean() {
        println!("{}", load.describe_attackers());
        let mut server = kept.server().await;
        println!("--- the server's log, its last lines ---\n{}", server.log_tail());
        println!("everything is kept in {}", server.keep_directory().display());
        return ExitCode::FAILURE;
    }
    let enough = cli.trees.is_some() || made.total() >= cli.kills;
    if !enough {
        println!("the time was over before all faults were made");
    }
    if enough { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
