//! How many calls may be answered at the same time.
//!
//! An answer may be far larger than its question: a ticket's description has up to 1 MiB, and until a client has read the
//! answer, the server keeps it. So a call whose answer may be large waits for its turn, and has it until the answer is
//! sent. The coordinator has turns of its own; the agents share some, of which no attempt has more than two. A call that
//! waits for events takes no turn, since it may wait for an hour.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::body::Bytes;
use axum::response::Response;
use hyper::body::Body as _;
use hyper::body::Frame;
use hyper::body::SizeHint;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::mcp::call::Caller;
use crate::mcp::http::shares::Shares;

const OF_COORDINATOR: usize = 32;
const OF_AGENTS: usize = 8;
const OF_ONE_ATTEMPT: usize = 2;
/// An answer of at most this many bytes gives its turn back before it is sent.
const SMALL: u64 = 64 << 10;
/// How long a call waits for its turn. The answers before it are sent or given up by then.
const PATIENCE: Duration = Duration::from_secs(45);

/// The turns of all clients.
#[derive(Debug)]
pub(crate) struct Answers {
    coordinator: Arc<Semaphore>,
    agents: Arc<Semaphore>,
    shares: Shares,
}

/// Held while an answer is made and sent.
#[derive(Debug)]
pub(crate) struct Turn {
    _of_one: Option<OwnedSemaphorePermit>,
    _of_all: OwnedSemaphorePermit,
}

/// No turn was free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Answers {
    pub(crate) fn new() -> Self {
        let turns = |count| Arc::new(Semaphore::new(count));
        Self {
            coordinator: turns(OF_COORDINATOR),
            agents: turns(OF_AGENTS),
            shares: Shares::new(OF_ONE_ATTEMPT),
        }
    }

    /// Waits for a turn.
    pub(crate) async fn enter(&self, caller: Caller) -> Result<Turn, Full> {
        let entering = async {
            let (one, all) = match caller {
                Caller::Coordinator => (None, &self.coordinator),
                Caller::Worker(attempt) => (Some(self.shares.of(attempt)), &self.agents),
            };
            let of_one = match one {
                Some(one) => Some(one.acquire_owned().await.map_err(|_| Full)?),
                None => None,
            };
            let of_all = Arc::clone(all).acquire_owned().await.map_err(|_| Full)?;
            Ok(Turn { _of_one: of_one, _of_all: of_all })
        };
        tokio::time::timeout(PATIENCE, entering).await.unwrap_or(Err(Full))
    }
}

/// The answer, which has its turn until it is sent.
pub(crate) fn with(answer: Response, turn: Turn) -> Response {
    let size = answer.body().size_hint().upper();
    if size.is_some_and(|bytes| bytes <= SMALL) {
        return answer;
    }
    answer.map(|body| Body::new(Answer { body, turn: Some(turn) }))
}

/// A large answer.
struct Answer {
    body: Body,
    turn: Option<Turn>,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            drop(self.turn.take());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::domain::id::AttemptId;

    fn agent(number: i64) -> Caller {
        Caller::Worker(AttemptId::from_key(number))
    }

    #[tokio::test(start_paused = true)]
    async fn no_attempt_takes_all_turns_and_the_coordinator_has_its_own() {
        let answers = Answers::new();
        let mut taken = Vec::new();
        for number in 1..=4 {
            for _ in 0..OF_ONE_ATTEMPT {
                taken.push(answers.enter(agent(number)).await.expect("there is one"));
            }
            assert_eq!(answers.enter(agent(number)).await.map(drop), Err(Full), "{number}");
        }
        assert_eq!(
            answers.enter(agent(5)).await.map(drop),
            Err(Full),
            "the agents have all theirs"
        );
        drop(answers.enter(Caller::Coordinator).await.expect("its own"));
        drop(taken.remove(0));
        drop(answers.enter(agent(5)).await.expect("one was given back"));
        drop(taken);
        drop(answers.enter(agent(6)).await.expect("free"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_answer_has_its_turn_until_it_is_sent_and_a_small_one_does_not() {
        let answers = Answers::new();
        let large = vec![b'x'; usize::try_from(SMALL).expect("small") + 1];
        let mut kept = Vec::new();
        for body in [Body::from("small"), Body::from(large.clone()), Body::from(large)] {
            let turn = answers.enter(agent(1)).await.expect("one is free");
            kept.push(with(Response::new(body), turn));
        }
        assert_eq!(answers.enter(agent(1)).await.map(drop), Err(Full));
        let sent = kept.pop().expect("there are three").into_body().collect().await;
        assert_eq!(sent.expect("reads").to_bytes().len() as u64, SMALL + 1);
        drop(answers.enter(agent(1)).await.expect("it is sent"));
    }
}
