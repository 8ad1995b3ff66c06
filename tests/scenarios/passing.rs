//! Obstacles that pass by themselves: they are waited for, use no attempt, are reported once, and
//! need nobody.

use std::fs;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::binaries;
use e2e::eventually::eventually;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

/// Waits until the ticket waits for this cause, with a sentence that contains all of the words.
async fn waits(bed: &Bed, ticket: &str, cause: &str, words: &[&str]) -> Value {
    eventually(&format!("{ticket} waits: {cause}"), || async {
        let found = bed.get(ticket).await;
        let said = found["waiting_for"].as_str().unwrap_or_default();
        let fits = found["waiting_cause"] == cause && words.iter().all(|word| said.contains(word));
        if fits { Ok(found) } else { Err(found.to_string()) }
    })
    .await
}

fn executable(path: &Path, content: &str) {
    fs::write(path, content).expect("writable");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// A queue waited for something, the wait was reported once, and the queue resumed by itself
/// without a charged attempt.
async fn resumed(bed: &Bed, ticket: &str, failure: Option<&str>) {
    let done = bed.completed(ticket).await;
    assert_eq!(done["attempts_used"], 0, "{done}");
    let attempts = done["attempts"].as_array().expect("a list");
    let (last, tries) = attempts.split_last().expect("one succeeded");
    assert_eq!(last["outcome"], "succeeded");
    for attempt in tries {
        assert_eq!(attempt["failure"].as_str(), failure, "{done}");
    }
    assert_eq!(
        (bed.events_of_kind("queue_paused").await, bed.events_of_kind("queue_resumed").await),
        (1, 1)
    );
}

/// A server whose agent is at this path, whatever is there.
async fn bed_with_agent(agent: &Path) -> Bed {
    let bed = Bed::with(Setup { agent: Some(agent.to_owned()), ..Setup::default() }).await;
    bed.project("shop", &["build"]).await;
    bed
}

#[e2e::scenario]
async fn an_agent_that_is_away_while_it_is_replaced_is_waited_for() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let agent = elsewhere.path().join("agent");
    let bed = bed_with_agent(&agent).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    waits(&bed, &ticket, "queue_paused", &["No such file", "is retried by itself at"]).await;
    symlink(binaries::fake_claude(), &agent).expect("writable");
    resumed(&bed, &ticket, Some("no_agent")).await;
}

#[e2e::scenario]
async fn an_agent_that_may_not_be_executed_yet_is_waited_for() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let agent = elsewhere.path().join("agent");
    fs::copy(binaries::fake_claude(), &agent).expect("writable");
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let bed = bed_with_agent(&agent).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    waits(&bed, &ticket, "queue_paused", &["Permission denied"]).await;
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).expect("it is ours");
    resumed(&bed, &ticket, Some("no_agent")).await;
}

#[e2e::scenario]
async fn a_text_file_in_the_place_of_the_agent_is_not_run() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let agent = elsewhere.path().join("agent");
    let ran = elsewhere.path().join("ran");
    executable(&agent, &format!("touch {}\n", ran.display()));
    let bed = bed_with_agent(&agent).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    waits(&bed, &ticket, "queue_paused", &["Exec format error"]).await;
    assert!(!ran.exists(), "a shell ran it");
    let whole = elsewhere.path().join("whole");
    symlink(binaries::fake_claude(), &whole).expect("writable");
    fs::rename(&whole, &agent).expect("writable");
    resumed(&bed, &ticket, Some("no_agent")).await;
}

#[e2e::scenario]
async fn an_agent_that_is_being_written_is_waited_for() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let agent = elsewhere.path().join("agent");
    fs::copy(binaries::fake_claude(), &agent).expect("writable");
    let writing = File::options().append(true).open(&agent).expect("it is ours");
    let bed = bed_with_agent(&agent).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    waits(&bed, &ticket, "queue_paused", &["Text file busy"]).await;
    drop(writing);
    resumed(&bed, &ticket, Some("spawn_failed")).await;
}

#[e2e::scenario]
async fn the_shims_program_may_be_away_or_busy_while_it_is_replaced() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let shim = elsewhere.path().join("shim");
    fs::copy(binaries::shim(), &shim).expect("writable");
    let setup = Setup::default().arg("--shim").arg(shim.display().to_string());
    let bed = Bed::with(setup).await;
    bed.project("shop", &["build", "test"]).await;
    let away = elsewhere.path().join("away");
    fs::rename(&shim, &away).expect("writable");
    let ticket = bed.ticket("shop", &["build"], "").await;
    let words = ["could not start the shim", "No such file", "is retried"];
    let waiting = waits(&bed, &ticket, "launch_failing", &words).await;
    assert!(waiting["waiting_until"].is_string(), "{waiting}");
    fs::rename(&away, &shim).expect("writable");
    resumed(&bed, &ticket, None).await;

    bed.nothing_is_left().await;
    let being_written = File::options().append(true).open(&shim).expect("nobody runs it");
    let ticket = bed.ticket("shop", &["test"], "").await;
    waits(&bed, &ticket, "launch_failing", &["Text file busy"]).await;
    drop(being_written);
    bed.completed(&ticket).await;
    assert_eq!(
        (bed.events_of_kind("queue_paused").await, bed.events_of_kind("queue_resumed").await),
        (2, 2)
    );
}

