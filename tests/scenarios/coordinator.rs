//! The whole promise with the real `claude` on both ends: it coordinates, it works, and only the
//! model is replaced.
//!
//! The coordinator follows a policy, not a list of calls: its next step follows from what it has
//! read in this conversation. So the same coordinator can be killed and restarted, as a person
//! would close and open a session.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use e2e::bed::Bed;
use e2e::claude;
use e2e::claude::Coordinator;
use e2e::claude::real_claude;
use e2e::claude::result_of;
use e2e::eventually::eventually;
use e2e::messages_api::Ask;
use e2e::messages_api::Called;
use e2e::messages_api::MessagesApi;
use e2e::messages_api::Turn;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

const QUESTION: &str = "Whom shall it greet?";
const ANSWER: &str = "The world.";
const REPORT: &str = "It is done: the greeting is there and is used.";

fn call(tool: &str, input: Value) -> Turn {
    Turn::Use { tool: format!("mcp__vibe-ensemble__{tool}"), input }
}

/// A call of one of the tools that every claude has.
fn own(tool: &str, input: Value) -> Turn {
    Turn::Use { tool: tool.to_owned(), input }
}

fn bash(command: &str) -> Turn {
    own("Bash", json!({"command": command, "description": "work"}))
}

fn result(value: Value) -> Turn {
    Turn::Use { tool: "StructuredOutput".to_owned(), input: value }
}

fn done(report: &str) -> Turn {
    result(json!({"outcome": "completed", "report": report}))
}

/// The next step of the coordinator.
fn coordinate(ask: &Ask, directory: &Path) -> Turn {
    let calls = ask.calls();
    let made = |tool: &str| -> Vec<&Called> {
        calls.iter().filter(|call| call.tool.ends_with(&format!("__{tool}"))).collect()
    };
    if made("list_projects").is_empty() {
        return call("list_projects", json!({}));
    }
    let known = made("list_projects")[0].json();
    if known["projects"] == json!([]) && made("create_project").is_empty() {
        return call(
            "create_project",
            json!({"name": "shop", "path": directory, "rules": "Never push.", "on_complete": "merge"}),
        );
    }
    if made("list_worker_templates").is_empty() {
        return call("list_worker_templates", json!({}));
    }
    if made("list_worker_types").is_empty() {
        return call("list_worker_types", json!({"project": "shop"}));
    }
    let kinds = made("list_worker_types")[0].text().to_owned();
    for (kind, template) in
        [("plan", "planning"), ("implement", "implementation"), ("review", "review")]
    {
        let new = made("create_worker_type").iter().any(|call| call.input["worker_type"] == kind);
        if !new && !kinds.contains(&format!("\"{kind}\"")) {
            let given = json!({"project": "shop", "worker_type": kind, "template": template});
            return call("create_worker_type", given);
        }
    }
    if made("create_ticket").is_empty() {
        let new = json!({
            "project": "shop", "title": "Plan the greeting", "execution_plan": ["plan"],
            "description": "A greeting is to be written and used.", "idempotency_key": "goal",
        });
        return call("create_ticket", new);
    }
    follow(&calls, &made)
}

/// Waits, acts on events, marks them, and ends when nothing is open.
fn follow<'a>(calls: &'a [Called], made: &impl Fn(&str) -> Vec<&'a Called>) -> Turn {
    let last = calls.last().expect("tickets were created");
    let listed = made("list_events");
    let wait = call("list_events", json!({"wait_seconds": 60}));
    let Some(page) = listed.last().map(|call| call.json()) else { return wait };
    let events = page["events"].as_array().cloned().unwrap_or_default();
    let since = calls.iter().rposition(|call| call.tool.ends_with("__list_events")).unwrap_or(0);
    let resumed = |ticket: &Value| {
        let after = calls[since..].iter();
        after.into_iter().any(|call| {
            call.tool.ends_with("__resume_ticket") && call.input["ticket_id"] == *ticket
        })
    };
    let held = events
        .iter()
        .find(|event| event["kind"] == "ticket_on_hold" && !resumed(&event["ticket_id"]));
    if let Some(event) = held {
        let ticket = &event["ticket_id"];
        return call("resume_ticket", json!({"ticket_id": ticket, "comment": ANSWER}));
    }
    let nothing_is_open = made("get_project").last().is_some_and(|call| is_done(&call.json()));
    if events.is_empty() {
        return if nothing_is_open { Turn::Say(REPORT.to_owned()) } else { wait };
    }
    if last.tool.ends_with("__get_project") {
        // Events since the last look still have to be handled.
        return if nothing_is_open { call("list_events", json!({})) } else { wait };
    }
    if last.tool.ends_with("__mark_events_processed") {
        return call("get_project", json!({"project": "shop"}));
    }
    let seqs: Vec<&Value> = events.iter().map(|event| &event["seq"]).collect();
    call("mark_events_processed", json!({"event_seqs": seqs}))
}

