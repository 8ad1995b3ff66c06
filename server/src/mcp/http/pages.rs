//! The pages for supervisors, `/healthz`, `/readyz` and `/metrics`, which need no token; and `/status` for the command
//! line, which needs the coordinator's.

use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde_json::json;

use crate::mcp::call::Admitted;
use crate::mcp::call::Caller;
use crate::mcp::counts::CallCounts;
use crate::mcp::http::gate;
use crate::mcp::http::kept::Kept;
use crate::mcp::http::metrics;
use crate::mcp::service::Service;
use crate::mcp::status;
use crate::telemetry;

/// What the pages are made from.
pub(crate) struct Pages {
    service: Service,
    calls: Arc<CallCounts>,
    /// Whether the database answers.
    ready: Kept<bool>,
    /// The page of metrics; `None` when they could not be read.
    metrics: Kept<Option<String>>,
}

impl Pages {
    pub(crate) fn new(service: Service, calls: Arc<CallCounts>) -> Self {
        Self { service, calls, ready: Kept::new(), metrics: Kept::new() }
    }

    /// Whether the database answers.
    async fn is_ready(&self) -> bool {
        let answers = || async {
            let pinged = self.service.store.ping().await;
            if let Err(error) = &pinged {
                tracing::warn!(error = telemetry::chain(error), "not ready");
            }
            pinged.is_ok()
        };
        self.ready.get(answers).await
    }
}

pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

pub(crate) async fn readyz(State(pages): State<Arc<Pages>>) -> Response {
    if pages.is_ready().await { "ready\n".into_response() } else { silent_database() }
}

pub(crate) async fn show_metrics(State(pages): State<Arc<Pages>>) -> Response {
    let page = || async {
        match pages.service.store.counts().await {
            Ok(counts) => {
                let (room, waiting) = (pages.service.room(), pages.service.waiting.count());
                let draining = pages.service.is_draining();
                Some(metrics::exposition(&counts, &pages.calls, room, waiting, draining))
            }
            Err(error) => {
                tracing::error!(error = telemetry::chain(&error), "could not read the metrics");
                None
            }
        }
    };
    let Some(page) = pages.metrics.get(page).await else { return silent_database() };
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], page).into_response()
}

/// What the server as a whole is doing, for the coordinator: pauses have its words in them.
pub(crate) async fn show_status(
    State(pages): State<Arc<Pages>>,
    admitted: Option<Extension<Admitted>>,
) -> Response {
    match admitted.map(|Extension(admitted)| admitted.caller) {
        Some(Caller::Coordinator) => {}
        Some(Caller::Worker(_)) => return StatusCode::FORBIDDEN.into_response(),
        None => return gate::unauthorized(),
    }
    let ready = pages.is_ready().await;
    match status::status(&pages.service, ready).await {
        Ok(status) => ([gate::JSON], json!(status).to_string()).into_response(),
        Err(error) => {
            tracing::error!(error = telemetry::chain(&error), "the status could not be read");
            silent_database()
        }
    }
}

fn silent_database() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response()
}
