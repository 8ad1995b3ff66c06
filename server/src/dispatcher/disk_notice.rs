//! The event that reports that nothing new is started because the disk is full.

use super::brakes::Brakes;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::telemetry::chain;

/// Reports once that the disk is full, and once that it has space again.
#[derive(Debug)]
pub(super) struct DiskNotice {
    store: Store,
    brakes: Brakes,
    is_said: bool,
}

impl DiskNotice {
    pub(super) fn new(store: Store, brakes: Brakes) -> Self {
        Self { store, brakes, is_said: false }
    }

    /// Appends the event if something has changed. If the disk is too full even for the event, the
    /// next pass tries again.
    pub(super) async fn update(&mut self, now: Timestamp) {
        let low = self.brakes.is_disk_low();
        if self.is_said == low {
            return;
        }
        match self.store.tell_of_room(low, now).await {
            Ok(()) => self.is_said = low,
            Err(error) => {
                tracing::debug!(error = %chain(&error), low, "the event about the full disk could not be stored yet");
            }
        }
    }
}