/// Whether every ticket of a project is closed.
fn is_done(project: &Value) -> bool {
    let open = ["blocked", "scheduled", "queued", "running", "on_hold"];
    open.iter().all(|state| project["tickets"][state] == 0)
}

/// The planner's two tickets, the second of which waits for the first.
fn planned() -> Turn {
    let plan = ["implement", "review"];
    result(json!({"outcome": "completed", "report": "First write it, then use it.", "tickets": [
        {"key": "write", "title": "Write the greeting", "execution_plan": plan,
            "description": "Put a greeting into greeting.txt."},
        {"key": "use", "title": "Use the greeting", "execution_plan": plan, "depends_on": ["write"],
            "description": "Greet somebody."},
    ]}))
}

/// The next step of a worker, from its role and the prompt of this run.
fn work(ask: &Ask) -> Turn {
    let (prompt, answered) = ask.prompt();
    let whole = ask.body.to_string();
    if whole.contains("You are a planner.") {
        return planned();
    }
    let reviews = whole.contains("You are a reviewer.");
    assert!(reviews || whole.contains("You are a software engineer."), "the role arrived");
    // A resumed session has seen the title before.
    let greets = whole.contains("Use the greeting");
    match (reviews, greets) {
        (false, false) if prompt.contains("no newline") => correct(ask, answered),
        (false, false) => write(ask, answered),
        (true, false) => match answered {
            0 => bash("git log -p --format=%s && tail -c 1 greeting.txt | od -c"),
            _ if looked(ask).contains("\\n") => done("Good."),
            _ => result(json!({"outcome": "rework", "report": "There is no newline at its end."})),
        },
        (false, true) if prompt.contains(ANSWER) => match answered {
            0 => bash(
                "echo \"$(cat greeting.txt), world\" > used.txt && git add used.txt && git commit -qm 'Use it'",
            ),
            _ => done("used.txt greets the world."),
        },
        (false, true) => {
            result(json!({"outcome": "blocked", "report": "It is not said.", "question": QUESTION}))
        }
        (true, true) => done("Good."),
    }
}

/// Writes the greeting in its working directory, and commits it.
fn write(ask: &Ask, answered: usize) -> Turn {
    match answered {
        0 => bash("pwd"),
        1 => own("Write", json!({"file_path": greeting(ask), "content": "hello"})),
        2 => bash("git add greeting.txt && git commit -qm Greet"),
        _ => done("greeting.txt says hello."),
    }
}

/// Edits what the review sent back, and commits it.
fn correct(ask: &Ask, answered: usize) -> Turn {
    match answered {
        0 => bash("pwd"),
        1 => own("Read", json!({"file_path": greeting(ask)})),
        2 => own(
            "Edit",
            json!({"file_path": greeting(ask), "old_string": "hello", "new_string": "hello\n"}),
        ),
        3 => bash("git commit -qam 'End the line'"),
        _ => done("It ends with a newline now."),
    }
}

/// The file by its absolute path, which claude's tools require.
fn greeting(ask: &Ask) -> String {
    let calls = ask.calls();
    let asked = calls.iter().rev().find(|call| call.input["command"] == "pwd");
    format!("{}/greeting.txt", asked.expect("it asked where it is").text().trim())
}

/// The output of the last command.
fn looked(ask: &Ask) -> String {
    let calls = ask.calls();
    let last = calls.iter().rev().find(|call| call.tool == "Bash");
    last.map(|call| call.text().to_owned()).unwrap_or_default()
}

