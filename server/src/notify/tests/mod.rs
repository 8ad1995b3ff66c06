//! Deliveries to receivers on this machine. The authority in `ca.pem`, whose key nobody has, signed `localhost.pem`; both are good
//! for a hundred years.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::deliver::deliver;
use super::message;
use super::message::Outgoing;
use super::signature;
use crate::domain::notify::Failed;
use crate::domain::notify::Notifier;
use crate::domain::notify::Target;
use crate::domain::notify::Webhook;
use crate::domain::text::Name;
use crate::domain::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_795_305_600_007);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/notify/tests").join(name)
}

/// A secret in a file of its own.
fn secret() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("secret");
    fs::write(&path, SECRET).expect("writes");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("sets");
    (dir, path)
}

async fn send(url: String, ca_file: Option<PathBuf>) -> Result<(), Failed> {
    let (_dir, secret_file) = secret();
    let notifier = Notifier {
        name: Name::from_row("phone".into()),
        events: Notifier::usual_events(),
        projects: None,
        target: Target::Webhook(Webhook { url, secret_file, ca_file }),
        quiet_hours: None,
        timeout: Duration::from_secs(5),
        max_tries: 3,
    };
    let outgoing = Outgoing { id: "msg_7".into(), body: message::test(&notifier.name, NOW) };
    deliver(&notifier, &outgoing, NOW).await
}

/// Reads one request, answers it, and returns what was read.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) -> String {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).await.expect("reads");
        read.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
        if length == 0 || body.is_some_and(|body| body.ends_with('}')) {
            break;
        }
    }
    stream.write_all(answer.as_bytes()).await.expect("writes");
    // The client may have closed it.
    stream.shutdown().await.unwrap_or_default();
    String::from_utf8(read).expect("text")
}

/// A receiver of one request.
async fn receiver(answer: &'static str) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepts");
        exchange(stream, answer).await
    });
    (port, task)
}

fn header<'r>(request: &'r str, name: &str) -> &'r str {
    let line = request.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
    line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim()).expect(name)
}

#[tokio::test]
async fn a_webhook_is_signed_as_standard_webhooks_are() {
    let (port, received) = receiver("HTTP/1.1 204 No Content\r\n\r\n").await;
    send(format!("http://127.0.0.1:{port}/hook?a=b"), None).await.expect("it arrived");
    let request = received.await.expect("it was received");
    assert!(request.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{request}");
    assert_eq!(header(&request, "host"), format!("127.0.0.1:{port}"));
    assert_eq!(header(&request, "content-type"), "application/json");
    assert_eq!(header(&request, "webhook-id"), "msg_7");
    assert_eq!(header(&request, "webhook-timestamp"), "1795305600");
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    let key = signature::key(SECRET.as_bytes()).expect("a key");
    let signed = signature::sign(&key, "msg_7", 1_795_305_600, body);
    assert_eq!(header(&request, "webhook-signature"), signed);
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["events"][0]["kind"], "test");
    assert_eq!(body["events"][0].get("processed"), None);
}

#[tokio::test]
async fn an_answer_other_than_success_is_a_failure_that_says_why() {
    let answers = async |answer: &'static str| {
        let (port, received) = receiver(answer).await;
        let sent = send(format!("http://127.0.0.1:{port}/"), None).await;
        received.await.expect("it was received");
        sent.expect_err("it failed")
    };
    let busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 17\r\nContent-Length: 16\r\n\r\ncome\x1b[2J\nback late";
    let busy = answers(busy).await;
    assert_eq!(busy.retry_after, Some(Duration::from_secs(17)));
    assert!(busy.why.contains("503 Service Unavailable: come"), "{}", busy.why);
    assert!(!busy.why.contains('\u{1b}') && !busy.is_final, "{}", busy.why);
    assert!(answers("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n").await.is_final);
    let elsewhere =
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    assert!(answers(elsewhere).await.why.contains("redirects are not followed"));
    assert!(answers("nonsense\r\n\r\n").await.why.contains("no answer"));
    assert!(answers("").await.why.contains("no answer"));
}

#[tokio::test]
async fn a_receiver_that_is_silent_or_not_there_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let silent = send(format!("http://127.0.0.1:{port}/"), None).await.expect_err("late");
    assert!(silent.why.contains("longer than 5 s"), "{}", silent.why);
    drop(listener);
    let gone = send(format!("http://127.0.0.1:{port}/"), None).await.expect_err("gone");
    assert!(gone.why.contains("could not connect"), "{}", gone.why);
}

/// A receiver of one request over TLS; what came is absent when the client went away.
async fn secured(answer: &'static str) -> (u16, JoinHandle<Option<String>>) {
    let chain = CertificateDer::pem_file_iter(fixture("localhost.pem")).expect("a file");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(fixture("localhost-key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepts");
        let stream = acceptor.accept(stream).await.ok()?;
        Some(exchange(stream, answer).await)
    });
    (port, task)
}

#[tokio::test]
async fn https_trusts_the_given_authority_and_the_names_it_signed() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (port, received) = secured(answer).await;
    send(format!("https://localhost:{port}/hook"), Some(fixture("ca.pem"))).await.expect("arrived");
    assert!(received.await.expect("ran").expect("received").starts_with("POST /hook "));
    let (port, received) = secured(answer).await;
    send(format!("https://127.0.0.1:{port}/"), Some(fixture("ca.pem"))).await.expect("arrived");
    assert!(received.await.expect("ran").is_some());

    let (port, received) = secured(answer).await;
    let unknown = send(format!("https://localhost:{port}/"), Some(fixture("localhost.pem"))).await;
    let why = unknown.expect_err("it signed nothing").why;
    assert!(why.contains("TLS with localhost"), "{why}");
    assert_eq!(received.await.expect("ran"), None, "nothing was sent to a stranger");
}

#[tokio::test]
async fn https_trusts_nobody_else() {
    let (port, received) = secured("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    send(format!("https://localhost:{port}/"), None).await.expect_err("an unknown authority");
    received.abort();
    let (port, received) = secured("").await;
    let missing =
        send(format!("https://localhost:{port}/"), Some("/nonexistent/ca.pem".into())).await;
    let why = missing.expect_err("no file").why;
    assert!(why.contains("/nonexistent/ca.pem"), "{why}");
    received.abort();
}
