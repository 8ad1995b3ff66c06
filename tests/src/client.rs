//! A coordinator: MCP over Streamable HTTP, revision 2026-07-28, stateless.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::schema;

/// The current revision of MCP.
pub const PROTOCOL: &str = "2026-07-28";

/// The answer to one JSON-RPC request.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// What the server sent before its answer: mostly progress.
    pub notifications: Vec<Value>,
    /// The JSON-RPC response; null if the body was none.
    pub message: Value,
    /// The body, as text.
    pub body: String,
}

impl Reply {
    /// The `error.code` of a JSON-RPC error.
    #[must_use]
    pub fn rpc_error(&self) -> Option<i64> {
        self.message["error"]["code"].as_i64()
    }

    /// The `result`; panics if there is none.
    #[must_use]
    pub fn result(&self) -> &Value {
        self.message.get("result").unwrap_or_else(|| panic!("no result: {self:?}"))
    }
}

/// Why a tool did not answer.
#[derive(Debug)]
pub enum CallError {
    /// `isError: true`: the text a model reads.
    Refused(String),
    /// Anything other than a tool result.
    Fault(Box<Reply>),
    /// No answer at all: the server is away.
    Unreachable(reqwest::Error),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(text) => write!(f, "refused: {text}"),
            Self::Fault(reply) => write!(f, "no tool result: {reply:?}"),
            Self::Unreachable(error) => write!(f, "unreachable: {error}"),
        }
    }
}

/// Clones share the connection pool, so a scenario with many coordinators clones one client.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    address: String,
    token: Option<String>,
    next_id: Arc<AtomicU64>,
    output_schemas: Arc<OnceCell<BTreeMap<String, Value>>>,
}

impl Client {
    #[must_use]
    pub fn new(address: &str, token: Option<String>) -> Self {
        Self::with(reqwest::Client::builder(), address, token)
    }

    /// A client that connects anew for each request: for a server that is restarted between two
    /// requests.
    #[must_use]
    pub fn reconnecting(address: &str, token: Option<String>) -> Self {
        Self::with(reqwest::Client::builder().pool_max_idle_per_host(0), address, token)
    }

    fn with(builder: reqwest::ClientBuilder, address: &str, token: Option<String>) -> Self {
        let http = builder
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .expect("a client needs nothing from outside");
        Self {
            http,
            address: address.to_owned(),
            token,
            next_id: Arc::new(AtomicU64::new(1)),
            output_schemas: Arc::new(OnceCell::new()),
        }
    }

