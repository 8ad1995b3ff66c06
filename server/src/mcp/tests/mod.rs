//! The whole module over a real database, spoken to as clients speak to it.

mod calls;
mod http;
mod protocol;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::header;
use axum::http::request::Builder;
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde_json::Value;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::clock::Clock;
use crate::domain::pipeline::Policy;
use crate::domain::time::Timestamp;
use crate::fence::Fence;
use crate::mcp::Access;
use crate::mcp::Auth;
use crate::mcp::BrowserPages;
use crate::mcp::Key;
use crate::mcp::Limits;
use crate::mcp::Service;
use crate::mcp::router;
use crate::store::Rules;
use crate::store::Store;

const TOKEN: &str = "s3cret";

/// Makes the tokens of attempts.
fn fence() -> Fence {
    Fence::new("key", "server")
}

struct Fixture {
    service: Service,
    router: Router,
    shutdown: CancellationToken,
    dir: tempfile::TempDir,
    _key: watch::Sender<Key>,
}

/// Which revision a request is made in.
#[derive(Clone, Copy)]
enum Era {
    Stateless,
    Legacy(&'static str),
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let rules = Rules {
            policy: Policy::default(),
            max_gates: 4,
            max_workers: 16,
            max_usd_per_day: None,
            budget_warning_percent: 80,
            max_descendants: 100,
        };
        let file = dir.path().join("vibe-ensemble.db");
        let store = Store::open(&file, rules, Timestamp::from_millis(0)).await.expect("a database");
        let shutdown = CancellationToken::new();
        let attempts = dir.path().join("attempts");
        let service = Service::new(store, Clock::system(), attempts, shutdown.clone());
        let (key_sender, key) = watch::channel(Key::new(TOKEN.to_owned()));
        let bound = "127.0.0.1:3276".parse().expect("an address");
        let access = Access::new(Auth::Token(key), bound, "127.0.0.1").with_attempts(fence());
        let router = router(service.clone(), access, Limits::default(), BrowserPages::default());
        Self { service, router, shutdown, dir, _key: key_sender }
    }

    async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.expect("the router answers always")
    }

    /// Sends one JSON-RPC request and returns its answer, the last message of the stream.
    async fn rpc(&self, era: Era, method: &str, params: Value) -> Value {
        let response = self.send(rpc_request(era, method, params)).await;
        last_message(&text(response).await)
    }

    async fn call(&self, tool: &str, arguments: Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        self.rpc(Era::Stateless, "tools/call", params).await["result"].clone()
    }

    /// Calls a tool that must succeed and returns its structured content.
    async fn done(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        assert_eq!(result["isError"], false, "{tool}: {result}");
        let text = result["content"][0]["text"].as_str().expect("text");
        let structured = result["structuredContent"].clone();
        assert_eq!(serde_json::from_str::<Value>(text).expect("JSON text"), structured);
        structured
    }

    /// Calls a tool that must be refused and returns the text.
    async fn refused(&self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments).await;
        assert_eq!(result["isError"], true, "{tool}: {result}");
        result["content"][0]["text"].as_str().expect("text").to_owned()
    }

    async fn with_project(&self) {
        let path = self.dir.path().to_str().expect("a path in UTF-8");
        self.done("create_project", json!({"name": "shop", "path": path})).await;
        for name in ["impl", "test"] {
            let kind =
                json!({"project": "shop", "worker_type": name, "system_prompt": "You work."});
            self.done("create_worker_type", kind).await;
        }
    }
}

fn request(method: &str, path: &str) -> Builder {
    Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:3276")
}

fn authorized(method: &str, path: &str) -> Builder {
    request(method, path).header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
}

fn rpc_request(era: Era, method: &str, mut params: Value) -> Request<Body> {
    let mut builder = authorized("POST", "/mcp")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream");
    match era {
        Era::Stateless => {
            let version = "2026-07-28";
            builder = builder.header("MCP-Protocol-Version", version).header("Mcp-Method", method);
            if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
                builder = builder.header("Mcp-Name", name);
            }
            params["_meta"] = json!({
                "progressToken": 1,
                "io.modelcontextprotocol/protocolVersion": version,
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        Era::Legacy(version) => {
            if method != "initialize" {
                builder = builder.header("MCP-Protocol-Version", version);
            }
        }
    }
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    builder.body(Body::from(body.to_string())).expect("a request")
}

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.expect("a whole body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The last JSON message of an event stream, or the JSON body itself.
fn last_message(body: &str) -> Value {
    let data = body.lines().rev().find_map(|line| line.strip_prefix("data:"));
    serde_json::from_str(data.unwrap_or(body).trim()).unwrap_or_else(|_| panic!("no JSON: {body}"))
}
