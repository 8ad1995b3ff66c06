//! A stub of the Messages API on loopback: with it, the real `claude` does real work without a
//! model.
//!
//! The script is a function of what the model would see: which tools it has and what they have
//! answered so far. Every request is kept, so a test can read what claude made of its arguments.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::any;
use axum::routing::post;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What the model says next.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Prose; ends the turn.
    Say(String),
    /// A call of one of its tools.
    Use { tool: String, input: Value },
    /// The API refuses: status and error type.
    Fail { status: u16, kind: String },
    /// The account's usage limit is reached until that time, in unix seconds. claude reads this
    /// only with a login, which `CLAUDE_CODE_OAUTH_TOKEN` provides.
    Limited { resets_at: i64 },
    /// No answer at all, for as long as the client waits.
    Silence,
}

/// One request, as the script sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The whole body.
    pub body: Value,
    /// The names of the tools on offer.
    pub tools: Vec<String>,
    /// How many tool calls have been answered in this conversation.
    pub answers: usize,
}

impl Ask {
    fn of(body: Value) -> Self {
        let names = body["tools"].as_array().into_iter().flatten();
        let tools = names.filter_map(|tool| tool["name"].as_str()).map(str::to_owned).collect();
        let blocks = body["messages"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|message| message["content"].as_array())
            .flatten();
        let answers = blocks.filter(|block| block["type"] == "tool_result").count();
        Self { body, tools, answers }
    }

    #[must_use]
    pub fn offers(&self, tool: &str) -> bool {
        self.tools.iter().any(|name| name == tool)
    }

    /// The answered calls of this conversation with their answers, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Called> {
        let mut calls = Vec::new();
        for message in self.body["messages"].as_array().into_iter().flatten() {
            for block in message["content"].as_array().into_iter().flatten() {
                if block["type"] == "tool_use" {
                    calls.push(Called {
                        id: block["id"].as_str().unwrap_or_default().to_owned(),
                        tool: block["name"].as_str().unwrap_or_default().to_owned(),
                        input: block["input"].clone(),
                        answer: None,
                    });
                } else if block["type"] == "tool_result" {
                    let open = calls.iter_mut().find(|call| block["tool_use_id"] == call.id);
                    if let Some(call) = open {
                        call.answer = Some(text_of(&block["content"]));
                    }
                }
            }
        }
        calls.retain(|call| call.answer.is_some());
        calls
    }

    /// The user's last message, and how many calls were answered since: a resumed session has more
    /// than one prompt.
    #[must_use]
    pub fn prompt(&self) -> (String, usize) {
        let messages = self.body["messages"].as_array().map_or(&[][..], Vec::as_slice);
        let results = |message: &Value| {
            let blocks = message["content"].as_array().into_iter().flatten();
            blocks.filter(|block| block["type"] == "tool_result").count()
        };
        let said = |message: &Value| message["role"] == "user" && results(message) == 0;
        let Some(at) = messages.iter().rposition(said) else { return (String::new(), 0) };
        let answered = messages[at..].iter().map(results).sum();
        (text_of(&messages[at]["content"]), answered)
    }
}

/// A call of a tool and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    id: String,
    pub tool: String,
    pub input: Value,
    answer: Option<String>,
}

impl Called {
    /// The answer as text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.answer.as_deref().unwrap_or_default()
    }

    /// The answer as JSON; null if it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_default()
    }
}

/// The content is a string, or blocks of which some contain a string.
fn text_of(content: &Value) -> String {
    if let Some(text) = content.as_str() {
        return text.to_owned();
    }
    let blocks = content.as_array().into_iter().flatten();
    let texts: Vec<&str> = blocks.filter_map(|block| block["text"].as_str()).collect();
    texts.join("\n")
}

type Script = Box<dyn Fn(&Ask) -> Turn + Send + Sync>;

struct Shared {
    script: Script,
    asks: Mutex<Vec<Ask>>,
    /// How many tokens each answer claims to have read.
    input_tokens: AtomicU64,
}

