//! The SDK's HTTP service around a [`Handler`].

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use rmcp::transport::StreamableHttpServerConfig;
use rmcp::transport::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;

use crate::mcp::sdk::handler::Handler;

/// What speaks MCP to one kind of caller.
pub(crate) struct Mcp(StreamableHttpService<Handler, NeverSessionManager>);

impl Mcp {
    pub(crate) fn new(handler: Handler, most_body_bytes: usize) -> Self {
        let mut config = StreamableHttpServerConfig::default();
        config.legacy_session_mode = false;
        // One write for calls that are answered at once. A call that first reports progress still gets an event stream.
        config.json_response = true;
        config.max_request_body_bytes = most_body_bytes;
        // `Access` has checked both headers, with the port, which the SDK's list cannot know.
        let config = config.disable_allowed_hosts().disable_allowed_origins();
        Self(StreamableHttpService::new(
            move || Ok(handler.clone()),
            Arc::new(NeverSessionManager::default()),
            config,
        ))
    }

    /// Answers one message.
    pub(crate) async fn handle(&self, request: Request) -> Response {
        self.0.handle(request).await.map(Body::new)
    }
}
