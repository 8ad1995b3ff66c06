//! Requests that clients write differently from the schema, withdraw, or send together.

use std::collections::BTreeSet;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::client::Client;
use e2e::client::read_reply;
use e2e::eventually::eventually;
use serde_json::Value;
use serde_json::json;

/// Claude Code accepts 25,000 tokens before it puts an answer into a file; JSON has about three
/// bytes per token.
const ANSWER_BYTES: usize = 75_000;

async fn bed_with_a_type() -> Bed {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    bed
}

#[e2e::scenario]
async fn clients_that_send_doubles_or_strings_for_numbers_are_understood() {
    let bed = bed_with_a_type().await;
    let written = json!({
        "project": "shop", "title": "t", "execution_plan": "[\"build\", \"build\"]", "description": "",
        "priority": "", "depends_on": "", "idempotency_key": null,
    });
    let ticket = bed.client.ok("create_ticket", written).await;
    assert_eq!(ticket["execution_plan"], json!(["build", "build"]));
    assert_eq!((&ticket["priority"], &ticket["depends_on"]), (&json!("normal"), &json!([])));
    let second =
        json!({"project": "shop", "title": "u", "execution_plan": "build", "depends_on": "T-1"});
    let second = bed.client.ok("create_ticket", second).await;
    assert_eq!(second["depends_on"], json!(["T-1"]));

    let listed = json!({"limit": 1.0, "project": "", "state": null, "stage": "", "cursor": ""});
    let page = bed.client.ok("list_tickets", listed).await;
    assert_eq!(page["tickets"].as_array().map(Vec::len), Some(1));
    let waited = json!({"after": 1e6, "wait_seconds": "0", "kinds": "[\"ticket_closed\"]"});
    assert_eq!(bed.client.ok("list_events", waited).await["events"], json!([]));

    let changed = json!({
        "project": "shop", "worker_type": "build", "max_workers": 3.0, "timeout_seconds": "60", "auto_spawn": "False",
        "max_budget_usd": "0.5", "allowed_tools": "[\"Bash(git log:*)\", \"Read\"]", "system_prompt": "",
        "settings": "{\"env\": {}}",
    });
    let changed = bed.client.ok("update_worker_type", changed).await;
    assert_eq!((&changed["max_workers"], &changed["timeout_seconds"]), (&json!(3), &json!(60)));
    assert_eq!((&changed["auto_spawn"], &changed["max_budget_usd"]), (&json!(false), &json!(0.5)));
    assert_eq!(changed["allowed_tools"], json!(["Bash(git log:*)", "Read"]));
    assert_ne!(changed["system_prompt"], "");
    let marked = json!({"event_seqs": "[1.0, 2]", "up_to_seq": ""});
    assert_eq!(bed.client.ok("mark_events_processed", marked).await["marked"], 2);
}

#[e2e::scenario]
async fn an_empty_string_still_removes_optional_values() {
    let bed = bed_with_a_type().await;
    let rules = |rules: &str| json!({"project": "shop", "rules": rules, "path": ""});
    assert_eq!(bed.client.ok("update_project", rules("Be kind.")).await["rules"], "Be kind.");
    assert_eq!(bed.client.ok("update_project", rules("")).await["rules"], "");
}

/// Sends a JSON-RPC message of an older revision unchanged.
async fn send(bed: &Bed, revision: Option<&str>, body: &Value) -> e2e::client::Reply {
    let mut request = bed.client.post();
    if let Some(revision) = revision {
        request = request.header("MCP-Protocol-Version", revision);
    }
    let response = request.json(body).send().await.expect("the server is up");
    read_reply(response).await.expect("a whole answer")
}