/// The next turn on either side.
fn answer(ask: &Ask, directory: &Path) -> Turn {
    if ask.tools.is_empty() {
        Turn::Say("ok".to_owned())
    } else if ask.offers("StructuredOutput") {
        work(ask)
    } else {
        coordinate(ask, directory)
    }
}

fn git(directory: &Path, home: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(args)
        .current_dir(directory)
        .env("HOME", home)
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A server whose workers are the real claude, and a repository with one commit that is connected
/// to it.
async fn connected(
    claude: &Path,
    api: &MessagesApi,
    directory: &Path,
    root: tempfile::TempDir,
) -> (Bed, tempfile::TempDir) {
    let mut setup = Setup { agent: Some(claude.to_owned()), ..Setup::default() };
    for (name, value) in claude::environment(api) {
        setup = setup.env(name, value);
    }
    // `connect` asks it to add an entry, because the server is not at its usual address.
    let path =
        format!("{}:/usr/local/bin:/usr/bin:/bin", claude.parent().expect("a program").display());
    let bed = Bed::with(setup.env("PATH", path)).await;
    let home = bed.server.home();
    std::fs::write(
        home.join(".gitconfig"),
        "[user]\nname = A Worker\nemail = worker@example.org\n",
    )
    .expect("its home is writable");
    git(directory, &home, &["init", "-q", "-b", "main"]);
    std::fs::write(directory.join("README.md"), "A shop.\n").expect("a fresh directory");
    git(directory, &home, &["add", "README.md"]);
    git(directory, &home, &["commit", "-qm", "Begin"]);
    let connect = bed.server.operate("connect", &[directory.to_str().expect("UTF-8")]).await;
    assert!(connect.status.success(), "{}", String::from_utf8_lossy(&connect.stderr));
    (bed, root)
}

fn repository() -> (tempfile::TempDir, PathBuf) {
    let root =
        tempfile::Builder::new().prefix("ve-shop-").tempdir().expect("a temporary directory");
    let directory = root.path().join("shop");
    std::fs::create_dir(&directory).expect("a fresh directory");
    (root, directory)
}

/// What must be true at the end, whatever happened to the coordinator on the way.
async fn all_is_done(bed: &Bed, directory: &Path, said: &[Value]) {
    let result = result_of(said);
    assert_eq!(
        (&result["is_error"], &result["result"]),
        (&json!(false), &json!(REPORT)),
        "{result}"
    );

    // What the workers committed in their worktrees is on the user's branch and in the user's
    // files.
    let log = ["log", "--reverse", "--no-merges", "--format=%s", "main"];
    let log = git(directory, &bed.server.home(), &log);
    let subjects = ["Begin", "Greet", "End the line", "Use it"];
    assert_eq!(log.lines().collect::<Vec<_>>(), subjects, "each once");
    let used = std::fs::read_to_string(directory.join("used.txt")).expect("it was written");
    assert_eq!(used, "hello, world\n");

    let list = bed.all("list_tickets", "tickets", json!({"all": true})).await;
    assert_eq!(list.len(), 3, "no ticket twice: {list:?}");
    bed.completed("T-1").await;
    let first = bed.completed("T-2").await;
    let reports: Vec<&Value> =
        first["comments"].as_array().expect("a list").iter().map(|c| &c["content"]).collect();
    assert_eq!(
        reports,
        [
            "greeting.txt says hello.",
            "There is no newline at its end.",
            "It ends with a newline now.",
            "Good."
        ]
    );
    let second = bed.completed("T-3").await;
    assert_eq!(second["depends_on"], json!(["T-2"]));
    for (ticket, id) in [(&first, "T-2"), (&second, "T-3")] {
        assert_eq!(ticket["branch"], format!("vibe-ensemble/{id}"), "{ticket}");
        assert!(ticket["merged_commit"].is_string(), "{ticket}");
    }
    assert_eq!(first["rework_laps"], 1, "{first}");
    let answers = second["comments"].as_array().expect("a list").iter();
    assert_eq!(answers.filter(|comment| comment["author"] == "coordinator").count(), 1, "{second}");
    let attempts = first["attempts"]
        .as_array()
        .expect("a list")
        .iter()
        .chain(second["attempts"].as_array().expect("a list"));
    for attempt in attempts {
        assert_eq!(attempt["outcome"], "succeeded", "{attempt}");
    }
    let mut command = bed.server.command("headers");
    command
        .current_dir(directory)
        .env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir())
        .env("VIBE_ENSEMBLE_RUNTIME_DIR", bed.server.runtime_dir());
    let ran = tokio::process::Command::from(command).output().await.expect("it runs");
    let headers: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    let may_need_it = ["ticket_on_hold", "ticket_closed", "queue_paused", "project_paused"];
    let asked = json!({"consumer": headers["vibe-ensemble-consumer"], "kinds": may_need_it});
    let unseen = bed.client.ok("list_events", asked).await["events"].clone();
    assert_eq!(unseen, json!([]), "the coordinator has dealt with everything");
    bed.nothing_is_left().await;
}

