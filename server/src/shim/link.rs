//! One connection to one shim: whole messages in, whole messages out.

use std::time::Duration;

use shim_protocol::frame;
use shim_protocol::frame::Decoded;
use shim_protocol::frame::Decoder;
use shim_protocol::frame::FrameError;
use shim_protocol::message::ToServer;
use shim_protocol::message::ToShim;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::net::unix::OwnedWriteHalf;

/// A shim reads all the time; one that does not take a message for this long is stopped or gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the link broke")]
    Broken(#[source] std::io::Error),
    #[error("the shim says something this server cannot read")]
    Frame(#[from] FrameError),
    #[error("the shim takes no messages")]
    Stuck,
}

/// The reading half. Cancelling [`Receiver::receive`] loses nothing: bytes stay in the decoder.
#[derive(Debug)]
pub struct Receiver {
    stream: OwnedReadHalf,
    decoder: Decoder,
}

/// The writing half.
#[derive(Debug)]
pub struct Sender {
    stream: OwnedWriteHalf,
}

/// Takes a connection apart into its two directions.
#[must_use]
pub fn split(stream: UnixStream) -> (Receiver, Sender) {
    let (read, write) = stream.into_split();
    (Receiver { stream: read, decoder: Decoder::default() }, Sender { stream: write })
}

impl Receiver {
    /// The next message, or `None` when the shim closed the link.
    pub async fn receive(&mut self) -> Result<Option<Decoded<ToServer>>, LinkError> {
        // Small: it lives in the future of every session, and a grant only ever goes the other way.
        let mut buffer = [0; 4 << 10];
        loop {
            if let Some(message) = self.decoder.take()? {
                return Ok(Some(message));
            }
            match self.stream.read(&mut buffer).await.map_err(LinkError::Broken)? {
                0 => return Ok(None),
                read => self.decoder.push(&buffer[..read]),
            }
        }
    }
}

impl Sender {
    /// Writes one whole message.
    pub async fn send(&mut self, message: &ToShim) -> Result<(), LinkError> {
        let bytes = frame::encode(message)?;
        let written = tokio::time::timeout(SEND_TIMEOUT, self.stream.write_all(&bytes)).await;
        written.map_err(|_| LinkError::Stuck)?.map_err(LinkError::Broken)
    }
}