#[e2e::scenario]
async fn shims_that_end_before_they_say_hello_are_not_launched_again_and_again() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let shim = elsewhere.path().join("shim");
    // It behaves like a shim that can write nothing: it is started, exits, and nobody hears of it.
    executable(&shim, "#!/bin/sh\ncat >/dev/null\n");
    let bed = Bed::with(Setup::default().arg("--shim").arg(shim.display().to_string())).await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    waits(&bed, &ticket, "launch_failing", &["never said hello", "is retried"]).await;
    assert_eq!(bed.events_of_kind("queue_paused").await, 1);
    fs::remove_file(&shim).expect("it is ours");
    symlink(binaries::shim(), &shim).expect("writable");
    resumed(&bed, &ticket, None).await;
}

#[e2e::scenario]
async fn a_removed_worktree_is_made_again_and_nobody_else_waits() {
    let bed = Bed::start().await;
    let _repository = bed.repository("shop", &["build"], json!({})).await;
    bed.client.ok("pause", json!({"project": "shop"})).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: touch done.txt").await;
    let tree = eventually("its worktree is made", || async {
        let found = bed.get(&ticket).await;
        let path = found["worktree"].as_str().map(std::path::PathBuf::from);
        path.filter(|path| path.join(".git").exists()).ok_or_else(|| found.to_string())
    })
    .await;
    // Until the step that made it is over, git would only make it again.
    eventually("it is ready", || async {
        let files = fs::read_dir(&tree).map_or(0, Iterator::count);
        if files > 1 { Ok(()) } else { Err(format!("{files} files")) }
    })
    .await;
    fs::remove_dir_all(&tree).expect("it is there");
    bed.client.ok("resume", json!({"project": "shop"})).await;
    let done = bed.completed(&ticket).await;
    assert_eq!(done["attempts_used"], 0, "{done}");
    assert_eq!(bed.events_of_kind("queue_paused").await, 0);
}

/// An agent that prints a given text and exits, by stage.
fn scripted(path: &Path, cases: &str) {
    let script = format!(
        r#"#!/bin/sh
cat >/dev/null
while [ $# -gt 0 ]; do case "$1" in --session-id|--resume) id=$2;; esac; shift; done
say() {{ printf '%s\n' "$1"; }}
begin() {{ say '{{"type":"system","subtype":"init","session_id":"'"$id"'","mcp_servers":[]}}'; }}
refused() {{ say '{{"type":"result","subtype":"success","is_error":true,"api_error_status":'"$1"',"session_id":"'"$id"'","result":"no","num_turns":1,"total_cost_usd":0}}'; exit 1; }}
completed() {{ say '{{"type":"result","subtype":"success","is_error":false,"session_id":"'"$id"'","num_turns":1,"total_cost_usd":0.01,"structured_output":{{"outcome":"completed","report":"done"}}}}'; }}
begin
case "$VIBE_ENSEMBLE_STAGE" in
{cases}
esac
"#
    );
    executable(path, &script);
}

#[e2e::scenario]
async fn a_model_that_does_not_exist_pauses_its_queue_and_spends_no_attempt() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let agent = elsewhere.path().join("agent");
    scripted(&agent, "build) if [ -e ../model ]; then completed; else refused 404; fi;;");
    let bed = Bed::with(Setup { agent: Some(agent), ..Setup::default() }).await;
    let directory = bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"model": "claude-nonsense", "max_attempts": 1})).await;
    let tickets =
        [bed.ticket("shop", &["build"], "").await, bed.ticket("shop", &["build"], "").await];
    let steps = ["404", "Set model of the worker type"];
    for ticket in &tickets {
        let found = waits(&bed, ticket, "queue_paused", &steps).await;
        assert_eq!(found["attempts_used"], 0, "{found}");
    }
    assert_eq!(bed.events_of_kind("queue_paused").await, 1);
    fs::write(directory.join("../model"), "").expect("writable");
    let named = json!({"project": "shop", "worker_type": "build", "model": "sonnet"});
    bed.client.ok("update_worker_type", named).await;
    for ticket in &tickets {
        bed.completed(ticket).await;
    }
}

