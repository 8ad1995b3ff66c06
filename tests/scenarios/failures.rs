//! Attempts that end without a result: retried, counted, and finally handed to the coordinator.

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::eventually::eventually;
use serde_json::Value;
use serde_json::json;

/// What happens between a failed attempt and the success.
enum Then {
    /// Its session reports that not everything was done, and the work is repeated.
    AskedAndAgain,
    /// Its session reports that it was done, which is enough.
    Asked,
    /// The work is repeated.
    Again,
}

/// Runs a ticket whose first run follows the script and all others succeed; returns its first
/// attempt.
async fn fails_once(script: &str, then: Then) -> Value {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], script).await;
    let closed = bed.completed(&ticket).await;
    assert!(bed.event_kinds(&ticket).await.contains(&"ticket_attempt_failed".to_owned()));
    let attempts = closed["attempts"].as_array().expect("a list");
    let asks: Vec<bool> = attempts.iter().map(|attempt| attempt["asks_outcome"] == true).collect();
    let expected: &[bool] = match then {
        Then::AskedAndAgain => &[false, true, false],
        Then::Asked => &[false, true],
        Then::Again => &[false, false],
    };
    assert_eq!(asks, expected, "{closed}");
    let sessions: Vec<String> =
        attempts.iter().map(|attempt| text(attempt, "claude_session_id")).collect();
    for (at, asks) in asks.iter().enumerate().skip(1) {
        assert_eq!(sessions[at] == sessions[at - 1], *asks, "a question goes to its session");
    }
    assert_eq!(attempts.last().expect("attempts")["outcome"], "succeeded");
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
    attempts[0].clone()
}

#[e2e::scenario]
async fn an_exit_without_result_is_retried() {
    let attempt = fails_once("fake: build#1: exit 3", Then::AskedAndAgain).await;
    assert_eq!(attempt["outcome"], "failed");
    assert_eq!(attempt["exit_code"], 3);
    assert_eq!(attempt["signal"], Value::Null);
    assert!(attempt["failure"].is_string());
}

#[e2e::scenario]
async fn a_clean_exit_without_result_is_no_success() {
    let script = "fake: build#1: say working on it\nfake: build#1: exit 0";
    let attempt = fails_once(script, Then::AskedAndAgain).await;
    assert_eq!(attempt["outcome"], "failed");
    assert_eq!(attempt["exit_code"], 0);
}

#[e2e::scenario]
async fn a_death_by_signal_is_retried() {
    let attempt = fails_once("fake: build#1: die KILL", Then::AskedAndAgain).await;
    assert_eq!(attempt["outcome"], "failed");
    assert_eq!(attempt["signal"], 9);
    assert_eq!(attempt["exit_code"], Value::Null);
}

#[e2e::scenario]
async fn structured_output_that_breaks_the_schema_is_retried() {
    let attempt = fails_once("fake: build#1: bad-result", Then::Again).await;
    assert_eq!(attempt["outcome"], "failed");
}

#[e2e::scenario]
async fn a_success_without_structured_output_is_asked_for_it() {
    let attempt = fails_once("fake: build#1: no-output", Then::Asked).await;
    assert_eq!(attempt["outcome"], "failed");
}

#[e2e::scenario]
async fn a_result_followed_by_a_failing_exit_is_asked_for_again() {
    let script = "fake: build#1: complete all well\nfake: build#1: exit 7";
    let attempt = fails_once(script, Then::Asked).await;
    assert_eq!(attempt["outcome"], "failed");
    assert_eq!(attempt["exit_code"], 7);
}

#[e2e::scenario]
async fn running_out_of_turns_is_retried() {
    let attempt = fails_once("fake: build#1: max-turns", Then::AskedAndAgain).await;
    assert_eq!(attempt["outcome"], "failed");
}

#[e2e::scenario]
async fn a_crash_after_the_work_costs_one_question_and_not_the_work() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    let script = "fake: build#1: append work.txt by {attempt}\nfake: build#1: complete all well\n\
                  fake: build#1: die SEGV";
    let ticket = bed.ticket("shop", &["build"], script).await;

    let closed = bed.completed(&ticket).await;

    let attempts = closed["attempts"].as_array().expect("a list");
    assert_eq!(attempts.len(), 2, "{closed}");
    assert_eq!(attempts[0]["failure"], "crashed", "{closed}");
    assert_eq!(attempts[1]["asks_outcome"], true, "{closed}");
    let branch = text(&closed, "branch");
    assert_eq!(
        repository.file(&branch, "work.txt").as_deref(),
        Some("by A-1\n"),
        "its work counts"
    );
    assert_eq!(closed["attempts_used"], 1, "the question is free");
}

#[e2e::scenario]
async fn a_session_learns_what_its_predecessor_left_undone() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build#1: die KILL").await;

    bed.completed(&ticket).await;

    let calls = bed.agents.calls_of(&ticket, "build");
    let questions: Vec<bool> = calls.iter().map(e2e::fake::Call::is_question).collect();
    assert_eq!(questions, [false, true, false]);
    assert!(calls[1].prompt.contains("killed_externally"), "{}", calls[1].prompt);
    assert!(calls[2].prompt.contains("Not all of it was done."), "{}", calls[2].prompt);
}

