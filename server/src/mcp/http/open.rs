//! The connections that are open, and which of them is needed least when there are too many.
//!
//! In this order: one of an agent, or of a browser's session, that holds more than its share, whatever it is doing; the oldest
//! that has had time to show a token and has not; the oldest that is idle; and, while agents together hold more than half,
//! one of the agent that holds most. A call of a coordinator is never closed for somebody else's, and a newcomer has a
//! moment to say who it is: until then nobody else is let in in its place.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::mcp::call::Caller;
use crate::mcp::http::limits::Client;
use crate::mcp::http::sending::Watch;

/// How long a connection may take to show a valid token, and how long it may be silent after an answer to a request
/// without one.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(10);
/// How long nobody is let in instead of a newcomer. A client sends its first request at once; on a busy machine it takes some
/// time to be read.
const GRACE: Duration = Duration::from_millis(250);
/// How long a known connection may be silent between two calls. Clients keep connections for the next call, and notice
/// when one is closed.
const KNOWN_PATIENCE: Duration = Duration::from_mins(5);
/// How long a known connection may take to read the next piece of its answer.
const READING_PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before looking again whether there is room.
const LOOK: Duration = Duration::from_millis(10);
/// Connections of one agent, or of one browser's session, that are kept when there are too many of all. Claude opens up to
/// three, a browser up to six.
const MOST_OF_A_GUEST: usize = 16;

/// The connections that are open. Clones share them.
#[derive(Clone)]
pub(super) struct Open {
    most: usize,
    numbered: Arc<Mutex<Numbered>>,
}

#[derive(Default)]
struct Numbered {
    /// The number of the newest one.
    last: u64,
    connections: HashMap<u64, Arc<Connection>>,
}

impl Open {
    pub(super) fn new(most: usize) -> Self {
        Self { most, numbered: Arc::default() }
    }