#[e2e::scenario]
async fn a_limit_without_a_reset_holds_everything_for_a_while_and_is_reported_once() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let agent = elsewhere.path().join("agent");
    let limited = r#"say '{"type":"rate_limit_event","rate_limit_info":{"status":"rejected"}}'; refused 429;;"#;
    scripted(&agent, &format!("*) {limited}"));
    let bed = Bed::with(Setup { agent: Some(agent), ..Setup::default() }.max_workers(1)).await;
    bed.repository("shop", &["build", "test"], json!({})).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let words = ["usage limit is reached", "does not say until when"];
    let first = waits(&bed, &ticket, "usage_limit", &words).await;
    assert_eq!(
        (&first["attempts"][0]["failure"], &first["attempts_used"]),
        (&json!("usage_limit"), &json!(0))
    );
    let mut others = Vec::new();
    for stage in ["build", "test", "test"] {
        others.push(bed.ticket("shop", &[stage], "").await);
    }
    for other in &others {
        let found = waits(&bed, other, "usage_limit", &words).await;
        assert_eq!(found["attempts_total"].as_i64().unwrap_or(0), 0, "nobody tries: {found}");
    }
    assert_eq!(bed.events_of_kind("server_paused").await, 1);
}

#[e2e::scenario]
async fn the_limit_of_one_model_holds_the_types_of_that_model() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let agent = elsewhere.path().join("agent");
    let limited = r#"say '{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","rateLimitType":"seven_day_opus","unifiedWindows":{"seven_day_opus":{"utilization":1,"status":"rejected","resetsAt":4102444800}}}}'; refused 429;;"#;
    scripted(&agent, &format!("plan) {limited}\n*) completed;;"));
    let bed = Bed::with(Setup { agent: Some(agent), ..Setup::default() }).await;
    bed.repository("shop", &["test"], json!({})).await;
    bed.worker_type("shop", "plan", json!({"model": "opus"})).await;
    bed.worker_type("shop", "review", json!({"model": "claude-opus-4-7"})).await;
    bed.worker_type("shop", "build", json!({"model": "sonnet"})).await;
    let plan = bed.ticket("shop", &["plan"], "").await;
    let found = waits(&bed, &plan, "usage_limit", &["opus", "It resumes by itself at"]).await;
    assert_eq!(found["attempts_used"], 0, "{found}");
    let review = bed.ticket("shop", &["review"], "").await;
    waits(&bed, &review, "usage_limit", &["opus"]).await;
    for stage in ["build", "test"] {
        let ticket = bed.ticket("shop", &[stage], "").await;
        bed.completed(&ticket).await;
    }
    assert_eq!(
        (bed.events_of_kind("server_paused").await, bed.events_of_kind("queue_paused").await),
        (0, 2)
    );
    let resumed = json!({"project": "shop", "worker_type": "review"});
    bed.client.ok("resume", resumed).await;
    bed.completed(&review).await;
}

#[e2e::scenario]
async fn one_refused_login_from_which_claude_recovers_stops_nothing() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let agent = elsewhere.path().join("agent");
    let retry = |error: &str| {
        format!(
            r#"say '{{"type":"system","subtype":"api_retry","attempt":1,"max_retries":10,"error_status":401,"error":"{error}"}}'; sleep 0.3"#
        )
    };
    let (login, money) = (retry("authentication_failed"), retry("billing_error"));
    scripted(&agent, &format!("build) {login}; {login}; completed;;\ntest) {money}; completed;;"));
    let bed = Bed::with(Setup { agent: Some(agent), ..Setup::default() }).await;
    bed.project("shop", &["build", "test"]).await;
    let ticket = bed.ticket("shop", &["build", "test"], "").await;
    let done = bed.completed(&ticket).await;
    assert_eq!(done["attempts"].as_array().map(Vec::len), Some(2), "{done}");
    assert_eq!(bed.events_of_kind("queue_paused").await, 0);
}

#[e2e::scenario]
async fn a_ticket_begun_in_a_shared_directory_is_finished_before_the_next_begins() {
    let bed = Bed::start().await;
    bed.project("shop", &["plan", "build"]).await;
    bed.client.ok("pause", json!({"project": "shop"})).await;
    let mut tickets = Vec::new();
    for _ in 0..4 {
        tickets.push(bed.ticket("shop", &["plan", "build"], "").await);
    }
    bed.client.ok("resume", json!({"project": "shop"})).await;
    for ticket in &tickets {
        bed.completed(ticket).await;
    }
    let order: Vec<(String, String)> =
        bed.agents.calls().into_iter().map(|call| (call.ticket, call.stage)).collect();
    let expected: Vec<(String, String)> = tickets
        .iter()
        .flat_map(|ticket| ["plan", "build"].map(|stage| (ticket.clone(), stage.to_owned())))
        .collect();
    assert_eq!(order, expected);
}

