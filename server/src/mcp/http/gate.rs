//! What every request passes first: this server's own host and origin, then the token or the session, then the caller's
//! share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::extract::MatchedPath;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde_json::json;

use crate::mcp::http::access::Access;
use crate::mcp::http::connections::Local;
use crate::mcp::http::limits::Client;
use crate::mcp::http::limits::Rates;
use crate::mcp::http::open::Connection;
use crate::proof;

/// Pages for supervisors, which have no token.
const OPEN_PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The paths that browsers ask for, by their first part; `""` is the root. They know sessions and no tokens.
pub(crate) type Firsts = &'static [&'static str];

pub(crate) const JSON: (header::HeaderName, HeaderValue) =
    (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));

/// What every request passes.
pub(crate) struct Gate {
    pub(crate) access: Access,
    pub(crate) rates: Rates,
    pub(crate) pages: Firsts,
}

impl Gate {
    /// Whether a browser asks for a page: one that there is, or an address that leads nowhere, which shall say so to a person.
    fn is_page(&self, request: &Request) -> bool {
        let first = request.uri().path().trim_start_matches('/').split('/').next();
        let leads_nowhere = request.extensions().get::<MatchedPath>().is_none();
        let has_pages = !self.pages.is_empty();
        self.pages.contains(&first.unwrap_or_default())
            || (has_pages && leads_nowhere && is_from_person(request.headers()))
    }
}

/// Whether a browser shows the answer to somebody.
pub(crate) fn is_from_person(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Checks the host and origin first, then the token.
pub(crate) async fn check(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
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
        return match gate.rates.count_proof(from) {
            Ok(()) => prove(access, &request),
            Err(wait) => too_many(wait),
        };
    }
    if gate.is_page(&request) {
        // Without a session the pages themselves say how to get one, and show nothing else.
        let counted = match access.visit(request.headers()) {
            Some(visitor) => {
                let client = Client::Browser(visitor.session);
                let counted = gate.rates.count(client);
                know(&request, client);
                request.extensions_mut().insert(visitor);
                counted
            }
            None => gate.rates.count_stranger(from),
        };
        return match counted {
            Ok(()) => next.run(request).await,
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
        let client = Client::Caller(admitted.caller);
        if let Err(wait) = gate.rates.count(client) {
            return too_many(wait);
        }
        know(&request, client);
        request.extensions_mut().insert(admitted);
    }
    next.run(request).await
}

/// The connection is known from now on. None exists when the request did not arrive by a socket.
fn know(request: &Request, client: Client) {
    if let Some(connection) = request.extensions().get::<Arc<Connection>>() {
        connection.is_now_known(client);
    }
}

/// The answer to a client that wants to know to whom it is about to send its token.
fn prove(access: &Access, request: &Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let challenge = query.strip_prefix("challenge=").filter(|text| proof::is_challenge(text));
    let local = request.extensions().get::<Local>();
    let proven = challenge.zip(local).and_then(|(challenge, at)| access.prove(challenge, at.0));
    let Some([listener, port]) = proven else { return StatusCode::NOT_FOUND.into_response() };
    ([JSON], json!({"listener": listener, "port": port}).to_string()).into_response()
}

fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let message = format!(
        "Too many requests from one client. Retry after {seconds} s, at a lower rate; the operator sets the limit with \
         --max-requests-per-second. To follow events, call list_events with wait_seconds."
    );
    let body = json!({"error": "too_many_requests", "message": message}).to_string();
    let after = (header::RETRY_AFTER, HeaderValue::from(seconds));
    (StatusCode::TOO_MANY_REQUESTS, [after, JSON], body).into_response()
}

pub(crate) fn unauthorized() -> Response {
    let message = "This server needs `Authorization: Bearer <token>`. The token is in the file tokens/coordinator of \
                   the server's state directory, or in the file that its option token_file names; `vibe-ensemble \
                   connect` sets up Claude Code to send it.";
    let body = json!({"error": "unauthorized", "message": message}).to_string();
    let challenge = (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    (StatusCode::UNAUTHORIZED, [challenge, JSON], body).into_response()
}