/// The running stub. Dropping it ends it.
pub struct MessagesApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl MessagesApi {
    /// Serves on a free port of loopback.
    pub async fn start(script: impl Fn(&Ask) -> Turn + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            script: Box::new(script),
            asks: Mutex::default(),
            input_tokens: AtomicU64::new(11),
        });
        let router = Router::new()
            .route("/v1/messages", post(answer))
            .route("/v1/messages/count_tokens", post(count))
            // claude asks for a few more things at its start; none of them matters.
            .fallback(any(async || Json(json!({}))))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared, serving }
    }

    /// Plays the turns one after the other, counted by answered tool calls; the last one repeats.
    ///
    /// Requests without tools are claude's own small questions, and get one word.
    pub async fn play(turns: Vec<Turn>) -> Self {
        Self::start(move |ask| {
            if ask.tools.is_empty() {
                return Turn::Say("ok".to_owned());
            }
            turns.get(ask.answers).or(turns.last()).expect("a script has a turn").clone()
        })
        .await
    }

    /// Makes each answer claim to have read this many tokens, which is what costs.
    #[must_use]
    pub fn reading(self, tokens: u64) -> Self {
        self.shared.input_tokens.store(tokens, Ordering::Relaxed);
        self
    }

    /// For `ANTHROPIC_BASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request for a message so far.
    #[must_use]
    pub fn asks(&self) -> Vec<Ask> {
        self.shared.asks.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for MessagesApi {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn count() -> Json<Value> {
    Json(json!({"input_tokens": 10}))
}

async fn answer(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Response {
    let ask = Ask::of(body);
    let turn = (shared.script)(&ask);
    let model = ask.body["model"].clone();
    let number = {
        let mut asks = shared.asks.lock().expect("nobody panics with it");
        asks.push(ask);
        asks.len()
    };
    let read = shared.input_tokens.load(Ordering::Relaxed);
    match turn {
        Turn::Silence => std::future::pending().await,
        Turn::Fail { status, kind } => {
            let error =
                json!({"type": "error", "error": {"type": kind, "message": "as the script says"}});
            let status = StatusCode::from_u16(status).expect("a script names real statuses");
            (status, Json(error)).into_response()
        }
        Turn::Limited { resets_at } => {
            let error = json!({"type": "error",
                "error": {"type": "rate_limit_error", "message": "as the script says"}});
            let reset = resets_at.to_string();
            let headers = [
                ("anthropic-ratelimit-unified-status", "rejected"),
                ("anthropic-ratelimit-unified-representative-claim", "five_hour"),
                ("anthropic-ratelimit-unified-reset", &reset),
                ("anthropic-ratelimit-unified-5h-utilization", "1.0"),
                ("anthropic-ratelimit-unified-5h-reset", &reset),
            ];
            (StatusCode::TOO_MANY_REQUESTS, headers, Json(error)).into_response()
        }
        Turn::Say(text) => stream(
            &model,
            (number, read),
            "end_turn",
            &json!({"type": "text", "text": ""}),
            &json!({"type": "text_delta", "text": text}),
        ),
        Turn::Use { tool, input } => stream(
            &model,
            (number, read),
            "tool_use",
            &json!({"type": "tool_use", "id": format!("toolu_{number}"), "name": tool, "input": {}}),
            &json!({"type": "input_json_delta", "partial_json": input.to_string()}),
        ),
    }
}

/// A message of one block, as the event stream the real API sends.
fn stream(
    model: &Value,
    (number, read): (usize, u64),
    stop_reason: &str,
    block: &Value,
    delta: &Value,
) -> Response {
    let events = [
        json!({"type": "message_start", "message": {
            "id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": model,
            "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": read, "output_tokens": 1},
        }}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "usage": {"output_tokens": 5},
            "delta": {"stop_reason": stop_reason, "stop_sequence": null}}),
        json!({"type": "message_stop"}),
    ];
    let body = events.map(|event| {
        let kind = event["type"].as_str().unwrap_or_default();
        format!("event: {kind}\ndata: {event}\n\n")
    });
    ([(CONTENT_TYPE, "text/event-stream")], body.concat()).into_response()
}