#[e2e::scenario]
async fn an_urgent_new_ticket_precedes_one_begun_in_a_shared_directory() {
    let bed = Bed::start().await;
    bed.project("shop", &["plan", "build"]).await;
    let begun = bed.ticket("shop", &["plan", "build"], "fake: plan: wait-for go").await;
    let call = bed.called(&begun, "plan", 1).await;
    let urgent = bed.ticket_with("shop", &["plan"], "", json!({"priority": "urgent"})).await;
    fs::write(call.cwd.join("go"), "").expect("writable");
    bed.completed(&begun).await;
    bed.completed(&urgent).await;
    let order: Vec<String> = bed.agents.calls().into_iter().map(|call| call.ticket).collect();
    assert_eq!(order, [begun.clone(), urgent, begun]);
}

#[e2e::scenario]
async fn the_more_urgent_ticket_goes_first_although_its_worktree_is_ready_later() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    let smudge = "sleep 1; cat";
    fs::write(repository.path.join(".gitattributes"), "slow.txt filter=slow\n").unwrap();
    fs::write(repository.path.join("slow.txt"), "slow\n").unwrap();
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "-m", "Add a slow file"]);
    repository.git(&["config", "filter.slow.smudge", smudge]);
    bed.client.ok("pause", json!({"project": "shop"})).await;
    let low = bed.ticket_with("shop", &["build"], "", json!({"priority": "low"})).await;
    let urgent = bed.ticket_with("shop", &["build"], "", json!({"priority": "urgent"})).await;
    bed.client.ok("resume", json!({"project": "shop"})).await;
    bed.completed(&low).await;
    bed.completed(&urgent).await;
    let order: Vec<String> = bed.agents.calls().into_iter().map(|call| call.ticket).collect();
    assert_eq!(order, [urgent, low]);
}

#[e2e::scenario]
async fn a_worker_gets_nothing_that_names_the_session_which_started_the_server() {
    let of_a_session = [
        "CLAUDE_CODE_MESSAGING_SOCKET",
        "CLAUDE_CODE_MESSAGING_TOKEN",
        "CLAUDE_CODE_SESSION_ID",
        "CLAUDE_CODE_EFFORT_LEVEL",
        "CLAUDE_CODE_ENTRYPOINT",
        "CLAUDE_EFFORT",
        "CLAUDE_PID",
    ];
    let mut setup = Setup::default().env("CLAUDE_CODE_MAX_RETRIES", "7");
    for name in of_a_session {
        setup = setup.env(name, "outer");
    }
    let bed = Bed::with(setup).await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    let call = bed.agents.only_call_of(&ticket, "build");
    let told: Vec<&str> =
        of_a_session.into_iter().filter(|name| call.env.contains_key(*name)).collect();
    assert_eq!(told, [""; 0]);
    assert_eq!(call.env.get("CLAUDE_CODE_MAX_RETRIES").map(String::as_str), Some("7"));
}

#[e2e::scenario]
async fn a_worker_that_outlives_a_restart_finds_the_agent_where_the_new_server_finds_it() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let [old, new] = ["old", "new"].map(|name| elsewhere.path().join(name));
    for directory in [&old, &new] {
        fs::create_dir(directory).expect("a fresh directory");
    }
    symlink(binaries::fake_claude(), old.join("some-agent")).expect("writable");
    let path = |first: &Path| format!("{}:/usr/bin:/bin", first.display());
    let setup = Setup { agent: Some("some-agent".into()), ..Setup::default() };
    let mut bed = Bed::prepare(setup.arg("--linger-ms").arg("60000").env("PATH", path(&old)));
    bed.launch().await;
    bed.project("shop", &["build"]).await;
    let first = bed.ticket("shop", &["build"], "").await;
    bed.completed(&first).await;
    let worker =
        text(&bed.worker_where("idles", |worker| worker["state"] == "idle").await, "worker_id");

    bed.server.stop().await;
    fs::rename(old.join("some-agent"), new.join("some-agent")).expect("writable");
    bed.server.set_env("PATH", path(&new));
    bed.launch().await;

    let second = bed.ticket("shop", &["build"], "").await;
    bed.completed(&second).await;
    let call = bed.agents.only_call_of(&second, "build");
    assert_eq!(call.worker, worker, "the old worker ran it");
    assert_eq!(call.env.get("PATH"), Some(&path(&new)));
    assert_eq!(bed.events_of_kind("queue_paused").await, 0);
}
