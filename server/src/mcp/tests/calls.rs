//! Calls of tools: a whole ticket, lists in pages, and calls that wait.

use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::Value;
use serde_json::json;
use tokio::sync::watch;

use super::Era;
use super::Fixture;
use super::TOKEN;
use super::last_message;
use super::rpc_request;
use super::text;
use crate::mcp::Access;
use crate::mcp::Auth;
use crate::mcp::BrowserPages;
use crate::mcp::Key;
use crate::mcp::Limits;
use crate::mcp::router;

#[tokio::test]
async fn a_client_may_wait_only_so_often_at_one_time() {
    let fixture = Fixture::new().await;
    let limits = Limits { waiting_calls: 1, ..Limits::default() };
    let (_keys, key) = watch::channel(Key::new(TOKEN.to_owned()));
    let bound = "127.0.0.1:3276".parse().unwrap();
    let access = Access::new(Auth::Token(key), bound, "127.0.0.1");
    let server = Fixture {
        router: router(fixture.service.clone(), access, limits, BrowserPages::default()),
        ..fixture
    };
    let wait = json!({"name": "list_events", "arguments": {"wait_seconds": 3600}});
    let waiting = server.send(rpc_request(Era::Stateless, "tools/call", wait.clone())).await;
    let refused = server.refused("list_events", wait["arguments"].clone()).await;
    assert!(refused.starts_with("1 of your calls is already waiting"), "{refused}");
    server.done("list_events", json!({})).await;
    server.shutdown.cancel();
    text(waiting).await;
}

#[tokio::test]
async fn a_coordinator_can_take_a_ticket_through_its_plan_itself() {
    let server = Fixture::new().await;
    server.with_project().await;
    let new = json!({
        "project": "shop", "title": "Build", "execution_plan": ["impl", "test"], "idempotency_key": "k",
    });
    let ticket = server.done("create_ticket", new.clone()).await;
    assert_eq!(ticket["ticket_id"], "T-1");
    assert_eq!(ticket["state"], "queued");
    assert_eq!(server.done("create_ticket", new).await["ticket_id"], "T-1");

    let detail = server.done("get_ticket", json!({"ticket_id": "T-1"})).await;
    assert!(detail["waiting_for"].is_string(), "{detail}");
    assert_eq!((&detail["comments"], &detail["attempts"]), (&json!([]), &json!([])));
    let queue =
        server.done("get_queue_status", json!({"project": "shop", "worker_type": "impl"})).await;
    assert_eq!(queue["depth"], 1);
    assert_eq!(queue["tickets"][0]["ticket_id"], "T-1");

    let stage = |stage: &str| json!({"ticket_id": "T-1", "stage": stage, "outcome": "completed", "report": "Done."});
    assert_eq!(
        server.refused("complete_ticket_stage", stage("test")).await,
        "T-1 is at stage impl, not \"test\". Read it with get_ticket, or call again with stage impl if that is the one \
         you mean."
    );
    let ticket = server.done("complete_ticket_stage", stage("impl")).await;
    assert_eq!(ticket["current_stage"], "test");
    let ticket = server.done("complete_ticket_stage", stage("test")).await;
    assert_eq!((&ticket["state"], &ticket["resolution"]), (&json!("closed"), &json!("completed")));
    let project = server.done("get_project", json!({"project": "shop"})).await;
    assert_eq!(project["tickets"]["closed"], 1);

    let page = server.done("list_events", json!({"limit": 2})).await;
    assert_eq!(page["events"].as_array().map(Vec::len), Some(2));
    let last = page["last_seq"].clone();
    let marked = server.done("mark_events_processed", json!({"up_to_seq": last})).await;
    assert_eq!(marked["marked"], page["last_seq"]);
    assert_eq!(server.done("list_events", json!({})).await["events"], json!([]));
}

#[tokio::test]
async fn lists_continue_where_the_previous_page_ended() {
    let server = Fixture::new().await;
    server.with_project().await;
    let first = server.done("list_worker_types", json!({"project": "shop", "limit": 1})).await;
    assert_eq!(first["worker_types"][0]["worker_type"], "impl");
    let cursor = first["next_cursor"].clone();
    let rest = server.done("list_worker_types", json!({"project": "shop", "cursor": cursor})).await;
    assert_eq!(rest["worker_types"][0]["worker_type"], "test");
    assert_eq!(rest["next_cursor"], Value::Null);
    let refused = server.refused("list_tickets", json!({"cursor": cursor})).await;
    assert!(refused.contains("the next_cursor of an earlier list_tickets answer"), "{refused}");
}

#[tokio::test]
async fn a_waiting_call_reports_progress_and_answers_when_something_happens() {
    let server = Fixture::new().await;
    server.with_project().await;
    let wait = json!({"name": "list_events", "arguments": {"wait_seconds": 600, "kinds": ["ticket_created"]}});
    let response = server.send(rpc_request(Era::Stateless, "tools/call", wait)).await;
    let mut body = response.into_body();
    let frame = body.frame().await.expect("a first message").expect("an intact stream");
    let first = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text");
    assert_eq!(last_message(&first)["method"], "notifications/progress", "{first}");

    let new = json!({"project": "shop", "title": "Build", "execution_plan": ["impl"]});
    server.done("create_ticket", new).await;
    let rest = tokio::time::timeout(Duration::from_secs(10), body.collect())
        .await
        .expect("an answer once the ticket is there")
        .expect("an intact stream");
    let rest = String::from_utf8(rest.to_bytes().to_vec()).expect("text");
    let events = &last_message(&rest)["result"]["structuredContent"]["events"];
    assert_eq!(events[0]["kind"], "ticket_created", "{rest}");
}

#[tokio::test]
async fn a_waiting_call_ends_with_an_empty_list_when_the_server_stops() {
    let server = Fixture::new().await;
    let wait = json!({"name": "list_events", "arguments": {"wait_seconds": 3600}});
    let response = server.send(rpc_request(Era::Stateless, "tools/call", wait)).await;
    server.shutdown.cancel();
    let body = tokio::time::timeout(Duration::from_secs(10), text(response))
        .await
        .expect("an answer at the stop");
    let result = last_message(&body)["result"].clone();
    assert_eq!(result["structuredContent"], json!({"events": [], "last_seq": 0}), "{body}");
    assert_eq!(result["isError"], false);
}
