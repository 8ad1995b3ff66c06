//! Reads what git prints, up to a bound.
//!
//! Git lists files that agents made, and passes on whatever a filter prints. Kept whole, a million
//! long names or one endless error message would use up the server's memory, and harm every ticket.

use std::io;
use std::process::Output;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

/// No step can use a longer list.
pub(super) const MOST_BYTES: usize = 64 << 20;
/// The end of an error message says why git gave up.
const MOST_SAID_BYTES: usize = 64 << 10;
const AT_ONCE: usize = 64 << 10;

/// Waits until a child has exited and no process has its output open. Returns `None`, at once, for
/// a child that prints too much.
pub(super) async fn read(mut child: Child) -> io::Result<Option<Output>> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let out = async {
        match whole(out).await {
            Ok(Some(out)) => Ok(out),
            Ok(None) => Err(None),
            Err(error) => Err(Some(error)),
        }
    };
    let err = async { end(err).await.map_err(Some) };
    let status = async { child.wait().await.map_err(Some) };
    match tokio::try_join!(status, out, err) {
        Ok((status, stdout, stderr)) => Ok(Some(Output { status, stdout, stderr })),
        Err(None) => Ok(None),
        Err(Some(error)) => Err(error),
    }
}

/// The whole output, or `None` if that is too much.
async fn whole(from: Option<impl AsyncRead + Unpin>) -> io::Result<Option<Vec<u8>>> {
    let mut read = Vec::new();
    let Some(from) = from else { return Ok(Some(read)) };
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    from.take(most + 1).read_to_end(&mut read).await?;
    Ok((read.len() <= MOST_BYTES).then_some(read))
}

/// The end of the output, however long it is.
async fn end(from: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return Ok(kept) };
    let mut some = vec![0; AT_ONCE];
    loop {
        match from.read(&mut some).await? {
            0 => return Ok(kept),
            count => kept.extend_from_slice(&some[..count]),
        }
        if let Some(beyond) = kept.len().checked_sub(MOST_SAID_BYTES) {
            kept.drain(..beyond);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::process::Command;

    use super::*;

    async fn printed(script: &str) -> Option<Output> {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
        read(command.kill_on_drop(true).spawn().unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_list_beyond_its_bound_is_dropped_and_the_end_of_an_error_message_is_kept() {
        let usual = printed("echo out; echo err >&2; exit 3").await.unwrap();
        assert_eq!(
            (usual.stdout.as_slice(), usual.stderr.as_slice()),
            (&b"out\n"[..], &b"err\n"[..])
        );
        assert_eq!(usual.status.code(), Some(3));
        assert!(printed("yes").await.is_none(), "it never ends");
        let long = printed("yes | head -c 10000000 >&2; echo fatal >&2").await.unwrap();
        assert_eq!(long.stderr.len(), MOST_SAID_BYTES);
        assert!(long.stderr.ends_with(b"fatal\n"));
    }
}
