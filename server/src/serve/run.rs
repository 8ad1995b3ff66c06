//! A server's life: open, assemble, serve until stopped, close.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Interval;
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::domain::bill;
use crate::domain::bill::Seen;
use crate::exit::Exit;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::Request;
use crate::lifecycle::What;
use crate::serve::about;
use crate::serve::activation::Passed;
use crate::serve::announce::announce_pauses;
use crate::serve::assemble::Server;
use crate::serve::assemble::assemble;
use crate::serve::dump::dump;
use crate::serve::open::open;
use crate::serve::reload::read_token_again;
use crate::serve::reload::reload;
use crate::serve::upkeep;
use crate::shim::facts;
use crate::state;
use crate::store::Store;
use crate::telemetry::chain;

/// How often the server checks that the lock files and the address are still there.
const RESTORE: Duration = Duration::from_secs(2);

/// Runs the server until it is asked to stop.
pub(super) async fn run(
    config: Config,
    passed: Passed,
    lifecycle: Lifecycle,
) -> anyhow::Result<Exit> {
    let opened = open(&config, passed, &lifecycle).await?;
    let mut server = assemble(config, opened, lifecycle)?;
    announce_pauses(&server.store.wide_pauses().await.map_err(anyhow::Error::new)?);
    serve_until_stopped(&mut server).await?;
    close(server).await
}

/// Does what operators and signals ask for, until one of them asks the server to stop.
async fn serve_until_stopped(server: &mut Server) -> anyhow::Result<()> {
    let stop = server.lifecycle.shutdown_token();
    let mut drain = server.lifecycle.drain();
    let mut restore = restoring();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = restore.tick() => server.lock.restore(),
            changed = drain.changed() => {
                let draining = changed.is_ok() && *drain.borrow_and_update();
                server.lock.set_draining(draining)?;
            }
            request = server.lifecycle.requests.recv() => {
                let Some(Request { what, done }) = request else { return Ok(()) };
                match what {
                    What::Reload => {
                        reload(&mut server.config, &server.store, &server.dispatcher);
                        server.limits.send_replace(upkeep::limits(&server.config));
                        server.notifiers.send_if_modified(|notifiers| {
                            let is_new = *notifiers != server.config.notifiers;
                            notifiers.clone_from(&server.config.notifiers);
                            is_new
                        });
                        server.shown.send_replace(about::settings(&server.config));
                        read_token_again(&server.config, &server.keys, &mut server.lock);
                    }
                    What::Dump => dump(&server.store, &server.dispatcher).await,
                }
                // Most requests have no waiter, so a closed channel is fine.
                done.send(()).unwrap_or_default();
            }
        }
    }
}

/// Waits for every part to end. Workers keep running.
async fn close(mut server: Server) -> anyhow::Result<Exit> {
    for task in server.tasks {
        task.await.context("a task of the server was lost")?;
    }
    let left = left_running(&server.store, &server.config.state_dir.join(state::ATTEMPTS)).await;
    server.store.close().await;
    drop(server.alone);
    // The next server serves clients that dial an address that systemd holds.
    if !server.http_is_passed {
        server.lock.withdraw()?;
    }
    match left {
        (0, _) => tracing::info!("stopped; no agent is running"),
        (agents, cost_usd) => tracing::info!(
            agents,
            cost_usd = format!("{cost_usd:.2}"),
            "stopped; agents keep running and spending, and their results wait for the next start; to stop them, run \
             `vibe-ensemble stop --all`"
        ),
    }
    Ok(server.lifecycle.exit())
}

/// How many agents run on without the server, and what they have cost so far, as far as that is known.
async fn left_running(store: &Store, attempts_dir: &Path) -> (usize, f64) {
    let bills = match store.running_bills().await {
        Ok(bills) => bills,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the running agents could not be counted");
            Vec::new()
        }
    };
    let dollars = bills.iter().map(|bill| {
        let seen = facts::spent_by_transcript(&attempts_dir.join(bill.attempt.to_string()), true);
        let seen = Seen { worth: seen.seen_worth, under_way: false };
        bill::assumed(seen, bill.price, bill.budget)
    });
    (bills.len(), dollars.sum())
}

/// When to check whether somebody removed what lies beside a running server.
fn restoring() -> Interval {
    let mut restore = tokio::time::interval(RESTORE);
    restore.set_missed_tick_behavior(MissedTickBehavior::Delay);
    restore
}
