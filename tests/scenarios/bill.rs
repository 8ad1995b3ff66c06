//! A service that refuses, stalls or charges, against the real `claude`: each case has its failure
//! class and its consequence, and none of them runs up a bill.

use std::path::PathBuf;
use std::time::SystemTime;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::claude::real_claude;
use e2e::eventually::eventually;
use e2e::fake::asks_outcome;
use e2e::messages_api::Ask;
use e2e::messages_api::MessagesApi;
use e2e::messages_api::Turn;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

/// The tokens that the stub reports per request, so that a request costs a good part of a dollar.
const DEAR: u64 = 100_000;

fn setup(claude: PathBuf, api: &MessagesApi) -> Setup {
    Setup { agent: Some(claude), ..Setup::default() }
        .env("ANTHROPIC_BASE_URL", api.url())
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
}

fn with_key(setup: Setup) -> Setup {
    setup.env("ANTHROPIC_API_KEY", "dummy")
}

/// A bed with one project of the one type `build`.
async fn shop(setup: Setup, worker_type: Value) -> Bed {
    let bed = Bed::with(setup).await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", worker_type).await;
    bed
}

async fn refusing(claude: PathBuf, status: u16, kind: &str) -> (MessagesApi, Bed) {
    let refusal = Turn::Fail { status, kind: kind.to_owned() };
    let api = MessagesApi::start(move |_| refusal.clone()).await;
    let setup = with_key(setup(claude, &api)).env("CLAUDE_CODE_MAX_RETRIES", "1");
    let bed = shop(setup, json!({})).await;
    (api, bed)
}

/// The ticket once its first attempt has ended.
async fn first_end(bed: &Bed, ticket: &str) -> Value {
    eventually("the first attempt ended", || async {
        let found = bed.get(ticket).await;
        if found["attempts"][0]["state"] == "ended" { Ok(found) } else { Err(found.to_string()) }
    })
    .await
}

fn bash(command: &str) -> Turn {
    let input = json!({"command": command, "description": "work"});
    Turn::Use { tool: "Bash".to_owned(), input }
}

fn done() -> Turn {
    let input = json!({"outcome": "completed", "report": "Done."});
    Turn::Use { tool: "StructuredOutput".to_owned(), input }
}

#[e2e::scenario(needs(Claude))]
async fn an_overload_or_a_failing_service_waits_and_charges_no_ticket() {
    let claude = real_claude();
    for (status, kind, class) in [
        (429, "rate_limit_error", "overloaded"),
        (529, "overloaded_error", "overloaded"),
        (500, "api_error", "server_error"),
    ] {
        let (api, bed) = refusing(claude.clone(), status, kind).await;
        let ticket = bed.ticket("shop", &["build"], "Work.").await;
        let found = first_end(&bed, &ticket).await;
        assert_eq!(found["attempts"][0]["failure"], class, "{status}: {found}");
        assert_eq!(found["attempts_used"], 0, "{status}");
        assert_eq!(found["state"], "scheduled", "{status}");
        assert_eq!(found["waiting_cause"], "backoff", "{status}");
        assert_eq!(found["cost_usd"], 0.0, "{status}");
        assert_eq!(found["assumed_usd"], 0.0, "{status}");
        // The ticket waits for a minute; only claude itself has repeated requests.
        assert!(api.asks().len() <= 4, "{status}: {} requests", api.asks().len());
    }
}

#[e2e::scenario(needs(Claude))]
async fn a_refused_login_is_stopped_at_once_instead_of_being_tried_for_minutes() {
    let claude = real_claude();
    let refusal = Turn::Fail { status: 401, kind: "authentication_error".to_owned() };
    let api = MessagesApi::start(move |_| refusal.clone()).await;
    // With claude's own ten retries, which take more than a minute.
    let bed = shop(with_key(setup(claude, &api)), json!({})).await;
    let ticket = bed.ticket("shop", &["build"], "Work.").await;
    let other = bed.ticket("shop", &["build"], "Work.").await;

    let found = first_end(&bed, &ticket).await;

    assert_eq!(found["attempts"][0]["failure"], "authentication", "{found}");
    assert_eq!(found["attempts_used"], 0);
    assert_eq!(found["assumed_usd"], 0.0, "a refused request costs nothing: {found}");
    assert!(api.asks().len() <= 4, "{} requests", api.asks().len());
    eventually("the other ticket says why it waits", || async {
        let other = bed.get(&other).await;
        if other["waiting_cause"] == "queue_paused" { Ok(()) } else { Err(other.to_string()) }
    })
    .await;
    assert_eq!(bed.events_of_kind("queue_paused").await, 1);
}

#[e2e::scenario(needs(Claude))]
async fn an_account_that_cannot_pay_pauses_the_queue() {
    let claude = real_claude();
    let (api, bed) = refusing(claude, 402, "billing_error").await;
    let ticket = bed.ticket("shop", &["build"], "Work.").await;
    let found = first_end(&bed, &ticket).await;
    assert_eq!(found["attempts"][0]["failure"], "billing", "{found}");
    assert_eq!(found["attempts_used"], 0);
    assert_eq!(bed.events_of_kind("queue_paused").await, 1);
    assert!(api.asks().len() <= 4);
}

