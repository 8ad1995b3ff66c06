//! HTTP: `/mcp`, the three pages for supervisors, and what every request passes before it gets to them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::routing::any;
use axum::routing::get;
use rmcp::transport::StreamableHttpServerConfig;
use rmcp::transport::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::domain::id::AttemptId;
use crate::mcp::access::Access;
use crate::mcp::access::Admitted;
use crate::mcp::access::Caller;
use crate::mcp::batch;
use crate::mcp::body;
use crate::mcp::body::Unread;
use crate::mcp::cancelled::Requests;
use crate::mcp::connections;
use crate::mcp::connections::Connection;
use crate::mcp::connections::Local;
use crate::mcp::kept::Kept;
use crate::mcp::limits::Limits;
use crate::mcp::limits::Rates;
use crate::mcp::message;
use crate::mcp::metrics;
use crate::mcp::metrics::CallCounts;
use crate::mcp::reply;
use crate::mcp::requests::wrong_options;
use crate::mcp::room::Room;
use crate::mcp::server::Handler;
use crate::mcp::server::Handlers;
use crate::mcp::service::Service;
use crate::proof;
use crate::store;

/// From the order to stop until connections that are still busy are left behind.
const DRAIN: Duration = Duration::from_secs(3);

/// Pages a supervisor reads, which has no token.
const OPEN_PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

type Mcp = StreamableHttpService<Handler, NeverSessionManager>;

struct Shared {
    service: Service,
    /// What the coordinator is served, and what the agents of attempts are.
    coordinator: Mcp,
    worker: Mcp,
    calls: Arc<CallCounts>,
    /// What is being answered.
    requests: Requests,
    /// What bodies may take of the memory.
    room: Room,
    /// Whether the database answers.
    ready: Kept<bool>,
    /// The page of metrics; `None` when they could not be read.
    metrics: Kept<Option<String>>,
}

/// Everything that is served over HTTP, behind the checks every request passes.
///
/// Served without [`serve`] it does not know where a request comes from, and takes all strangers for one.
pub fn router(service: Service, access: Access, limits: Limits) -> Router {
    let service = service.with_waiting_calls(limits.waiting_calls);
    let gate = Arc::new(Gate { access, rates: Rates::new(limits) });
    let handlers = Handlers::new(&service);
    let calls = handlers.coordinator.calls();
    let shared = Shared {
        service,
        coordinator: mcp(handlers.coordinator),
        worker: mcp(handlers.worker),
        calls,
        requests: Requests::default(),
        room: Room::new(),
        ready: Kept::new(),
        metrics: Kept::new(),
    };
    Router::new()
        .route("/mcp", any(serve_mcp))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .with_state(Arc::new(shared))
        .layer(middleware::from_fn_with_state(gate, check))
}

fn mcp(handler: Handler) -> Mcp {
    let mut config = StreamableHttpServerConfig::default();
    config.legacy_session_mode = false;
    // One write for the calls that answer at once. A call that first reports progress still gets an event stream.
    config.json_response = true;
    config.max_request_body_bytes = body::MOST_BYTES;
    // `Access` has checked both headers, with the port, which the SDK's list cannot know.
    let config = config.disable_allowed_hosts().disable_allowed_origins();
    StreamableHttpService::new(
        move || Ok(handler.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    )
}

/// Serves until `shutdown`, then lets calls finish, for a while.
///
/// Calls that wait end by themselves: they hold the same token, given to [`Service::new`].
pub async fn serve(
    listener: TcpListener,
    router: Router,
    most_connections: usize,
    shutdown: CancellationToken,
) {
    let serving = connections::serve(listener, router, most_connections, shutdown.clone());
    let drained = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = serving => {}
        () = drained => tracing::warn!(waited = ?DRAIN, "connections still open at the end"),
    }
}

