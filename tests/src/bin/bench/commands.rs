//! How long the commands of a shell take beside a server with many tickets.
#![expect(clippy::print_stdout, reason = "the report is this program's output")]

use std::time::Duration;
use std::time::Instant;

use e2e::bed::Bed;
use e2e::seed;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

use crate::report::Quantiles;
use crate::report::ms;

/// How long a command should take at most.
const BUDGET: Duration = Duration::from_millis(100);

/// Each with what it prints least often: `{new}` is a file that is not there yet, `{project}` the project's directory, `{done}` a completed ticket.
const COMMANDS: [&str; 47] = [
    "--version",
    "--help",
    "completions bash",
    "status",
    "status --json",
    "inbox",
    "inbox --limit 1000",
    "tickets",
    "tickets --limit 3000",
    "tickets --state on_hold",
    "tickets --all --json",
    "tickets T-1",
    "ticket show T-1",
    "why T-1",
    "diff {done}",
    "gates {done}",
    "logs T-1",
    "logs {done} -v",
    "events",
    "events --all",
    "events --since 1h",
    "event list --project shop",
    "workers",
    "worker list",
    "queue list",
    "queue show shop build",
    "project list",
    "project show shop",
    "type list shop",
    "type show shop build",
    "type templates",
    "usage",
    "usage --by project",
    "usage --by worker-type",
    "usage --by ticket",
    "usage --by stage",
    "usage --by attempt",
    "call list_tickets {}",
    "headers",
    "check-config",
    "check-project {project}",
    "connect {project} --dry-run",
    "disconnect {project} --dry-run",
    "dashboard --print",
    "doctor",
    "backup {new}",
    "pause shop",
];

/// The times of one command.
struct Timed {
    line: &'static str,
    code: Option<i32>,
    bytes: usize,
    took: Quantiles,
}

/// Runs each command several times, and prints how long it took.
pub(crate) async fn measure(tickets: u64, rounds: usize, is_json: bool) -> anyhow::Result<()> {
    let (bed, done) = seeded(tickets).await?;
    let project = bed.server.path("projects").join("shop").display().to_string();
    let mut all = Vec::new();
    for line in COMMANDS {
        let (mut times, mut last) = (Vec::new(), (None, 0));
        for round in 0..rounds {
            let new = bed.server.path(&format!("{}-{round}.db", all.len())).display().to_string();
            let words: Vec<String> = line
                .split(' ')
                .map(|word| {
                    word.replace("{new}", &new)
                        .replace("{project}", &project)
                        .replace("{done}", &done)
                })
                .collect();
            let rest: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
            let begun = Instant::now();
            let output = bed.server.operate(&words[0], &rest).await;
            times.push(begun.elapsed());
            last = (output.status.code(), output.stdout.len());
        }
        let took = Quantiles::of(times);
        all.push(Timed { line, code: last.0, bytes: last.1, took });
    }
    print(&all, tickets, is_json);
    Ok(())
}

/// A server with a project, copies of a ticket that is on hold, and one that is completed, which is returned.
async fn seeded(tickets: u64) -> anyhow::Result<(Bed, String)> {
    let mut bed = Bed::with(Setup::default().arg("--max-requests-per-second").arg("0")).await;
    bed.repository("shop", &["build"], json!({})).await;
    let asks = bed.ticket("shop", &["build"], "fake: build: block Which port?").await;
    bed.ticket_is(&asks, "on_hold").await;
    bed.nothing_is_left().await;
    bed.server.stop().await;
    seed::multiply(&bed.server.state_dir().join("vibe-ensemble.db"), tickets).await?;
    bed.launch().await;
    let done = bed.ticket("shop", &["build"], "fake: build: write new.txt new").await;
    bed.completed(&done).await;
    Ok((bed, done))
}

fn print(all: &[Timed], tickets: u64, is_json: bool) {
    let over: Vec<&str> =
        all.iter().filter(|timed| timed.took.p50 > BUDGET).map(|timed| timed.line).collect();
    if is_json {
        let each = |timed: &Timed| json!({"command": timed.line, "exit_code": timed.code, "bytes": timed.bytes, "took": timed.took.to_json()});
        let commands: Vec<Value> = all.iter().map(each).collect();
        println!("{:#}", json!({"tickets": tickets, "commands": commands, "over_budget": over}));
        return;
    }
    println!("{:<32} {:>4} {:>9} {:>8} {:>8}", "command", "exit", "bytes", "p50 ms", "max ms");
    for Timed { line, code, bytes, took } in all {
        let code = code.map_or_else(|| "-".to_owned(), |code| code.to_string());
        let (p50, max) = (ms(took.p50), ms(took.max));
        println!("{line:<32} {code:>4} {bytes:>9} {p50:>8.1} {max:>8.1}");
    }
    let budget = BUDGET.as_millis();
    println!(
        "{tickets} tickets; p50 above {budget} ms: {}",
        if over.is_empty() { "none".to_owned() } else { over.join(", ") }
    );
}
