//! Bounds the connections that have not said hello yet.
//!
//! Any process of this user can dial the shims' socket and stay silent. When too many do, the
//! oldest of them makes room: a shim says hello as soon as it is connected, so the connection that
//! has waited longest is the least likely to be a shim's.
//!
//! Invariant: a new connection is always served, however many others stay silent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::Notify;

/// The most silent connections, each with its descriptor.
const MOST: usize = 1_000;

/// Cheap to clone; all clones know the same connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Hellos {
    silent: Arc<Mutex<Silent>>,
}

#[derive(Debug, Default)]
struct Silent {
    /// The oldest first.
    waiting: VecDeque<Arc<Notify>>,
    /// Whether the log has reported that there are too many.
    told: bool,
}

/// The place of one connection. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place {
    hellos: Hellos,
    gone: Arc<Notify>,
}

impl Hellos {
    fn lock(&self) -> MutexGuard<'_, Silent> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a new connection; if all are taken, the oldest connection loses its place.
    pub(super) fn begin(&self) -> Place {
        let gone = Arc::new(Notify::new());
        let mut silent = self.lock();
        while silent.waiting.len() >= MOST {
            let Some(oldest) = silent.waiting.pop_front() else { break };
            oldest.notify_one();
            if !std::mem::replace(&mut silent.told, true) {
                tracing::warn!(
                    most = MOST,
                    "too many connections to the shim socket are silent; the oldest are closed to let shims in"
                );
            }
        }
        silent.waiting.push_back(Arc::clone(&gone));
        drop(silent);
        Place { hellos: self.clone(), gone }
    }
}

impl Place {
    /// Returns once this connection must make room.
    pub(super) async fn lost(&self) {
        self.gone.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut silent = self.hellos.lock();
        silent.waiting.retain(|waiting| !Arc::ptr_eq(waiting, &self.gone));
        if silent.waiting.len() < MOST / 2 {
            silent.told = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn is_lost(place: &Place) -> bool {
        tokio::time::timeout(Duration::ZERO, place.lost()).await.is_ok()
    }

    #[tokio::test]
    async fn the_oldest_silent_connection_makes_room_for_a_new_one() {
        let hellos = Hellos::default();
        let mut places: Vec<Place> = (0..MOST).map(|_| hellos.begin()).collect();
        drop(places.remove(0));
        places.push(hellos.begin());
        assert!(!is_lost(&places[0]).await, "one has spoken");
        places.push(hellos.begin());
        assert!(is_lost(&places[0]).await);
        for place in &places[1..] {
            assert!(!is_lost(place).await);
        }
        assert_eq!(hellos.lock().waiting.len(), MOST);
        drop(places);
        assert_eq!(hellos.lock().waiting.len(), 0);
    }
}
