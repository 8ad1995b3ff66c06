//! A storm of kills over a system at work, and an oracle that counts what was lost, done twice or left behind.
//!
//! ```text
//! cargo build --workspace && cargo run -p e2e --bin storm -- --kills 1000 --seed 1     # full size, about ten minutes
//! cargo run -p e2e --bin storm -- --kills 40 --seed 1 --server-only                    # every agent runs exactly once
//! cargo run -p e2e --bin storm -- --trees 300                                          # daemons, and no kills
//! cargo run -p e2e --bin storm -- --kills 100 --shared                                 # directories, no worktrees
//! ```
//!
//! The seed decides the faults, their order and the pauses between them; what they hit depends on what lives then.
//! Only processes of this storm's own server are ever signalled. Every process tree is bounded and ends by itself.
#![expect(clippy::print_stdout, reason = "its output is for people")]

mod faults;
mod load;
mod oracle;
mod random;
mod repository;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use clap::Parser;
use e2e::kept::Kept;
use e2e::server::Setup;

use crate::load::Ground;
use crate::load::Load;
use crate::load::Mix;

#[derive(Debug, Parser)]
#[command(about = "Kills a working system at random and checks that nobody can tell")]
struct Cli {
    /// Faults to make
    #[arg(long, default_value_t = 150)]
    kills: u32,
    /// Decides the faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Hit the server alone; then every agent must run exactly once
    #[arg(long)]
    server_only: bool,
    /// Stop making faults after this time, whatever is left of them
    #[arg(long, default_value_t = 11)]
    minutes: u64,
    /// Make no faults: run at least this many agents that each leave a daemon and a child behind
    #[arg(long)]
    trees: Option<u32>,
    /// Work in directories, in turns, instead of in worktrees of a git repository
    #[arg(long)]
    shared: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let kept = Arc::new(Kept::prepare(
        Setup::default()
            .max_workers(8)
            .env("VIBE_ENSEMBLE_LOG", "info,rmcp=warn")
            .env("VIBE_ENSEMBLE_LINGER_MS", "500")
            .env("VIBE_ENSEMBLE_HEARTBEAT_MS", "1000")
            .env("VIBE_ENSEMBLE_RETRY_BACKOFF_MAX_MS", "500"),
    ));
    let begun = Instant::now();
    println!("seed {}, {} kills, server only: {}", cli.seed, cli.kills, cli.server_only);
    let ground = if cli.shared { Ground::Shared } else { Ground::Git };
    load::prepare(&kept, ground).await;

    let mix = match (cli.trees, cli.server_only) {
        (Some(_), _) => Mix::Daemons,
        (None, true) => Mix::Peaceful,
        (None, false) => Mix::Everything,
    };
    let load = Arc::new(Load::new(Arc::clone(&kept), mix, ground, cli.seed));
    let weather_over = Arc::new(AtomicBool::new(false));
    let feeding = tokio::spawn(
        Arc::clone(&load).feed(cli.trees.map(load::tickets_for), Arc::clone(&weather_over)),
    );
    let consuming = tokio::spawn(oracle::consume(Arc::clone(&kept), Arc::clone(&load)));
    let made = if cli.trees.is_some() {
        faults::Made::default()
    } else {
        let until = begun + Duration::from_mins(cli.minutes);
        faults::storm(&kept, cli.seed, cli.kills, cli.server_only, until).await
    };
    weather_over.store(true, Ordering::SeqCst);
    println!("{made} in {:?}", begun.elapsed());
    feeding.await.expect("the coordinator does not panic");
    println!("{} tickets were acknowledged; draining", load.acknowledged().len());

    let found =
        oracle::judge(&kept, &load, consuming, cli.server_only || cli.trees.is_some()).await;
    let found = match ground {
        Ground::Git if found.drained => repository::judge(&kept, &load, found).await,
        Ground::Git | Ground::Shared => found,
    };
    println!("{found}\n{} server starts, {:?} in all", kept.starts(), begun.elapsed());
    if !found.is_clean() {
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
