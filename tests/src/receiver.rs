//! A receiver of webhooks and of whatever else is posted, which fails as a test wants it to.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One request, and how it was answered.
#[derive(Clone, Debug)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: String,
    pub status: u16,
}

impl Received {
    /// A header, empty if absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The numbers of the events in the body.
    #[must_use]
    pub fn events(&self) -> Vec<i64> {
        let body: Value = serde_json::from_str(&self.body).expect("the body is JSON");
        let events = body["events"].as_array().expect("a body is a list of events");
        events.iter().map(|event| event["seq"].as_i64().expect("an event has a number")).collect()
    }
}

type Answer = dyn Fn(usize) -> u16 + Send + Sync;

#[derive(Clone)]
struct Seen {
    requests: Arc<Mutex<Vec<Received>>>,
    answer: Arc<Answer>,
}

/// Dropping it closes its port.
pub struct Receiver {
    pub url: String,
    seen: Seen,
    serving: JoinHandle<()>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    /// A receiver whose `answer` is the status of each request, by its number from 0 on.
    pub async fn start(answer: impl Fn(usize) -> u16 + Send + Sync + 'static) -> Self {
        let seen = Seen { requests: Arc::default(), answer: Arc::new(answer) };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}/hook", listener.local_addr().expect("it is bound"));
        let router = Router::new().fallback(receive).with_state(seen.clone());
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves until it is dropped");
        });
        Self { url, seen, serving }
    }

    /// Everything that came, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.seen.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was answered with success.
    #[must_use]
    pub fn accepted(&self) -> Vec<Received> {
        let mut all = self.requests();
        all.retain(|received| (200..300).contains(&received.status));
        all
    }
}

async fn receive(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut requests = seen.requests.lock().unwrap_or_else(PoisonError::into_inner);
    let status = (seen.answer)(requests.len());
    let body = String::from_utf8_lossy(&body).into_owned();
    requests.push(Received { headers, body, status });
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
