//! MCP itself: its revisions, its errors, resources and prompts.

use serde_json::Value;
use serde_json::json;

use super::Era;
use super::Fixture;
use crate::domain::project::NewProject;
use crate::domain::text::Name;
use crate::domain::ticket::NewTicket;
use crate::domain::ticket::Plan;
use crate::domain::ticket::Priority;
use crate::domain::time::Timestamp;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::domain::worktree::Isolation;
use crate::domain::worktree::OnComplete;
use crate::mcp::prompts;

#[tokio::test]
async fn all_four_revisions_are_served() {
    let server = Fixture::new().await;
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let hello = json!({
            "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"},
        });
        let answer = server.rpc(Era::Legacy(version), "initialize", hello).await;
        assert_eq!(answer["result"]["protocolVersion"], version, "{answer}");
        assert_eq!(answer["result"]["serverInfo"]["name"], "vibe-ensemble");
        let answer = server.rpc(Era::Legacy(version), "tools/list", json!({})).await;
        assert_eq!(
            answer["result"]["tools"].as_array().map(Vec::len),
            Some(crate::mcp::catalog::tools().len()),
            "{version}"
        );
    }
    let answer = server.rpc(Era::Stateless, "server/discover", json!({})).await;
    assert_eq!(
        answer["result"]["supportedVersions"],
        json!(["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"])
    );
    assert_eq!(
        answer["result"]["capabilities"],
        json!({"prompts": {}, "resources": {}, "tools": {}})
    );
    let answer = server.rpc(Era::Stateless, "tools/list", json!({})).await;
    assert_eq!(
        answer["result"]["tools"].as_array().map(Vec::len),
        Some(crate::mcp::catalog::tools().len())
    );
    assert_eq!(answer["result"]["cacheScope"], "private");
}

#[tokio::test]
async fn only_a_failure_outside_a_tool_call_is_a_protocol_error() {
    let server = Fixture::new().await;
    let answer =
        server.rpc(Era::Stateless, "tools/call", json!({"name": "tickle", "arguments": {}})).await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let answer = server
        .rpc(
            Era::Legacy("2025-11-25"),
            "tools/call",
            json!({"name": "get_ticket", "arguments": []}),
        )
        .await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let answer =
        server.rpc(Era::Legacy("2025-11-25"), "logging/setLevel", json!({"level": "info"})).await;
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
    assert_eq!(
        server.refused("get_ticket", json!({"ticket": 42})).await,
        "get_ticket was not called: its arguments are wrong.\n\
         - There is no field ticket. Did you mean ticket_id?\n\
         - ticket_id is missing; it must be a string.\n\
         Correct them and call get_ticket again."
    );
    let refused = server.refused("list_events", json!({"kinds": ["ticket_closed", "tea"]})).await;
    assert!(
        refused.contains("kinds[1] cannot be \"tea\"; it must be one of ticket_created,"),
        "{refused}"
    );
    assert_eq!(
        server.refused("get_ticket", json!({"ticket_id": "42"})).await,
        "ticket_id cannot be \"42\"; it must be the id of a ticket, such as T-42. Correct ticket_id and call again."
    );
    assert_eq!(
        server.refused("get_ticket", json!({"ticket_id": "T-42"})).await,
        "There is no ticket T-42. Find tickets with list_tickets."
    );
}

#[tokio::test]
async fn resources_are_listed_and_read_as_the_tools_answer() {
    let server = Fixture::new().await;
    server.with_project().await;
    for title in ["One", "Two"] {
        let new = json!({"project": "shop", "title": title, "execution_plan": ["impl"]});
        server.done("create_ticket", new).await;
    }
    server.done("close_ticket", json!({"ticket_id": "T-1"})).await;

    let list = server.rpc(Era::Stateless, "resources/list", json!({})).await["result"].clone();
    let uris: Vec<&str> =
        list["resources"].as_array().unwrap().iter().map(|r| r["uri"].as_str().unwrap()).collect();
    assert_eq!(
        uris,
        ["events://", "project://shop", "ticket://T-2"],
        "closed ones go by their address"
    );
    assert_eq!((&list["ttlMs"], &list["cacheScope"]), (&json!(0), &json!("private")));
    let templates = server.rpc(Era::Stateless, "resources/templates/list", json!({})).await;
    let uris = templates["result"]["resourceTemplates"].as_array().unwrap().iter();
    let uris: Vec<&Value> = uris.map(|template| &template["uriTemplate"]).collect();
    assert_eq!(uris, ["ticket://{ticket_id}", "project://{project}", "events://{project}"]);

    let read = async |uri: &str| {
        let answer = server.rpc(Era::Stateless, "resources/read", json!({"uri": uri})).await;
        let content = answer["result"]["contents"][0].clone();
        assert_eq!(
            (&content["uri"], &content["mimeType"]),
            (&json!(uri), &json!("application/json")),
            "{answer}"
        );
        serde_json::from_str::<Value>(content["text"].as_str().unwrap()).unwrap()
    };
    let ticket = json!({"ticket_id": "T-1"});
    assert_eq!(read("ticket://T-1").await, server.done("get_ticket", ticket).await);
    let project = json!({"project": "shop"});
    assert_eq!(read("project://shop").await, server.done("get_project", project.clone()).await);
    assert_eq!(read("events://").await, server.done("list_events", json!({})).await);
    assert_eq!(read("events://shop").await, server.done("list_events", project).await);

    for absent in
        ["ticket://T-9", "project://tea", "events://tea", "ticket://9", "file:///etc/passwd"]
    {
        let answer = server.rpc(Era::Stateless, "resources/read", json!({"uri": absent})).await;
        assert_eq!(answer["error"]["code"], -32602, "{absent}: {answer}");
        assert_eq!(answer["error"]["data"]["uri"], absent);
        let answer =
            server.rpc(Era::Legacy("2025-11-25"), "resources/read", json!({"uri": absent})).await;
        assert_eq!(answer["error"]["code"], -32002, "{absent}: {answer}");
    }
}

