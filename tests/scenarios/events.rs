//! Events: listed until marked, per consumer, and pushed to every caller that waits.

use std::process::Stdio;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::eventually::DEADLINE;
use e2e::eventually::eventually;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;

fn seqs(list: &Value) -> Vec<i64> {
    let events = list["events"].as_array().unwrap_or_else(|| panic!("no `events` in {list}"));
    events.iter().map(|event| event["seq"].as_i64().expect("a number")).collect()
}

/// A bed with some events and nothing that makes more.
async fn quiet_bed() -> (Bed, Vec<i64>) {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    for _ in 0..3 {
        bed.ticket("shop", &["build"], "").await;
    }
    let all = seqs(&bed.client.ok("list_events", json!({})).await);
    assert!(all.len() >= 3, "each ticket tells that it was created");
    (bed, all)
}

#[e2e::scenario]
async fn an_event_has_its_fields() {
    let (bed, _) = quiet_bed().await;
    let list = bed.client.ok("list_events", json!({"kinds": ["ticket_created"]})).await;
    let event = &list["events"][0];
    assert_eq!(event["kind"], "ticket_created");
    assert_eq!(event["project"], "shop");
    assert_eq!(event["ticket_id"], "T-1");
    assert_eq!(event["processed"], false);
    assert!(text(event, "at").ends_with('Z'));
    assert!(!text(event, "summary").is_empty());
    assert_eq!(list["last_seq"], *seqs(&list).last().unwrap());
}

#[e2e::scenario]
async fn an_event_is_listed_until_it_is_marked() {
    let (bed, all) = quiet_bed().await;

    let marked = bed.client.ok("mark_events_processed", json!({"event_seqs": [all[1]]})).await;
    assert!(marked.to_string().contains('1'), "{marked}");
    let left = seqs(&bed.client.ok("list_events", json!({})).await);
    assert_eq!(left, [&all[..1], &all[2..]].concat());

    let again = bed.client.ok("mark_events_processed", json!({"event_seqs": [all[1]]})).await;
    assert!(again.to_string().contains(":0"), "nothing newly marked: {again}");

    let last = all[all.len() - 1];
    bed.client.ok("mark_events_processed", json!({"up_to_seq": last})).await;
    let nothing = bed.client.ok("list_events", json!({})).await;
    assert_eq!(nothing["events"], json!([]));
    let processed = bed.client.ok("list_events", json!({"include_processed": true})).await;
    assert_eq!(seqs(&processed), all);
    assert_eq!(processed["events"][0]["processed"], true);
}

#[e2e::scenario]
async fn each_consumer_marks_for_itself() {
    let (bed, all) = quiet_bed().await;

    let mark = json!({"up_to_seq": all[all.len() - 1], "consumer": "dashboard"});
    bed.client.ok("mark_events_processed", mark).await;

    let coordinator = bed.client.ok("list_events", json!({})).await;
    assert_eq!(seqs(&coordinator), all, "the coordinator has still to see them");
    let dashboard = bed.client.ok("list_events", json!({"consumer": "dashboard"})).await;
    assert_eq!(dashboard["events"], json!([]));
}

#[e2e::scenario]
async fn marks_survive_the_server() {
    let (mut bed, all) = quiet_bed().await;
    bed.client.ok("mark_events_processed", json!({"event_seqs": [all[0]]})).await;
    bed.server.kill().await;
    bed.launch().await;
    assert_eq!(seqs(&bed.client.ok("list_events", json!({})).await), all[1..]);
}

#[e2e::scenario]
async fn events_can_be_narrowed() {
    let (bed, all) = quiet_bed().await;
    let found = async |filter| seqs(&bed.client.ok("list_events", filter).await);

    assert_eq!(found(json!({"after": all[0]})).await, all[1..]);
    assert_eq!(found(json!({"limit": 2})).await, all[..2]);
    assert_eq!(found(json!({"ticket_id": "T-2"})).await.len(), 1);
    assert_eq!(found(json!({"kinds": ["ticket_closed"]})).await, Vec::<i64>::new());
    assert_eq!(found(json!({"project": "shop"})).await, all);
}

#[e2e::scenario]
async fn a_waiting_call_reports_progress_and_answers_when_an_event_arrives() {
    let (bed, all) = quiet_bed().await;
    let arguments = json!({"after": all[all.len() - 1], "wait_seconds": 3600});

    let mut waiting = bed.client.open("list_events", arguments).await;
    let first = waiting.chunk().await.unwrap().expect("progress comes at once");
    let first = String::from_utf8_lossy(&first).into_owned();
    let ticket = bed.ticket("shop", &["build"], "").await;

    let rest = waiting.text().await.unwrap();
    let whole = format!("{first}{rest}");
    let progress = whole.find("notifications/progress");
    let answer = whole.find(&ticket);
    assert!(progress.is_some() && answer.is_some() && progress < answer, "{whole}");
}

