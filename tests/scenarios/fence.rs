//! An attempt's agent and this server: four tools, one ticket, and only as long as the attempt is
//! live.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::client::CallError;
use e2e::client::Client;
use e2e::eventually::eventually;
use e2e::fake::Call;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

const TOOLS: [&str; 4] = ["get_ticket", "get_project", "add_ticket_comment", "report_progress"];

/// The configuration of MCP servers that an agent was given.
fn mcp_config(call: &Call) -> Value {
    let file = call.argument("--mcp-config").expect("every agent gets one");
    let config = fs::read(file).expect("it is there before the agent starts");
    serde_json::from_slice(&config).expect("JSON")
}

pub(crate) fn token(call: &Call) -> String {
    let config = mcp_config(call);
    let header = &config["mcpServers"]["vibe-ensemble"]["headers"]["Authorization"];
    header.as_str().and_then(|value| value.strip_prefix("Bearer ")).expect("a token").to_owned()
}

/// The agent's client, for the current address of the server.
pub(crate) fn agent(bed: &Bed, call: &Call) -> Client {
    bed.client.with_token(Some(&token(call)))
}

/// A ticket whose agent waits for the file `go`.
async fn waiting(bed: &Bed) -> (String, Call) {
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;
    (ticket, call)
}

fn go(call: &Call) {
    fs::write(call.cwd.join("go"), "").expect("the project is writable");
}

/// Waits until every call of this agent is refused, and returns the words.
async fn is_silenced(agent: &Client) -> String {
    eventually("the agent is refused", || async {
        let list = agent.rpc("tools/list", json!({})).await;
        if list.status == 401 { Ok(list.body) } else { Err(list.body) }
    })
    .await
}

#[e2e::scenario]
async fn an_agent_gets_its_token_in_a_file_for_its_owner_alone() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let (ticket, call) = waiting(&bed).await;

    let config = mcp_config(&call);
    let entry = &config["mcpServers"]["vibe-ensemble"];
    assert_eq!(entry["url"], format!("http://{}/mcp", bed.server.address()));
    let run_dir = bed.server.state_dir().join("attempts").join(&call.attempt);
    for name in ["mcp.json", "settings.json", "grant.json", "prompt.md"] {
        let mode = fs::metadata(run_dir.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{name}");
    }
    assert!(call.argv.contains(&"--strict-mcp-config".to_owned()));
    let settings: Value =
        serde_json::from_slice(&fs::read(call.argument("--settings").unwrap()).unwrap()).unwrap();
    assert_eq!(settings["permissions"], json!({"allow": ["mcp__vibe-ensemble"]}));

    let (token, attempt) = (token(&call), &call.attempt);
    let (_, secret) = token.split_once('.').unwrap();
    assert!(token.starts_with(&format!("{attempt}.")) && secret.len() == 64, "{token}");
    assert!(!call.argv_has(secret) && !call.prompt.contains(secret));
    assert!(!call.env.values().any(|value| value.contains(secret)));
    for process in bed.server.descendants() {
        assert!(!process.command.contains(secret), "{process:?}");
    }
    agent(&bed, &call).ok("report_progress", json!({"message": "half"})).await;
    go(&call);
    bed.completed(&ticket).await;
    assert!(!bed.server.log().contains(secret));
    let database = fs::read(bed.server.state_dir().join("vibe-ensemble.db")).unwrap();
    assert!(!database.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()));
}