fn call(id: &Value, tool: &str, arguments: &Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

async fn waiting(bed: &Bed) -> Option<u32> {
    let page = bed.client.get("/metrics").await.text().await.expect("a page");
    let line = page.lines().find_map(|line| line.strip_prefix("vibe_ensemble_waiting_calls "))?;
    line.trim().parse().ok()
}

async fn until_waiting(bed: &Bed, wanted: u32) {
    eventually("so many calls wait", || async {
        let now = waiting(bed).await;
        if now == Some(wanted) { Ok(()) } else { Err(format!("{now:?} wait")) }
    })
    .await;
}

#[e2e::scenario]
async fn a_cancelled_wait_ends_and_no_other_does() {
    let bed = bed_with_a_type().await;
    let last = bed.client.ok("list_events", json!({"limit": 1})).await["last_seq"].clone();
    let wait = json!({"after": last, "wait_seconds": 3600});
    let cancel = |id: Value| json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
    for (revision, progress) in [("2025-03-26", false), ("2025-06-18", true), ("2025-11-25", true)]
    {
        let mut body = call(&json!(7), "list_events", &wait);
        if progress {
            body["params"]["_meta"] = json!({"progressToken": 1});
        }
        let other = call(&json!("7"), "list_events", &wait);
        let ended = async {
            until_waiting(&bed, 2).await;
            for nobody in [json!(8), json!(null), json!({}), json!("8")] {
                send(&bed, Some(revision), &cancel(nobody)).await;
            }
            assert_eq!(waiting(&bed).await, Some(2), "{revision}");
            let reply = send(&bed, Some(revision), &cancel(json!(7.0))).await;
            assert_eq!((reply.status, reply.body.as_str()), (202, ""), "{revision}");
            until_waiting(&bed, 1).await;
            send(&bed, Some(revision), &cancel(json!("7"))).await;
        };
        let (first, second, ()) = tokio::join!(
            send(&bed, Some(revision), &body),
            send(&bed, Some(revision), &other),
            ended
        );
        for reply in [first, second] {
            assert_eq!(reply.result()["structuredContent"]["events"], json!([]), "{revision}");
        }
    }
}

#[e2e::scenario]
async fn wrong_parameters_are_reported_with_their_field() {
    let bed = bed_with_a_type().await;
    let client = json!({"name": "e2e", "version": "0"});
    for (method, params, field) in [
        ("initialize", json!({"protocolVersion": "2025-11-25", "capabilities": {}}), "clientInfo"),
        (
            "initialize",
            json!({"protocolVersion": 5, "capabilities": {}, "clientInfo": client}),
            "protocolVersion",
        ),
        (
            "initialize",
            json!({"protocolVersion": "2025-11-25", "clientInfo": client}),
            "capabilities",
        ),
        (
            "initialize",
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "e2e"}}),
            "clientInfo.version",
        ),
        ("initialize", Value::Null, "protocolVersion"),
        ("tools/list", json!({"cursor": 5}), "cursor"),
        ("tools/list", json!({"cursor": "bogus"}), "cursor"),
        ("tools/list", json!([]), "params"),
        ("tools/call", json!({}), "name"),
        ("tools/call", json!({"name": 5}), "name"),
        ("tools/call", json!({"name": "nosuch"}), "name"),
        ("tools/call", json!({"name": "list_projects", "arguments": []}), "arguments"),
        (
            "tools/call",
            json!({"name": "list_projects", "_meta": {"progressToken": {}}}),
            "progressToken",
        ),
        ("resources/read", json!({}), "uri"),
        ("resources/read", json!({"uri": 7}), "uri"),
        ("resources/list", json!({"cursor": "bogus"}), "cursor"),
        ("resources/templates/list", json!({"cursor": "bogus"}), "cursor"),
        ("prompts/list", json!({"cursor": "bogus"}), "cursor"),
        ("prompts/get", json!({"arguments": {}}), "name"),
        ("prompts/get", json!({"name": "nosuch"}), "name"),
        ("prompts/get", json!({"name": "plan_project", "arguments": {"project": 5}}), "project"),
        ("prompts/get", json!({"name": "plan_project", "arguments": {"colour": "red"}}), "colour"),
    ] {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let reply = send(&bed, Some("2025-11-25"), &body).await;
        assert_eq!(reply.rpc_error(), Some(-32602), "{method} {params}");
        let message = reply.message["error"]["message"].as_str().expect("a message");
        assert!(message.contains(field), "{method} {params}: no {field} in {message}");
    }
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "coffee/make", "params": {}});
    assert_eq!(send(&bed, None, &body).await.rpc_error(), Some(-32601));
}

#[e2e::scenario]
async fn the_id_of_a_request_may_be_a_double() {
    let bed = Bed::start().await;
    let reply = send(&bed, None, &call(&json!(7.0), "list_projects", &json!({}))).await;
    assert_eq!(reply.result()["structuredContent"]["projects"], json!([]));
    assert_eq!(reply.message["id"], 7);
}

#[e2e::scenario]
async fn a_batch_is_answered_in_the_revision_that_has_batches() {
    let bed = bed_with_a_type().await;
    let ticket = json!({"project": "shop", "title": "t", "execution_plan": ["build"]});
    let comment = json!({"ticket_id": "T-1", "content": "Hurry."});
    let mut waits = call(&json!("w"), "list_events", &json!({"after": 0, "wait_seconds": 60}));
    waits["params"]["_meta"] = json!({"progressToken": 1});
    let batch = json!([
        call(&json!(1), "create_ticket", &ticket),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        call(&json!(2), "add_ticket_comment", &comment),
        {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {}},
        {"jsonrpc": "2.0", "id": 4, "method": "initialize", "params": {}},
        waits,
        7,
    ]);
    for revision in [None, Some("2025-03-26")] {
        let reply = send(&bed, revision, &batch).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let answers: Vec<Value> = serde_json::from_str(&reply.body).expect("a list");
        let ids: Vec<&Value> = answers.iter().map(|answer| &answer["id"]).collect();
        assert_eq!(ids, [&json!(1), &json!(2), &json!(3), &json!(4), &json!("w"), &Value::Null]);
        assert_eq!(answers[1]["result"]["structuredContent"]["content"], "Hurry.");
        let codes: Vec<&Value> = answers.iter().map(|answer| &answer["error"]["code"]).collect();
        let none = &Value::Null;
        assert_eq!(codes, [none, none, &json!(-32602), &json!(-32600), none, &json!(-32600)]);
    }
    let told = json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}]);
    let reply = send(&bed, Some("2025-03-26"), &told).await;
    assert_eq!((reply.status, reply.body.as_str()), (202, ""));
    let many = vec![told[0].clone(); 51];
    for (revision, wrong) in
        [(None, json!([])), (Some("2025-06-18"), batch), (None, Value::from(many))]
    {
        let reply = send(&bed, revision, &wrong).await;
        assert_eq!((reply.status, reply.rpc_error()), (400, Some(-32600)), "{reply:?}");
    }
}