#[e2e::scenario(needs(Claude))]
async fn the_real_claude_coordinates_and_works_to_the_end() {
    let claude = real_claude();
    let (root, directory) = repository();
    let place = directory.clone();
    let api = MessagesApi::start(move |ask| answer(ask, &place)).await;
    let (bed, _root) = connected(&claude, &api, &directory, root).await;

    let goal = "Have a greeting written and used.";
    let coordinator = Coordinator::start(&claude, &bed.server, &api, &directory, goal).await;
    let said = coordinator.ends().await;

    let instructed = api.asks().iter().any(|ask| {
        ask.offers("mcp__vibe-ensemble__list_events")
            && ask
                .body
                .to_string()
                .contains("Vibe-Ensemble runs headless Claude Code workers for you")
    });
    assert!(instructed, "the instructions of the server arrive");
    all_is_done(&bed, &directory, &said).await;
    let worktrees = bed.server.state_dir().canonicalize().unwrap().join("worktrees/shop/T-2");
    let asks = api.asks();
    let places = asks.iter().flat_map(Ask::calls).filter(|call| call.input["command"] == "pwd");
    let places: Vec<String> = places.map(|call| call.text().trim().to_owned()).collect();
    assert!(!places.is_empty(), "somebody asked where it is");
    assert!(places.iter().all(|place| Path::new(place) == worktrees), "{places:?}");
}

#[e2e::scenario(needs(Claude))]
async fn a_coordinator_that_is_killed_and_begun_again_misses_nothing() {
    let claude = real_claude();
    let (root, directory) = repository();
    let place = directory.clone();
    // The coordinator that learns of the question first dies before it acts: its model never
    // answers again. An earlier one dies while it waits.
    let hearer_dies = AtomicBool::new(true);
    let api = MessagesApi::start(move |ask| {
        let coordinates = !ask.tools.is_empty() && !ask.offers("StructuredOutput");
        if coordinates && hearer_dies.load(Ordering::SeqCst) {
            let calls = ask.calls();
            let heard = calls.last().is_some_and(|call| call.text().contains("ticket_on_hold"));
            if heard {
                hearer_dies.store(false, Ordering::SeqCst);
                return Turn::Silence;
            }
        }
        answer(ask, &place)
    })
    .await;
    let (mut bed, _root) = connected(&claude, &api, &directory, root).await;

    let goal = "Have a greeting written and used.";
    let first = Coordinator::start(&claude, &bed.server, &api, &directory, goal).await;
    eventually("the coordinator waits for events", || async {
        let page = bed.client.get("/metrics").await.text().await.expect("a page");
        if page.contains("vibe_ensemble_waiting_calls 1\n") { Ok(()) } else { Err(page) }
    })
    .await;
    first.kill().await;
    let second = Coordinator::start(&claude, &bed.server, &api, &directory, goal).await;
    eventually("the coordinator has read the question", || async {
        let told = api.asks().iter().any(|ask| {
            !ask.offers("StructuredOutput")
                && ask.calls().last().is_some_and(|call| call.text().contains("ticket_on_hold"))
        });
        if told { Ok(()) } else { Err(format!("{:?}", bed.events().await.last())) }
    })
    .await;
    second.kill().await;
    // The server is killed too, and may come back under another address.
    bed.server.kill().await;
    bed.launch().await;
    let again = bed.server.operate("connect", &[directory.to_str().unwrap()]).await;
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let third = Coordinator::start(&claude, &bed.server, &api, &directory, goal).await;
    let said = third.ends().await;

    all_is_done(&bed, &directory, &said).await;
}
