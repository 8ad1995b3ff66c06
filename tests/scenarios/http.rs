//! The HTTP surface: which requests are admitted, and what is monitored.

use std::os::unix::fs::PermissionsExt;

use e2e::bed::Bed;
use e2e::client::Client;
use e2e::server::Setup;
use serde_json::json;

/// The status of a `tools/list` request with one more header.
async fn status_with(bed: &Bed, header: &str, value: &str) -> reqwest::Response {
    let body = bed.client.stateless_body("tools/list", json!({}));
    let request = Client::stateless(bed.client.post(), "tools/list", None).header(header, value);
    request.json(&body).send().await.expect("the server is up")
}

#[e2e::scenario]
async fn without_the_token_every_client_is_refused() {
    let bed = Bed::start().await;
    let real = bed.server.token();
    let cut = &real[..real.len() - 1];
    for token in [None, Some("wrong"), Some(cut), Some("")] {
        let reply = bed.client.with_token(token).call_tool("list_projects", json!({})).await;
        assert_eq!(reply.status, 401, "{token:?}: {reply:?}");
        assert!(!reply.body.contains(&real));
    }
    assert!(bed.reachable().await);
}

#[e2e::scenario]
async fn the_token_file_is_for_its_owner_only_and_survives_a_restart() {
    let mut bed = Bed::start().await;
    let file = bed.server.state_dir().join("tokens/coordinator");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let token = bed.server.token();
    assert!(token.len() >= 32, "too long to guess");

    bed.server.restart().await;

    assert_eq!(bed.server.token(), token);
}

#[e2e::scenario]
async fn a_foreign_origin_is_forbidden() {
    let bed = Bed::start().await;
    for origin in ["http://evil.example", "null", "http://127.0.0.1.evil.example"] {
        let response = status_with(&bed, "Origin", origin).await;
        assert_eq!(response.status().as_u16(), 403, "{origin}");
        assert!(response.headers().get("access-control-allow-origin").is_none());
    }
}

#[e2e::scenario]
async fn a_foreign_host_is_forbidden() {
    let bed = Bed::start().await;
    assert_eq!(status_with(&bed, "Host", "evil.example").await.status().as_u16(), 403);
}

#[e2e::scenario]
async fn its_own_origin_is_welcome() {
    let bed = Bed::start().await;
    let origin = format!("http://{}", bed.server.address());
    assert_eq!(status_with(&bed, "Origin", &origin).await.status().as_u16(), 200);
}

#[e2e::scenario]
async fn more_than_four_mebibytes_are_too_large() {
    let bed = Bed::start().await;
    let arguments = json!({"ticket_id": "T-1", "content": "x".repeat(4 << 20)});
    let params = json!({"name": "add_ticket_comment", "arguments": arguments});
    let body = bed.client.stateless_body("tools/call", params);
    let request = Client::stateless(bed.client.post(), "tools/call", Some("add_ticket_comment"));
    // The server may answer and close before it has read everything, or read everything; it must
    // not stay silent.
    match request.json(&body).send().await {
        Ok(response) => assert_eq!(response.status().as_u16(), 413),
        Err(error) => assert!(error.is_request(), "{error}"),
    }
    assert!(bed.reachable().await);
}

#[e2e::scenario]
async fn health_needs_no_token() {
    let bed = Bed::start().await;
    for path in ["/healthz", "/readyz"] {
        let response = bed.client.with_token(None).get(path).await;
        assert_eq!(response.status().as_u16(), 200, "{path}");
    }
}

#[e2e::scenario]
async fn metrics_are_prometheus_text() {
    let bed = Bed::start().await;
    let response = bed.client.get("/metrics").await;
    assert_eq!(response.status().as_u16(), 200);
    let text = response.text().await.unwrap();
    assert!(text.lines().any(|line| line.starts_with("# TYPE vibe_ensemble_")), "{text}");
}

#[e2e::scenario]
async fn an_unknown_path_is_not_found() {
    let bed = Bed::start().await;
    let response = bed.client.get("/etc/passwd").await;
    assert_eq!(response.status().as_u16(), 404);
}

#[e2e::scenario]
async fn auth_none_needs_no_token_on_loopback() {
    let bed = Bed::with(Setup::default().arg("--auth").arg("none")).await;
    let client = Client::new(bed.server.address(), None);
    let list = client.ok("list_projects", json!({})).await;
    assert_eq!(list["projects"], json!([]));
}