/// Own host and origin first, then the token.
async fn check(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let access = &gate.access;
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    if !access.is_own(request.uri(), request.headers()) {
        if let Err(wait) = gate.rates.count_stranger(from) {
            return too_many(wait);
        }
        return (StatusCode::FORBIDDEN, "Forbidden: Host or Origin is not this server's own\n")
            .into_response();
    }
    if request.uri().path() == proof::PATH {
        return match gate.rates.count_stranger(from) {
            Ok(()) => prove(access, &request),
            Err(wait) => too_many(wait),
        };
    }
    if !OPEN_PATHS.contains(&request.uri().path()) {
        let Some(admitted) = access.admit(request.headers()) else {
            return match gate.rates.count_stranger(from) {
                Ok(()) => unauthorized(),
                Err(wait) => too_many(wait),
            };
        };
        if let Err(wait) = gate.rates.count(admitted.caller) {
            return too_many(wait);
        }
        // Absent when the request came through no socket.
        if let Some(connection) = request.extensions().get::<Arc<Connection>>() {
            connection.is_now_known();
        }
        request.extensions_mut().insert(admitted);
    }
    next.run(request).await
}

/// The answer to a client that wants to know whom it is about to show its token.
fn prove(access: &Access, request: &Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let challenge = query.strip_prefix("challenge=").filter(|text| proof::is_challenge(text));
    let local = request.extensions().get::<Local>();
    let proven = challenge.zip(local).and_then(|(challenge, at)| access.prove(challenge, at.0));
    let Some([listener, port]) = proven else { return StatusCode::NOT_FOUND.into_response() };
    ([JSON], json!({"listener": listener, "port": port}).to_string()).into_response()
}

/// What every request passes.
struct Gate {
    access: Access,
    rates: Rates,
}

fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let message = format!(
        "Too many requests from one client. Be quiet for {seconds} s, then go on more slowly; the operator sets the \
         limit with --max-requests-per-second. To follow what happens, call list_events with wait_seconds."
    );
    let body = json!({"error": "too_many_requests", "message": message}).to_string();
    let after = (header::RETRY_AFTER, HeaderValue::from(seconds));
    (StatusCode::TOO_MANY_REQUESTS, [after, JSON], body).into_response()
}

fn unauthorized() -> Response {
    let message = "This server needs `Authorization: Bearer <token>`. The token is in the file tokens/coordinator of \
                   the server's state directory, or where its option token_file says; `vibe-ensemble connect` sets \
                   Claude Code up to send it.";
    let body = json!({"error": "unauthorized", "message": message}).to_string();
    let challenge = (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    (StatusCode::UNAUTHORIZED, [challenge, JSON], body).into_response()
}

/// The answer to an agent whose attempt may not speak any more; `None` when it may.
async fn silenced(service: &Service, attempt: AttemptId) -> Option<Response> {
    match service.store.speaking_attempt(attempt, service.present()).await {
        Ok(_) => None,
        Err(store::Error::Refused(refusal)) => {
            tracing::info!(%attempt, ?refusal, "an agent that may not speak any more was refused");
            let body = json!({"error": "invalid_token", "message": reply::refusal(&refusal)});
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            let challenge = (header::WWW_AUTHENTICATE, challenge);
            Some((StatusCode::UNAUTHORIZED, [challenge, JSON], body.to_string()).into_response())
        }
        Err(store::Error::Failed(error)) => {
            tracing::error!(error = reply::chain(&error), "an attempt could not be read");
            Some(StatusCode::SERVICE_UNAVAILABLE.into_response())
        }
    }
}

const JSON: (header::HeaderName, HeaderValue) =
    (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));

