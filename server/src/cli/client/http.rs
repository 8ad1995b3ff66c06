//! A minimal MCP client: calls one tool at a time, without a session, as revision 2026-07-28 has it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use reqwest::StatusCode;
use reqwest::header::ACCEPT;
use reqwest::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::cli::client::error::ClientError;
use crate::cli::client::listener;
use crate::cli::client::listener::Unproven;
use crate::cli::client::reader::Reader;
use crate::domain::advice;
use crate::domain::id::WorkerId;
use crate::domain::worker::WorkerState;
use crate::proof;
use crate::wire;
use crate::wire::status::ServerStatus;
use crate::wire::worker::WorkerView;
use crate::wire::wrong::WRONG;
use crate::wire::wrong::WrongField;

/// The page on which a server says what it is doing.
const STATUS: &str = "/status";
const REVISION: &str = "2026-07-28";
/// How long an answer may take when nothing was to be waited for.
const ANSWER: Duration = Duration::from_mins(1);
const CONNECT: Duration = Duration::from_secs(5);
/// The longest answer this client takes in.
const ANSWER_BYTES: usize = 64 << 20;
/// Most live workers of one state that are looked at.
const MOST_LIVE: u32 = 10_000;
/// Most items of one page.
const PAGE: u32 = 200;

/// Talks to one server.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// Without a slash at the end.
    url: String,
    token: Option<String>,
    /// Whose file the token was read from.
    owner: Option<u32>,
    /// The consumer of events of the session for which it asks.
    consumer: Option<String>,
    /// Whether who listens may have the token.
    proven: Arc<OnceCell<()>>,
}

impl Client {
    /// Lets the owner of the token's file receive the token.
    #[must_use]
    pub fn with_token_of(self, file: &Path) -> Self {
        Self { owner: fs::metadata(file).ok().map(|found| found.uid()), ..self }
    }

    /// The same for the sessions of a directory, which mark events for themselves.
    #[must_use]
    pub fn with_consumer(self, consumer: String) -> Self {
        Self { consumer: Some(consumer), ..self }
    }

