//! The HTTP surface: what is admitted, how large a body may be, and how serving ends.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::http::StatusCode;
use axum::http::header;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;

use super::Fixture;
use super::authorized;
use super::fence;
use super::last_message;
use super::request;
use super::text;
use crate::domain::id::AttemptId;
use crate::mcp::Access;
use crate::mcp::Auth;
use crate::mcp::BrowserPages;
use crate::mcp::Limits;
use crate::mcp::http::MOST_BYTES;
use crate::mcp::router;
use crate::mcp::serve;
use crate::wire::read::read;
use crate::wire::status::ServerStatus;

#[tokio::test]
async fn a_request_passes_host_then_token() {
    let server = Fixture::new().await;
    let foreign = Request::get("/healthz").header(header::HOST, "evil.example:3276");
    let answer = server.send(foreign.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let foreign = authorized("POST", "/mcp").header(header::ORIGIN, "http://evil.example");
    let answer = server.send(foreign.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_none());

    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = server.send(request("GET", path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    for path in ["/mcp", "/status", "/", "/healthz/", "/metrics/x"] {
        let answer = server.send(request("GET", path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], "Bearer");
        assert!(text(answer).await.contains("tokens/coordinator"));
    }
    let answer = server.send(authorized("GET", "/nothing").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let answer = server.send(authorized("GET", "/mcp").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_status_is_for_the_coordinator_alone() {
    let server = Fixture::new().await;
    server.with_project().await;
    server.done("pause", json!({"project": "shop", "reason": "a release"})).await;
    let answer = server.send(authorized("GET", "/status").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let status: Value = serde_json::from_str(&text(answer).await).unwrap();
    let status: ServerStatus = read(status).unwrap();
    assert_eq!(status.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert!(status.ready && !status.draining && !status.disk_low, "{status:?}");
    let pauses: Vec<_> = status.pauses.iter().map(|pause| pause.reason.as_str()).collect();
    assert_eq!(pauses, ["a release"]);

    let of_a_worker = format!("Bearer {}", fence().token(AttemptId::from_key(1)));
    let request = request("GET", "/status").header(header::AUTHORIZATION, of_a_worker);
    let answer = server.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn bodies_are_bounded_and_must_be_messages() {
    let server = Fixture::new().await;
    let send = |body: Body| {
        let builder = authorized("POST", "/mcp")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream");
        server.send(builder.body(body).unwrap())
    };
    let answer = send(Body::from(vec![b' '; MOST_BYTES + 1])).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    for (body, code) in [("{\"jsonrpc\": ", -32700), ("[]", -32600), ("{\"id\": 7}", -32600)] {
        let answer = send(Body::from(body)).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(last_message(&text(answer).await)["error"]["code"], code, "{body}");
    }
}

#[tokio::test]
async fn serving_ends_at_shutdown_although_a_call_waits_and_a_connection_idles() {
    let fixture = Fixture::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bound = listener.local_addr().unwrap();
    let router = router(
        fixture.service.clone(),
        Access::new(Auth::None, bound, "127.0.0.1"),
        Limits::default(),
        BrowserPages::default(),
    );
    let serving = tokio::spawn(serve(listener, router, 10, fixture.shutdown.clone()));
    let client = reqwest::Client::new();
    let healthz = client.get(format!("http://{bound}/healthz")).send().await.unwrap();
    assert_eq!(healthz.text().await.unwrap(), "ok\n");
    let wait = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "list_events", "arguments": {"wait_seconds": 3600}, "_meta": {"progressToken": 1},
    }});
    let waiting = client
        .post(format!("http://{bound}/mcp"))
        .header(header::ACCEPT, "application/json, text/event-stream")
        .json(&wait)
        .send()
        .await
        .unwrap();
    fixture.shutdown.cancel();
    let answer = tokio::time::timeout(Duration::from_secs(2), waiting.text()).await;
    let answer = answer.expect("an answer at the stop").unwrap();
    assert_eq!(last_message(&answer)["result"]["structuredContent"]["events"], json!([]));
    let ended = tokio::time::timeout(Duration::from_secs(2), serving).await;
    ended.expect("an end well within the time to stop").unwrap();
}