async fn serve_mcp(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // Without one the request did not come through `check`, and nobody is served.
    let admitted = parts.extensions.get::<Admitted>();
    let Some(caller) = admitted.map(|admitted| admitted.caller) else { return unauthorized() };
    let mcp = match caller {
        Caller::Coordinator => &shared.coordinator,
        Caller::Worker(attempt) => match silenced(&shared.service, attempt).await {
            None => &shared.worker,
            Some(refused) => return refused,
        },
    };
    // Kept until the call is answered, since its arguments are.
    let Ok(_room) = shared.room.enter(caller, &parts.headers).await else {
        let text = "Too many large requests at one time; send it again\n";
        let after = (header::RETRY_AFTER, HeaderValue::from_static("1"));
        return (StatusCode::SERVICE_UNAVAILABLE, [after], text).into_response();
    };
    let body = match body::read(&parts.headers, body).await {
        Ok(body) => body,
        Err(Unread::TooLarge) => {
            let most = body::MOST_BYTES;
            let text = format!("The body is too large: at most {most} bytes are read\n");
            return (StatusCode::PAYLOAD_TOO_LARGE, text).into_response();
        }
        Err(Unread::Slow) => {
            let text = "The body did not come in time\n";
            return (StatusCode::REQUEST_TIMEOUT, text).into_response();
        }
        Err(Unread::Broken) => return StatusCode::BAD_REQUEST.into_response(),
    };
    if is_json(&parts.headers)
        && let Some(messages) = batch::messages(&body)
    {
        let one = |message| answer(&shared.requests, mcp, parts.clone(), message, caller);
        return batch::answer(&parts.headers, messages, one).await;
    }
    answer(&shared.requests, mcp, parts, body, caller).await
}

/// Answers one message.
async fn answer(
    requests: &Requests,
    mcp: &Mcp,
    mut parts: Parts,
    body: Bytes,
    caller: Caller,
) -> Response {
    let (body, head) = message::read(body);
    if head.method.as_deref() == Some("notifications/cancelled")
        && let Some(id) = &head.request_id
    {
        requests.cancel(caller, id);
    }
    if let Some(id) = &head.id {
        let wrong = head.method.as_deref().and_then(|method| wrong_options(method, &body));
        let token = || "params._meta.progressToken must be a text or a whole number".to_owned();
        if let Some(wrong) = wrong.or_else(|| head.has_wrong_token.then(token)) {
            return invalid_params(&parts.headers, id, &wrong);
        }
        parts.extensions.insert(requests.begin(caller, id));
    }
    let is_json = is_json(&parts.headers);
    let body = if is_json { body::mended(body) } else { body };
    let request = Request::from_parts(parts, Body::from(body.clone()));
    let response = mcp.handle(request).await;
    if is_json && response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        return not_a_request(&body);
    }
    response.map(Body::new)
}

/// The JSON-RPC error for parameters that the SDK would pass over, with the status it has for such errors.
fn invalid_params(headers: &HeaderMap, id: &serde_json::Value, wrong: &str) -> Response {
    let is_current = headers.get("mcp-method").is_some();
    let status = if is_current { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": wrong}});
    (status, [JSON], error.to_string()).into_response()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| {
        kind.split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    })
}

/// The JSON-RPC error for a body that is none of its messages; the SDK has only a status for it.
fn not_a_request(body: &Bytes) -> Response {
    let (code, message, id) = match serde_json::from_slice::<serde_json::Value>(body) {
        Err(_) => (-32700, "the body is not JSON", serde_json::Value::Null),
        Ok(value) => {
            let id = value.get("id").filter(|id| id.is_string() || id.is_number()).cloned();
            (-32600, "the body is not a JSON-RPC 2.0 message", id.unwrap_or_default())
        }
    };
    let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}});
    (StatusCode::BAD_REQUEST, [JSON], error.to_string()).into_response()
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let answers = || async {
        let pinged = shared.service.store.ping().await;
        if let Err(error) = &pinged {
            tracing::warn!(error = reply::chain(error), "not ready");
        }
        pinged.is_ok()
    };
    if shared.ready.get(answers).await { "ready\n".into_response() } else { silent_database() }
}

async fn show_metrics(State(shared): State<Arc<Shared>>) -> Response {
    let page = || async {
        match shared.service.store.counts().await {
            Ok(counts) => {
                let (room, waiting) = (shared.service.room(), shared.service.waiting.count());
                let draining = shared.service.is_draining();
                Some(metrics::exposition(&counts, &shared.calls, room, waiting, draining))
            }
            Err(error) => {
                tracing::error!(error = reply::chain(&error), "metrics not readable");
                None
            }
        }
    };
    let Some(page) = shared.metrics.get(page).await else { return silent_database() };
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], page).into_response()
}

fn silent_database() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response()
}
