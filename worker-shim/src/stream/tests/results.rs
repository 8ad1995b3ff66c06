//! Several results of one run: which one is valid, when the work is over, and what it cost.

use serde_json::Value;
use serde_json::json;
use shim_protocol::exit::Denial;
use shim_protocol::exit::Told;
use shim_protocol::exit::Usage;

use super::assistant;
use super::read;

fn init() -> Value {
    json!({"type": "system", "subtype": "init", "session_id": "s"})
}

/// A result with what claude 2.1.330 reports about dollars and tokens.
fn result(turns: u32, total: f64, own: f64, tokens: u64, more: &Value) -> Value {
    let mut line = json!({"type": "result", "subtype": "success", "is_error": false,
        "num_turns": turns, "total_cost_usd": total,
        "usage": {"input_tokens": tokens, "output_tokens": 1},
        "model_usage_since_last_result":
            {"m": {"inputTokens": tokens, "outputTokens": 2, "costUSD": own}}});
    extend(&mut line, more);
    line
}

fn extend(line: &mut Value, more: &Value) {
    for (name, value) in more.as_object().expect("an object") {
        line[name] = value.clone();
    }
}

fn outcome(report: &str) -> Value {
    json!({"structured_output": {"outcome": "completed", "report": report}})
}

fn all(lines: &[&Value]) -> Vec<Value> {
    lines.iter().copied().cloned().collect()
}

fn concluded(lines: &[&Value]) -> bool {
    read(&all(lines)).signs().concluded
}

#[test]
fn only_an_outcome_or_an_error_ends_the_work_and_later_work_begins_it_again() {
    let empty = result(0, 0.1, 0.0, 0, &json!({"origin": {"kind": "task-notification"}}));
    let done = result(3, 0.2, 0.1, 5, &outcome("Done."));
    let failed = result(1, 0.2, 0.1, 5, &json!({"is_error": true, "terminal_reason": "api_error"}));
    let (begin, says) = (init(), assistant("m1"));
    assert!(!concluded(&[&begin, &empty]), "a resumed session begins with one");
    assert!(!concluded(&[&begin, &says, &result(2, 0.1, 0.1, 5, &json!({}))]));
    assert!(concluded(&[&begin, &says, &done]));
    assert!(concluded(&[&begin, &says, &failed]));
    assert!(concluded(&[&begin, &done, &empty]), "the outcome stands");
    let tool = json!({"type": "user", "message": {"content": [{"type": "tool_result"}]}});
    let retry = json!({"type": "system", "subtype": "api_retry", "error": "server_error"});
    let task = json!({"type": "system", "subtype": "task_started", "task_id": "b1", "is_backgrounded": false});
    for later in [&says, &tool, &begin, &task, &retry] {
        assert!(!concluded(&[&begin, &done, later]), "{later}");
        assert!(!concluded(&[&begin, &failed, later]), "{later}");
    }
    // Messages on the way out are not work.
    for later in [
        json!({"type": "system", "subtype": "hook_response"}),
        json!({"type": "rate_limit_event"}),
        json!({"type": "new"}),
    ] {
        assert!(concluded(&[&begin, &done, &later]), "{later}");
    }
}

#[test]
fn while_a_background_task_is_running_the_work_is_not_over() {
    let task = |subtype: &str, more: &Value| {
        let mut line = json!({"type": "system", "subtype": subtype, "task_id": "b1"});
        extend(&mut line, more);
        line
    };
    let (begin, done) = (init(), result(3, 0.2, 0.1, 5, &outcome("Done.")));
    let started = task("task_started", &json!({"is_backgrounded": true}));
    let over = task("task_notification", &json!({"status": "completed"}));
    assert!(!concluded(&[&begin, &started, &done]));
    assert!(concluded(&[&begin, &started, &over, &done]));
    assert!(concluded(&[&begin, &started, &done, &over]), "nothing woke it");
    let foreground = task("task_started", &json!({"is_backgrounded": false}));
    assert!(concluded(&[&begin, &foreground, &done]));
    let list = |ids: &[&str]| {
        let tasks: Vec<Value> = ids.iter().map(|id| json!({"task_id": id})).collect();
        json!({"type": "system", "subtype": "background_tasks_changed", "tasks": tasks})
    };
    assert!(!concluded(&[&begin, &list(&["x", "y"]), &list(&["y"]), &done]));
    assert!(concluded(&[&begin, &list(&["x", "y"]), &started, &list(&[]), &done]));
    let moved = task("task_updated", &json!({"patch": {"is_backgrounded": true}}));
    let killed = task("task_updated", &json!({"patch": {"status": "killed"}}));
    assert!(!concluded(&[&begin, &foreground, &moved, &done]));
    assert!(concluded(&[&begin, &foreground, &moved, &killed, &done]));
}

