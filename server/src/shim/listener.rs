//! The socket that shims dial.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use tokio::net::UnixListener;
use tokio::net::UnixStream;

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("could not remove the socket {path} that an earlier server left")]
    Stale { path: PathBuf, source: io::Error },
    #[error("could not listen on {path}")]
    Bind { path: PathBuf, source: io::Error },
}

/// Binds the socket, for this user alone.
///
/// The caller holds the instance lock, so a file that is there belongs to no living server.
pub fn bind(path: &Path) -> Result<UnixListener, ListenError> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(ListenError::Stale { path: path.to_owned(), source }),
    }
    let failed = |source| ListenError::Bind { path: path.to_owned(), source };
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Accepts the next shim of our own user. The directory's mode keeps others out already; this holds also when somebody
/// loosened it.
pub async fn accept(listener: &UnixListener) -> UnixStream {
    let own = rustix::process::geteuid().as_raw();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match stream.peer_cred() {
                Ok(peer) if peer.uid() == own => return stream,
                Ok(peer) => {
                    tracing::warn!(uid = peer.uid(), "another user dialled the shim socket");
                }
                Err(error) => {
                    tracing::warn!(%error, "a peer of the shim socket has no credentials");
                }
            },
            Err(error) => {
                // Out of descriptors or memory: trying again at once would only burn the processor.
                tracing::error!(%error, "accepting a shim failed");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}
