//! A webhook: one POST per try, over a connection of its own. No redirect is followed and no proxy is used: a message goes to the
//! address that the operator wrote, or nowhere.

use std::time::Duration;

use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::Limited;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::Uri;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::header;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::message::Outgoing;
use super::signature;
use super::tls;
use crate::domain::notify::Failed;
use crate::domain::notify::Webhook;
use crate::domain::text;
use crate::domain::time::Timestamp;
use crate::state::owned::Owners;
use crate::state::secret;
use crate::telemetry::chain;

/// How much of an answer is read: the beginning of it may say what is wrong.
const ANSWER: usize = 4096;

/// The key in the secret's file.
pub(super) fn key(webhook: &Webhook, owners: Owners) -> Result<Vec<u8>, String> {
    let file = &webhook.secret_file;
    let content = secret::read(file, owners)?;
    signature::key(&content)
        .map_err(|why| format!("the secret in {} is not usable: {why}", file.display()))
}

/// Sends the message.
pub(super) async fn post(
    webhook: &Webhook,
    message: &Outgoing,
    now: Timestamp,
) -> Result<(), Failed> {
    let key = key(webhook, Owners::of_server()).map_err(Failed::new)?;
    let timestamp = now.millis().div_euclid(1000);
    let signature = signature::sign(&key, &message.id, timestamp, &message.body);
    let address =
        Address::of(&webhook.url).ok_or_else(|| Failed::new("the url is not an address"))?;
    let request = Request::post(address.path.as_str())
        .header(header::HOST, address.authority.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("vibe-ensemble/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", &message.id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature)
        .body(Full::new(Bytes::from(message.body.clone())))
        .map_err(|error| Failed::new(format!("the request could not be made: {error}")))?;
    let connected = TcpStream::connect((address.host.as_str(), address.port)).await;
    let stream = connected.map_err(|error| {
        Failed::new(format!("could not connect to {}: {error}", address.authority))
    })?;
    let response = if address.is_https {
        let name = ServerName::try_from(address.host.clone()).map_err(|_| {
            Failed::new("the host of the url is not a name that a certificate can have")
        })?;
        let file = webhook.ca_file.clone();
        // The authorities are files.
        let made = tokio::task::spawn_blocking(move || tls::connector(file.as_deref())).await;
        let connector =
            made.map_err(|error| Failed::new(error.to_string()))?.map_err(Failed::new)?;
        let secured = connector.connect(name, stream).await;
        let secured = secured
            .map_err(|error| Failed::new(format!("TLS with {}: {error}", address.authority)))?;
        exchange(secured, request).await?
    } else {
        exchange(stream, request).await?
    };
    judge(response).await
}

/// Sends a request over an open connection.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Failed> {
    let failed = |error: hyper::Error| Failed::new(format!("no answer: {}", chain(&error)));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // It ends with the sender, or with the answer.
    let driving = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(failed);
    if answer.is_err() {
        driving.abort();
    }
    answer
}

async fn judge(response: Response<Incoming>) -> Result<(), Failed> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let read = Limited::new(response.into_body(), ANSWER).collect().await;
    let said = read.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    let said = text::shown(&said.unwrap_or_default());
    let code = status.as_u16();
    let mut why = format!("it answered {code}");
    if let Some(reason) = status.canonical_reason() {
        why.extend([" ", reason]);
    }
    if status.is_redirection() {
        why.push_str("; redirects are not followed");
    }
    if !said.trim().is_empty() {
        why.extend([": ", said.trim()]);
    }
    Err(Failed {
        why,
        retry_after: retry_after.map(Duration::from_secs),
        is_final: status == StatusCode::GONE,
    })
}

/// The parts of an address.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    is_https: bool,
    /// As a `Host` header has it.
    authority: String,
    /// As a resolver takes it.
    host: String,
    port: u16,
    path: String,
}

impl Address {
    fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let is_https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some(Self {
            is_https,
            authority: authority.to_string(),
            host: bare.to_owned(),
            port: authority.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let parts = |url: &str| {
            let found = Address::of(url).expect(url);
            (found.is_https, found.authority, found.host, found.port, found.path)
        };
        assert_eq!(
            parts("https://hooks.example/a/b?c=d"),
            (true, "hooks.example".into(), "hooks.example".into(), 443, "/a/b?c=d".into())
        );
        assert_eq!(
            parts("http://[::1]:8080"),
            (false, "[::1]:8080".into(), "::1".into(), 8080, "/".into())
        );
        for bad in ["ftp://hooks.example", "hooks.example", "", "http://"] {
            assert_eq!(Address::of(bad), None, "{bad}");
        }
    }
}