#[e2e::scenario(needs(Claude))]
#[expect(clippy::disallowed_methods, reason = "the service names its reset by the wall clock")]
async fn the_usage_limit_holds_everything_until_its_reset() {
    let claude = real_claude();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let resets_at = i64::try_from(now.as_secs()).expect("not that far") + 3600;
    let api = MessagesApi::start(move |_| Turn::Limited { resets_at }).await;
    let setup = setup(claude, &api)
        .env("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-stub")
        .env("CLAUDE_CODE_MAX_RETRIES", "1");
    let bed = shop(setup, json!({})).await;
    bed.project("garden", &["dig"]).await;
    let ticket = bed.ticket("shop", &["build"], "Work.").await;

    let found = first_end(&bed, &ticket).await;

    assert_eq!(found["attempts"][0]["failure"], "usage_limit", "{found}");
    assert_eq!(found["attempts_used"], 0);
    assert_eq!(found["state"], "scheduled");
    let elsewhere = bed.ticket("garden", &["dig"], "Work.").await;
    let waiting = bed.get(&elsewhere).await;
    assert_eq!(waiting["waiting_cause"], "usage_limit", "{waiting}");
    assert_eq!(waiting["waiting_until"], found["waiting_until"], "the same reset");
    // Once in the log of each of the two projects.
    assert_eq!(bed.events_of_kind("server_paused").await, 2);
    let asked = api.asks().len();
    assert!(asked <= 4, "{asked} requests");
    bed.nothing_is_left().await;
    let resumed = bed.client.ok("resume", json!({})).await;
    assert_eq!(resumed["paused"], false, "{resumed}");
    eventually("work continues", || async {
        if api.asks().len() > asked { Ok(()) } else { Err(format!("{asked} requests")) }
    })
    .await;
}

#[e2e::scenario(needs(Claude))]
async fn a_service_that_does_not_answer_is_a_stall() {
    let claude = real_claude();
    let api = MessagesApi::start(|_| Turn::Silence).await;
    let limits = json!({"stall_seconds": 3, "max_attempts": 1});
    let bed = shop(with_key(setup(claude, &api)), limits).await;
    let ticket = bed.ticket("shop", &["build"], "Work.").await;
    let held = bed.ticket_is(&ticket, "on_hold").await;
    assert_eq!(held["attempts"][0]["failure"], "stall", "{held}");
    assert_eq!(held["attempts"].as_array().map(Vec::len), Some(1));
}

#[e2e::scenario(needs(Claude))]
async fn the_dollars_of_a_ticket_are_bounded_and_accounted_for() {
    let claude = real_claude();
    // The run never ends, and never does the same thing twice.
    let api = MessagesApi::start(|ask| bash(&format!("echo {}", ask.answers))).await.reading(DEAR);
    let bed = shop(with_key(setup(claude, &api)), json!({})).await;
    let limit = json!({"project": "shop", "max_budget_usd_per_ticket": 1.0});
    bed.client.ok("update_project", limit).await;
    let ticket = bed.ticket("shop", &["build"], "Work.").await;

    let held = bed.ticket_is(&ticket, "on_hold").await;

    assert_eq!(held["attempts"][0]["failure"], "max_budget", "{held}");
    assert_eq!(held["attempts"][0]["budget_usd"], 1.0);
    let cost = held["cost_usd"].as_f64().expect("a cost");
    let requests = u32::try_from(held["attempts"][0]["num_turns"].as_i64().expect("turns"));
    let one = cost / f64::from(requests.expect("few")).max(1.0);
    assert!(cost >= 0.9 && cost <= 1.0 + 2.0 * one, "${cost} for a limit of $1");
    assert!(text(&held, "hold_reason").contains("max_budget_usd of the ticket"), "{held}");
    assert_eq!(bed.events_of_kind("ticket_on_hold").await, 1);

    let usage = bed.client.ok("get_usage", json!({"group_by": "ticket"})).await;
    assert_eq!(usage["usage"][0]["ticket_id"], ticket.as_str());
    assert_eq!(usage["total"]["cost_usd"], held["cost_usd"], "{usage}");
    assert!(usage["total"]["input_tokens"].as_i64() >= Some(100_000), "{usage}");
    assert!(usage["total"]["peak_memory_bytes"].as_i64() > Some(1 << 20), "{usage}");
    let printed = bed.server.operate("usage", &["--by", "ticket", "--json"]).await;
    let printed: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    // What is absent in one is null in the other.
    for (name, value) in usage["total"].as_object().expect("an object") {
        assert_eq!(printed["total"][name], *value, "{name}");
    }
    // Resumed without more dollars, it goes on hold again, and the service is not asked for
    // anything.
    let asked = api.asks().len();
    bed.client.ok("resume_ticket", json!({"ticket_id": ticket})).await;
    bed.ticket_is(&ticket, "on_hold").await;
    assert_eq!(api.asks().len(), asked);
}

