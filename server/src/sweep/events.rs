//! Old events.

use std::time::Duration;

use super::swept::SweepError;
use super::swept::Swept;
use crate::domain::time::Timestamp;
use crate::store::PRUNE_BATCH;
use crate::store::Store;

/// An event that no consumer has marked is kept this many times as long. A coordinator that comes back within that time misses
/// nothing; one that never comes must not fill the disk.
const UNPROCESSED: u32 = 4;

/// Removes marked events once they are `keep` old, up to the first that the coordinator has not
/// marked, and any event once it is four times as old. Other consumers do not hold an event back:
/// they have the same time to read it.
pub async fn run_once(
    store: &Store,
    keep: Option<Duration>,
    now: Timestamp,
) -> Result<Swept, SweepError> {
    let mut swept = Swept::default();
    let Some(keep) = keep else { return Ok(swept) };
    let (processed, any) = (now.before(keep), now.before(keep.saturating_mul(UNPROCESSED)));
    loop {
        let removed = store.prune_events(processed, any).await?;
        swept.removed += removed;
        if removed < PRUNE_BATCH {
            return Ok(swept);
        }
    }
}
