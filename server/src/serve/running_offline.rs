//! The workers that a server which is gone left running.

use crate::config::Config;
use crate::domain::worker::Worker;
use crate::shim::holder::Holder;
use crate::state;
use crate::store;

/// The workers of this state directory whose shims are alive, by what they said of themselves or by the locks they hold.
/// Only reads.
///
/// # Errors
///
/// When the database cannot be read.
pub async fn running_offline(config: &Config) -> anyhow::Result<Vec<Worker>> {
    let workers = store::left_running(&config.state_dir.join(state::DATABASE)).await?;
    let lives = |(worker, trace): (Worker, _)| {
        let pid = i32::try_from(worker.pid?).ok()?;
        let lock = config.state_dir.join(state::WORKERS).join(format!("{}.lock", worker.id));
        let holder = Holder { pid, lock, trace };
        holder.is_it().unwrap_or(false).then_some(worker)
    };
    Ok(workers.into_iter().filter_map(lives).collect())
}