/// A client gives up on a silent call after as little as half a minute.
#[e2e::scenario]
async fn a_call_that_waits_for_long_reports_progress_again() {
    let (bed, all) = quiet_bed().await;
    let arguments = json!({"after": all[all.len() - 1], "wait_seconds": 16});
    let waiting = bed.client.open("list_events", arguments).await;
    let whole = waiting.text().await.unwrap();
    let said = whole.matches("notifications/progress").count();
    assert_eq!(said, 2, "at once, and after 15 of 16 seconds: {whole}");
}

#[e2e::scenario]
async fn a_waiting_call_answers_at_once_if_there_is_an_event_already() {
    let (bed, all) = quiet_bed().await;
    let list = bed.client.ok("list_events", json!({"wait_seconds": 3600})).await;
    assert_eq!(seqs(&list), all);
}

#[e2e::scenario]
async fn nothing_within_the_wait_is_an_empty_list_and_no_error() {
    let (bed, all) = quiet_bed().await;
    let newest = all[all.len() - 1];
    let list = bed.client.ok("list_events", json!({"after": newest, "wait_seconds": 1})).await;
    assert_eq!(list["events"], json!([]));
    assert_eq!(list["last_seq"], newest);
}

#[e2e::scenario]
async fn a_wait_that_is_too_long_is_refused() {
    let (bed, _) = quiet_bed().await;
    let refusal = bed.client.refused("list_events", json!({"wait_seconds": 3601})).await;
    assert!(refusal.contains("wait_seconds") && refusal.contains("3600"), "{refusal}");
}

#[e2e::scenario]
async fn many_calls_may_wait_at_once_and_each_is_answered() {
    let (bed, all) = quiet_bed().await;
    let arguments = json!({"after": all[all.len() - 1], "wait_seconds": 3600});
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut response = bed.client.open("list_events", arguments.clone()).await;
        assert!(response.chunk().await.unwrap().is_some());
        waiting.push(response);
    }

    let ticket = bed.ticket("shop", &["build"], "").await;

    for response in waiting {
        let rest = response.text().await.unwrap();
        assert!(rest.contains(&ticket), "{rest}");
    }
}

#[e2e::scenario]
async fn no_event_is_lost_to_a_client_that_leaves_or_a_server_that_dies() {
    let (mut bed, all) = quiet_bed().await;
    bed.client.ok("mark_events_processed", json!({"up_to_seq": all[all.len() - 1]})).await;
    let wait = json!({"wait_seconds": 3600});

    let mut waiting = bed.client.open("list_events", wait.clone()).await;
    assert!(waiting.chunk().await.unwrap().is_some(), "it waits");
    drop(waiting);
    let ticket = bed.ticket("shop", &["build"], "").await;
    let list = bed.client.ok("list_events", wait.clone()).await;
    assert_eq!(list["events"][0]["ticket_id"], ticket);
    bed.client.ok("mark_events_processed", json!({"event_seqs": seqs(&list)})).await;

    let mut waiting = bed.client.open("list_events", wait.clone()).await;
    assert!(waiting.chunk().await.unwrap().is_some(), "it waits");
    bed.server.kill().await;
    assert!(waiting.text().await.is_err(), "its answer was cut off");
    bed.launch().await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let list = bed.client.ok("list_events", wait).await;
    assert_eq!(list["events"][0]["ticket_id"], ticket);
}

#[e2e::scenario]
async fn a_monitor_prints_each_event_once_whatever_becomes_of_the_server() {
    let mut bed = Bed::prepare(Setup::default());
    let mut command = tokio::process::Command::from(bed.server.command("events"));
    command
        .args([
            "--follow",
            "--unmarked",
            "--retry",
            "--json",
            "--kinds",
            "ticket_created,ticket_closed",
        ])
        .env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir())
        .env("VIBE_ENSEMBLE_RUNTIME_DIR", bed.server.runtime_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    // There is no server yet.
    let mut monitor = command.spawn().unwrap();
    let mut lines = BufReader::new(monitor.stdout.take().unwrap()).lines();
    let mut next = async || {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await;
        let line = line.expect("a line in time").unwrap().expect("it never ends by itself");
        let event: Value = serde_json::from_str(&line).unwrap();
        (text(&event, "kind"), text(&event, "ticket_id"))
    };

    bed.launch().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let first = bed.ticket("shop", &["build"], "").await;
    assert_eq!(next().await, ("ticket_created".to_owned(), first.clone()));
    bed.server.kill().await;
    bed.launch().await;
    bed.client.ok("close_ticket", json!({"ticket_id": first})).await;
    assert_eq!(next().await, ("ticket_closed".to_owned(), first));
    let second = bed.ticket("shop", &["build"], "").await;
    assert_eq!(next().await, ("ticket_created".to_owned(), second));
    monitor.kill().await.unwrap();
}