#[e2e::scenario]
async fn a_wait_after_the_newest_event_is_answered_at_once() {
    let bed = bed_with_a_type().await;
    let last = bed.client.ok("list_events", json!({"limit": 1})).await["last_seq"].clone();
    for after in [last.as_i64().map(|last| last + 1), Some(1 << 53), Some(i64::MAX)] {
        let wait = json!({"after": after, "wait_seconds": 3600});
        // Waiting an hour would not end before the test is given up.
        let answer = bed.client.ok("list_events", wait).await;
        assert_eq!((&answer["events"], &answer["last_seq"]), (&json!([]), &last));
    }
    assert_eq!(waiting(&bed).await, Some(0));
}

#[e2e::scenario]
async fn no_list_is_longer_than_a_client_takes_and_all_of_it_can_be_read() {
    let bed = bed_with_a_type().await;
    let long = "Much is to be said about this. ".repeat(40);
    for number in 0..150 {
        let ticket = json!({
            "project": "shop", "title": format!("{number} {}", "x".repeat(180)), "execution_plan": ["build"],
            "description": long,
        });
        bed.client.ok("create_ticket", ticket).await;
    }
    for number in 0..70 {
        let project = bed.server.path("projects").join(format!("p{number}"));
        std::fs::create_dir(&project).expect("writable");
        let given =
            json!({"name": format!("p{number}"), "path": project, "rules": long, "patterns": long});
        bed.client.ok("create_project", given).await;
        let given = json!({"project": "shop", "worker_type": format!("w{number}"), "system_prompt": long, "description": long});
        bed.client.ok("create_worker_type", given).await;
    }
    for (tool, plural, key, filter, count) in [
        ("list_tickets", "tickets", "ticket_id", json!({}), 150),
        ("list_projects", "projects", "name", json!({}), 71),
        ("list_worker_types", "worker_types", "worker_type", json!({"project": "shop"}), 71),
        ("list_queues", "queues", "worker_type", json!({}), 71),
    ] {
        let mut arguments = filter;
        arguments["limit"] = json!(200);
        let mut seen = BTreeSet::new();
        loop {
            let page = bed.client.ok(tool, arguments.clone()).await;
            assert!(page.to_string().len() <= ANSWER_BYTES, "{tool}: {}", page.to_string().len());
            for item in page[plural].as_array().expect("a list") {
                assert!(seen.insert(text(item, key)), "{tool} shows one twice");
            }
            match page["next_cursor"].as_str() {
                Some(cursor) => arguments["cursor"] = json!(cursor),
                None => break,
            }
        }
        assert_eq!(seen.len(), count, "{tool}");
    }
    let queue = json!({"project": "shop", "worker_type": "build"});
    let queue = bed.client.ok("get_queue_status", queue).await;
    assert!(queue.to_string().len() <= ANSWER_BYTES);
    let mut cursor = Value::Null;
    loop {
        let params = if cursor.is_null() { json!({}) } else { json!({"cursor": cursor}) };
        let listed = bed.client.rpc("resources/list", params).await;
        assert!(listed.result().to_string().len() <= ANSWER_BYTES);
        cursor = listed.result()["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let everything = bed.events().await;
    let printed = bed.server.operate("events", &["--json", "--all"]).await;
    let printed = String::from_utf8_lossy(&printed.stdout).lines().count();
    assert_eq!(printed, everything.len());
}

#[e2e::scenario]
async fn a_stranger_cannot_cancel_a_wait_of_the_coordinator() {
    let bed = bed_with_a_type().await;
    let last = bed.client.ok("list_events", json!({"limit": 1})).await["last_seq"].clone();
    let wait = json!({"after": last, "wait_seconds": 60});
    let body = call(&json!(7), "list_events", &wait);
    let stranger = Client::new(bed.server.address(), None);
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    let attack = async {
        until_waiting(&bed, 1).await;
        let response = stranger.post().json(&cancel).send().await.expect("the server is up");
        assert_eq!(response.status().as_u16(), 401);
        bed.ticket("shop", &["build"], "").await;
    };
    let (reply, ()) = tokio::join!(send(&bed, None, &body), attack);
    assert_eq!(reply.result()["structuredContent"]["events"][0]["kind"], "ticket_created");
}
