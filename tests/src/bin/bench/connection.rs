//! A raw HTTP/1.1 client: one kept connection and hardly any copies, so that the client does not
//! use up the machine whose server it measures.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;
use e2e::bed::Bed;
use e2e::client::PROTOCOL;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// The bytes of a POST.
pub(crate) fn request(path: &str, headers: &[(&str, &str)], body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let mut text = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").expect("writing to a String cannot fail");
    }
    text.push_str("\r\n");
    text.push_str(&body);
    text.into_bytes()
}

/// The bytes of a tool call, as Claude Code would send it.
pub(crate) fn tool_call(bed: &Bed, tool: &str, arguments: &Value) -> Vec<u8> {
    let params = json!({"name": tool, "arguments": arguments});
    let body = bed.client.stateless_body("tools/call", params);
    let bearer = format!("Bearer {}", bed.server.token());
    let headers = [
        ("Accept", "application/json, text/event-stream"),
        ("Authorization", &bearer),
        ("MCP-Protocol-Version", PROTOCOL),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", tool),
    ];
    request("/mcp", &headers, &body)
}

/// One kept connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes of the answer being read; empty between two answers.
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("could not connect")?;
        stream.set_nodelay(true).context("could not set TCP_NODELAY")?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 << 10) })
    }

    /// Sends a request and reads the answer to its end. An answer other than success is an error: a
    /// benchmark of refusals would look good.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await.context("could not send")?;
        self.buffer.clear();
        let head_end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more().await?;
        };
        let head = Head::parse(&self.buffer[..head_end])?;
        match head.length {
            Some(length) => {
                while self.buffer.len() < head_end + length {
                    self.read_more().await?;
                }
            }
            // No chunk of an event stream ends like this by accident: its data is JSON.
            None => {
                while !self.buffer.ends_with(b"\r\n0\r\n\r\n") {
                    self.read_more().await?;
                }
            }
        }
        let body = &self.buffer[head_end..];
        let good = head.status == 200 && find(body, b"\"isError\":true").is_none();
        ensure!(good, "answered {}: {}", head.status, String::from_utf8_lossy(body));
        Ok(())
    }

    async fn read_more(&mut self) -> anyhow::Result<()> {
        let count = self.stream.read_buf(&mut self.buffer).await.context("could not read")?;
        ensure!(count > 0, "the server closed the connection");
        Ok(())
    }
}

struct Head {
    status: u16,
    /// `None` means chunked.
    length: Option<usize>,
}

impl Head {
    fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(bytes).context("the head of the answer is no text")?;
        let mut lines = text.lines();
        let status_line = lines.next().unwrap_or_default();
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let Some(status) = status else { bail!("no status in {status_line:?}") };
        let mut length = None;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse().context("content-length is no number")?);
            }
        }
        Ok(Self { status, length })
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