#[e2e::scenario]
async fn an_agent_is_listed_four_tools_and_may_use_no_other() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let (ticket, call) = waiting(&bed).await;
    let agent = agent(&bed, &call);

    let listed: Vec<String> = agent.tools().await.iter().map(|tool| text(tool, "name")).collect();
    assert_eq!(listed, TOOLS);
    for tool in bed.client.tools().await {
        let name = text(&tool, "name");
        assert_ne!(name, "report_progress", "the coordinator has no attempt");
        if !TOOLS.contains(&name.as_str()) {
            let reply = agent.call_tool(&name, json!({})).await;
            assert_eq!(reply.rpc_error(), Some(-32602), "{name}: {reply:?}");
        }
    }
    assert_eq!(bed.client.call_tool("report_progress", json!({})).await.rpc_error(), Some(-32602));
    for method in ["resources/list", "prompts/list"] {
        let reply = agent.rpc(method, json!({})).await;
        let listed = ["resources", "prompts"].map(|list| reply.message["result"][list].clone());
        let nothing = listed.iter().all(|list| list.as_array().is_none_or(Vec::is_empty));
        assert!(nothing, "{method}: {reply:?}");
    }
    for (method, params) in [
        ("resources/read", json!({"uri": format!("ticket://{ticket}")})),
        ("resources/read", json!({"uri": "events://"})),
        ("resources/templates/list", json!({})),
        ("prompts/get", json!({"name": "report_progress", "arguments": {"project": "shop"}})),
    ] {
        let reply = agent.rpc(method, params).await;
        let templates = &reply.message["result"]["resourceTemplates"];
        let nothing = templates.as_array().is_some_and(Vec::is_empty);
        assert!(nothing || reply.rpc_error().is_some(), "{method}: {reply:?}");
        assert!(!reply.body.contains("shop"), "{method}: {reply:?}");
    }
    for revision in ["2025-03-26", "2025-11-25"] {
        let list = agent.rpc_of(revision, "tools/list", json!({})).await;
        assert_eq!(list.result()["tools"].as_array().map(Vec::len), Some(TOOLS.len()));
    }
    go(&call);
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn an_agent_reads_its_own_ticket_and_project_and_no_other() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    bed.project("other", &["build"]).await;
    let (ticket, call) = waiting(&bed).await;
    let foreign = bed.ticket("other", &["build"], "fake: build: wait-for go").await;
    let agent = agent(&bed, &call);

    let own = agent.ok("get_ticket", json!({"ticket_id": ticket})).await;
    assert_eq!((&own["ticket_id"], &own["state"]), (&json!(ticket), &json!("running")));
    let project = agent.ok("get_project", json!({})).await;
    assert_eq!(project["name"], "shop");
    agent.ok("get_project", json!({"project": "shop"})).await;

    let there = agent.refused("get_ticket", json!({"ticket_id": foreign})).await;
    let missing = agent.refused("get_ticket", json!({"ticket_id": "T-99"})).await;
    assert_eq!(there, missing, "nobody learns which tickets there are");
    assert!(there.contains(&ticket), "{there}");
    let words = json!({"ticket_id": foreign, "content": "Hello."});
    agent.refused("add_ticket_comment", words).await;
    for project in ["other", "nothing"] {
        let refused = agent.refused("get_project", json!({"project": project})).await;
        assert!(refused.contains("which is shop"), "{refused}");
    }
    assert_eq!(bed.get(&foreign).await["comments"], json!([]));
    go(&call);
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn remarks_and_progress_are_visible_during_the_work_and_kept() {
    let bed = Bed::start().await;
    bed.project("shop", &["build", "review"]).await;
    let script = "fake: build: wait-for go";
    let ticket = bed.ticket("shop", &["build", "review"], script).await;
    let call = bed.called(&ticket, "build", 1).await;
    let agent = agent(&bed, &call);

    agent.ok("report_progress", json!({"message": "reading"})).await;
    agent.ok("report_progress", json!({"message": "writing", "percent": 40})).await;
    let words = json!({"ticket_id": ticket, "content": "The tests need a nutmeg."});
    let remark = agent.ok("add_ticket_comment", words).await;
    assert_eq!((&remark["author"], &remark["stage"]), (&json!("build"), &json!("build")));
    assert_eq!(remark["attempt_id"], call.attempt);
    for (arguments, field) in [
        (json!({"message": ""}), "message"),
        (json!({"message": "a\nb"}), "message"),
        (json!({"message": "a", "percent": 101}), "percent"),
    ] {
        let refused = agent.refused("report_progress", arguments).await;
        assert!(refused.contains(field), "{refused}");
    }

    let running = bed.get(&ticket).await;
    let progress = &running["attempts"][0]["progress"];
    assert_eq!((&progress["message"], &progress["percent"]), (&json!("writing"), &json!(40)));
    let worker = bed.worker_of(&ticket).await["worker_id"].clone();
    let status = bed.client.ok("get_worker_status", json!({"worker_id": worker})).await;
    assert_eq!(status["progress"], *progress);
    go(&call);
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["comments"][0]["content"], "The tests need a nutmeg.");
    let prompt = bed.agents.only_call_of(&ticket, "review").prompt;
    assert!(prompt.contains("Remark of build"), "{prompt}");
    assert!(prompt.contains("Report of build"), "{prompt}");
}