#[e2e::scenario]
async fn an_attempt_longer_than_its_timeout_is_stopped_and_retried() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"timeout_seconds": 1})).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;

    let closed = bed.completed(&ticket).await;

    assert_eq!(closed["attempts"][0]["outcome"], "timed_out");
    // It had not begun, so there is nothing to ask about.
    assert_eq!(closed["attempts"][1]["asks_outcome"], false);
    assert_eq!(closed["attempts"][1]["outcome"], "succeeded");
}

#[e2e::scenario]
async fn an_attempt_that_falls_silent_is_stopped_and_retried() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"stall_seconds": 1, "timeout_seconds": 600})).await;
    let script = "fake: build#1: say working on it\nfake: build#1: sleep 600";
    let ticket = bed.ticket("shop", &["build"], script).await;

    let closed = bed.completed(&ticket).await;

    assert_eq!(closed["attempts"][0]["outcome"], "timed_out");
    assert_eq!(closed["attempts"][0]["failure"], "stall");
    assert_eq!(closed["attempts"][1]["asks_outcome"], true);
    assert_eq!(closed["attempts"][2]["outcome"], "succeeded");
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn the_retry_learns_what_went_wrong_before() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build#1: bad-result").await;
    bed.completed(&ticket).await;

    let prompts: Vec<String> =
        bed.agents.calls_of(&ticket, "build").into_iter().map(|call| call.prompt).collect();
    assert!(prompts[1].len() > prompts[0].len(), "the second prompt says more:\n{}", prompts[1]);
}

#[e2e::scenario]
async fn after_max_attempts_the_ticket_is_on_hold() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"max_attempts": 2})).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: bad-result").await;

    let held = bed.ticket_is(&ticket, "on_hold").await;

    assert_eq!(bed.agents.calls_of(&ticket, "build").len(), 2);
    assert_eq!(held["attempts_used"], 2);
    assert!(!text(&held, "hold_reason").is_empty());
    bed.nothing_is_left().await;

    // Once it is resumed, its attempts are counted from zero.
    bed.client.ok("resume_ticket", json!({"ticket_id": ticket})).await;
    eventually("two more attempts", || async {
        let runs = bed.agents.calls_of(&ticket, "build").len();
        if runs == 4 { Ok(()) } else { Err(format!("{runs} runs")) }
    })
    .await;
    bed.ticket_is(&ticket, "on_hold").await;
}

#[e2e::scenario]
async fn three_attempts_are_the_default() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: bad-result").await;

    bed.ticket_is(&ticket, "on_hold").await;

    assert_eq!(bed.agents.calls_of(&ticket, "build").len(), 3);
}

#[e2e::scenario]
async fn an_overloaded_service_charges_no_ticket() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket =
        bed.ticket("shop", &["build"], "fake: build: api-error 529 overloaded_error").await;

    let waiting = eventually("the first attempt ended", || async {
        let found = bed.get(&ticket).await;
        if found["attempts"][0]["state"] == "ended" { Ok(found) } else { Err(found.to_string()) }
    })
    .await;

    assert_eq!(waiting["attempts_used"], 0, "{waiting}");
    assert_eq!(waiting["state"], "scheduled", "{waiting}");
    assert!(waiting["waiting_for"].is_string());
}

#[e2e::scenario]
async fn a_refused_login_pauses_the_queue_and_is_reported_once() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let script = "fake: build: api-error 401 authentication_failed";
    for _ in 0..3 {
        bed.ticket("shop", &["build"], script).await;
    }

    let queue = eventually("the queue is paused", || async {
        let queue = bed.client.ok("list_queues", json!({"project": "shop"})).await;
        let found = queue["queues"][0].clone();
        if found["paused"] == false || found["paused"].is_null() {
            Err(queue.to_string())
        } else {
            Ok(found)
        }
    })
    .await;

    assert_eq!(queue["worker_type"], "build");
    bed.nothing_is_left().await;
    let kinds: Vec<String> = bed.events().await.iter().map(|event| text(event, "kind")).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "queue_paused").count(), 1, "{kinds:?}");
    assert_eq!(bed.agents.calls().len(), 1, "the others would have failed the same way");
}

#[e2e::scenario]
async fn the_wait_for_an_agent_that_cannot_be_started_is_explained() {
    let missing = std::path::PathBuf::from("/nonexistent/claude");
    let setup = e2e::server::Setup { agent: Some(missing), ..Default::default() };
    let bed = Bed::with(setup).await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;

    eventually("the coordinator can see why nothing runs", || async {
        let found = bed.get(&ticket).await;
        let queues = bed.client.ok("list_queues", json!({"project": "shop"})).await;
        let failed = found["attempts"][0]["outcome"] == "failed" || found["state"] == "on_hold";
        let paused = queues["queues"][0]["paused"] == true;
        if failed || paused { Ok(()) } else { Err(format!("{found}\n{queues}")) }
    })
    .await;
}
