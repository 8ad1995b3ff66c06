//! The unit launcher: systemd starts the shim when we connect to one of its sockets.
//!
//! `vibe-ensemble-worker.socket` has `Accept=yes`, so each connection becomes the standard input of one instance of
//! `vibe-ensemble-worker@.service`, in a control group of its own, which our restarts do not touch. The same holds for
//! `vibe-ensemble-gate.socket`, whose instances have no network.

use std::io;
use std::path::Path;
use std::time::Duration;

use shim_protocol::frame;
use shim_protocol::frame::Decoded;
use shim_protocol::frame::Decoder;
use shim_protocol::message::Launch;
use shim_protocol::message::LaunchAnswer;
use shim_protocol::message::LaunchOrder;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use super::LaunchError;
use crate::domain::gates::offline;

/// How long systemd may take to start a unit, and its shim to answer.
const START_TIMEOUT: Duration = Duration::from_secs(25);

/// A socket unit that starts shims.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sockets {
    unit: &'static str,
    /// The setting that bounds how many it has to start.
    limit: &'static str,
}

pub(super) const WORKERS: Sockets =
    Sockets { unit: "vibe-ensemble-worker.socket", limit: "max_workers" };
pub(super) const GATES: Sockets = Sockets { unit: offline::SOCKET, limit: "max_gates" };

impl Sockets {
    pub(super) const fn at(self, socket: &Path) -> Listener<'_> {
        Listener { of: self, socket }
    }
}

/// Where such a unit listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listener<'l> {
    of: Sockets,
    socket: &'l Path,
}

pub(super) async fn launch(
    listener: Listener<'_>,
    order: LaunchOrder,
    patience: u32,
) -> Result<(), LaunchError> {
    let bytes = frame::encode(&Launch::Launch(order))?;
    let timeout = START_TIMEOUT * patience;
    let started = tokio::time::timeout(timeout, hand_over(listener, &bytes)).await;
    let (unit, seconds) = (listener.of.unit, timeout.as_secs());
    started.map_err(|_| LaunchError::NoAnswer { unit, seconds })?
}

async fn hand_over(at: Listener<'_>, order: &[u8]) -> Result<(), LaunchError> {
    let (socket, unit) = (at.socket, at.of.unit);
    let connect = |source| LaunchError::Connect { socket: socket.to_owned(), unit, source };
    let closed = |source| closed(at.of, source);
    let mut stream = UnixStream::connect(socket).await.map_err(connect)?;
    // The order holds the worker's token. If the directory's mode was loosened, another user may listen.
    let listener = stream.peer_cred().map_err(connect)?.uid();
    if listener != rustix::process::geteuid().as_raw() && listener != 0 {
        return Err(LaunchError::Stranger { socket: socket.to_owned(), uid: listener });
    }
    stream.write_all(order).await.map_err(closed)?;
    let mut decoder = Decoder::default();
    let mut buffer = [0; 4096];
    loop {
        match decoder.take()? {
            Some(Decoded::Known(LaunchAnswer::LaunchFailed { reason })) => {
                return Err(LaunchError::Refused { reason });
            }
            // Whatever a newer shim answers, it has the order.
            Some(Decoded::Known(LaunchAnswer::Launched { .. }) | Decoded::Unknown { .. }) => {
                return Ok(());
            }
            None => {}
        }
        match stream.read(&mut buffer).await.map_err(closed)? {
            0 => return Err(LaunchError::Silent),
            read => decoder.push(&buffer[..read]),
        }
    }
}

/// A connection that ends with the order unread was closed by systemd, or by a unit that ended before it read the
/// order.
fn closed(of: Sockets, source: io::Error) -> LaunchError {
    let kind = source.kind();
    if matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) {
        LaunchError::Closed { unit: of.unit, limit: of.limit }
    } else {
        LaunchError::Order(source)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    fn order() -> LaunchOrder {
        LaunchOrder {
            worker_id: "W-1".into(),
            token: "t".into(),
            socket: "/s".into(),
            attempts_dir: "/a".into(),
            worker_lock: "/l".into(),
            address_file: None,
            place_id: None,
        }
    }

    /// Launches at a listener that does `serve` with the connection.
    async fn launched<F>(serve: impl FnOnce(UnixStream) -> F) -> Result<(), LaunchError>
    where
        F: Future<Output = ()>,
    {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let served = async {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream).await;
        };
        tokio::join!(launch(WORKERS.at(&path), order(), 1), served).0
    }

    /// Reads the whole order, then says this.
    async fn answered(answer: serde_json::Value) -> Result<(), LaunchError> {
        launched(|mut stream| async move {
            let mut decoder = Decoder::default();
            let mut byte = [0];
            while decoder.take::<Launch>().unwrap().is_none() {
                stream.read_exact(&mut byte).await.unwrap();
                decoder.push(&byte);
            }
            if !answer.is_null() {
                stream.write_all(&frame::encode(&answer).unwrap()).await.unwrap();
            }
        })
        .await
    }

    #[tokio::test]
    async fn success_means_that_a_shim_has_the_order() {
        answered(serde_json::json!({"kind": "launched", "pid": 7, "unit": null})).await.unwrap();
        answered(serde_json::json!({"kind": "launched_in_a_vm", "vm": 3})).await.unwrap();
        let failed = serde_json::json!({"kind": "launch_failed", "reason": "no room"});
        let error = answered(failed).await.unwrap_err();
        assert!(
            matches!(&error, LaunchError::Refused { reason } if reason == "no room"),
            "{error}"
        );
        let error = answered(serde_json::Value::Null).await.unwrap_err();
        assert!(matches!(error, LaunchError::Silent), "{error}");
    }

    #[tokio::test]
    async fn a_connection_that_systemd_closes_at_once_says_what_to_look_at() {
        let error = launched(|stream| async move { drop(stream) }).await.unwrap_err();
        assert!(matches!(error, LaunchError::Closed { .. }), "{error:?}");
        assert!(error.to_string().contains("MaxConnections="), "{error}");
    }

    #[tokio::test]
    async fn a_missing_socket_is_named_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate.sock");
        let error = launch(GATES.at(&path), order(), 1).await.unwrap_err();
        assert!(error.is_unreachable(), "{error:?}");
        for told in ["gate.sock", "vibe-ensemble-gate.socket"] {
            assert!(error.to_string().contains(told), "{told}: {error}");
        }
    }
}
