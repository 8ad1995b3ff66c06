//! The streams of browsers: how many may be open, and what all of them receive.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use tokio::sync::broadcast;

/// Streams at a time, of all browsers together.
const MOST_STREAMS: usize = 128;
/// Events that a stream may be behind before a gap is declared.
const BEHIND: usize = 512;

/// An event as it goes to every stream.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) seq: i64,
    pub(crate) text: Arc<str>,
}

/// Tells streams of events.
pub(crate) struct Hub {
    pub(crate) told: broadcast::Sender<Told>,
    streams: Arc<AtomicUsize>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        let (told, _) = broadcast::channel(BEHIND);
        Self { told, streams: Arc::default() }
    }

    /// A place for one more stream, if there is one.
    pub(crate) fn enter(&self) -> Option<Seat> {
        let taken = self.streams.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(Arc::clone(&self.streams));
        (taken < MOST_STREAMS).then_some(seat)
    }
}

/// A stream's place, given back when it ends.
pub(crate) struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_only_so_many_streams_and_a_place_is_given_back() {
        let hub = Hub::new();
        let mut seats: Vec<Seat> =
            (0..MOST_STREAMS).map(|_| hub.enter().expect("there is room")).collect();
        assert!(hub.enter().is_none());
        seats.pop();
        assert!(hub.enter().is_some());
    }
}
