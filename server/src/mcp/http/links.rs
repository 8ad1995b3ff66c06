//! `/dashboard/link` and `/dashboard/revoke`: the coordinator lets a browser in, or all of them out.

use axum::extract::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde_json::json;

use crate::mcp::call::Admitted;
use crate::mcp::call::Caller;
use crate::mcp::http::access::Access;
use crate::mcp::http::gate;
use crate::sessions::Role;
use crate::telemetry;

/// The query of a link that may only look.
const READ_ONLY: &str = "read_only=true";

/// Answers with the path of a new link. Only the coordinator's token gets one: an agent must not let itself in.
pub(crate) async fn make_link(
    State(access): State<Access>,
    uri: Uri,
    admitted: Option<Extension<Admitted>>,
) -> Response {
    if let Some(refused) = refused(admitted) {
        return refused;
    }
    let role = if uri.query() == Some(READ_ONLY) { Role::ReadOnly } else { Role::Full };
    match access.mint(role) {
        None => ([gate::JSON], json!({"path": "/"}).to_string()).into_response(),
        Some(Ok(code)) => {
            let path = format!("/login?code={code}");
            ([gate::JSON], json!({"path": path}).to_string()).into_response()
        }
        Some(Err(error)) => failed(&error),
    }
}

/// Ends every session, and says how many there were.
pub(crate) async fn end_sessions(
    State(access): State<Access>,
    admitted: Option<Extension<Admitted>>,
) -> Response {
    if let Some(refused) = refused(admitted) {
        return refused;
    }
    let revoked = tokio::task::spawn_blocking(move || access.revoke(None)).await;
    match revoked.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
        Ok(ended) => ([gate::JSON], json!({"ended": ended}).to_string()).into_response(),
        Err(error) => failed(&error),
    }
}

fn refused(admitted: Option<Extension<Admitted>>) -> Option<Response> {
    match admitted.map(|Extension(admitted)| admitted.caller) {
        Some(Caller::Coordinator) => None,
        Some(Caller::Worker(_)) => Some(StatusCode::FORBIDDEN.into_response()),
        None => Some(gate::unauthorized()),
    }
}

fn failed(error: &std::io::Error) -> Response {
    tracing::error!(
        error = telemetry::chain(error),
        "the sessions of the dashboard were not changed"
    );
    (StatusCode::INTERNAL_SERVER_ERROR, "the sessions could not be changed; see the log\n")
        .into_response()
}
