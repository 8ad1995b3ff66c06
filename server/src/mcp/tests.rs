//! The whole module over a real database, spoken to as clients speak to it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Builder;
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::Access;
use super::Auth;
use super::Key;
use super::Limits;
use super::Service;
use super::http::MOST_BYTES;
use super::prompts;
use super::router;
use super::serve;
use crate::clock::Clock;
use crate::domain::id::AttemptId;
use crate::domain::pipeline::Policy;
use crate::domain::project::NewProject;
use crate::domain::text::Name;
use crate::domain::ticket::NewTicket;
use crate::domain::ticket::Plan;
use crate::domain::ticket::Priority;
use crate::domain::time::Timestamp;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::domain::worktree::Isolation;
use crate::domain::worktree::OnComplete;
use crate::fence::Fence;
use crate::store::Rules;
use crate::store::Store;
use crate::wire::read::read;
use crate::wire::status::ServerStatus;

const TOKEN: &str = "s3cret";

/// Makes the tokens of attempts.
fn fence() -> Fence {
    Fence::new("key", "server")
}

struct Fixture {
    service: Service,
    router: Router,
    shutdown: CancellationToken,
    dir: tempfile::TempDir,
    _key: watch::Sender<Key>,
}

/// Which revision a request is made in.
#[derive(Clone, Copy)]
enum Era {
    Stateless,
    Legacy(&'static str),
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let rules = Rules {
            policy: Policy::default(),
            max_workers: 16,
            max_usd_per_day: None,
            max_descendants: 100,
        };
        let file = dir.path().join("vibe-ensemble.db");
        let store = Store::open(&file, rules, Timestamp::from_millis(0)).await.expect("a database");
        let shutdown = CancellationToken::new();
        let attempts = dir.path().join("attempts");
        let service = Service::new(store, Clock::system(), attempts, shutdown.clone());
        let (key_sender, key) = watch::channel(Key::new(TOKEN.to_owned()));
        let bound = "127.0.0.1:3276".parse().expect("an address");
        let access = Access::new(Auth::Token(key), bound, "127.0.0.1").with_attempts(fence());
        let router = router(service.clone(), access, Limits::default());
        Self { service, router, shutdown, dir, _key: key_sender }
    }

    async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.expect("the router answers always")
    }

    /// Sends one JSON-RPC request and returns its answer, the last message of the stream.
    async fn rpc(&self, era: Era, method: &str, params: Value) -> Value {
        let response = self.send(rpc_request(era, method, params)).await;
        last_message(&text(response).await)
    }

    async fn call(&self, tool: &str, arguments: Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        self.rpc(Era::Stateless, "tools/call", params).await["result"].clone()
    }

    /// Calls a tool that must succeed and returns its structured content.
    async fn done(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        assert_eq!(result["isError"], false, "{tool}: {result}");
        let text = result["content"][0]["text"].as_str().expect("text");
        let structured = result["structuredContent"].clone();
        assert_eq!(serde_json::from_str::<Value>(text).expect("JSON text"), structured);
        structured
    }

    /// Calls a tool that must be refused and returns the text.
    async fn refused(&self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments).await;
        assert_eq!(result["isError"], true, "{tool}: {result}");
        result["content"][0]["text"].as_str().expect("text").to_owned()
    }

    async fn with_project(&self) {
        let path = self.dir.path().to_str().expect("a path in UTF-8");
        self.done("create_project", json!({"name": "shop", "path": path})).await;
        for name in ["impl", "test"] {
            let kind =
                json!({"project": "shop", "worker_type": name, "system_prompt": "You work."});
            self.done("create_worker_type", kind).await;
        }
    }
}

fn request(method: &str, path: &str) -> Builder {
    Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:3276")
}

fn authorized(method: &str, path: &str) -> Builder {
    request(method, path).header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
}

fn rpc_request(era: Era, method: &str, mut params: Value) -> Request<Body> {
    let mut builder = authorized("POST", "/mcp")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream");
    match era {
        Era::Stateless => {
            let version = "2026-07-28";
            builder = builder.header("MCP-Protocol-Version", version).header("Mcp-Method", method);
            if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
                builder = builder.header("Mcp-Name", name);
            }
            params["_meta"] = json!({
                "progressToken": 1,
                "io.modelcontextprotocol/protocolVersion": version,
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        Era::Legacy(version) => {
            if method != "initialize" {
                builder = builder.header("MCP-Protocol-Version", version);
            }
        }
    }
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    builder.body(Body::from(body.to_string())).expect("a request")
}

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.expect("a whole body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The last JSON message of an event stream, or the JSON body itself.
fn last_message(body: &str) -> Value {
    let data = body.lines().rev().find_map(|line| line.strip_prefix("data:"));
    serde_json::from_str(data.unwrap_or(body).trim()).unwrap_or_else(|_| panic!("no JSON: {body}"))
}

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
async fn only_what_is_no_tool_call_is_a_protocol_error() {
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
async fn prompts_carry_the_state_of_things() {
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

#[tokio::test]
async fn a_client_may_wait_only_so_often_at_one_time() {
    let fixture = Fixture::new().await;
    let limits = Limits { waiting_calls: 1, ..Limits::default() };
    let (_keys, key) = watch::channel(Key::new(TOKEN.to_owned()));
    let bound = "127.0.0.1:3276".parse().unwrap();
    let access = Access::new(Auth::Token(key), bound, "127.0.0.1");
    let server = Fixture { router: router(fixture.service.clone(), access, limits), ..fixture };
    let wait = json!({"name": "list_events", "arguments": {"wait_seconds": 3600}});
    let waiting = server.send(rpc_request(Era::Stateless, "tools/call", wait.clone())).await;
    let refused = server.refused("list_events", wait["arguments"].clone()).await;
    assert!(refused.starts_with("1 of your calls is already waiting"), "{refused}");
    server.done("list_events", json!({})).await;
    server.shutdown.cancel();
    text(waiting).await;
}

#[tokio::test]
async fn a_ticket_goes_through_its_plan_by_the_coordinators_own_hand() {
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
async fn lists_go_on_where_the_page_before_ended() {
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
async fn a_waiting_call_tells_progress_and_answers_when_something_happens() {
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

#[tokio::test]
async fn serving_ends_at_shutdown_although_a_call_waits_and_a_connection_idles() {
    let fixture = Fixture::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bound = listener.local_addr().unwrap();
    let router = router(
        fixture.service.clone(),
        Access::new(Auth::None, bound, "127.0.0.1"),
        Limits::default(),
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
