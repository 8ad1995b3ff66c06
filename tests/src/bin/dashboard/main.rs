//! A dashboard to look at, to photograph and to measure.
//!
//! - `dashboard` starts a server after a night of work, prints a link, and waits until it is interrupted.
//! - `dashboard --screenshots DIR` takes pictures of every page.
//! - `dashboard --bench [--tickets 10000] [--running 200] [--minutes 10]` prints the budgets of the dashboard; its numbers mean
//!   something only in a release build of all three programs.
//!
//! It needs what the scenarios with `needs(Browser)` need.

use std::path::PathBuf;

use clap::Parser;
use e2e::bed::Bed;
use e2e::bed::text;
use e2e::browser::Role;
use e2e::browser::Script;
use e2e::seed;
use e2e::server::Setup;
use e2e::showcase;
use serde_json::json;

#[derive(Debug, Parser)]
struct Options {
    /// Takes pictures of every page into this directory.
    #[arg(long, value_name = "DIR")]
    screenshots: Option<PathBuf>,
    /// Measures.
    #[arg(long)]
    bench: bool,
    /// How many tickets there are when it measures.
    #[arg(long, default_value_t = 10_000)]
    tickets: u64,
    /// How many of them run.
    #[arg(long, default_value_t = 200)]
    running: u32,
    /// For how long a page is watched.
    #[arg(long, default_value_t = 10)]
    minutes: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.bench {
        return bench(&options).await;
    }
    let bed = showcase::night(Setup::default()).await;
    if let Some(directory) = options.screenshots {
        std::fs::create_dir_all(&directory)?;
        let script = Script::new(&bed.server, "screenshots").with("PAGES", PICTURES);
        script.with("OUT", directory.display().to_string()).run(Role::Full).await;
    } else {
        eprintln!("{}", e2e::browser::link(&bed.server, Role::Full).await);
        eprintln!("{}", bed.server.path("").display());
        tokio::signal::ctrl_c().await?;
    }
    Ok(())
}

/// Pages, and the names of their pictures.
const PICTURES: &str = "/ inbox\n/board board\n/tickets tickets\n/tickets/T-7 ticket\n/tickets/T-4 ticket-held\n/tickets/T-14 ticket-gates\n/attempts/A-21 attempt-gate\n/attempts/A-17 attempt\n\
                        /workers workers\n/queues queues\n/events events\n/search?q=export search\n/usage usage\n/failures failures\n\
                        /projects projects\n/projects/shop project\n/settings settings\n/new/ticket?project=shop new-ticket";

/// Pages that are measured.
const MEASURED: &str = "/\n/board\n/tickets\n/tickets?q=work\n/workers\n/queues\n/events\n/search?q=work\n/usage\n/failures\n/projects\n/settings";

async fn bench(options: &Options) -> anyhow::Result<()> {
    let setup = Setup::default()
        .max_workers(options.running.max(1))
        .arg("--max-requests-per-second")
        .arg("0");
    let mut bed = Bed::with(setup).await;
    bed.repository("shop", &[], json!({})).await;
    bed.worker_type("shop", "build", json!({"max_workers": options.running.max(1)})).await;
    bed.project("spare", &[]).await;
    bed.worker_type("spare", "nobody", json!({"auto_spawn": false})).await;
    let first = bed.ticket("shop", &["build"], "").await;
    bed.completed(&first).await;
    bed.nothing_is_left().await;
    bed.server.stop().await;
    let copies = options.tickets.saturating_sub(u64::from(options.running)).max(1);
    seed::multiply(&bed.server.state_dir().join("vibe-ensemble.db"), copies).await?;
    bed.launch().await;

    let go = bed.server.path("go");
    let script = format!("fake: build: say I begin.\nfake: build: wait-for {}", go.display());
    let mut ticket = String::new();
    for _ in 0..options.running {
        ticket = bed.ticket("shop", &["build"], &script).await;
    }
    bed.called(&ticket, "build", 1).await;
    let running = bed.ticket_is(&ticket, "running").await;
    let attempt = text(
        running["attempts"].as_array().and_then(|all| all.last()).unwrap_or(&json!({})),
        "attempt_id",
    );
    let transcript =
        bed.server.state_dir().join("attempts").join(&attempt).join("stdout.000001.jsonl");
    let pages = format!("{MEASURED}\n/tickets/{ticket}\n/attempts/{attempt}\n/projects/shop");
    let printed = Script::new(&bed.server, "bench")
        .with("PAGES", pages)
        .with("TICKET", ticket)
        .with("ATTEMPT", attempt)
        .with("PROJECT", "spare")
        .with("FILE", transcript.display().to_string())
        .with("PID", bed.server.pid().to_string())
        .with("MINUTES", options.minutes.to_string())
        .aloud(std::time::Duration::from_secs(600 + 60 * u64::from(options.minutes)))
        .run(Role::Full)
        .await;
    drop(printed);
    std::fs::write(go, "")?;
    Ok(())
}
