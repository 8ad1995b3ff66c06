//! Streams as claude really writes them: several results in one run, broken characters, impossible
//! numbers.

use std::fs;
use std::path::PathBuf;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::claude;
use e2e::claude::real_claude;
use e2e::eventually::eventually;
use e2e::messages_api::MessagesApi;
use e2e::messages_api::Turn;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

/// An agent is ended this soon after its outcome.
fn impatient() -> Setup {
    Setup::default().arg("--result-linger-ms").arg("200")
}

fn raw(line: &Value) -> String {
    format!("fake: build: raw {line}\n")
}

/// A result of one turn, with the running total and the turn's own cost.
fn result(turns: u32, total: f64, own: f64, more: &Value) -> Value {
    let mut line = json!({"type": "result", "subtype": "success", "is_error": false, "num_turns": turns,
        "total_cost_usd": total, "usage": {"input_tokens": 10 * turns, "output_tokens": turns},
        "model_usage_since_last_result": {"m": {"inputTokens": 10 * turns, "outputTokens": turns,
            "cacheReadInputTokens": 0, "cacheCreationInputTokens": 0, "costUSD": own}}});
    for (name, value) in more.as_object().expect("an object") {
        line[name] = value.clone();
    }
    line
}

fn outcome(report: &str) -> Value {
    json!({"structured_output": {"outcome": "completed", "report": report}})
}

#[e2e::scenario]
async fn an_empty_result_at_the_beginning_ends_nothing() {
    let bed = Bed::with(impatient()).await;
    bed.project("shop", &["build"]).await;
    let script = raw(&result(0, 0.0, 0.0, &json!({"origin": {"kind": "task-notification"}})))
        + "fake: build: say It works.\nfake: build: sleep 1\nfake: build: complete Built.\n";
    let ticket = bed.ticket("shop", &["build"], &script).await;

    let closed = bed.completed(&ticket).await;

    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(1), "{closed}");
    assert_eq!(closed["comments"][0]["content"], "Built.");
}

#[e2e::scenario]
async fn a_turn_that_ends_while_its_own_tests_run_is_waited_for() {
    let bed = Bed::with(impatient()).await;
    bed.project("shop", &["build"]).await;
    let task = |subtype: &str| {
        raw(
            &json!({"type": "system", "subtype": subtype, "task_id": "b1", "is_backgrounded": true}),
        )
    };
    let script = task("task_started")
        + &raw(&result(2, 0.1, 0.1, &json!({})))
        + "fake: build: sleep 1\n"
        + &task("task_notification")
        + "fake: build: complete The tests pass.\n";
    let ticket = bed.ticket("shop", &["build"], &script).await;

    let closed = bed.completed(&ticket).await;

    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(1), "{closed}");
    assert_eq!(closed["comments"][0]["content"], "The tests pass.");
}

#[e2e::scenario]
async fn the_outcome_remains_valid_when_a_task_ends_after_it_and_everything_is_paid() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let failed = json!({"is_error": true, "subtype": "error_during_execution"});
    let script = raw(&result(12, 1.0, 1.0, &outcome("Built.")))
        + &raw(&result(2, 1.25, 0.25, &json!({})))
        + &raw(&result(1, 0.0, 0.0, &failed))
        + "fake: build: exit 0\n";
    let ticket = bed.ticket("shop", &["build"], &script).await;

    let closed = bed.completed(&ticket).await;

    assert_eq!(closed["comments"][0]["content"], "Built.");
    let attempt = &closed["attempts"][0];
    assert_eq!((&attempt["cost_usd"], &attempt["num_turns"]), (&json!(1.25), &json!(15)));
    assert_eq!((&attempt["input_tokens"], &attempt["output_tokens"]), (&json!(150), &json!(15)));
    assert_eq!(closed["cost_usd"], 1.25);
}

#[e2e::scenario]
async fn half_an_emoji_costs_a_character_and_an_unreadable_line_is_reported() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"max_attempts": 1})).await;
    let report = result(1, 0.5, 0.5, &outcome("Built HALF."));
    let half = raw(&report).replace("HALF", r"\ud83d") + "fake: build: exit 0\n";
    let ticket = bed.ticket("shop", &["build"], &half).await;
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["comments"][0]["content"], "Built \u{fffd}.");
    assert_eq!(closed["cost_usd"], 0.5);

    let torn =
        "fake: build: raw {\"type\":\"result\",\"structured_output\":\nfake: build: exit 0\n";
    let ticket = bed.ticket("shop", &["build"], torn).await;
    let held = bed.ticket_is(&ticket, "on_hold").await;
    let reason = text(&held, "hold_reason");
    assert!(reason.contains("one line of its output could not be read"), "{held}");
}

#[e2e::scenario]
async fn absurd_numbers_break_no_sum() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let absurd = raw(&json!({"type": "result", "subtype": "success", "num_turns": u32::MAX,
        "total_cost_usd": 1e308, "usage": {"input_tokens": 1_u64 << 63, "output_tokens": 1_u64 << 63},
        "structured_output": {"outcome": "completed", "report": "Rich."}}))
        + "fake: build: exit 0\n";
    for _ in 0..2 {
        let ticket = bed.ticket("shop", &["build"], &absurd).await;
        let closed = bed.completed(&ticket).await;
        assert_eq!(closed["cost_usd"], 1e6, "{closed}");
        assert_eq!(closed["attempts"][0]["cost_usd"], 1e6);
    }
    for by in ["day", "project", "attempt"] {
        let usage = bed.client.ok("get_usage", json!({"group_by": by})).await;
        assert_eq!(usage["total"]["cost_usd"], 2e6, "{usage}");
        assert_eq!(usage["total"]["input_tokens"], 2_000_000_000_000_i64, "{usage}");
    }
}

