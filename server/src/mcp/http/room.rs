//! The memory that request bodies may take, over all connections.
//!
//! While a call is made of a body, it takes about ten times its size in memory. Each body alone is bounded, but many at
//! a time are not, and a client with a token could fill the memory of the machine. Small bodies always pass. Larger
//! ones share an allowance: the coordinator has its own, so that no agent can keep it waiting, and the agents share
//! one.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;

use crate::mcp::call::Caller;
use crate::mcp::http::body;

/// A body up to this size needs no allowance.
const SMALL_KIB: u32 = 16;
/// Enough for two of the largest bodies, and for one.
const OF_COORDINATOR_KIB: usize = 8 << 10;
const OF_AGENTS_KIB: usize = 4 << 10;
/// How long a request waits for its allowance.
const PATIENCE: Duration = Duration::from_secs(30);

/// The two allowances.
#[derive(Debug)]
pub(crate) struct Room {
    of_coordinator: Semaphore,
    of_agents: Semaphore,
}

/// The allowance was not free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Room {
    pub(crate) const fn new() -> Self {
        Self {
            of_coordinator: Semaphore::const_new(OF_COORDINATOR_KIB),
            of_agents: Semaphore::const_new(OF_AGENTS_KIB),
        }
    }

    /// Waits until a request's body fits, and holds its allowance until the permit is dropped. Call this before reading
    /// any of the body.
    pub(crate) async fn enter(
        &self,
        caller: Caller,
        headers: &HeaderMap,
    ) -> Result<Option<SemaphorePermit<'_>>, Full> {
        let kibibytes = kibibytes(headers);
        if kibibytes <= SMALL_KIB {
            return Ok(None);
        }
        let room = match caller {
            Caller::Coordinator => &self.of_coordinator,
            Caller::Worker(_) => &self.of_agents,
        };
        let waited = tokio::time::timeout(PATIENCE, room.acquire_many(kibibytes)).await;
        waited.map_err(|_| Full)?.map(Some).map_err(|_| Full)
    }
}

/// The size a body may have: the one it announces, or the maximum.
fn kibibytes(headers: &HeaderMap) -> u32 {
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let bytes = announced.map_or(body::MOST_BYTES, |bytes| bytes.min(body::MOST_BYTES));
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::AttemptId;

    fn announcing(bytes: usize) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, bytes.into());
        headers
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_wait_for_each_other_and_agents_keep_no_coordinator_waiting() {
        let room = Room::new();
        let agent = |number| Caller::Worker(AttemptId::from_key(number));
        let (large, small) = (announcing(4 << 20), announcing(16 << 10));
        let first = room.enter(agent(1), &large).await.expect("there is room");
        assert!(first.is_some());
        let none = HeaderMap::new();
        for headers in [&large, &none, &announcing(usize::MAX)] {
            let second = room.enter(agent(2), headers).await;
            assert_eq!(second.map(|_| ()), Err(Full));
        }
        assert!(room.enter(agent(2), &small).await.expect("it is small").is_none());
        let own = [
            room.enter(Caller::Coordinator, &large).await.expect("its own room"),
            room.enter(Caller::Coordinator, &large).await.expect("its own room"),
        ];
        assert_eq!(room.enter(Caller::Coordinator, &large).await.map(|_| ()), Err(Full));
        drop((first, own));
        assert!(room.enter(agent(2), &large).await.expect("there is room again").is_some());
    }
}