#[e2e::scenario(needs(Claude))]
async fn an_agent_that_repeats_itself_is_stopped() {
    let claude = real_claude();
    let api = MessagesApi::start(|_| bash("echo again")).await;
    let setup = with_key(setup(claude, &api)).arg("--max-repeated-calls").arg("5");
    let bed = shop(setup, json!({"max_attempts": 1})).await;
    let ticket = bed.ticket("shop", &["build"], "Work.").await;
    let held = bed.ticket_is(&ticket, "on_hold").await;
    assert_eq!(held["attempts"][0]["failure"], "no_progress", "{held}");
    // The tokens that it used are known, although it could not report what it cost.
    assert!(held["attempts"][0]["input_tokens"].as_i64() > Some(0), "{held}");
}

fn is_question(ask: &Ask) -> bool {
    asks_outcome(&ask.body["messages"].to_string())
}

/// Runs a ticket whose only run of work ends this way, and whose session answers the question.
async fn answered_after(bed: &Bed, failure: &str) -> Value {
    let ticket = bed.ticket("shop", &["build"], "Work.").await;
    let closed = bed.completed(&ticket).await;
    let attempts = closed["attempts"].as_array().expect("a list");
    assert_eq!(attempts.len(), 2, "{closed}");
    assert_eq!(attempts[0]["failure"], failure, "{closed}");
    assert_eq!(attempts[1]["asks_outcome"], true);
    assert_eq!(attempts[0]["claude_session_id"], attempts[1]["claude_session_id"]);
    closed
}

#[e2e::scenario(needs(Claude))]
async fn a_session_without_an_outcome_is_asked_for_it_once() {
    let claude = real_claude();
    let api = MessagesApi::start(|ask| {
        if is_question(ask) && ask.offers("StructuredOutput") {
            done()
        } else {
            Turn::Say("All done, trust me.".to_owned())
        }
    })
    .await;
    let bed = shop(with_key(setup(claude, &api)), json!({})).await;

    let closed = answered_after(&bed, "no_result").await;

    let attempts = closed["attempts"].as_array().expect("a list");
    let sum: f64 = attempts.iter().filter_map(|attempt| attempt["cost_usd"].as_f64()).sum();
    let cost = closed["cost_usd"].as_f64().expect("a cost");
    assert!((cost - sum).abs() < 1e-9, "nothing is counted twice: {closed}");
}

#[e2e::scenario(needs(Claude))]
async fn a_killed_session_is_asked_before_its_work_is_repeated() {
    let claude = real_claude();
    let api = MessagesApi::start(|ask| {
        if is_question(ask) {
            done()
        } else if ask.offers("Bash") {
            bash("echo once >> work.txt; kill -KILL $PPID")
        } else {
            Turn::Say("ok".to_owned())
        }
    })
    .await;
    let bed = shop(with_key(setup(claude, &api)), json!({})).await;

    let closed = answered_after(&bed, "killed_externally").await;

    assert_eq!(closed["attempts_used"], 0, "nobody's fault: {closed}");
}

#[e2e::scenario(needs(Claude))]
async fn a_lowered_limit_stops_a_resumed_session_and_charges_all_of_it() {
    let claude = real_claude();
    // The third request of the first run is never answered.
    let api = MessagesApi::start(|ask| {
        let (prompt, answered) = ask.prompt();
        if !ask.offers("Bash") {
            Turn::Say("ok".to_owned())
        } else if prompt.contains("You were stopped") {
            done()
        } else if answered < 2 {
            bash(&format!("echo {answered}"))
        } else {
            Turn::Silence
        }
    })
    .await
    .reading(DEAR);
    let bed = shop(with_key(setup(claude, &api)), json!({})).await;
    let limit = |usd: f64| json!({"project": "shop", "max_budget_usd": usd});
    bed.client.ok("update_project", limit(50.0)).await;
    let ticket = bed.ticket("shop", &["build"], "Work.").await;
    eventually("it waits for its third answer", || {
        let waits = api.asks().iter().any(|ask| ask.offers("Bash") && ask.answers >= 2);
        std::future::ready(if waits { Ok(()) } else { Err("not yet".to_owned()) })
    })
    .await;

    bed.client.ok("update_project", limit(20.0)).await;

    let closed = bed.completed(&ticket).await;
    let attempts = closed["attempts"].as_array().expect("a list");
    assert_eq!(attempts.len(), 2, "{closed}");
    assert_eq!(attempts[0]["outcome"], "interrupted");
    assert_eq!(attempts[0]["cost_usd"], Value::Null);
    assert_eq!(attempts[0]["claude_session_id"], attempts[1]["claude_session_id"]);
    assert!(attempts[1]["budget_usd"].as_f64() < Some(20.0), "{closed}");
    // Two answered requests of the first run and the second run's own: what was assumed for the
    // first is paid.
    let own = attempts[1]["input_tokens"].as_f64().expect("tokens");
    let cost = closed["cost_usd"].as_f64().expect("a cost");
    let price = cost / (own + 200_000.0);
    assert!(price > 1e-6 && price < 30e-6, "${cost} for {own} tokens and two requests");
    assert_eq!(closed["assumed_usd"], 0.0, "{closed}");
    assert_eq!(attempts[0]["assumed_usd"], 0.0, "{closed}");
}