#[tokio::test]
async fn prompts_carry_the_present_state() {
    let server = Fixture::new().await;
    let get = async |name: &str, arguments: Value| {
        let params = json!({"name": name, "arguments": arguments});
        server.rpc(Era::Stateless, "prompts/get", params).await
    };
    let words = |answer: &Value| {
        let message = &answer["result"]["messages"][0];
        assert_eq!(message["role"], "user", "{answer}");
        message["content"]["text"].as_str().unwrap().to_owned()
    };
    assert!(words(&get("plan", json!({})).await).contains("There is no project yet"));
    assert!(words(&get("report", json!({})).await).contains("no Vibe-Ensemble project"));
    assert!(words(&get("unblock", json!({})).await).contains("Nothing waits"));

    server.with_project().await;
    let new = json!({"project": "shop", "title": "Basket", "execution_plan": ["impl"]});
    server.done("create_ticket", new).await;
    let asks = json!({"ticket_id": "T-1", "stage": "impl", "outcome": "blocked", "report": "r", "question": "Which colour?"});
    server.done("complete_ticket_stage", asks).await;
    let list = server.rpc(Era::Stateless, "prompts/list", json!({})).await["result"].clone();
    for prompt in list["prompts"].as_array().unwrap() {
        let text = words(&get(prompt["name"].as_str().unwrap(), json!({"project": "shop"})).await);
        assert!(text.contains("shop"), "{text}");
    }
    let triage = words(&get("unblock", json!({})).await);
    assert!(
        triage.contains("T-1 of shop (question)") && triage.contains("Which colour?"),
        "{triage}"
    );
    let plan = words(&get("plan", json!({"project": "shop"})).await);
    assert!(plan.contains("worker type impl"), "{plan}");

    for (name, arguments) in [
        ("tickle", json!({})),
        ("plan", json!({"project": "tea"})),
        ("plan", json!({"colour": "red"})),
    ] {
        let answer = get(name, arguments).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
}

/// Every prompt of the coordinator, on a server that is empty and on one that has a queued ticket.
#[tokio::test]
async fn the_prompts_of_the_coordinator_are_the_reviewed_ones() {
    let fixture = Fixture::new().await;
    let (store, now) = (&fixture.service.store, Timestamp::from_millis(0));
    hold_prompts(&fixture, "empty").await;
    let name = |text: &str| Name::from_row(text.to_owned());
    let project = NewProject {
        name: name("shop"),
        path: "/srv/shop".into(),
        directory: "/srv/shop".into(),
        isolation: Isolation::Worktree,
        on_complete: OnComplete::Keep,
        description: "A shop.".into(),
        rules: "Never push.".into(),
        patterns: String::new(),
        limits: crate::domain::project_limits::ProjectLimitsChange::default(),
    };
    store.create_project(project, now).await.expect("a project");
    let settings = WorkerTypeSettings::with_prompt("Do.".into());
    store.create_worker_type("shop", name("impl"), settings, now).await.expect("a type");
    let ticket = NewTicket {
        project: name("shop"),
        title: "Fix the basket".into(),
        description: String::new(),
        plan: Plan::new(vec![name("impl")]).expect("a plan"),
        priority: Priority::Normal,
        depends_on: Vec::new(),
        idempotency_key: None,
    };
    store.create_ticket(ticket, now).await.expect("a ticket");
    hold_prompts(&fixture, "with-a-ticket").await;
}

async fn hold_prompts(fixture: &Fixture, state: &str) {
    for prompt in prompts::PROMPTS {
        let text = prompts::text(&fixture.service, prompt.name, &serde_json::Map::new()).await;
        let text = text.expect("text").expect("a prompt of the list");
        let name = prompt.name.replace('_', "-");
        crate::snapshot::holds(&format!("{name}-{state}"), &text);
    }
}
