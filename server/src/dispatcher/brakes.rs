//! What keeps new work from being started. Running work continues.

use tokio::sync::watch;

use crate::disk::Room;
use crate::domain::waiting::HeldBack;

/// Cheap to clone; all clones brake together.
#[derive(Clone, Debug)]
pub struct Brakes {
    /// True while an operator is draining the server.
    draining: watch::Receiver<bool>,
    /// Whether the disk has room for more.
    room: watch::Receiver<Room>,
    /// True once every page of the database has been checked.
    sound: watch::Receiver<bool>,
    /// True while nothing may be granted yet: the database has not been checked completely, or
    /// processes may be left of attempts that it does not know (see `strangers`). True before the
    /// first pass.
    held_back: watch::Sender<bool>,
}

impl Brakes {
    #[must_use]
    pub fn new(
        draining: watch::Receiver<bool>,
        room: watch::Receiver<Room>,
        sound: watch::Receiver<bool>,
    ) -> Self {
        Self { draining, room, sound, held_back: watch::Sender::new(true) }
    }

    /// Whether new work may be started.
    pub(super) fn may_start(&self) -> bool {
        !self.is_held_back() && !*self.draining.borrow() && !self.is_disk_low()
    }

    pub(super) fn is_disk_low(&self) -> bool {
        self.room.borrow().low
    }

    /// Whether everything is still held back since the start. Unlike the other brakes, this one
    /// passes by itself, so workers that ask for work meanwhile are kept waiting.
    pub(super) fn is_held_back(&self) -> bool {
        *self.held_back.borrow()
    }

    /// Takes the result of a pass; `strangers` is what `Strangers::await_gone` returns. Returns
    /// what holds everything back.
    pub(super) fn hold_back(&self, strangers: bool) -> Option<HeldBack> {
        let held_back = HeldBack::first(*self.sound.borrow(), strangers);
        let is_held = held_back.is_some();
        self.held_back.send_if_modified(|before| std::mem::replace(before, is_held) != is_held);
        held_back
    }

    /// Reports each change of [`Self::is_held_back`].
    pub(super) fn held_back(&self) -> watch::Receiver<bool> {
        self.held_back.subscribe()
    }

    /// Returns when a brake changes that a pass does not set itself.
    pub(super) async fn changed(&mut self) {
        tokio::select! {
            Ok(()) = self.room.changed() => {}
            Ok(()) = self.draining.changed() => {}
            Ok(()) = self.sound.changed() => {}
            // All senders are gone, so nothing ever changes again.
            else => std::future::pending().await,
        }
    }
}