#[e2e::scenario]
async fn a_limit_message_until_the_year_5138_holds_for_a_backoff_and_a_true_one_counts_once() {
    let setup = Setup::default().env("VIBE_ENSEMBLE_OVERLOAD_BACKOFF_MS", "300");
    let bed = Bed::with(setup).await;
    bed.project("shop", &["build"]).await;
    let limit = |resets_at: u64| {
        raw(&json!({"type": "rate_limit_event",
            "rate_limit_info": {"status": "rejected", "resetsAt": resets_at}}))
    };
    let first = bed.ticket("shop", &["build"], &limit(99_999_999_999)).await;
    bed.completed(&first).await;
    let second = bed.ticket("shop", &["build"], "").await;
    bed.completed(&second).await;

    // A pause that a worker's heartbeats report over and over, and that a user has lifted.
    let pauses = async || bed.events_of_kind("server_paused").await;
    let before = pauses().await;
    let soon = bed.wall_seconds() + 3600;
    let script = limit(soon) + "fake: build: wait-for go\n";
    let third = bed.ticket("shop", &["build"], &script).await;
    let call = bed.called(&third, "build", 1).await;
    eventually("everything is held", || async {
        let now = pauses().await;
        if now > before { Ok(()) } else { Err(format!("{now} pauses")) }
    })
    .await;
    bed.client.ok("resume", json!({})).await;
    std::fs::write(call.cwd.join("go"), "").expect("writable");
    bed.completed(&third).await;
    let fourth = bed.ticket("shop", &["build"], "").await;
    bed.completed(&fourth).await;
}

fn bash(command: &str, more: &Value) -> Turn {
    let mut input = json!({"command": command, "description": "work"});
    for (name, value) in more.as_object().expect("an object") {
        input[name] = value.clone();
    }
    Turn::Use { tool: "Bash".to_owned(), input }
}

fn done(report: &str) -> Turn {
    let input = json!({"outcome": "completed", "report": report});
    Turn::Use { tool: "StructuredOutput".to_owned(), input }
}

/// With the usual patience: between the end of its last task and its next turn, claude is silent.
async fn with_claude(claude: PathBuf, api: &MessagesApi) -> Bed {
    let mut setup = Setup { agent: Some(claude), ..Setup::default() };
    for (name, value) in claude::environment(api) {
        setup = setup.env(name, value);
    }
    Bed::with(setup).await
}

#[e2e::scenario(needs(Claude))]
async fn a_real_session_whose_background_task_outlives_its_outcome_keeps_it() {
    let claude = real_claude();
    let api = MessagesApi::start(|ask| {
        if ask.tools.is_empty() {
            return Turn::Say("ok".to_owned());
        }
        match ask.answers {
            0 => {
                let task = "until [ -e go ]; do sleep 0.1; done; echo tests pass";
                bash(task, &json!({"run_in_background": true}))
            }
            1 => done("Built."),
            _ => Turn::Say("Noted.".to_owned()),
        }
    })
    .await;
    let bed = with_claude(claude, &api).await;
    let directory = bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "Work.").await;
    eventually("the session has given its outcome", || {
        let given = bed.results("A-1").len();
        std::future::ready(if given == 1 { Ok(()) } else { Err(format!("{given} results")) })
    })
    .await;
    fs::write(directory.join("go"), "").unwrap();

    let closed = bed.completed(&ticket).await;

    assert_eq!(closed["comments"][0]["content"], "Built.");
    let attempts = closed["attempts"].as_array().expect("a list");
    assert_eq!(attempts.len(), 1, "{closed}");
    let results: Vec<Value> = bed.results("A-1");
    assert_eq!(results.len(), 2, "{results:?}");
    let turns: i64 = results.iter().filter_map(|result| result["num_turns"].as_i64()).sum();
    assert_eq!(attempts[0]["num_turns"], turns, "{closed}");
    let last = results[1]["total_cost_usd"].as_f64().expect("dollars");
    let cost = attempts[0]["cost_usd"].as_f64().expect("dollars");
    assert!((cost - last).abs() < 1e-9, "{cost} for {last}");
}

#[e2e::scenario(needs(Claude))]
async fn a_real_resumed_session_that_begins_with_an_empty_result_continues() {
    let claude = real_claude();
    let api = MessagesApi::start(|ask| {
        if ask.tools.is_empty() {
            return Turn::Say("ok".to_owned());
        }
        let (_, answered) = ask.prompt();
        match (ask.answers, answered) {
            (0, _) => bash("sleep 60; echo late", &json!({"run_in_background": true})),
            // Until the worker is asked to begin the session again.
            (1, 1) => Turn::Silence,
            (1, _) => bash("for n in 1 2; do sleep 0.5; done; echo worked", &json!({})),
            _ => done("Built."),
        }
    })
    .await;
    let bed = with_claude(claude, &api).await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "Work.").await;
    eventually("it waits for the model", || {
        let asked = api.asks().iter().any(|ask| ask.answers == 1);
        std::future::ready(if asked { Ok(()) } else { Err("not yet".to_owned()) })
    })
    .await;
    let worker = bed.worker_of(&ticket).await;
    assert!(bed.server.send(e2e::bed::pid(&worker, "pid"), nix::sys::signal::Signal::SIGUSR1));

    let closed = bed.completed(&ticket).await;

    assert_eq!(closed["comments"][0]["content"], "Built.");
    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(2), "{closed}");
    let results = bed.results("A-2");
    assert!(
        results.len() > 1 && results[0]["num_turns"] == 0,
        "it began with an empty one: {results:?}"
    );
}
