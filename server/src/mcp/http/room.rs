//! The memory that bodies of requests may take, over all connections.
//!
//! A body that is read becomes about ten times its size while a call is made of it. Each alone is bounded; so many at a time
//! are not, and whoever holds a token could fill the memory of the machine. Small ones go through. Larger ones share a
//! room: the coordinator has one of its own, so that no agent can keep it waiting, and the agents have one together.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;

use crate::mcp::call::Caller;
use crate::mcp::http::body;

/// A body up to here needs no room.
const SMALL_KIB: u32 = 16;
/// Two of the largest, and one.
const OF_COORDINATOR_KIB: usize = 8 << 10;
const OF_AGENTS_KIB: usize = 4 << 10;
/// How long a request waits for room.
const PATIENCE: Duration = Duration::from_secs(30);

/// The room there is.
#[derive(Debug)]
pub(crate) struct Room {
    of_coordinator: Semaphore,
    of_agents: Semaphore,
}

/// There was no room in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Room {
    pub(crate) const fn new() -> Self {
        Self {
            of_coordinator: Semaphore::const_new(OF_COORDINATOR_KIB),
            of_agents: Semaphore::const_new(OF_AGENTS_KIB),
        }
    }

    /// Waits for the room of a request's body, which is kept until what is returned is dropped. Nothing of the body is read
    /// before.
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

/// How much a body may take: what it announces, or the most that is read.
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