    /// Registers a new connection, once there is room for it.
    pub(super) async fn enter(&self) -> Entered {
        loop {
            if let Some(entered) = self.try_enter() {
                return entered;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Registers a new connection; if there are too many, another one is closed. `None` while only newcomers could be.
    fn try_enter(&self) -> Option<Entered> {
        let now = Instant::now();
        let connection = Arc::new(Connection::new(now));
        let mut open = self.lock();
        if open.connections.len() >= self.most && !open.evict_one(self.most, now) {
            return None;
        }
        open.last += 1;
        let number = open.last;
        open.connections.insert(number, Arc::clone(&connection));
        drop(open);
        Some(Entered { number, connection, open: self.clone() })
    }

    pub(super) fn make_room(&self) {
        self.lock().evict_one(self.most, Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, Numbered> {
        self.numbered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbered {
    /// Closes the connection that is needed least. False if it would be a newcomer.
    fn evict_one(&self, most: usize, now: Instant) -> bool {
        let open = self.connections.values();
        let spare: Vec<(Standing, &Arc<Connection>)> = open
            .filter(|connection| !connection.evicted.is_cancelled())
            .map(|connection| (*connection.lock(), connection))
            .collect();
        let oldest = |is_meant: &dyn Fn(&Standing) -> bool| {
            let meant = spare.iter().filter(|(standing, _)| is_meant(standing));
            meant.min_by_key(|(standing, _)| (standing.calls > 0, standing.since))
        };
        let mut held: HashMap<Client, usize> = HashMap::new();
        for client in spare.iter().filter_map(|(standing, _)| standing.guest()) {
            *held.entry(client).or_default() += 1;
        }
        let guests: usize = held.values().sum();
        let crowd = held.into_iter().max_by_key(|(_, count)| *count);
        let of_crowd =
            || crowd.and_then(|(client, _)| oldest(&|standing| standing.guest() == Some(client)));
        let of_hog = crowd.filter(|(_, count)| *count > MOST_OF_A_GUEST).and_then(|_| of_crowd());
        let strangers = || spare.iter().filter(|(standing, _)| standing.client.is_none());
        let least = if of_hog.is_some() {
            of_hog
        } else if strangers().next().is_some() {
            let settled = strangers().filter(|(standing, _)| now - standing.opened >= GRACE);
            let Some(oldest) = settled.min_by_key(|(standing, _)| standing.opened) else {
                return false;
            };
            Some(oldest)
        } else {
            oldest(&|standing| standing.calls == 0)
                .or_else(|| (guests > most / 2).then(of_crowd).flatten())
        };
        if let Some((_, least)) = least {
            least.evicted.cancel();
            return true;
        }
        tracing::debug!(
            open = self.connections.len(),
            "every connection is serving a call, so none can be closed for a new one"
        );
        true
    }
}

/// A connection's entry among the open ones, removed when it is dropped.
pub(super) struct Entered {
    number: u64,
    pub(super) connection: Arc<Connection>,
    open: Open,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.open.lock().connections.remove(&self.number);
    }
}

/// One open connection. Travels with its requests to the check of their tokens.
#[derive(Debug)]
pub(crate) struct Connection {
    standing: Mutex<Standing>,
    pub(super) evicted: CancellationToken,
}

#[derive(Clone, Copy, Debug)]
struct Standing {
    /// Whose token a request on it has carried.
    client: Option<Client>,
    opened: Instant,
    /// Requests that are not answered yet.
    calls: usize,
    /// When it was opened, or when its last answer ended.
    since: Instant,
    /// Since when a piece of an answer has been waiting for its client to make room for the next one.
    unread: Option<Instant>,
}

impl Standing {
    /// The client, if it is one that may not have more than its share: an agent, or a browser by the session of one link.
    fn guest(&self) -> Option<Client> {
        match self.client? {
            Client::Caller(Caller::Coordinator) | Client::Browser(None) => None,
            guest @ (Client::Caller(Caller::Worker(_)) | Client::Browser(Some(_))) => Some(guest),
        }
    }
}

impl Connection {
    fn new(now: Instant) -> Self {
        let standing = Standing { client: None, opened: now, calls: 0, since: now, unread: None };
        Self { standing: Mutex::new(standing), evicted: CancellationToken::new() }
    }

    /// A request on it has carried a valid token of this client.
    pub(crate) fn is_now_known(&self, client: Client) {
        self.lock().client = Some(client);
    }

    pub(super) fn is_known(&self) -> bool {
        self.lock().client.is_some()
    }

    /// Counts a request until the guard is dropped.
    pub(super) fn busy(connection: &Arc<Self>) -> Busy {
        connection.lock().calls += 1;
        Busy(Arc::clone(connection))
    }

    /// When to check it again; `None` when its time is up.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        let standing = *self.lock();
        let patience = if standing.client.is_some() { KNOWN_PATIENCE } else { UNKNOWN_PATIENCE };
        if standing.client.is_some() && standing.calls > 0 {
            let end = standing.unread.unwrap_or(now) + READING_PATIENCE;
            return (end > now).then_some(end);
        }
        let end = standing.since + patience;
        (end > now).then_some(end)
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<Connection>);

impl Watch for Busy {
    fn is_sending(&self) {
        self.0.lock().unread = Some(Instant::now());
    }

    fn has_room(&self) {
        self.0.lock().unread = None;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut standing = self.0.lock();
        standing.calls -= 1;
        standing.since = Instant::now();
        standing.unread = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::AttemptId;

    const COORDINATOR: Client = Client::Caller(Caller::Coordinator);

    fn known(entered: &Entered) {
        entered.connection.is_now_known(COORDINATOR);
    }

    fn is_evicted(entered: &Entered) -> bool {
        entered.connection.evicted.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_shows_no_token_has_little_time_however_busy_it_looks() {
        let connection = Arc::new(Connection::new(Instant::now()));
        let _busy = Connection::busy(&connection);
        assert_eq!(connection.next_look(Instant::now()), Some(Instant::now() + UNKNOWN_PATIENCE));
        tokio::time::advance(UNKNOWN_PATIENCE).await;
        assert_eq!(connection.next_look(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_one_may_wait_for_an_hour_and_be_silent_for_a_while_after_it() {
        let connection = Arc::new(Connection::new(Instant::now()));
        connection.is_now_known(COORDINATOR);
        let busy = Connection::busy(&connection);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert!(connection.next_look(Instant::now()).is_some());
        drop(busy);
        assert_eq!(connection.next_look(Instant::now()), Some(Instant::now() + KNOWN_PATIENCE));
        tokio::time::advance(KNOWN_PATIENCE).await;
        assert_eq!(connection.next_look(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_read_its_answer_is_closed() {
        let connection = Arc::new(Connection::new(Instant::now()));
        connection.is_now_known(COORDINATOR);
        let busy = Connection::busy(&connection);
        busy.is_sending();
        tokio::time::advance(READING_PATIENCE / 2).await;
        busy.has_room();
        busy.is_sending();
        tokio::time::advance(READING_PATIENCE / 2).await;
        let end = Instant::now() + READING_PATIENCE / 2;
        assert_eq!(connection.next_look(Instant::now()), Some(end), "it reads, however slowly");
        tokio::time::advance(READING_PATIENCE / 2).await;
        assert_eq!(connection.next_look(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_stranger_makes_room_then_the_oldest_that_is_idle_and_nobody_else() {
        let open = Open::new(4);
        let mut entered = Vec::new();
        for _ in 0..4 {
            entered.push(open.enter().await);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let [works, idle, first, second] = entered.as_slice() else { panic!("four") };
        known(works);
        let _busy = Connection::busy(&works.connection);
        known(idle);
        let evicted = || [works, idle, first, second].map(is_evicted);

        let fifth = open.enter().await;
        assert_eq!(evicted(), [false, false, true, false]);
        let sixth = open.enter().await;
        assert_eq!(evicted(), [false, false, true, true]);
        known(&fifth);
        known(&sixth);
        let _both = [Connection::busy(&fifth.connection), Connection::busy(&sixth.connection)];
        open.make_room();
        assert_eq!(evicted(), [false, true, true, true], "one that is known and idle");
        open.make_room();
        assert!(!is_evicted(works) && !is_evicted(&fifth) && !is_evicted(&sixth));
    }

    /// One more connection, in a call if it has a client. Returns its place.
    async fn come(
        open: &Open,
        client: Option<Client>,
        entered: &mut Vec<Entered>,
        calls: &mut Vec<Busy>,
    ) -> usize {
        let one = open.enter().await;
        if let Some(client) = client {
            one.connection.is_now_known(client);
            calls.push(Connection::busy(&one.connection));
        }
        entered.push(one);
        entered.len() - 1
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_has_a_moment_however_many_come_after_it() {
        let open = Open::new(3);
        let first = open.try_enter().expect("there is room");
        tokio::time::advance(LOOK).await;
        let _others = [open.try_enter(), open.try_enter()];
        tokio::time::advance(GRACE / 2).await;
        // What it asks meanwhile makes it no newer.
        drop(Connection::busy(&first.connection));
        assert!(open.try_enter().is_none() && !is_evicted(&first));
        tokio::time::advance(GRACE / 2).await;
        assert!(open.try_enter().is_some() && is_evicted(&first));
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_takes_more_than_its_share_makes_room_before_anybody_else() {
        let open = Open::new(40);
        let mut entered = Vec::new();
        let mut calls = Vec::new();
        let agent = |number| Client::Caller(Caller::Worker(AttemptId::from_key(number)));
        let coordinator = come(&open, Some(COORDINATOR), &mut entered, &mut calls).await;
        let neighbour = come(&open, Some(agent(2)), &mut entered, &mut calls).await;
        for _ in 0..200 {
            come(&open, Some(agent(1)), &mut entered, &mut calls).await;
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let fresh = come(&open, None, &mut entered, &mut calls).await;
        for _ in 0..5 {
            come(&open, Some(agent(1)), &mut entered, &mut calls).await;
        }
        for (who, at) in [("coordinator", coordinator), ("neighbour", neighbour), ("fresh", fresh)]
        {
            assert!(!is_evicted(&entered[at]), "the connection of the {who} is kept");
        }
        let kept = entered.iter().filter(|one| !is_evicted(one)).count();
        assert_eq!(kept, 40, "no more are open than may be");
    }

    #[tokio::test(start_paused = true)]
    async fn many_agents_together_leave_half_to_the_rest() {
        let open = Open::new(40);
        let (mut entered, mut calls) = (Vec::new(), Vec::new());
        for number in 0..40 {
            let one = open.enter().await;
            let agent = AttemptId::from_key(number % 10);
            one.connection.is_now_known(Client::Caller(Caller::Worker(agent)));
            calls.push(Connection::busy(&one.connection));
            entered.push(one);
        }
        for _ in 0..20 {
            let one = open.enter().await;
            known(&one);
            calls.push(Connection::busy(&one.connection));
            entered.push(one);
        }
        assert_eq!(entered.iter().filter(|one| !is_evicted(one)).count(), 40);
        assert!(entered[40..].iter().all(|one| !is_evicted(one)), "the coordinator's are served");
    }
}
