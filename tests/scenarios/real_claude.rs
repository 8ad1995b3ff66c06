//! The real `claude` as the worker, against a stub of the Messages API: only the model is replaced.

use std::path::PathBuf;

use e2e::bed::Bed;
use e2e::claude;
use e2e::claude::real_claude;
use e2e::eventually::eventually;
use e2e::messages_api::MessagesApi;
use e2e::messages_api::Turn;
use e2e::server::Server;
use e2e::server::Setup;
use e2e::terminal::PROMPT;
use e2e::terminal::Terminal;
use serde_json::json;

/// A server whose workers are the real claude, talking to the stub.
async fn bed_with(claude: PathBuf, api: &MessagesApi) -> Bed {
    let mut setup = Setup { agent: Some(claude), ..Setup::default() };
    for (name, value) in claude::environment(api) {
        setup = setup.env(name, value);
    }
    Bed::with(setup).await
}

fn bash(command: &str) -> Turn {
    let input = json!({"command": command, "description": "do the work"});
    Turn::Use { tool: "Bash".to_owned(), input }
}

fn done(report: &str) -> Turn {
    let input = json!({"outcome": "completed", "report": report});
    Turn::Use { tool: "StructuredOutput".to_owned(), input }
}

#[e2e::scenario(needs(Claude))]
async fn it_writes_a_file_with_its_own_bash_and_its_report_closes_the_ticket() {
    let claude = real_claude();
    let api = MessagesApi::play(vec![
        bash("mkdir -p made && printf 'by a real agent' > made/file.txt"),
        done("The file is there."),
    ])
    .await;
    let bed = bed_with(claude, &api).await;
    let directory = bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "Write the file, please.").await;

    let closed = bed.completed(&ticket).await;

    let file = directory.join("made/file.txt");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "by a real agent");
    assert_eq!(closed["comments"][0]["content"], "The file is there.");
    let attempt = &closed["attempts"][0];
    assert_eq!(attempt["outcome"], "succeeded");
    assert!(attempt["cost_usd"].as_f64().unwrap() > 0.0, "{attempt}");
    assert!(closed["cost_usd"].as_f64().unwrap() > 0.0, "{closed}");
    assert!(attempt["claude_session_id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    assert!(attempt["num_turns"].as_i64().unwrap() >= 2, "{attempt}");

    let asked = api.asks().into_iter().find(|ask| ask.offers("StructuredOutput")).unwrap();
    let (system, messages) = (asked.body["system"].to_string(), asked.body["messages"].to_string());
    assert!(messages.contains("Write the file, please."), "the prompt arrived");
    assert!((system + &messages).contains("You are the build worker."), "the role arrived");
    for tool in ["ScheduleWakeup", "CronCreate", "Monitor", "Workflow"] {
        assert!(!asked.offers(tool), "{tool} stalls a headless run");
    }
    bed.nothing_is_left().await;
}

#[e2e::scenario(needs(Claude))]
async fn its_report_reaches_the_next_stage() {
    let claude = real_claude();
    let api = MessagesApi::start(|ask| {
        if ask.tools.is_empty() {
            Turn::Say("ok".to_owned())
        } else if ask.body["messages"].to_string().contains("four legs") {
            done("It stands.")
        } else {
            done("A table with four legs.")
        }
    })
    .await;
    let bed = bed_with(claude, &api).await;
    bed.project("shop", &["design", "build"]).await;
    let ticket = bed.ticket("shop", &["design", "build"], "Make a table.").await;

    let closed = bed.completed(&ticket).await;

    let contents = [0, 1].map(|index| closed["comments"][index]["content"].clone());
    assert_eq!(contents, ["A table with four legs.", "It stands."]);
}

#[e2e::scenario(needs(Claude))]
async fn an_agent_that_never_gives_a_result_fails_and_is_not_believed() {
    let claude = real_claude();
    let api = MessagesApi::play(vec![Turn::Say("All done, trust me.".to_owned())]).await;
    let bed = bed_with(claude, &api).await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"max_attempts": 1})).await;
    let ticket = bed.ticket("shop", &["build"], "Make a table.").await;

    let held = bed.ticket_is(&ticket, "on_hold").await;

    assert_eq!(held["attempts"][0]["outcome"], "failed");
}

