//! The whole body of a request, bounded in size and time.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header;
use http_body_util::BodyExt as _;
use shim_protocol::json;

/// The largest body that is read, in bytes.
pub(crate) const MOST_BYTES: usize = 4 << 20;
/// How much of a body that is too large is read and thrown away. A client that is still writing when the connection
/// closes sees a reset instead of the 413.
const DRAINED_BYTES: usize = 64 << 20;

/// How long a client may take to send a body, of whatever size.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    /// It did not arrive in time.
    Slow,
    /// The client stopped sending before the end.
    Broken,
}

/// Reads a body of at most [`MOST_BYTES`], whether its length was announced or not.
pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Unread> {
    tokio::time::timeout(PATIENCE, whole(headers, body)).await.unwrap_or(Err(Unread::Slow))
}

async fn whole(headers: &HeaderMap, mut body: Body) -> Result<Bytes, Unread> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let mut too_large = announced.is_some_and(|length| length > MOST_BYTES as u64);
    let mut whole = Vec::new();
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        too_large |= seen > MOST_BYTES;
        if !too_large {
            if whole.is_empty() && announced == Some(data.len() as u64) {
                return Ok(data);
            }
            whole.extend_from_slice(&data);
        } else if seen > DRAINED_BYTES {
            break;
        }
    }
    if too_large { Err(Unread::TooLarge) } else { Ok(whole.into()) }
}

/// The body as the SDK can read it. A model may stop in the middle of an emoji, and a client may send numbers out of
/// range: only the broken value is lost, and the call is answered under its own id.
pub(crate) fn repaired(body: Bytes) -> Bytes {
    if std::str::from_utf8(&body).is_ok_and(|text| matches!(json::repair(text), Cow::Borrowed(_))) {
        return body;
    }
    json::repair(&String::from_utf8_lossy(&body)).into_owned().into()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::Context;
    use std::task::Poll;

    use hyper::body::Frame;

    use super::*;

    /// A body of which nothing ever arrives.
    struct Silent;

    impl hyper::body::Body for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_given_up() {
        assert_eq!(read(&HeaderMap::new(), Body::new(Silent)).await, Err(Unread::Slow));
    }

    #[test]
    fn only_the_broken_value_of_a_body_is_lost() {
        let repaired = |body: &'static [u8]| repaired(Bytes::from_static(body));
        assert_eq!(repaired(br#"{"a":"\ud83d"}"#), r#"{"a":"\ufffd"}"#);
        assert_eq!(repaired(b"{\"a\":\"\xff\"}"), "{\"a\":\"\u{fffd}\"}");
        assert_eq!(repaired(b"{\"a\":1e999}"), "{\"a\":1.7976931348623157e308}");
        let whole = Bytes::from_static(br#"{"a":"\ud83d\ude00"}"#);
        assert_eq!(super::repaired(whole.clone()).as_ptr(), whole.as_ptr(), "nothing is copied");
        assert_eq!(repaired(b"no JSON"), "no JSON");
    }

    #[tokio::test]
    async fn a_body_may_have_four_mebibytes_with_and_without_an_announced_length() {
        let none = HeaderMap::new();
        let most = || Body::from(vec![b'x'; MOST_BYTES]);
        let more = || Body::from(vec![b'x'; MOST_BYTES + 1]);
        assert_eq!(read(&none, most()).await.map(|bytes| bytes.len()), Ok(MOST_BYTES));
        assert_eq!(read(&none, more()).await, Err(Unread::TooLarge));
        let announcing = |length: usize| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_LENGTH, length.into());
            headers
        };
        assert_eq!(
            read(&announcing(MOST_BYTES), most()).await.map(|bytes| bytes.len()),
            Ok(MOST_BYTES)
        );
        assert_eq!(read(&announcing(MOST_BYTES + 1), more()).await, Err(Unread::TooLarge));
    }
}