    /// A client of the server at `url`.
    pub fn to(url: &str, token: Option<String>) -> Result<Self, ClientError> {
        let url = base_of(url);
        // There is no TLS in this client, as there is none in the server.
        let good =
            reqwest::Url::parse(&url).is_ok_and(|url| url.scheme() == "http" && url.has_host());
        if !good {
            return Err(ClientError::Address { given: url });
        }
        let http = reqwest::Client::builder()
            // A proxy of this machine would receive the token, and could not reach the address anyway.
            .no_proxy()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("vibe-ensemble/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(ClientError::Prepare)?;
        Ok(Self { http, url, token, owner: None, consumer: None, proven: Arc::default() })
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls a tool and returns what it returns.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Value, ClientError> {
        self.call_within(tool, arguments, ANSWER).await
    }

    /// Calls a tool that may wait for `wait` before it answers.
    pub async fn call_waiting(
        &self,
        tool: &str,
        arguments: Value,
        wait: Duration,
    ) -> Result<Value, ClientError> {
        self.call_within(tool, arguments, ANSWER + wait).await
    }

    /// Calls a tool and reads what it returns.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        tool: &str,
        arguments: Value,
    ) -> Result<T, ClientError> {
        let answer = self.call(tool, arguments).await?;
        self.read(tool, answer)
    }

    /// Reads an answer, or a part of one, as one of the types in [`crate::wire`].
    pub fn read<T: DeserializeOwned>(&self, tool: &str, answer: Value) -> Result<T, ClientError> {
        wire::read::read(answer).map_err(|source| ClientError::Unreadable {
            url: self.url.clone(),
            tool: tool.to_owned(),
            source,
        })
    }

    /// What the server as a whole is doing. A server that has no such answer yet says nothing.
    pub async fn status(&self) -> Result<ServerStatus, ClientError> {
        let failed = |error| self.failed(STATUS, error);
        let mut request = self.http.get(format!("{}{STATUS}", self.url)).timeout(ANSWER);
        if let Some(token) = &self.token {
            self.prove(token).await?;
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(failed)?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(ServerStatus::default());
        }
        let answer = self.accepted(STATUS, response)?.bytes().await.map_err(failed)?;
        let answer = serde_json::from_slice(&answer)
            .map_err(|_| self.no_mcp(STATUS, "a status without JSON"))?;
        self.read(STATUS, answer)
    }

    /// The answer of a POST without a body, which needs the token.
    pub async fn post(&self, path: &str) -> Result<Value, ClientError> {
        let failed = |error| self.failed(path, error);
        let mut request = self.http.post(format!("{}{path}", self.url)).timeout(ANSWER);
        if let Some(token) = &self.token {
            self.prove(token).await?;
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(failed)?;
        let answer = self.accepted(path, response)?.bytes().await.map_err(failed)?;
        serde_json::from_slice(&answer).map_err(|_| self.no_mcp(path, "an answer without JSON"))
    }

    async fn call_within(
        &self,
        tool: &str,
        arguments: Value,
        limit: Duration,
    ) -> Result<Value, ClientError> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": tool,
            "arguments": arguments,
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": REVISION,
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {
                    "name": "vibe-ensemble", "version": env!("CARGO_PKG_VERSION"),
                },
                "progressToken": 1,
            },
        }});
        let mut request = self
            .http
            .post(format!("{}/mcp", self.url))
            .timeout(limit)
            .header(ACCEPT, "application/json, text/event-stream")
            .header("MCP-Protocol-Version", REVISION)
            .header("Mcp-Method", "tools/call")
            .header("Mcp-Name", tool)
            .header(advice::READER_HEADER, advice::Reader::Shell.name());
        if let Some(consumer) = &self.consumer {
            request = request.header(advice::CONSUMER_HEADER, consumer);
        }
        if let Some(token) = &self.token {
            self.prove(token).await?;
            request = request.bearer_auth(token);
        }
        let response =
            request.json(&body).send().await.map_err(|error| self.failed(tool, error))?;
        let response = self.accepted(tool, response)?;
        outcome(tool, self.answer(tool, response).await?)
    }

    /// The response of a server that took the request.
    fn accepted(&self, tool: &str, response: Response) -> Result<Response, ClientError> {
        let (url, tool, status) = (self.url.clone(), tool.to_owned(), response.status());
        match status {
            StatusCode::UNAUTHORIZED => Err(ClientError::Unauthorized { url }),
            StatusCode::PAYLOAD_TOO_LARGE => Err(ClientError::TooLong),
            status if !status.is_success() => Err(ClientError::Status { url, tool, status }),
            _ => Ok(response),
        }
    }

    /// The JSON-RPC answer in a body that is JSON, or a stream of events with progress before it.
    async fn answer(&self, tool: &str, mut response: Response) -> Result<Value, ClientError> {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let mut reader = match kind {
            Some(kind) if kind.starts_with("text/event-stream") => Reader::Events(Vec::new()),
            Some(_) | None => Reader::Whole(Vec::new()),
        };
        while let Some(bytes) = response.chunk().await.map_err(|error| self.failed(tool, error))? {
            if let Some(answer) = reader.push(&bytes) {
                return Ok(answer);
            }
            if reader.held() > ANSWER_BYTES {
                break;
            }
        }
        reader.end().ok_or_else(|| self.no_mcp(tool, "it ended without an answer"))
    }

    /// Every item of a list, over as many pages as it takes, up to `most`.
    pub async fn list(
        &self,
        tool: &str,
        plural: &str,
        arguments: Value,
        most: u32,
    ) -> Result<Vec<Value>, ClientError> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut items = Vec::new();
        let mut arguments = arguments;
        arguments["limit"] = json!(PAGE.min(u32::try_from(most).unwrap_or(PAGE)));
        loop {
            let mut page = self.call(tool, arguments.clone()).await?;
            let Value::Array(more) = page[plural].take() else {
                return Err(self.no_mcp(tool, "a list without its items"));
            };
            items.extend(more);
            if items.len() >= most || !page["next_cursor"].is_string() {
                items.truncate(most);
                return Ok(items);
            }
            arguments["cursor"] = page["next_cursor"].take();
        }
    }

    /// Every worker that is not stopped. Asked for by state: those of the past may be thousands, and come first.
    pub async fn live_workers(&self, arguments: &Value) -> Result<Vec<Value>, ClientError> {
        let mut live = Vec::new();
        for state in WorkerState::ALL.into_iter().filter(|state| *state != WorkerState::Stopped) {
            let mut arguments = arguments.clone();
            arguments["state"] = json!(state.name());
            live.extend(self.list("list_workers", "workers", arguments, MOST_LIVE).await?);
        }
        let number = |worker: &Value| {
            let worker: WorkerView = wire::read::read(worker.clone()).ok()?;
            worker.worker_id.parse::<WorkerId>().ok()
        };
        live.sort_by_cached_key(number);
        // One that went from one state to the next between two questions is there twice.
        live.dedup_by_key(|worker| number(worker));
        Ok(live)
    }

    /// The body of a plain GET, and whether it was answered 200.
    pub async fn get(&self, path: &str) -> Result<(bool, String), ClientError> {
        let failed = |error| self.failed(path, error);
        // What is read this way is for everybody, so the token stays here.
        let request = self.http.get(format!("{}{path}", self.url)).timeout(CONNECT);
        let response = request.send().await.map_err(failed)?;
        let good = response.status().is_success();
        Ok((good, response.text().await.map_err(failed)?))
    }

    /// The token, once it is known that who listens may have it.
    pub async fn proven_token(&self) -> Result<Option<&str>, ClientError> {
        if let Some(token) = &self.token {
            self.prove(token).await?;
        }
        Ok(self.token.as_deref())
    }

    /// Makes sure, once, that the token goes to nobody who has no right to it.
    async fn prove(&self, token: &str) -> Result<(), ClientError> {
        let proving = || async {
            let address = || ClientError::Address { given: self.url.clone() };
            let base = reqwest::Url::parse(&self.url).map_err(|_| address())?;
            listener::prove(&self.http, &base, token, self.owner).await.map_err(|why| match why {
                Unproven::Silent(source) => self.failed(proof::PATH, source),
                Unproven::Stranger(who) => ClientError::Stranger { url: self.url.clone(), who },
            })
        };
        self.proven.get_or_try_init(proving).await?;
        Ok(())
    }

    fn no_mcp(&self, tool: &str, what: &'static str) -> ClientError {
        ClientError::NoMcp { url: self.url.clone(), tool: tool.to_owned(), what }
    }

    fn failed(&self, tool: &str, source: reqwest::Error) -> ClientError {
        // The address is already in the sentence.
        let source = source.without_url();
        let url = self.url.clone();
        if source.is_connect() {
            return ClientError::Unreachable { url, source };
        }
        ClientError::Broken { url, tool: tool.to_owned(), source }
    }
}