#[e2e::scenario(needs(Claude))]
async fn a_refused_login_pauses_the_queue() {
    let claude = real_claude();
    let refusal = Turn::Fail { status: 401, kind: "authentication_error".to_owned() };
    let api = MessagesApi::start(move |_| refusal.clone()).await;
    let bed = bed_with(claude, &api).await;
    bed.project("shop", &["build"]).await;
    bed.ticket("shop", &["build"], "Make a table.").await;

    eventually("the queue is paused", || async {
        let events = bed.events().await;
        let told = events.iter().any(|event| event["kind"] == "queue_paused");
        if told { Ok(()) } else { Err(format!("{events:?}")) }
    })
    .await;
}

fn tool(name: &str, input: serde_json::Value) -> Turn {
    Turn::Use { tool: name.to_owned(), input }
}

#[e2e::scenario(needs(Claude))]
async fn it_speaks_to_the_server_with_four_tools_and_nothing_else_of_this_machine() {
    let claude = real_claude();
    for permission_mode in ["acceptEdits", "dontAsk"] {
        let remark = json!({"ticket_id": "T-1", "content": "Mind the nutmeg."});
        let api = MessagesApi::play(vec![
            tool("mcp__vibe-ensemble__report_progress", json!({"message": "half", "percent": 50})),
            tool("mcp__vibe-ensemble__add_ticket_comment", remark),
            tool("mcp__vibe-ensemble__get_ticket", json!({"ticket_id": "T-1"})),
            done("Said what there is to say."),
        ])
        .await;
        let bed = bed_with(claude.clone(), &api).await;
        let directory = bed.project("shop", &[]).await;
        bed.worker_type("shop", "build", json!({"permission_mode": permission_mode})).await;
        // The entry that `connect` leaves in a project for the coordinator must not reach a worker.
        let entry = json!({"type": "http", "url": format!("http://{}/mcp", bed.server.address())});
        let config = json!({"mcpServers": {"coordinators-own": entry}}).to_string();
        std::fs::write(directory.join(".mcp.json"), config).unwrap();
        let ticket = bed.ticket("shop", &["build"], "Say something.").await;

        let closed = bed.completed(&ticket).await;

        let contents = [0, 1].map(|index| closed["comments"][index]["content"].clone());
        assert_eq!(contents, ["Mind the nutmeg.", "Said what there is to say."]);
        let attempt = &closed["attempts"][0];
        assert_eq!(attempt["progress"]["message"], "half", "{permission_mode}: {attempt}");
        let asks = api.asks();
        let asked = asks.iter().find(|ask| ask.offers("StructuredOutput")).unwrap();
        let own: Vec<&String> =
            asked.tools.iter().filter(|tool| tool.starts_with("mcp__")).collect();
        let expected = ["add_ticket_comment", "get_project", "get_ticket", "report_progress"];
        let expected = expected.map(|tool| format!("mcp__vibe-ensemble__{tool}"));
        let mut own: Vec<String> = own.into_iter().cloned().collect();
        own.sort();
        assert_eq!(own, expected);
        let read = asks.last().unwrap().body["messages"].to_string();
        assert!(read.contains("Mind the nutmeg.") && read.contains("Say something."), "{read}");
    }
}

