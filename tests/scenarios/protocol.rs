//! MCP itself: the current revision, and the older ones that clients still speak.

use e2e::bed::Bed;
use e2e::client::Client;
use e2e::client::PROTOCOL;
use e2e::client::read_reply;
use serde_json::json;

#[e2e::scenario]
async fn older_revisions_initialize_list_the_tools_and_call_them() {
    let bed = Bed::start().await;
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let params = json!({
            "protocolVersion": revision, "capabilities": {},
            "clientInfo": {"name": "e2e", "version": "0"},
        });
        let welcome = bed.client.rpc_of(revision, "initialize", params).await;
        assert_eq!(welcome.result()["protocolVersion"], revision);
        assert_eq!(welcome.result()["serverInfo"]["name"], "vibe-ensemble");
        assert!(welcome.result()["instructions"].is_string(), "{welcome:?}");

        let list = bed.client.rpc_of(revision, "tools/list", json!({})).await;
        let tools = list.result()["tools"].as_array().unwrap().len();
        assert!(tools > 0, "{revision}: {list:?}");
        let params = json!({"name": "list_projects", "arguments": {}});
        let call = bed.client.rpc_of(revision, "tools/call", params).await;
        assert_eq!(call.result()["structuredContent"]["projects"], json!([]), "{revision}");
    }
}

#[e2e::scenario]
async fn the_current_revision_discovers_without_a_session() {
    let bed = Bed::start().await;
    let found = bed.client.rpc("server/discover", json!({})).await;
    let versions = found.result()["supportedVersions"].as_array().unwrap();
    assert!(versions.contains(&json!(PROTOCOL)), "{versions:?}");
}

#[e2e::scenario]
async fn headers_that_contradict_the_body_are_refused() {
    let bed = Bed::start().await;
    let params = json!({"name": "list_projects", "arguments": {}});
    let body = bed.client.stateless_body("tools/call", params);
    let request = Client::stateless(bed.client.post(), "tools/call", Some("delete_project"));
    let reply = read_reply(request.json(&body).send().await.unwrap()).await.unwrap();
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(reply.rpc_error().is_some());
}

#[e2e::scenario]
async fn a_malformed_request_is_the_clients_error() {
    let bed = Bed::start().await;
    for body in ["{", "[]", "{\"jsonrpc\":\"2.0\"}", ""] {
        let request = Client::stateless(bed.client.post(), "tools/list", None).body(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        assert!((400..500).contains(&status), "{body:?} is answered {status}");
    }
    assert!(bed.reachable().await);
}

#[e2e::scenario]
async fn an_unknown_method_is_a_json_rpc_error() {
    let bed = Bed::start().await;
    let reply = bed.client.rpc("coffee/make", json!({})).await;
    assert_eq!(reply.rpc_error(), Some(-32601), "{reply:?}");
}

#[e2e::scenario]
async fn a_broken_part_of_a_body_costs_itself_and_the_call_is_answered() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let arguments = json!({"project": "shop", "title": "HALF", "execution_plan": ["build"],
        "description": "BYTES"});
    let whole = bed
        .client
        .stateless_body("tools/call", json!({"name": "create_ticket", "arguments": arguments}))
        .to_string();
    let call = async |body: Vec<u8>| {
        let request = Client::stateless(bed.client.post(), "tools/call", Some("create_ticket"));
        let answer = request.body(body).send().await.expect("the server is up");
        answer.text().await.expect("a whole answer")
    };
    let broken = whole.replace("HALF", r"Table \ud83d").into_bytes();
    let at = broken.windows(5).position(|part| part == b"BYTES").expect("it is there");
    let broken = [&broken[..at], b"\xff\xfe", &broken[at + 5..]].concat();
    let answer = call(broken).await;
    assert!(answer.contains("Table \u{fffd}") && answer.contains("T-1"), "{answer}");
    let ticket = bed.get("T-1").await;
    assert_eq!(
        (&ticket["title"], &ticket["description"]),
        (&json!("Table \u{fffd}"), &json!("\u{fffd}\u{fffd}"))
    );
    // What remains wrong is refused by name, and not as an invalid body.
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for title in ["1e999", &deep] {
        let answer = call(whole.replace(r#""HALF""#, title).into_bytes()).await;
        assert!(answer.contains("isError") && answer.contains("title"), "{answer}");
    }
}