    /// The same client with another token, or none.
    #[must_use]
    pub fn with_token(&self, token: Option<&str>) -> Self {
        // Another caller may have other tools.
        let output_schemas = Arc::new(OnceCell::new());
        Self { token: token.map(str::to_owned), output_schemas, ..self.clone() }
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request to a path other than `/mcp`: health, metrics.
    pub async fn get(&self, path: &str) -> reqwest::Response {
        let request = self.http.get(self.url(path));
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.expect("the server is up")
    }

    /// Calls a tool. Also checks that text and structured content agree, and that they match the
    /// output schema.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Value, CallError> {
        let (text, structured) = self.call_once(tool, arguments).await?;
        let text = text.as_str();
        let parsed: Value = serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("{tool}: the text is no JSON ({error}): {text}"));
        assert_eq!(parsed, structured, "{tool}: the text and structuredContent differ");
        let schemas = self.output_schemas.get_or_init(|| self.fetch_output_schemas()).await;
        let schema = schemas.get(tool).unwrap_or_else(|| panic!("{tool} is not in tools/list"));
        let violations = schema::violations(schema, &structured);
        assert!(violations.is_empty(), "{tool} broke its output schema: {violations:#?}");
        Ok(structured)
    }

    /// Calls a tool and returns its structured content unchecked: for a server that may die in the
    /// middle.
    pub async fn call_unchecked(&self, tool: &str, arguments: Value) -> Result<Value, CallError> {
        Ok(self.call_once(tool, arguments).await?.1)
    }

    async fn call_once(&self, tool: &str, arguments: Value) -> Result<(String, Value), CallError> {
        let reply = self.try_call_tool(tool, arguments).await.map_err(CallError::Unreachable)?;
        let Some(result) = reply.message.get("result") else {
            return Err(CallError::Fault(Box::new(reply)));
        };
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        if result["isError"] == true {
            return Err(CallError::Refused(text.to_owned()));
        }
        Ok((text.to_owned(), result["structuredContent"].clone()))
    }

    /// Calls a tool that must answer.
    pub async fn ok(&self, tool: &str, arguments: Value) -> Value {
        let shown = arguments.to_string();
        match self.call(tool, arguments).await {
            Ok(value) => value,
            Err(error) => panic!("{tool} {}: {error}", cut(&shown)),
        }
    }

    /// Calls a tool that must refuse, and returns its words.
    pub async fn refused(&self, tool: &str, arguments: Value) -> String {
        let shown = arguments.to_string();
        match self.call(tool, arguments).await {
            Err(CallError::Refused(text)) => text,
            Ok(value) => panic!("{tool} {} was not refused: {value}", cut(&shown)),
            Err(error) => panic!("{tool} {}: {error}", cut(&shown)),
        }
    }

    /// Calls a tool and returns everything that came, including notifications.
    pub async fn call_tool(&self, tool: &str, arguments: Value) -> Reply {
        self.try_call_tool(tool, arguments).await.expect("the server is up")
    }

    /// Calls a tool and returns as soon as the head of the answer has arrived; the caller reads the
    /// rest.
    pub async fn open(&self, tool: &str, arguments: Value) -> reqwest::Response {
        let body = self.stateless_body("tools/call", json!({"name": tool, "arguments": arguments}));
        let request = Self::stateless(self.post(), "tools/call", Some(tool)).json(&body);
        request.send().await.expect("the server is up")
    }

    async fn try_call_tool(&self, tool: &str, arguments: Value) -> Result<Reply, reqwest::Error> {
        let params = json!({"name": tool, "arguments": arguments});
        self.request("tools/call", Some(tool), params).await
    }

    /// A call as a session of Claude Code makes it, whose helper names its directory as a consumer of events.
    pub async fn in_session(&self, consumer: &str, tool: &str, arguments: Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let request = self.post().header("MCP-Protocol-Version", "2025-11-25").json(&body);
        let request = request.header("vibe-ensemble-consumer", consumer);
        let reply = read_reply(request.send().await.expect("the server is up")).await;
        reply.expect("a whole answer").result()["structuredContent"].clone()
    }

    /// Every tool of the server, over all pages.
    pub async fn tools(&self) -> Vec<Value> {
        let mut tools = Vec::new();
        let mut params = json!({});
        loop {
            let reply = self.rpc("tools/list", params).await;
            let result = reply.result();
            tools.extend(result["tools"].as_array().expect("a list of tools").iter().cloned());
            match result.get("nextCursor").and_then(Value::as_str) {
                Some(cursor) => params = json!({"cursor": cursor}),
                None => return tools,
            }
        }
    }

    /// Sends any JSON-RPC request of revision 2026-07-28.
    pub async fn rpc(&self, method: &str, params: Value) -> Reply {
        self.request(method, None, params).await.expect("the server is up")
    }

    /// Sends a JSON-RPC request of an older revision, which knows neither `_meta` nor the method headers.
    pub async fn rpc_of(&self, revision: &str, method: &str, params: Value) -> Reply {
        let body = self.envelope(method, &params);
        let request = self.post().header("MCP-Protocol-Version", revision).json(&body);
        let response = request.send().await.expect("the server is up");
        read_reply(response).await.expect("a whole answer")
    }

    /// A POST to `/mcp` with the usual headers and no body yet.
    pub fn post(&self) -> reqwest::RequestBuilder {
        let mut request = self
            .http
            .post(self.url("/mcp"))
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request
    }

    /// Adds what revision 2026-07-28 requires in the headers of every request.
    pub fn stateless(
        request: reqwest::RequestBuilder,
        method: &str,
        name: Option<&str>,
    ) -> reqwest::RequestBuilder {
        let request = request.header("MCP-Protocol-Version", PROTOCOL).header("Mcp-Method", method);
        match name {
            Some(name) => request.header("Mcp-Name", name),
            None => request,
        }
    }

    /// The body of a request of revision 2026-07-28.
    #[must_use]
    pub fn stateless_body(&self, method: &str, mut params: Value) -> Value {
        let id = self.next_id.load(Ordering::Relaxed);
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": PROTOCOL,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "e2e", "version": "0"},
            "progressToken": id,
        });
        params.as_object_mut().unwrap_or(&mut Map::new()).insert("_meta".to_owned(), meta);
        self.envelope(method, &params)
    }

    async fn request(
        &self,
        method: &str,
        name: Option<&str>,
        params: Value,
    ) -> Result<Reply, reqwest::Error> {
        let body = self.stateless_body(method, params);
        read_reply(Self::stateless(self.post(), method, name).json(&body).send().await?).await
    }

    fn envelope(&self, method: &str, params: &Value) -> Value {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
    }

    async fn fetch_output_schemas(&self) -> BTreeMap<String, Value> {
        self.tools()
            .await
            .into_iter()
            .map(|tool| {
                let name = tool["name"].as_str().expect("a tool has a name").to_owned();
                (name, tool["outputSchema"].clone())
            })
            .collect()
    }
}

/// Reads a response to its end: JSON, an event stream, or neither.
pub async fn read_reply(response: reqwest::Response) -> Result<Reply, reqwest::Error> {
    let status = response.status().as_u16();
    let streamed = response
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("text/event-stream"));
    let body = response.text().await?;
    let messages: Vec<Value> = if streamed {
        stream_messages(&body)
    } else {
        serde_json::from_str(&body).into_iter().collect()
    };
    let (mut answers, notifications): (Vec<Value>, Vec<Value>) = messages
        .into_iter()
        .partition(|message| message.get("result").is_some() || message.get("error").is_some());
    assert!(answers.len() <= 1, "one request has one answer: {answers:?}");
    Ok(Reply { status, notifications, message: answers.pop().unwrap_or_default(), body })
}

/// The messages of a server-sent event stream. Events without JSON data keep the connection alive.
fn stream_messages(body: &str) -> Vec<Value> {
    body.split("\n\n")
        .filter_map(|event| {
            let data: Vec<&str> = event
                .lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .map(|data| data.strip_prefix(' ').unwrap_or(data))
                .collect();
            serde_json::from_str(&data.join("\n")).ok()
        })
        .collect()
}

/// Arguments may be a megabyte; a panic message should not be.
fn cut(text: &str) -> String {
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stream_contains_messages_between_keep_alives() {
        let body = ": ping\n\nid: 0\ndata:\n\nevent: message\ndata: {\"method\":\"a\"}\n\ndata:{\"result\":\ndata: 1}\n\n";
        assert_eq!(stream_messages(body), [json!({"method": "a"}), json!({"result": 1})]);
    }
}
