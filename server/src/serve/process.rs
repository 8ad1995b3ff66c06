//! The process of a server: signals, log, passed listeners and the runtime, in the order in which each needs the one
//! before it.

use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Builder;

use crate::config;
use crate::config::Environment;
use crate::config::Flags;
use crate::exit::Exit;
use crate::lifecycle;
use crate::lifecycle::Lifecycle;
use crate::serve::activation;
use crate::serve::run;
use crate::telemetry;

/// How long blocking work may continue after the server has ended.
const LEFTOVERS: Duration = Duration::from_millis(500);

/// Runs a server in this process until it is asked to stop.
pub fn serve(flags: &Flags, environment: &Environment) -> anyhow::Result<Exit> {
    let held = lifecycle::hold_signals().context("could not hold back signals")?;
    let config = config::load(flags, environment)?;
    telemetry::init(&config.log, environment)?;
    let passed = activation::take(environment)?;
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("could not start the runtime")?;
    let ended = runtime.block_on(async {
        let lifecycle = Lifecycle::start(&held).context("could not take over the signals")?;
        let over = lifecycle.ended();
        tokio::select! {
            ended = run::run(config, passed, lifecycle) => ended,
            exit = over => Ok(exit),
        }
    });
    // A blocked thread must not keep a process that has ended.
    runtime.shutdown_timeout(LEFTOVERS);
    ended
}