#[e2e::scenario]
async fn forged_tokens_are_refused() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let (ticket, call) = waiting(&bed).await;
    let own = token(&call);
    let (attempt, secret) = own.split_once('.').unwrap();

    let flipped = if secret.ends_with('0') { '1' } else { '0' };
    for forged in [
        format!("A-2.{secret}"),
        format!("{attempt}.{}{flipped}", &secret[..63]),
        format!("{attempt}.{}", "0".repeat(64)),
        format!("{attempt}."),
        secret.to_owned(),
        format!("{attempt}.{}", bed.server.token()),
    ] {
        let agent = bed.client.with_token(Some(&forged));
        let reply = agent.call_tool("get_ticket", json!({"ticket_id": ticket})).await;
        assert_eq!(reply.status, 401, "{forged}: {reply:?}");
        assert!(!reply.body.contains(secret));
    }
    go(&call);
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn an_agent_stays_restricted_on_a_server_without_a_token() {
    let bed = Bed::with(Setup::default().arg("--auth").arg("none")).await;
    bed.project("shop", &["build"]).await;
    let (ticket, call) = waiting(&bed).await;
    let agent = agent(&bed, &call);
    assert_eq!(agent.tools().await.len(), TOOLS.len());
    let forged = bed.client.with_token(Some(&token(&call).replace("A-1", "A-2")));
    assert_eq!(forged.rpc("tools/list", json!({})).await.status, 401);
    go(&call);
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn an_agent_whose_attempt_has_ended_is_refused() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let (ticket, call) = waiting(&bed).await;
    let agent = agent(&bed, &call);
    agent.ok("report_progress", json!({"message": "half"})).await;
    go(&call);
    bed.completed(&ticket).await;

    for (tool, arguments) in [
        ("get_ticket", json!({"ticket_id": ticket})),
        ("get_project", json!({})),
        ("add_ticket_comment", json!({"ticket_id": ticket, "content": "One more thing."})),
        ("report_progress", json!({"message": "still here"})),
    ] {
        match agent.call_unchecked(tool, arguments).await {
            Err(CallError::Fault(reply)) => {
                assert_eq!(reply.status, 401);
                assert!(reply.body.contains("has ended"), "{reply:?}");
            }
            other => panic!("{tool} was answered: {other:?}"),
        }
    }
    let closed = bed.get(&ticket).await;
    assert_eq!(closed["comments"].as_array().map(Vec::len), Some(1), "{closed}");
    assert_eq!(closed["attempts"][0]["progress"]["message"], "half");
}

#[e2e::scenario]
async fn an_agent_that_must_stop_is_refused_before_it_stops() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    for mode in ["interrupt", "cancel", "kill"] {
        let script = "fake: build#1: ignore-term\nfake: build#1: wait-for never";
        let ticket = bed.ticket("shop", &["build"], script).await;
        let call = bed.called(&ticket, "build", 1).await;
        let agent = agent(&bed, &call);
        agent.ok("get_project", json!({})).await;
        let worker = bed.worker_of(&ticket).await;
        // Whatever the shim should do, it does not do it.
        assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGSTOP));

        let stop = json!({"worker_id": worker["worker_id"], "mode": mode});
        bed.client.ok("stop_worker", stop).await;
        let list = agent.rpc("tools/list", json!({})).await;
        assert_eq!(list.status, 401, "{mode}: {list:?}");
        assert!(list.body.contains("asked to stop"), "{list:?}");

        assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGKILL));
        // The shim did not do it, and it happens nevertheless.
        if mode == "cancel" {
            bed.ticket_is(&ticket, "on_hold").await;
        } else {
            bed.completed(&ticket).await;
        }
    }
}

