//! Listeners that systemd passes: it holds them while the server is replaced, so that no client that dials meanwhile is
//! refused.

use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use listenfd::ListenFd;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::AcceptConn;

use crate::config;
use crate::config::Config;
use crate::config::Environment;
use crate::serve::port;
use crate::shim::listener::Listener;

/// The listeners that were passed. The server binds the others itself.
#[derive(Debug, Default)]
pub(super) struct Passed {
    http: Option<TcpListener>,
    shims: Option<UnixListener>,
}

/// Both listeners, and who they belong to.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) http: tokio::net::TcpListener,
    pub(super) bound: SocketAddr,
    /// Whether the HTTP listener outlives this process.
    pub(super) http_is_passed: bool,
    pub(super) shims: Listener,
    /// Where shims dial.
    pub(super) socket: PathBuf,
}

/// Takes over what was passed, told apart by address family. Changes the environment, so no thread may run yet.
pub(super) fn take(environment: &Environment) -> anyhow::Result<Passed> {
    let mut passed = Passed::default();
    // Passed to the process that started this one, and not to this one.
    if environment.get("LISTEN_PID") != Some(&std::process::id().to_string()) {
        return Ok(passed);
    }
    let mut descriptors = ListenFd::from_env();
    for index in 0..descriptors.len() {
        let number = index + 3;
        if let Ok(Some(tcp)) = descriptors.take_tcp_listener(index) {
            ensure_listening(&tcp, number)?;
            ensure!(
                passed.http.replace(tcp).is_none(),
                "systemd passed two TCP sockets, but the server serves one; keep one ListenStream= with a port in \
                 vibe-ensemble.socket"
            );
        } else if let Ok(Some(unix)) = descriptors.take_unix_listener(index) {
            ensure_listening(&unix, number)?;
            ensure!(
                passed.shims.replace(unix).is_none(),
                "systemd passed two Unix sockets, but the server needs one; keep one ListenStream= with a path in \
                 vibe-ensemble.socket (worker.sock belongs in vibe-ensemble-worker.socket)"
            );
        } else {
            bail!(
                "descriptor {number}, passed by systemd, is neither a TCP nor a Unix stream socket; use only \
                 ListenStream= in vibe-ensemble.socket"
            );
        }
    }
    Ok(passed)
}

fn ensure_listening(socket: &impl AsFd, number: usize) -> anyhow::Result<()> {
    let listening = getsockopt(socket, AcceptConn);
    let listening = listening.with_context(|| format!("descriptor {number} is not a socket"))?;
    ensure!(
        listening,
        "descriptor {number}, passed by systemd, is not listening; set Accept=no in vibe-ensemble.socket"
    );
    Ok(())
}

impl Passed {
    /// Adds the configured listeners to those that were passed. A passed listener takes precedence, which is logged.
    /// `before`: where the server before this one listened.
    pub(super) async fn or_bind(
        self,
        config: &Config,
        socket: &Path,
        before: Option<SocketAddr>,
    ) -> anyhow::Result<Listeners> {
        let (shims, socket) = match self.shims {
            Some(passed) => {
                let address = passed.local_addr().context("the socket for shims has no address")?;
                let at = address.as_pathname().context(
                    "the Unix socket that systemd passed has no path; give it one in vibe-ensemble.socket",
                )?;
                if at != socket {
                    tracing::warn!(
                        passed = %at.display(), usual = %socket.display(),
                        "workers connect to the socket that systemd passed, not to the usual one"
                    );
                }
                (
                    Listener::of_passed(passed).context("the socket for shims cannot be used")?,
                    at.to_owned(),
                )
            }
            None => (Listener::bind(socket)?, socket.to_owned()),
        };
        let http_is_passed = self.http.is_some();
        let http = match self.http {
            Some(passed) => {
                let usable = passed.set_nonblocking(true);
                usable
                    .and_then(|()| tokio::net::TcpListener::from_std(passed))
                    .context("the HTTP listener cannot be used")?
            }
            None => listen(config.listen, before).await?,
        };
        let bound = http.local_addr().context("the HTTP listener has no address")?;
        if http_is_passed {
            check_passed(config, bound)?;
        }
        Ok(Listeners { http, bound, http_is_passed, shims, socket })
    }
}

/// Listens where the configuration says. If it may choose the port, it takes that of the server before it: running
/// agents know that port, and would lose the tools of this server.
async fn listen(
    address: SocketAddr,
    before: Option<SocketAddr>,
) -> anyhow::Result<tokio::net::TcpListener> {
    let same = before.filter(|before| address.port() == 0 && before.ip() == address.ip());
    if let Some(same) = same {
        match tokio::net::TcpListener::bind(same).await {
            Ok(listener) => return Ok(listener),
            Err(error) => tracing::warn!(
                %error, %same, "the previous port is in use by another program; agents that are running now lose the tools of this server"
            ),
        }
    }
    tokio::net::TcpListener::bind(address).await.map_err(|source| {
        if source.kind() != std::io::ErrorKind::AddrInUse {
            return anyhow::Error::from(source).context(format!("could not listen on {address}"));
        }
        PortTaken { address, holder: port::holder(address) }.into()
    })
}

/// Another program listens where this server was to.
#[derive(Debug, thiserror::Error)]
#[error(
    "{address} is in use by {}. Stop that program, or let this server listen elsewhere with --listen, such as --listen \
     127.0.0.1:{}",
    .holder.as_deref().unwrap_or("another program, which `ss -ltnp` names to root"),
    .address.port().checked_add(1).unwrap_or(3276)
)]
pub struct PortTaken {
    address: SocketAddr,
    holder: Option<String>,
}

fn check_passed(config: &Config, bound: SocketAddr) -> anyhow::Result<()> {
    ensure!(
        config.auth != config::Auth::None || bound.ip().is_loopback(),
        "auth \"none\" would let anyone who reaches {bound}, the address in vibe-ensemble.socket, run commands here; use auth \
         \"token\", or a loopback address there"
    );
    let named = config
        .effective
        .iter()
        .any(|one| one.name == "listen" && !matches!(one.source, config::Source::Default));
    if named && config.listen != bound {
        tracing::warn!(
            listen = %config.listen, %bound,
            "systemd passed the HTTP listener, so the option listen is ignored; change ListenStream= in vibe-ensemble.socket instead"
        );
    }
    Ok(())
}