#[e2e::scenario(needs(Claude))]
async fn a_planner_of_it_creates_two_dependent_tickets() {
    let claude = real_claude();
    let tickets = json!([
        {"key": "ui", "title": "The page", "description": "Blue.", "execution_plan": ["build"], "depends_on": ["api"]},
        {"key": "api", "title": "The service", "description": "Fast.", "execution_plan": ["build"]},
    ]);
    let plan = json!({"outcome": "completed", "report": "Two parts.", "tickets": tickets});
    let api = MessagesApi::start(move |ask| {
        if ask.tools.is_empty() {
            Turn::Say("ok".to_owned())
        } else if ask.body.to_string().contains("You are a planner.") {
            tool("StructuredOutput", plan.clone())
        } else {
            done("Built.")
        }
    })
    .await;
    let bed = bed_with(claude, &api).await;
    bed.project("shop", &["build"]).await;
    bed.client
        .ok(
            "create_worker_type",
            json!({"project": "shop", "worker_type": "plan", "template": "planning"}),
        )
        .await;
    let ticket = bed.ticket("shop", &["plan"], "Make a shop.").await;

    bed.completed(&ticket).await;
    bed.completed("T-2").await;
    let page = bed.completed("T-3").await;

    assert_eq!((&page["title"], &page["depends_on"]), (&json!("The page"), &json!(["T-2"])));
    assert_eq!(page["comments"][0]["content"], "Built.");
    let asks = api.asks();
    let planner = asks.iter().find(|ask| ask.offers("StructuredOutput")).unwrap();
    let (system, messages) =
        (planner.body["system"].to_string(), planner.body["messages"].to_string());
    assert!((system + &messages).contains("You are a planner."), "the template's role arrived");
    for tool in ["Edit", "Write", "NotebookEdit"] {
        assert!(!planner.offers(tool), "a planner changes nothing: {tool}");
    }
}

/// The demo with real sessions says what they will cost, asks once, and ends with what to do next.
#[e2e::scenario(needs(Claude, Tmux))]
async fn it_plays_the_demo_after_it_was_agreed_to() {
    let claude = real_claude();
    let api = MessagesApi::start(|ask| {
        let read = ask.body["system"].to_string() + &ask.body["messages"].to_string();
        match (ask.tools.is_empty(), ask.answers) {
            (true, _) => Turn::Say("ok".to_owned()),
            (false, 0) if read.contains("You plan.") => bash("echo 'Write greet.sh.' >PLAN.md"),
            (false, 0) if read.contains("You implement.") => bash(
                "echo 'echo \"Hello, ${1:-world}!\"' >greet.sh && git add . && \
                 git -c user.name=A -c user.email=a@b commit -qm 'Add greet.sh'",
            ),
            (false, 0) => bash("sh greet.sh Ada"),
            (false, _) => done("As the ticket asks."),
        }
    })
    .await;
    let server = Server::prepare(Setup::default());
    let terminal = Terminal::open(&server, 120, 50).await;
    let variables = claude::environment(&api).map(|(name, value)| format!("{name}='{value}'"));
    let demo = format!(
        "{} vibe-ensemble demo --agent '{}' --max-usd 5",
        variables.join(" "),
        claude.display()
    );
    let asks = |screen: &str| screen.trim_end().ends_with("Continue? [y/N]");
    terminal.begin(&demo);
    let asked = terminal.shows("the question", asks).await;
    assert!(asked.contains("about $") && asked.contains("$5.00"), "{asked}");
    terminal.press(&["Enter"]);
    let left = terminal.shows("the shell", |screen| screen.trim_end().ends_with(PROMPT)).await;
    assert!(left.contains("Nothing was started"), "{left}");
    assert!(api.asks().is_empty(), "nothing was charged");

    terminal.begin(&demo);
    terminal.shows("the question", asks).await;
    terminal.press(&["y", "Enter"]);
    // Three sessions of claude, one after the other.
    for stage in ["plan", "implement", "review"] {
        let ends = format!("{stage} of T-1 is completed");
        terminal.shows(&ends, |screen| screen.contains(&ends)).await;
    }
    let ended = terminal.shows("the end", |screen| screen.contains("vibe-ensemble serve")).await;
    for part in ["What next", "Add greet.sh", "Cost: $", "vibe-ensemble connect"] {
        assert!(ended.contains(part), "no {part} in\n{ended}");
    }
    assert_eq!(ended.matches("Continue?").count(), 1, "{ended}");
    assert!(!ended.contains("--agent claude  "), "it was the real one: {ended}");
}