#[test]
fn the_outcome_remains_valid_and_all_results_are_added_up() {
    let denied = json!({"permission_denials":
        [{"tool_name": "Bash", "tool_input": {"command": "npm publish"}}]});
    let failed = json!({"is_error": true, "subtype": "error_during_execution"});
    let transcript = read(&[
        init(),
        result(0, 1.0, 0.0, 0, &json!({})),
        assistant("m1"),
        result(12, 1.5, 0.5, 700, &outcome("Built.")),
        init(),
        assistant("m2"),
        result(2, 1.75, 0.25, 30, &denied),
        result(1, 0.0, 0.0, 0, &failed),
        json!({"type": "assistant", "message": {"id": "m3", "usage": {"input_tokens": 9}}}),
    ]);
    let stands = transcript.result().expect("a result");
    assert_eq!(stands.structured_output, Some(json!({"outcome": "completed", "report": "Built."})));
    assert_eq!((stands.is_error, stands.num_turns), (false, Some(12)));
    assert_eq!(stands.denied, ["Bash"]);
    let denial = Denial { tool: "Bash".into(), input: "npm publish".into() };
    assert_eq!(stands.denials, [denial]);
    let usage =
        |input, output| Usage { input_tokens: input, output_tokens: output, ..Usage::default() };
    let told = Told {
        own_usd: Some(0.75),
        total_usd: Some(1.75),
        turns: 15,
        usage: Some(usage(730, 8)),
        turns_after: 1,
        usage_after: Some(usage(9, 0)),
    };
    assert_eq!(transcript.told(), Some(told));
}

#[test]
fn an_error_remains_valid_until_a_later_turn_corrects_it() {
    let failed = result(1, 0.1, 0.1, 5, &json!({"is_error": true, "api_error_status": 529}));
    let (empty, prose) = (result(0, 0.1, 0.0, 0, &json!({})), result(2, 0.2, 0.1, 5, &json!({})));
    let stands = |lines: &[&Value]| {
        let transcript = read(&all(lines));
        let result = transcript.result().expect("a result");
        let output = result.structured_output.as_ref();
        (result.is_error, output.and_then(|output| output["report"].as_str().map(str::to_owned)))
    };
    assert_eq!(stands(&[&failed, &empty]), (true, None));
    assert_eq!(stands(&[&failed, &prose]), (false, None));
    assert_eq!(stands(&[&prose, &failed]), (true, None));
    let done = result(2, 0.2, 0.1, 5, &outcome("Done."));
    let more = result(1, 0.3, 0.1, 5, &outcome("More."));
    assert_eq!(stands(&[&failed, &done]), (false, Some("Done.".to_owned())));
    assert_eq!(stands(&[&done, &more]), (false, Some("More.".to_owned())));
    // An error that contains an outcome is not an outcome.
    let mut both = outcome("Not this.");
    extend(&mut both, &json!({"is_error": true}));
    assert_eq!(stands(&[&done, &result(2, 0.2, 0.1, 5, &both)]), (false, Some("Done.".to_owned())));
}

#[test]
fn results_without_their_own_dollars_or_tokens_are_no_error() {
    let transcript = read(&[
        json!({"type": "assistant", "message": {"id": "m1", "usage": {"input_tokens": 7}}}),
        json!({"type": "result", "subtype": "success", "num_turns": 3, "total_cost_usd": 0.5}),
        json!({"type": "result", "subtype": "success", "num_turns": 1, "total_cost_usd": -3,
            "usage": {"input_tokens": 1e30},
            "model_usage_since_last_result": {"m": {"costUSD": 0.1}}}),
    ]);
    let told = transcript.told().expect("results came");
    assert_eq!((told.own_usd, told.total_usd, told.turns), (None, Some(0.5), 4));
    assert_eq!(told.usage.expect("tokens").input_tokens, u64::MAX);
}