#[e2e::scenario]
async fn an_agent_whose_ticket_was_closed_is_refused_at_its_next_call() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let (ticket, call) = waiting(&bed).await;
    let agent = agent(&bed, &call);
    agent.ok("get_project", json!({})).await;
    bed.client.ok("close_ticket", json!({"ticket_id": ticket})).await;
    let list = agent.rpc("tools/list", json!({})).await;
    assert_eq!(list.status, 401, "{list:?}");
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn an_agent_whose_time_is_up_is_refused_whatever_its_shim_does() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"timeout_seconds": 3})).await;
    let (ticket, call) = waiting(&bed).await;
    let agent = agent(&bed, &call);
    let worker = bed.worker_of(&ticket).await;
    assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGSTOP));

    let words = is_silenced(&agent).await;

    assert!(words.contains("used up its time"), "{words}");
    assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGCONT));
    let attempts = eventually("the attempt has timed out", || async {
        let found = bed.get(&ticket).await;
        let ended = found["attempts"][0]["outcome"] == "timed_out";
        if ended { Ok(found["attempts"].clone()) } else { Err(found.to_string()) }
    });
    attempts.await;
    go(&call);
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn a_superseded_agent_is_refused_and_its_successor_is_not() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let (ticket, first) = waiting(&bed).await;
    let old = agent(&bed, &first);
    old.ok("get_project", json!({})).await;
    let worker = bed.worker_of(&ticket).await;
    assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGKILL));

    let second = bed.called(&ticket, "build", 2).await;
    assert_ne!(token(&first), token(&second));
    agent(&bed, &second).ok("report_progress", json!({"message": "again"})).await;
    let words = is_silenced(&old).await;
    assert!(words.contains(&first.attempt), "{words}");
    let found = bed.get(&ticket).await;
    assert_eq!(found["attempts"][0]["progress"], Value::Null);
    assert_eq!(found["attempts"][1]["progress"]["message"], "again");
    go(&second);
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn a_live_agent_is_recognized_after_the_server_was_killed() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let (ticket, call) = waiting(&bed).await;
    let told = &mcp_config(&call)["mcpServers"]["vibe-ensemble"]["url"];
    bed.server.kill().await;
    bed.launch().await;
    // If another program took the port at that moment, the server logs it.
    let is_where_it_was = *told == bed.client.url("/mcp");
    assert!(is_where_it_was || bed.server.log().contains("the previous port is in use"), "{told}");
    let agent = agent(&bed, &call);
    agent.ok("report_progress", json!({"message": "still at it"})).await;
    go(&call);
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(1), "{closed}");
}

#[e2e::scenario]
async fn a_worker_types_own_servers_and_settings_reach_its_agents_by_file() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    let more = json!({
        "mcp_servers": {"tests": {"command": "test-server", "env": {"KEY": "hunter2"}}},
        "settings": {"permissions": {"allow": ["Bash(make *)"]}, "includeCoAuthoredBy": false},
    });
    let made = bed.worker_type("shop", "build", more).await;
    assert_eq!(made["mcp_servers"]["tests"]["command"], "test-server");
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    let call = bed.agents.only_call_of(&ticket, "build");
    let servers = mcp_config(&call)["mcpServers"].clone();
    assert_eq!(servers["tests"]["env"]["KEY"], "hunter2");
    assert!(servers["vibe-ensemble"].is_object());
    assert!(!call.argv_has("hunter2"));
    let settings = fs::read(Path::new(call.argument("--settings").unwrap())).unwrap();
    let settings: Value = serde_json::from_slice(&settings).unwrap();
    assert_eq!(settings["includeCoAuthoredBy"], false);
    let allowed = json!(["Bash(make *)", "mcp__vibe-ensemble"]);
    assert_eq!(settings["permissions"]["allow"], allowed);

    let kind = json!({"project": "shop", "worker_type": "build"});
    let with = |field: &str, value: Value| {
        let mut update = kind.clone();
        update[field] = value;
        update
    };
    for (field, bad, named) in [
        ("mcp_servers", json!({"vibe-ensemble": {"command": "x"}}), "mcp_servers"),
        ("mcp_servers", json!({"a": {"type": "http"}}), "mcp_servers.a"),
        ("mcp_servers", json!(["a"]), "mcp_servers"),
        ("settings", json!({"permissions": {"allow": "Bash"}}), "settings.permissions.allow"),
        ("settings", json!("x"), "settings"),
    ] {
        let refused = bed.client.refused("update_worker_type", with(field, bad)).await;
        assert!(refused.contains(&format!("{named} cannot be")), "{refused}");
    }
    let changed = bed.client.ok("update_worker_type", with("mcp_servers", json!({}))).await;
    assert_eq!(changed["mcp_servers"], json!({}));
    assert_eq!(changed["settings"]["includeCoAuthoredBy"], false);
}
