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
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

/// A frame up to this size needs no reservation: there are only as many as there are links.
const SMALL: usize = 64 << 10;
/// A larger frame must arrive completely within this time, because others wait for its room.
const LARGE_PATIENCE: Duration = Duration::from_secs(30);
/// The room, in KiB, that the larger frames of all links share. One link may need all of it.
static ROOM: Semaphore = Semaphore::const_new(frame::MAX_BODY >> 10);

/// A shim reads all the time; one that does not take a message for this long is suspended or gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the link broke")]
    Broken(#[source] std::io::Error),
    #[error("the shim sent something that this server cannot read")]
    Frame(#[from] FrameError),
    #[error("the shim takes no messages")]
    Stuck,
    #[error("the shim began a message and did not finish it")]
    Unfinished,
}

/// The reading half. Cancelling [`Receiver::receive`] loses nothing: bytes stay in the decoder.
#[derive(Debug)]
pub struct Receiver {
    stream: OwnedReadHalf,
    decoder: Decoder,
    /// The room of the current frame, and until when the frame may have it.
    room: Option<(SemaphorePermit<'static>, Instant)>,
    /// The room of the previous frame. The receiver has processed that frame when it asks for the next one.
    taken: Option<SemaphorePermit<'static>>,
}

/// The writing half.
#[derive(Debug)]
pub struct Sender {
    stream: OwnedWriteHalf,
}

/// Splits a connection into its two directions.
#[must_use]
pub fn split(stream: UnixStream) -> (Receiver, Sender) {
    let (read, write) = stream.into_split();
    let decoder = Decoder::with_most(frame::MAX_HELLO);
    let receiver = Receiver { stream: read, decoder, room: None, taken: None };
    (receiver, Sender { stream: write })
}

impl Receiver {
    /// Accepts messages longer than a hello from now on: the sender is known.
    pub fn admitted(&mut self) {
        self.decoder.allow(frame::MAX_BODY);
    }

    /// The next message; `None` if the shim closed the link.
    pub async fn receive(&mut self) -> Result<Option<Decoded<ToServer>>, LinkError> {
        // Small: it is part of the future of every session, and grants only go the other way.
        let mut buffer = [0; 4 << 10];
        self.taken = None;
        loop {
            if let Some(message) = self.decoder.take()? {
                self.taken = self.room.take().map(|(room, _)| room);
                return Ok(Some(message));
            }
            self.find_room().await?;
            let read = self.stream.read(&mut buffer);
            let read = match &self.room {
                None => read.await,
                Some((_, until)) => {
                    let read = tokio::time::timeout_at(*until, read).await;
                    read.map_err(|_| LinkError::Unfinished)?
                }
            };
            match read.map_err(LinkError::Broken)? {
                0 => return Ok(None),
                read => self.decoder.push(&buffer[..read]),
            }
        }
    }

    /// Waits until there is room for the current frame, if it is a large one.
    async fn find_room(&mut self) -> Result<(), LinkError> {
        let announced = self.decoder.announced().filter(|bytes| *bytes > SMALL);
        let Some(announced) = announced.filter(|_| self.room.is_none()) else { return Ok(()) };
        let kibibytes = u32::try_from(announced.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        // The semaphore is never closed, and no frame is larger than all of it.
        let room = ROOM.acquire_many(kibibytes).await.map_err(|_| LinkError::Stuck)?;
        self.room = Some((room, Instant::now() + LARGE_PATIENCE));
        Ok(())
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