/// An address without the endpoint and the slash behind it.
#[must_use]
pub fn base_of(url: &str) -> String {
    url.trim().trim_end_matches('/').trim_end_matches("/mcp").to_owned()
}

fn outcome(tool: &str, mut answer: Value) -> Result<Value, ClientError> {
    if let Some(error) = answer.get("error") {
        let message = error["message"].as_str().unwrap_or("without a reason").to_owned();
        return Err(ClientError::Protocol { tool: tool.to_owned(), message });
    }
    let mut result = answer["result"].take();
    if result["isError"] == json!(true) {
        let parts = result["structuredContent"][WRONG].take();
        if let Ok(wrong) = wire::read::read::<Vec<WrongField>>(parts)
            && !wrong.is_empty()
        {
            return Err(ClientError::Wrong { tool: tool.to_owned(), wrong });
        }
        let text = result["content"][0]["text"].as_str().unwrap_or("refused without a reason");
        return Err(ClientError::Refused(text.to_owned()));
    }
    Ok(result["structuredContent"].take())
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::Router;
    use axum::http::HeaderMap;
    use axum::routing::post;

    use super::*;

    #[test]
    fn refusals_and_faults_are_told_apart() {
        let refused =
            json!({"result": {"isError": true, "content": [{"type": "text", "text": "No."}]}});
        assert!(matches!(outcome("x", refused), Err(ClientError::Refused(text)) if text == "No."));
        let fault = json!({"error": {"code": -32602, "message": "unknown tool"}});
        assert!(matches!(outcome("x", fault), Err(ClientError::Protocol { .. })));
        let good = json!({"result": {"structuredContent": {"a": 1}}});
        assert_eq!(outcome("x", good).expect("an answer"), json!({"a": 1}));
    }

    #[test]
    fn urls_may_name_the_endpoint() {
        for given in ["http://127.0.0.1:1", "http://127.0.0.1:1/", "http://127.0.0.1:1/mcp"] {
            assert_eq!(Client::to(given, None).expect("a client").url(), "http://127.0.0.1:1");
        }
    }

    #[test]
    fn what_is_not_a_url_is_refused_before_anything_is_sent() {
        for given in ["garbage", "ftp://x", "https://x", "http://", "127.0.0.1:3276", ""] {
            let error = Client::to(given, None).expect_err("no address");
            assert!(matches!(error, ClientError::Address { .. }), "{given}: {error}");
        }
    }

    /// Answers as a server of revision 2026-07-28 does: a stream with progress first.
    async fn answer(
        headers: HeaderMap,
        Json(request): Json<Value>,
    ) -> ([(&'static str, &'static str); 1], String) {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("mcp-protocol-version"), Some(REVISION));
        assert_eq!(header("mcp-method"), request["method"].as_str());
        assert_eq!(header("mcp-name"), request["params"]["name"].as_str());
        assert_eq!(header("authorization"), Some("Bearer secret"));
        assert_eq!(request["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], REVISION);
        let arguments = &request["params"]["arguments"];
        let page = match arguments["cursor"].as_str() {
            None => json!({"tickets": [1, 2], "next_cursor": "c"}),
            Some(_) => json!({"tickets": [3], "next_cursor": null}),
        };
        let answer =
            json!({"jsonrpc": "2.0", "id": request["id"], "result": {"structuredContent": page}});
        let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress"});
        ([("content-type", "text/event-stream")], format!("data: {progress}\n\ndata: {answer}\n\n"))
    }

    #[tokio::test]
    async fn a_list_is_followed_over_its_pages() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let router = Router::new().route("/mcp", post(answer));
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let client =
            Client::to(&format!("http://{address}"), Some("secret".into())).expect("a client");
        let all = client.list("list_tickets", "tickets", json!({}), 100).await.expect("a list");
        assert_eq!(all, [1, 2, 3].map(Value::from));
        let some = client.list("list_tickets", "tickets", json!({}), 2).await.expect("a list");
        assert_eq!(some, [1, 2].map(Value::from));
        server.abort();
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("has an address");
        drop(listener);
        let client = Client::to(&format!("http://{address}"), None).expect("a client");
        let error = client.call("list_projects", json!({})).await.expect_err("nobody listens");
        assert!(error.is_unreachable() && error.is_passing(), "{error}");
    }
}
