//! The HTTP server: its routes, what every request passes before it reaches one, and how it stops.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::any;
use axum::routing::get;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::mcp::http::access::Access;
use crate::mcp::http::connections;
use crate::mcp::http::endpoint::Endpoint;
use crate::mcp::http::endpoint::serve_mcp;
use crate::mcp::http::gate::Firsts;
use crate::mcp::http::gate::Gate;
use crate::mcp::http::gate::check;
use crate::mcp::http::limits::Limits;
use crate::mcp::http::limits::Rates;
use crate::mcp::http::links::end_sessions;
use crate::mcp::http::links::make_link;
use crate::mcp::http::pages::Pages;
use crate::mcp::http::pages::healthz;
use crate::mcp::http::pages::readyz;
use crate::mcp::http::pages::show_metrics;
use crate::mcp::http::pages::show_status;
use crate::mcp::sdk::Handlers;
use crate::mcp::service::Service;

/// How long busy connections may take to end once the server stops; after that they are left behind.
const DRAIN: Duration = Duration::from_secs(3);

/// What browsers are shown: its routes, and the first parts of their paths.
#[derive(Clone, Debug, Default)]
pub struct BrowserPages {
    pub routes: Router,
    pub firsts: Firsts,
}

/// Everything that is served over HTTP, behind the checks every request passes.
///
/// Without [`serve`] a router does not know where a request comes from, and counts all callers without a token as one.
pub fn router(service: Service, access: Access, limits: Limits, browsers: BrowserPages) -> Router {
    let service = service.with_waiting_calls(limits.waiting_calls);
    let links = Router::new()
        .route("/dashboard/link", post(make_link))
        .route("/dashboard/revoke", post(end_sessions))
        .with_state(access.clone());
    let gate = Arc::new(Gate { access, rates: Rates::new(limits), pages: browsers.firsts });
    let handlers = Handlers::new(&service);
    let pages = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .route("/status", get(show_status))
        .with_state(Arc::new(Pages::new(service.clone(), handlers.calls())));
    Router::new()
        .route("/mcp", any(serve_mcp))
        .with_state(Arc::new(Endpoint::new(service, handlers)))
        .merge(pages)
        .merge(links)
        .merge(browsers.routes)
        .layer(middleware::from_fn_with_state(gate, check))
}

/// Serves until `shutdown`, then lets calls finish, for a while.
///
/// Waiting calls end by themselves: they hold the same token, given to [`Service::new`].
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
        () = drained => tracing::warn!(seconds = DRAIN.as_secs(), "connections are still open at the end"),
    }
}
