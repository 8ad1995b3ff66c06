//! The connections of the HTTP port: bounded in number, and closed when they stay idle.
//!
//! Any client that reaches the port can open connections and send nothing, or send it very slowly. So a connection is
//! known once a request on it has carried a valid token; until then it has little time, and when there are too many
//! connections, the oldest unknown one is closed for the newest. A coordinator that connects is therefore served,
//! whatever other clients hold open.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::mcp::http::sending::Sending;
use crate::mcp::http::sending::Watch;
use crate::telemetry;

/// How long a connection may take to show a valid token, and how long it may be silent after an answer to a request
/// without one.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(10);
/// How long a known connection may be silent between two calls. Clients keep connections for the next call, and notice
/// when one is closed.
const KNOWN_PATIENCE: Duration = Duration::from_mins(5);
/// How long a known connection may take to read the next piece of its answer.
const READING_PATIENCE: Duration = Duration::from_secs(30);
/// The longest head of a request; those of real clients have a few hundred bytes.
const MOST_HEAD_BYTES: usize = 64 << 10;
/// How much is read ahead of a request, and written ahead of its client, for each connection.
const MOST_BUFFERED_BYTES: usize = MOST_HEAD_BYTES;
/// How long to wait before accepting again after it failed for lack of a resource, mostly of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections and serves `router` on them until `shutdown`, then returns when the last one has ended.
///
/// At most `most` are open at a time.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    most: usize,
    shutdown: CancellationToken,
) {
    let (open, tasks) = (Open::new(most), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, from)) => {
                let connection = open.enter();
                tasks.spawn(attend(stream, from, connection, router.clone(), shutdown.clone()));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(error = telemetry::chain(&error), "could not accept a connection");
                open.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Whether a client gave up before its connection was accepted, which says nothing about the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Serves one connection to its end.
async fn attend(
    stream: TcpStream,
    from: SocketAddr,
    entered: Entered,
    router: Router,
    shutdown: CancellationToken,
) {
    // An answer is sent in two small writes; without this the second waits for a delayed ACK, 44 ms on each call.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = telemetry::chain(&error), "could not set TCP_NODELAY");
    }
    let local = stream.local_addr().ok();
    let connection = Arc::clone(&entered.connection);
    let service = service_fn(move |request: Request<Incoming>| {
        let busy = Connection::busy(&connection);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(from));
        if let Some(local) = local {
            request.extensions_mut().insert(Local(local));
        }
        request.extensions_mut().insert(Arc::clone(&connection));
        let answer = router.clone().oneshot(request);
        async move {
            let response = answer.await?;
            Ok::<_, Infallible>(response.map(|body| Sending::new(body, busy)))
        }
    });
    let serving = http1::Builder::new()
        .max_header_size(MOST_HEAD_BYTES)
        .max_buf_size(MOST_BUFFERED_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let connection = &entered.connection;
    let mut stopping = false;
    loop {
        let Some(look) = connection.next_look(Instant::now()) else { return };
        tokio::select! {
            ended = &mut serving => {
                if let Err(error) = ended {
                    tracing::trace!(error = telemetry::chain(&error), "a connection broke");
                }
                return;
            }
            () = connection.evicted.cancelled() => return,
            () = tokio::time::sleep_until(look) => {}
            () = shutdown.cancelled(), if !stopping => {
                // An unknown connection is owed no answer, and would delay the end of the server.
                if !connection.is_known() {
                    return;
                }
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The local address of a connection. Travels with its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local(pub(crate) SocketAddr);

/// The connections that are open. Clones share them.
#[derive(Clone)]
struct Open {
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
    fn new(most: usize) -> Self {
        Self { most, numbered: Arc::default() }
    }

    /// Registers a new connection; if there are too many, another one is closed.
    fn enter(&self) -> Entered {
        let connection = Arc::new(Connection::new(Instant::now()));
        let mut open = self.lock();
        if open.connections.len() >= self.most {
            open.evict_one();
        }
        open.last += 1;
        let number = open.last;
        open.connections.insert(number, Arc::clone(&connection));
        drop(open);
        Entered { number, connection, open: self.clone() }
    }

    fn make_room(&self) {
        self.lock().evict_one();
    }

    fn lock(&self) -> MutexGuard<'_, Numbered> {
        self.numbered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbered {
    /// Closes the connection that is needed least; never one that serves a call of a known client.
    fn evict_one(&self) {
        let open = self.connections.values();
        let spare = open.filter(|connection| !connection.evicted.is_cancelled());
        let ranked = spare.filter_map(|connection| Some((connection.rank()?, connection)));
        if let Some((_, least)) = ranked.min_by_key(|(rank, _)| *rank) {
            least.evicted.cancel();
        } else {
            let open = self.connections.len();
            tracing::warn!(
                open,
                "every connection is serving a call, so none can be closed for a new one"
            );
        }
    }
}

/// A connection's entry among the open ones, removed when it is dropped.
struct Entered {
    number: u64,
    connection: Arc<Connection>,
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
    evicted: CancellationToken,
}

#[derive(Clone, Copy, Debug)]
struct Standing {
    /// A request on it has carried a valid token.
    known: bool,
    /// Requests that are not answered yet.
    calls: usize,
    /// When it was opened, or when its last answer ended.
    since: Instant,
    /// Since when a piece of an answer has been waiting for its client to make room for the next one.
    unread: Option<Instant>,
}

impl Connection {
    fn new(now: Instant) -> Self {
        let standing = Standing { known: false, calls: 0, since: now, unread: None };
        Self { standing: Mutex::new(standing), evicted: CancellationToken::new() }
    }

    /// A request on it has carried a valid token.
    pub(crate) fn is_now_known(&self) {
        self.lock().known = true;
    }

    fn is_known(&self) -> bool {
        self.lock().known
    }

    /// Counts a request until the guard is dropped.
    fn busy(connection: &Arc<Self>) -> Busy {
        connection.lock().calls += 1;
        Busy(Arc::clone(connection))
    }

    /// When to check it again; `None` when its time is up.
    fn next_look(&self, now: Instant) -> Option<Instant> {
        let standing = *self.lock();
        let patience = if standing.known { KNOWN_PATIENCE } else { UNKNOWN_PATIENCE };
        if standing.known && standing.calls > 0 {
            let end = standing.unread.unwrap_or(now) + READING_PATIENCE;
            return (end > now).then_some(end);
        }
        let end = standing.since + patience;
        (end > now).then_some(end)
    }

    /// How much it is needed, the least needed first; `None` when it must not be closed.
    fn rank(&self) -> Option<(bool, Instant)> {
        let standing = *self.lock();
        let needed = standing.known && standing.calls > 0;
        (!needed).then_some((standing.known, standing.since))
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
#[derive(Debug)]
struct Busy(Arc<Connection>);

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

    fn known(entered: &Entered) {
        entered.connection.is_now_known();
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
        connection.is_now_known();
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
        connection.is_now_known();
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
            entered.push(open.enter());
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let [works, idle, first, second] = entered.as_slice() else { panic!("four") };
        known(works);
        let _busy = Connection::busy(&works.connection);
        known(idle);
        let evicted = || [works, idle, first, second].map(is_evicted);

        let fifth = open.enter();
        assert_eq!(evicted(), [false, false, true, false]);
        let sixth = open.enter();
        assert_eq!(evicted(), [false, false, true, true]);
        known(&fifth);
        known(&sixth);
        let _both = [Connection::busy(&fifth.connection), Connection::busy(&sixth.connection)];
        open.make_room();
        assert_eq!(evicted(), [false, true, true, true], "one that is known and idle");
        open.make_room();
        assert!(!is_evicted(works) && !is_evicted(&fifth) && !is_evicted(&sixth));
    }
}
