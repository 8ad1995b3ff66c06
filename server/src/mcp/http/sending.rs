//! The body of an answer on its way to a client, in pieces.
//!
//! Of a body that is handed over whole, nobody sees whether the client reads it. In pieces, the next one is asked for as
//! soon as there is room for it, so a client that has stopped reading is known by its silence.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use axum::body::Body;
use axum::body::Bytes;
use hyper::body::Frame;
use hyper::body::SizeHint;

/// The size of a piece.
const PIECE: usize = 32 << 10;

/// Learns how the answer gets on.
pub(super) trait Watch: Unpin {
    /// A piece of the answer is on its way to the client.
    fn is_sending(&self);
    /// There is room for the next piece.
    fn has_room(&self);
}

/// A body, in pieces. The connection counts as busy until the last one is sent: a waiting call can take an hour.
pub(super) struct Sending<W> {
    body: Body,
    /// The rest of what the body has given.
    rest: Bytes,
    busy: W,
}

impl<W: Watch> Sending<W> {
    pub(super) fn new(body: Body, busy: W) -> Self {
        Self { body, rest: Bytes::new(), busy }
    }
}

impl<W: Watch> hyper::body::Body for Sending<W> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.busy.has_room();
        if self.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended @ (None | Some(Err(_))) => return Poll::Ready(ended),
            }
        }
        let piece = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(piece);
        self.busy.is_sending();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.body.size_hint());
        // The upper bound first: the lower one must never exceed it.
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use hyper::body::Body as _;

    use super::*;

    struct Nobody;

    impl Watch for Nobody {
        fn is_sending(&self) {}

        fn has_room(&self) {}
    }

    #[tokio::test]
    async fn a_body_arrives_whole_in_pieces_and_its_length_is_known_before() {
        let whole: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let mut sending = Sending::new(Body::from(whole.clone()), Nobody);
        assert_eq!(sending.size_hint().exact(), Some(100_000));
        let first = sending.frame().await.expect("a piece").expect("reads");
        let first = first.into_data().expect("data");
        assert_eq!(first.len(), PIECE);
        assert_eq!(sending.size_hint().exact(), Some(100_000 - PIECE as u64));
        assert!(!sending.is_end_stream());
        let rest = sending.collect().await.expect("reads").to_bytes();
        assert_eq!([first, rest].concat(), whole);
        let empty = Sending::new(Body::empty(), Nobody);
        assert!(empty.is_end_stream() && empty.size_hint().exact() == Some(0));
    }
}
