//! The connections of the HTTP port: bounded in number, and closed when they stay idle.
//!
//! Any client that reaches the port can open connections and send nothing, or send it very slowly. So a connection is
//! known once a request on it has carried a valid token; until then it has little time, and when there are too many
//! connections, [`mod@open`] closes those that are needed least. A coordinator that connects is therefore served,
//! whatever other clients hold open.
//!
//! [`mod@open`]: super::open

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
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

use crate::mcp::http::open::Connection;
use crate::mcp::http::open::Entered;
use crate::mcp::http::open::Open;
use crate::mcp::http::sending::Sending;
use crate::telemetry;

/// The longest head of a request; those of real clients have a few hundred bytes.
const MOST_HEAD_BYTES: usize = 64 << 10;
/// How much is read ahead of a request, and written ahead of its client, for each connection.
const MOST_BUFFERED_BYTES: usize = MOST_HEAD_BYTES;
/// How long to wait before accepting again after it failed for lack of a resource, mostly of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a failure to accept is not logged again: it is tried many times a second.
const SILENCE: Duration = Duration::from_mins(1);

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
    let mut complained: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, from)) => {
                let connection = open.enter().await;
                tasks.spawn(attend(stream, from, connection, router.clone(), shutdown.clone()));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if complained.is_none_or(|at| at.elapsed() >= SILENCE) {
                    complained = Some(Instant::now());
                    tracing::warn!(
                        error = telemetry::chain(&error),
                        "could not accept a connection"
                    );
                }
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
