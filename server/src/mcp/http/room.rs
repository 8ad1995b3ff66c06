//! The memory that request bodies may take, over all connections.
//!
//! While a call is made of a body, it takes about ten times its size in memory. Each body alone is bounded, but many at
//! a time are not, and a client with a token could fill the memory of the machine. Small bodies always pass. Larger
//! ones share an allowance: the coordinator has its own, so that no agent can keep it waiting, and the agents share
//! one, of which no attempt has more than half: a body may be announced and then sent very slowly.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;

use crate::mcp::call::Caller;
use crate::mcp::http::body;
use crate::mcp::http::shares::Shares;

/// A body up to this size needs no allowance.
const SMALL_KIB: u32 = 16;
/// Enough for two of the largest bodies, and for one of each attempt.
const OF_COORDINATOR_KIB: usize = 8 << 10;
const OF_AGENTS_KIB: usize = 8 << 10;
const OF_ONE_ATTEMPT_KIB: usize = 4 << 10;
/// How long a request waits for its allowance.
const PATIENCE: Duration = Duration::from_secs(30);

/// The two allowances.
#[derive(Debug)]
pub(crate) struct Room {
    of_coordinator: Semaphore,
    of_agents: Semaphore,
    shares: Shares,
}

/// Held while a body is read and its call is made.
#[derive(Debug)]
pub(crate) struct Taken<'r> {
    _of_one: Option<OwnedSemaphorePermit>,
    _of_all: SemaphorePermit<'r>,
}

/// The allowance was not free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Room {
    pub(crate) fn new() -> Self {
        Self {
            of_coordinator: Semaphore::new(OF_COORDINATOR_KIB),
            of_agents: Semaphore::new(OF_AGENTS_KIB),
            shares: Shares::new(OF_ONE_ATTEMPT_KIB),
        }
    }

    /// Waits until a request's body fits, and holds its allowance until the permit is dropped. Call this before reading
    /// any of the body.
    pub(crate) async fn enter(
        &self,
        caller: Caller,
        headers: &HeaderMap,
    ) -> Result<Option<Taken<'_>>, Full> {
        let kibibytes = kibibytes(headers);
        if kibibytes <= SMALL_KIB {
            return Ok(None);
        }
        let entering = async {
            let (one, all) = match caller {
                Caller::Coordinator => (None, &self.of_coordinator),
                Caller::Worker(attempt) => (Some(self.shares.of(attempt)), &self.of_agents),
            };
            let of_one = match one {
                Some(one) => Some(one.acquire_many_owned(kibibytes).await.map_err(|_| Full)?),
                None => None,
            };
            let of_all = all.acquire_many(kibibytes).await.map_err(|_| Full)?;
            Ok(Some(Taken { _of_one: of_one, _of_all: of_all }))
        };
        tokio::time::timeout(PATIENCE, entering).await.unwrap_or(Err(Full))
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
        assert_eq!(
            room.enter(agent(1), &announcing(17 << 10)).await.map(drop),
            Err(Full),
            "its half"
        );
        let other = room.enter(agent(2), &large).await.expect("the other half");
        for headers in [&large, &none, &announcing(usize::MAX)] {
            let third = room.enter(agent(3), headers).await;
            assert_eq!(third.map(drop), Err(Full));
        }
        assert!(room.enter(agent(3), &small).await.expect("it is small").is_none());
        let own = [
            room.enter(Caller::Coordinator, &large).await.expect("its own room"),
            room.enter(Caller::Coordinator, &large).await.expect("its own room"),
        ];
        assert_eq!(room.enter(Caller::Coordinator, &large).await.map(|_| ()), Err(Full));
        drop((first, other, own));
        assert!(room.enter(agent(3), &large).await.expect("there is room again").is_some());
    }
}
