//! Several messages in one body, which only revision 2025-03-26 allows.
//!
//! They are answered one after the other, in their order, by the code that answers a single message, and the answers
//! are sent as one list. What a call sends before its answer, such as progress, is dropped: a list has no place for it.

use std::future::Future;

use axum::body::Body;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;

/// The revision with batches. Requests without a version header are of this revision or an earlier one.
const REVISION: &str = "2025-03-26";
/// The maximum number of messages in one body.
const MOST: usize = 50;
/// When the answers of a batch have this many bytes, the messages that are left are not answered: all of its answers are
/// in memory before the first is sent.
const MOST_ANSWERED_BYTES: usize = 4 << 20;

/// The messages of a body that is a list; `None` for any other body.
pub(crate) fn messages(body: &[u8]) -> Option<Vec<Box<RawValue>>> {
    let is_list = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    is_list.then(|| serde_json::from_slice(body).ok()).flatten()
}

/// Answers a batch. `one` answers a message.
pub(crate) async fn answer<F>(
    headers: &HeaderMap,
    messages: Vec<Box<RawValue>>,
    one: impl Fn(Bytes) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let revision = headers.get("mcp-protocol-version").map(HeaderValue::as_bytes);
    if revision.is_some_and(|revision| revision != REVISION.as_bytes()) {
        return refused("only revision 2025-03-26 has batches; send each message by itself");
    }
    if messages.is_empty() {
        return refused("the batch is empty");
    }
    if messages.len() > MOST {
        return refused("the batch has more than 50 messages; send fewer at a time");
    }
    let mut answers = Vec::new();
    let mut answered = 0_usize;
    for message in messages {
        if answered > MOST_ANSWERED_BYTES {
            if id_of(&message).is_some() {
                let long = "the answers to this batch are too long; send this message by itself";
                answers.push(error(&message, long));
            }
            continue;
        }
        if is_initialize(&message) {
            answers.push(error(&message, "initialize cannot be part of a batch"));
            continue;
        }
        let id = id_of(&message);
        let response = one(Bytes::from(message.get().to_owned())).await;
        match (answer_in(response).await, id) {
            (Some((answer, bytes)), _) => {
                answered = answered.saturating_add(bytes);
                answers.push(answer);
            }
            // A notification has no answer.
            (None, None) => {}
            (None, Some(_)) => answers.push(error(&message, "the request was not answered")),
        }
    }
    if answers.is_empty() {
        return StatusCode::ACCEPTED.into_response();
    }
    json_response(StatusCode::OK, &Value::Array(answers))
}

fn field(message: &RawValue, name: &str) -> Option<Value> {
    let message: Value = serde_json::from_str(message.get()).ok()?;
    message.get(name).cloned()
}

fn is_initialize(message: &RawValue) -> bool {
    field(message, "method").is_some_and(|method| method == "initialize")
}

fn id_of(message: &RawValue) -> Option<Value> {
    field(message, "id").filter(|id| id.is_string() || id.is_number())
}

/// The JSON-RPC answer in a response, after anything sent before it, and the length of it all.
async fn answer_in(response: Response) -> Option<(Value, usize)> {
    let kind = response.headers().get(header::CONTENT_TYPE)?.to_str().ok()?.to_owned();
    let body = response.into_body().collect().await.ok()?.to_bytes();
    if !kind.starts_with("text/event-stream") {
        return Some((serde_json::from_slice(&body).ok()?, body.len()));
    }
    let text = std::str::from_utf8(&body).ok()?;
    let messages = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let mut messages = messages.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let is_answer =
        |message: &Value| message.get("result").is_some() || message.get("error").is_some();
    Some((messages.find(is_answer)?, body.len()))
}

fn error(message: &RawValue, why: &str) -> Value {
    let id = id_of(message).unwrap_or_default();
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32600, "message": why}})
}

fn refused(why: &str) -> Response {
    let error = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": why}});
    json_response(StatusCode::BAD_REQUEST, &error)
}

fn json_response(status: StatusCode, value: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, Body::from(value.to_string())).into_response()
}
