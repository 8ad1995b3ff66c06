//! `/mcp`: from an admitted request to the SDK, message by message.

use std::sync::Arc;

use axum::body::Body;
use axum::body::Bytes;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde_json::Value;
use serde_json::json;

use crate::domain::advice::Reader;
use crate::domain::id::AttemptId;
use crate::mcp::call::Admitted;
use crate::mcp::call::Caller;
use crate::mcp::http::answers;
use crate::mcp::http::answers::Answers;
use crate::mcp::http::body;
use crate::mcp::http::body::Unread;
use crate::mcp::http::gate;
use crate::mcp::http::room::Room;
use crate::mcp::reply;
use crate::mcp::rpc::batch;
use crate::mcp::rpc::message;
use crate::mcp::rpc::message::Head;
use crate::mcp::rpc::params;
use crate::mcp::rpc::running::Requests;
use crate::mcp::sdk::Handlers;
use crate::mcp::sdk::Mcp;
use crate::mcp::service::Service;
use crate::store;
use crate::telemetry;

/// What answers at `/mcp`.
pub(crate) struct Endpoint {
    service: Service,
    /// For the coordinator, and for the agents of attempts.
    coordinator: Mcp,
    worker: Mcp,
    /// The requests that are being answered.
    requests: Requests,
    /// The memory that request bodies may take.
    room: Room,
    /// The calls that may be answered at the same time.
    answers: Answers,
}

impl Endpoint {
    pub(crate) fn new(service: Service, handlers: Handlers) -> Self {
        let Handlers { coordinator, worker } = handlers;
        Self {
            service,
            coordinator: Mcp::new(coordinator, body::MOST_BYTES),
            worker: Mcp::new(worker, body::MOST_BYTES),
            requests: Requests::default(),
            room: Room::new(),
            answers: Answers::new(),
        }
    }
}

/// The answer to an agent whose attempt may no longer use the server; `None` when it may.
async fn silenced(service: &Service, attempt: AttemptId) -> Option<Response> {
    match service.store.speaking_attempt(attempt, service.present()).await {
        Ok(_) => None,
        Err(store::Error::Refused(refusal)) => {
            tracing::info!(%attempt, why = reply::refusal(&refusal, Reader::Model), "refused an agent whose attempt is over or was stopped");
            let body = json!({"error": "invalid_token", "message": reply::refusal(&refusal, Reader::Model)});
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            let challenge = (header::WWW_AUTHENTICATE, challenge);
            Some(
                (StatusCode::UNAUTHORIZED, [challenge, gate::JSON], body.to_string())
                    .into_response(),
            )
        }
        Err(store::Error::Failed(error)) => {
            tracing::error!(error = telemetry::chain(&error), "could not read an attempt");
            Some(StatusCode::SERVICE_UNAVAILABLE.into_response())
        }
    }
}

pub(crate) async fn serve_mcp(State(endpoint): State<Arc<Endpoint>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // Without it the request did not pass `gate::check`, and is not served.
    let admitted = parts.extensions.get::<Admitted>();
    let Some(caller) = admitted.map(|admitted| admitted.caller) else {
        return gate::unauthorized();
    };
    let mcp = match caller {
        Caller::Coordinator => &endpoint.coordinator,
        Caller::Worker(attempt) => match silenced(&endpoint.service, attempt).await {
            None => &endpoint.worker,
            Some(refused) => return refused,
        },
    };
    // Held until the call is answered, because its arguments are.
    let Ok(_room) = endpoint.room.enter(caller, &parts.headers).await else {
        return later("Too many large requests at the same time; send it again\n");
    };
    let body = match body::read(&parts.headers, body).await {
        Ok(body) => body,
        Err(Unread::TooLarge) => {
            let most = body::MOST_BYTES;
            let text = format!("The body is too large; the maximum is {most} bytes\n");
            return (StatusCode::PAYLOAD_TOO_LARGE, text).into_response();
        }
        Err(Unread::Slow) => {
            let text = "The body did not arrive in time\n";
            return (StatusCode::REQUEST_TIMEOUT, text).into_response();
        }
        Err(Unread::Broken) => return StatusCode::BAD_REQUEST.into_response(),
    };
    if is_json(&parts.headers)
        && let Some(messages) = batch::messages(&body)
    {
        // One turn for all: each waiting for its own while others of this batch have theirs would wait for itself.
        let Ok(turn) = endpoint.answers.enter(caller).await else { return later(MANY_ANSWERS) };
        let one = |message| {
            let (message, head) = message::read(message);
            answer(&endpoint.requests, mcp, parts.clone(), message, head, caller)
        };
        return answers::with(batch::answer(&parts.headers, messages, one).await, turn);
    }
    let (body, head) = message::read(body);
    if !head.may_be_answered_at_length() {
        return answer(&endpoint.requests, mcp, parts, body, head, caller).await;
    }
    let Ok(turn) = endpoint.answers.enter(caller).await else { return later(MANY_ANSWERS) };
    let answer = answer(&endpoint.requests, mcp, parts, body, head, caller).await;
    answers::with(answer, turn)
}

const MANY_ANSWERS: &str = "Too many calls at the same time; send it again\n";

/// The answer to a request for which there is no room now.
fn later(why: &'static str) -> Response {
    let after = (header::RETRY_AFTER, HeaderValue::from_static("1"));
    (StatusCode::SERVICE_UNAVAILABLE, [after], why).into_response()
}

/// Answers one message.
async fn answer(
    requests: &Requests,
    mcp: &Mcp,
    mut parts: Parts,
    body: Bytes,
    head: Head,
    caller: Caller,
) -> Response {
    if head.method.as_deref() == Some("notifications/cancelled")
        && let Some(id) = &head.request_id
    {
        requests.cancel(caller, id);
    }
    if let Some(id) = &head.id {
        let wrong = head.method.as_deref().and_then(|method| params::wrong_options(method, &body));
        let token = || "params._meta.progressToken must be a string or a whole number".to_owned();
        if let Some(wrong) = wrong.or_else(|| head.has_wrong_token.then(token)) {
            return invalid_params(&parts.headers, id, &wrong);
        }
        parts.extensions.insert(requests.begin(caller, id));
    }
    let is_json = is_json(&parts.headers);
    let body = if is_json { body::repaired(body) } else { body };
    let request = Request::from_parts(parts, Body::from(body.clone()));
    let response = mcp.handle(request).await;
    if is_json && response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        return not_a_request(&body);
    }
    response
}

/// The JSON-RPC error for parameters that the SDK would ignore, with the HTTP status that the SDK gives such errors.
fn invalid_params(headers: &HeaderMap, id: &Value, wrong: &str) -> Response {
    let is_current = headers.get("mcp-method").is_some();
    let status = if is_current { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": wrong}});
    (status, [gate::JSON], error.to_string()).into_response()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| {
        kind.split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    })
}

/// The JSON-RPC error for a body that is not a JSON-RPC message; the SDK answers it with a status alone.
fn not_a_request(body: &Bytes) -> Response {
    let (code, message, id) = match serde_json::from_slice::<Value>(body) {
        Err(_) => (-32700, "the body is not JSON", Value::Null),
        Ok(value) => {
            let id = value.get("id").filter(|id| id.is_string() || id.is_number()).cloned();
            (-32600, "the body is not a JSON-RPC 2.0 message", id.unwrap_or_default())
        }
    };
    let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}});
    (StatusCode::BAD_REQUEST, [gate::JSON], error.to_string()).into_response()
}