#[e2e::scenario]
async fn a_monitor_whose_reader_has_gone_ends_although_nothing_happens() {
    let bed = Bed::start().await;
    let mut command = tokio::process::Command::from(bed.server.command("events"));
    command
        .args(["--follow", "--json"])
        .env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir())
        .env("VIBE_ENSEMBLE_RUNTIME_DIR", bed.server.runtime_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut monitor = command.spawn().unwrap();
    waiting_calls(&bed, 1).await;
    drop(monitor.stdout.take());
    let ended = tokio::time::timeout(DEADLINE, monitor.wait_with_output()).await;
    let ended = ended.expect("it ends").unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    // Its place among the waiting calls is free again.
    waiting_calls(&bed, 0).await;
}

async fn waiting_calls(bed: &Bed, count: usize) {
    eventually(&format!("{count} calls wait"), || async {
        let page = bed.client.get("/metrics").await.text().await.expect("a page");
        let wait = page.contains(&format!("vibe_ensemble_waiting_calls {count}\n"));
        if wait { Ok(()) } else { Err(page) }
    })
    .await;
}

#[e2e::scenario]
async fn every_revision_learns_that_a_call_waits() {
    let (bed, all) = quiet_bed().await;
    let arguments = json!({"after": all[all.len() - 1], "wait_seconds": 3600});
    let mut waiting = Vec::new();
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let params = json!({"name": "list_events", "arguments": arguments, "_meta": {"progressToken": revision}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let request = bed.client.post().header("MCP-Protocol-Version", revision).json(&body);
        let mut response = request.send().await.expect("the server is up");
        let first = response.chunk().await.unwrap().expect("progress comes at once");
        let first = String::from_utf8_lossy(&first).into_owned();
        assert!(first.contains("notifications/progress") && first.contains(revision), "{first}");
        waiting.push(response);
    }

    let ticket = bed.ticket("shop", &["build"], "").await;

    for response in waiting {
        let rest = response.text().await.unwrap();
        assert!(rest.contains(&ticket), "{rest}");
    }
}

/// The variables of a command that runs for a session in a directory.
fn place_of(bed: &Bed, directory: &str) -> [(&'static str, std::path::PathBuf); 3] {
    [
        ("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir()),
        ("VIBE_ENSEMBLE_RUNTIME_DIR", bed.server.runtime_dir()),
        ("CLAUDE_PROJECT_DIR", directory.into()),
    ]
}

/// The events that a directory's session learns of, as its monitor requests them.
async fn told_here(bed: &Bed, directory: &str) -> Vec<Value> {
    let mut command = bed.server.command("events");
    command.args(["--unmarked", "--here", "--json"]);
    command.envs(place_of(bed, directory));
    let ran = tokio::process::Command::from(command).output().await.expect("it runs");
    assert!(ran.status.success(), "{ran:?}");
    let lines = String::from_utf8(ran.stdout).expect("text");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

async fn consumer_of(bed: &Bed, directory: &str) -> String {
    let mut command = bed.server.command("headers");
    command.envs(place_of(bed, directory));
    let ran = tokio::process::Command::from(command).output().await.expect("it runs");
    let headers: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    text(&headers, "vibe-ensemble-consumer")
}

#[e2e::scenario]
async fn the_sessions_of_two_directories_never_take_each_others_events() {
    let bed = Bed::start().await;
    let mut places = Vec::new();
    for project in ["shop", "app"] {
        places.push(bed.project(project, &[]).await.to_str().expect("UTF-8").to_owned());
        bed.worker_type(project, "build", json!({"auto_spawn": false})).await;
        let ticket = bed.ticket(project, &["build"], "").await;
        bed.client.ok("close_ticket", json!({"ticket_id": ticket})).await;
    }
    let [shop, app] = places.as_slice() else { panic!("two") };
    let (of_shop, of_app) = (consumer_of(&bed, shop).await, consumer_of(&bed, app).await);
    assert_ne!(of_shop, of_app);

    for (place, project) in [(shop, "shop"), (app, "app")] {
        let told = told_here(&bed, place).await;
        assert!(
            !told.is_empty() && told.iter().all(|event| event["project"] == project),
            "{told:?}"
        );
    }
    // Each session marks up to the newest event of the whole log, as a session does that was shown
    // only its own.
    let last = bed.client.ok("list_events", json!({})).await["last_seq"].clone();
    let mark = json!({"up_to_seq": last, "project": "shop", "consumer": of_shop});
    bed.client.ok("mark_events_processed", mark).await;
    assert!(told_here(&bed, shop).await.is_empty());
    assert!(!told_here(&bed, app).await.is_empty(), "of another session");

    // A session without a consumer of its own marks everything, and takes nothing from those that
    // have one.
    bed.client.ok("mark_events_processed", json!({"up_to_seq": last})).await;
    assert_eq!(bed.client.ok("list_events", json!({})).await["events"], json!([]));
    assert!(!told_here(&bed, app).await.is_empty(), "of another session");
    assert!(told_here(&bed, "/").await.is_empty(), "a directory of no project");
    let wrong = json!({"up_to_seq": last, "project": "shpo"});
    assert!(bed.client.refused("mark_events_processed", wrong).await.contains("shpo"));
}

/// A call of the session of the project shop.
async fn in_session(bed: &Bed, tool: &str, arguments: Value) -> Value {
    bed.client.in_session("dir-shop-00000000", tool, arguments).await
}

#[e2e::scenario]
async fn a_session_that_names_no_kinds_marks_the_kinds_that_it_was_listed() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    in_session(&bed, "list_events", json!({"project": "shop"})).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.client.ok("update_ticket", json!({"ticket_id": ticket, "title": "Another"})).await;
    bed.client.ok("close_ticket", json!({"ticket_id": ticket})).await;
    let others = json!({"project": "shop", "kinds": ["ticket_created", "ticket_updated"]});

    for wait in [json!({"project": "shop", "wait_seconds": 60}), json!({"project": "shop"})] {
        let listed = in_session(&bed, "list_events", wait).await;
        let kinds: Vec<String> =
            listed["events"].as_array().expect("a list").iter().map(|e| text(e, "kind")).collect();
        assert_eq!(kinds, ["ticket_closed"]);
    }
    let last =
        in_session(&bed, "list_events", json!({"project": "shop"})).await["last_seq"].clone();
    let mark = json!({"project": "shop", "up_to_seq": last});
    assert_eq!(in_session(&bed, "mark_events_processed", mark).await["marked"], 1);
    let listed = in_session(&bed, "list_events", others.clone()).await;
    let listed = listed["events"].as_array().expect("a list").clone();
    assert_eq!(listed.len(), 2, "nobody was shown them: {listed:?}");
    // They can be marked one by one, whatever their kind.
    let seqs: Vec<&Value> = listed.iter().map(|event| &event["seq"]).collect();
    let mark = json!({"project": "shop", "event_seqs": seqs});
    assert_eq!(in_session(&bed, "mark_events_processed", mark).await["marked"], 2);
    assert_eq!(in_session(&bed, "list_events", others).await["events"], json!([]));
}

/// A coordinator that waits without naming kinds is woken by events that may need it, and by no others: not by what it did
/// itself either.
#[e2e::scenario]
async fn an_idle_session_sleeps_through_what_continues_by_itself_and_what_it_did_itself() {
    let bed = Bed::start().await;
    bed.project("shop", &["plan", "build"]).await;
    bed.worker_type("shop", "idle", json!({"auto_spawn": false})).await;
    let unwanted = bed.ticket("shop", &["idle"], "").await;
    in_session(&bed, "list_events", json!({"project": "shop"})).await;
    let before = bed.events().await.len();
    let wait = in_session(&bed, "list_events", json!({"project": "shop", "wait_seconds": 600}));
    let work = async {
        waiting_calls(&bed, 1).await;
        for scope in [json!({"project": "shop"}), json!({"project": "shop", "worker_type": "idle"})]
        {
            in_session(&bed, "pause", scope.clone()).await;
            in_session(&bed, "resume", scope).await;
        }
        in_session(&bed, "close_ticket", json!({"ticket_id": unwanted})).await;
        let script = "fake: build: block Red or blue?";
        let ticket = bed.ticket("shop", &["plan", "build"], script).await;
        bed.ticket_is(&ticket, "on_hold").await;
    };
    let (woken, ()) = tokio::join!(wait, work);
    let kinds: Vec<String> =
        woken["events"].as_array().expect("a list").iter().map(|e| text(e, "kind")).collect();
    assert_eq!(kinds, ["ticket_on_hold"], "of {} events", bed.events().await.len() - before);
    assert!(bed.events().await.len() - before > 5, "much happened before");
}
