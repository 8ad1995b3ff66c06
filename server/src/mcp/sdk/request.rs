//! What a request carries besides its parameters: its caller, its revision, and where to report progress.

use std::time::Duration;

use axum::http::request::Parts;
use rmcp::ErrorData;
use rmcp::RoleServer;
use rmcp::model;
use rmcp::model::PaginatedRequestParams;
use rmcp::model::ProgressNotificationParam;
use rmcp::service::RequestContext;

use crate::mcp::call::Admitted;
use crate::mcp::call::BoxFuture;
use crate::mcp::call::Caller;
use crate::mcp::call::Progress;
use crate::telemetry;

/// Whether the request is one of the revision without sessions.
pub(super) fn is_stateless(context: &RequestContext<RoleServer>) -> bool {
    let parts = context.extensions.get::<Parts>();
    let revision = parts.and_then(|parts| parts.headers.get("mcp-protocol-version"));
    revision.is_some_and(|revision| revision == "2026-07-28")
}

/// Refuses a cursor for a list that has one page.
pub(super) fn only_page(
    method: &str,
    page: Option<PaginatedRequestParams>,
) -> Result<(), ErrorData> {
    let cursor = page.and_then(|page| page.cursor).filter(|cursor| !cursor.is_empty());
    cursor.map_or(Ok(()), |_| {
        let wrong = format!("{method} has one page: leave params.cursor out");
        Err(ErrorData::invalid_params(wrong, None))
    })
}

/// The caller of the request. The transport admits no request without one; should it ever, the request fails.
pub(super) fn admitted(context: &RequestContext<RoleServer>) -> Result<Admitted, ErrorData> {
    let parts = context.extensions.get::<Parts>();
    let admitted = parts.and_then(|parts| parts.extensions.get::<Admitted>()).cloned();
    admitted.ok_or_else(|| ErrorData::internal_error("the caller of this request is unknown", None))
}

/// Workers have tools and nothing else; what they do not see they may not use either.
pub(super) fn for_coordinators(context: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
    match admitted(context)?.caller {
        Caller::Coordinator => Ok(()),
        Caller::Worker(_) => {
            let text = "a worker has tools only; get_ticket and get_project show its own ticket and project";
            Err(ErrorData::new(model::ErrorCode::METHOD_NOT_FOUND, text, None))
        }
    }
}

/// How to report to the client that a call still waits, if it asked for progress.
pub(super) fn progress(context: &RequestContext<RoleServer>) -> Option<Progress> {
    let token = context.meta.get_progress_token()?;
    let peer = context.peer.clone();
    Some(Box::new(move |waited: Duration, of: Duration| -> BoxFuture<()> {
        let progress = ProgressNotificationParam::new(token.clone(), waited.as_secs_f64())
            .with_total(of.as_secs_f64())
            .with_message("Waiting for events");
        let peer = peer.clone();
        Box::pin(async move {
            if let Err(error) = peer.notify_progress(progress).await {
                // The client is gone, and the call is cancelled for that.
                tracing::debug!(error = telemetry::chain(&error), "could not send progress");
            }
        })
    }))
}
