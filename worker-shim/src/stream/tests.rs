use serde_json::Value;
use serde_json::json;
use shim_protocol::exit::ResultMessage;
use shim_protocol::exit::StopReason;
use shim_protocol::exit::Usage;
use shim_protocol::exit::UsageLimit;

use super::MAX_LINE;
use super::Transcript;

fn read(lines: &[Value]) -> Transcript {
    let mut transcript = Transcript::default();
    for line in lines {
        transcript.feed(format!("{line}\n").as_bytes());
    }
    transcript.finish();
    transcript
}

fn assistant(id: &str) -> Value {
    json!({"type": "assistant", "session_id": "s", "parent_tool_use_id": null,
        "message": {"id": id, "role": "assistant", "content": [{"type": "text", "text": "hi"}]}})
}

#[test]
fn a_run_that_meets_the_schema_is_read_in_full() {
    let transcript = read(&[
        json!({"type": "system", "subtype": "init", "session_id": "5d1e", "tools": ["Bash"],
            "mcp_servers": [{"name": "x", "status": "connected"}], "claude_code_version": "2.1.330"}),
        assistant("msg_1"),
        assistant("msg_1"),
        json!({"type": "user", "message": {"role": "user", "content": []}}),
        assistant("msg_2"),
        json!({"num_turns": 3, "type": "result", "subtype": "success", "is_error": false,
            "duration_ms": 1500, "result": "Done.", "session_id": "5d1e", "total_cost_usd": 0.0421,
            "usage": {"input_tokens": 12, "output_tokens": 34, "cache_creation_input_tokens": 5,
                "cache_read_input_tokens": 6, "server_tool_use": {"web_search_requests": 0}},
            "permission_denials": [], "terminal_reason": "completed",
            "structured_output": {"outcome": "completed", "report": "Built it."}}),
    ]);
    assert_eq!(transcript.turns(), 2);
    assert_eq!(transcript.session_id(), Some("5d1e"));
    assert_eq!(transcript.last_error(), None);
    let expected = ResultMessage {
        subtype: "success".into(),
        is_error: false,
        structured_output: Some(json!({"outcome": "completed", "report": "Built it."})),
        session_id: Some("5d1e".into()),
        num_turns: Some(3),
        total_cost_usd: Some(0.0421),
        usage: Some(Usage {
            input_tokens: 12,
            output_tokens: 34,
            cache_creation_input_tokens: 5,
            cache_read_input_tokens: 6,
        }),
        api_error_status: None,
        terminal_reason: Some("completed".into()),
        result: Some("Done.".into()),
        errors: Vec::new(),
        denied: Vec::new(),
    };
    assert_eq!(transcript.result(), Some(&expected));
}

#[test]
fn an_api_error_names_itself_in_two_places() {
    let error = json!({"type": "assistant", "error": "rate_limit",
        "message": {"id": "m", "content": []}});
    let transcript = read(&[
        json!({"type": "system", "subtype": "api_retry", "attempt": 1, "error": "server_error"}),
        error,
        json!({"type": "result", "subtype": "success", "is_error": true, "api_error_status": 529,
            "terminal_reason": "api_error", "result": "API Error: 529"}),
    ]);
    assert_eq!(transcript.last_error(), Some("rate_limit"));
    let result = transcript.result().unwrap();
    assert!(result.is_error);
    assert_eq!(result.api_error_status, Some(529));
    assert_eq!(result.structured_output, None);

    let inner = json!({"type": "assistant", "message": {"error": "billing_error"}});
    assert_eq!(read(&[inner]).last_error(), Some("billing_error"));
}

#[test]
fn limits_and_aborts_keep_claudes_own_words() {
    for (subtype, reason) in [
        ("error_max_turns", "max_turns"),
        ("error_max_budget_usd", "budget_exhausted"),
        ("error_max_structured_output_retries", "other"),
        ("error_during_execution", "aborted_streaming"),
    ] {
        let transcript = read(&[json!({"type": "result", "subtype": subtype, "is_error": true,
            "terminal_reason": reason, "errors": ["first", {"code": 2}]})]);
        let result = transcript.result().unwrap();
        assert_eq!(result.subtype, subtype);
        assert_eq!(result.terminal_reason.as_deref(), Some(reason));
        assert_eq!(result.errors, ["first", r#"{"code":2}"#]);
    }
}

#[test]
fn fields_of_another_type_count_as_absent() {
    let transcript = read(&[
        json!({"type": "assistant", "message": "not an object", "error": {"code": 1}, "session_id": 7}),
        json!({"type": ["assistant"], "message": {}}),
        json!({"type": "assistant", "message": {"id": 9, "error": [1, 2]}}),
        json!(["assistant"]),
        json!({"type": "result", "subtype": 1, "is_error": "yes", "num_turns": -1, "usage": [],
            "structured_output": null, "errors": "none"}),
    ]);
    assert_eq!(transcript.turns(), 2);
    assert_eq!(transcript.last_error(), None);
    assert_eq!(transcript.result(), Some(&ResultMessage::default()));
}

#[test]
fn noise_between_the_lines_changes_nothing() {
    let mut transcript = Transcript::default();
    transcript.feed(b"\n\xff\xfe\n{\"type\":\nwarning: text\n{\"type\":\"assistant\"}\r\n");
    assert_eq!(transcript.turns(), 1);
}

#[test]
fn lines_are_whole_however_the_reads_fall() {
    let text = format!("{}\n{}\n", assistant("a"), assistant("b"));
    let mut transcript = Transcript::default();
    for byte in text.as_bytes() {
        transcript.feed(&[*byte]);
    }
    assert_eq!(transcript.turns(), 2);
}

#[test]
fn the_last_result_wins_and_needs_no_newline() {
    let mut transcript = Transcript::default();
    transcript.feed(b"{\"type\":\"result\",\"subtype\":\"success\"}\n");
    transcript.feed(b"{\"type\":\"result\",\"subtype\":\"error_max_turns\"}");
    assert_eq!(transcript.result().unwrap().subtype, "success");
    transcript.finish();
    assert_eq!(transcript.result().unwrap().subtype, "error_max_turns");
}

#[test]
fn a_line_over_the_limit_is_passed_over_and_the_next_one_read() {
    let mut transcript = Transcript::default();
    let chunk = vec![b'x'; 1 << 20];
    transcript.feed(b"{\"type\":\"assistant\",\"pad\":\"");
    for _ in 0..=(MAX_LINE >> 20) {
        transcript.feed(&chunk);
    }
    transcript.feed(b"\"}\n{\"type\":\"assistant\"}\n");
    assert_eq!(transcript.turns(), 1);
}

#[test]
fn prose_is_cut_on_a_character() {
    let long = "\u{e9}".repeat(3000);
    let transcript =
        read(&[json!({"type": "result", "result": format!("a{long}"), "errors": [long, "later"]})]);
    let result = transcript.result().unwrap();
    assert_eq!(result.result.as_ref().unwrap().len(), 4095);
    assert_eq!(result.errors.iter().map(String::len).sum::<usize>(), 4096);
}

#[test]
fn what_the_service_says_in_between_is_heard() {
    let transcript = read(&[
        json!({"type": "system", "subtype": "init", "session_id": "s",
            "mcp_servers": [{"name": "db", "status": "failed"}, {"name": "x", "status": "connected"}]}),
        json!({"type": "rate_limit_event", "session_id": "s", "rate_limit_info": {
            "status": "allowed", "resetsAt": 1_795_386_219, "rateLimitType": "five_hour", "isUsingOverage": false,
            "overageStatus": "rejected",
            "unifiedWindows": {"five_hour": {"utilization": 0.93, "resetsAt": 1_795_386_219},
                "seven_day": {"utilization": 0.5, "resetsAt": 1_795_900_000}}}}),
    ]);
    assert_eq!(transcript.mcp_failed(), ["db"]);
    let told = UsageLimit {
        rejected: false,
        resets_at_ms: Some(1_795_386_219_000),
        utilization: Some(0.93),
        models: Vec::new(),
    };
    assert_eq!(transcript.usage_limit(), Some(&told));
    let refused = read(&[json!({"type": "rate_limit_event", "rate_limit_info": {
        "status": "rejected", "resetsAt": 1_795_386_217, "unifiedWindows": {"five_hour": {"utilization": 1}}}})]);
    let told = UsageLimit {
        rejected: true,
        resets_at_ms: Some(1_795_386_217_000),
        utilization: Some(1.0),
        models: Vec::new(),
    };
    assert_eq!(refused.usage_limit(), Some(&told));
}

#[test]
fn a_refused_login_counts_when_it_is_said_again_and_again_with_no_message_between() {
    let retry = |error: &str| json!({"type": "system", "subtype": "api_retry", "error": error});
    let refusals = |error: &str, times: usize| vec![retry(error); times];
    let refused = |lines: &[Value]| read(lines).signs().refused;
    for (error, reason) in [
        ("authentication_failed", StopReason::Authentication),
        ("billing_error", StopReason::Billing),
    ] {
        assert_eq!(refused(&refusals(error, 1)), None, "claude gets over one by itself");
        assert_eq!(refused(&refusals(error, 2)), None);
        assert_eq!(refused(&refusals(error, 3)), Some(reason));
        // What is no message of the model says nothing about the login.
        let mut noisy = refusals(error, 2);
        noisy.push(json!({"type": "system", "subtype": "status"}));
        noisy.extend(refusals(error, 1));
        assert_eq!(refused(&noisy), Some(reason));
        for between in [
            json!({"type": "assistant", "message": {"id": "m1", "content": []}}),
            json!({"type": "assistant", "parent_tool_use_id": "t", "message": {"id": "m2", "content": []}}),
            retry("server_error"),
        ] {
            let mut lines = refusals(error, 2);
            lines.push(between.clone());
            lines.extend(refusals(error, 2));
            assert_eq!(refused(&lines), None, "{between}");
        }
    }
    // An overload is tried again by claude itself, as often as it likes.
    assert_eq!(refused(&refusals("server_error", 10)), None);
}

#[test]
fn the_same_call_again_and_again_is_counted_and_so_are_tokens() {
    let call = |id: &str, command: &str| {
        json!({"type": "assistant", "session_id": "s", "parent_tool_use_id": null, "message": {
            "id": id, "role": "assistant", "usage": {"input_tokens": 10, "output_tokens": 1,
                "cache_read_input_tokens": 3},
            "content": [{"type": "tool_use", "id": id, "name": "Bash", "input": {"command": command}}]}})
    };
    let transcript = read(&[call("m1", "a"), call("m2", "b"), call("m3", "b"), call("m4", "b")]);
    assert_eq!(transcript.signs().repeats, 3);
    assert_eq!(transcript.signs().turns, 4);
    let used = transcript.usage().expect("messages came");
    assert_eq!((used.input_tokens, used.output_tokens, used.cache_read_input_tokens), (40, 4, 12));
}

#[test]
fn denied_tools_are_named_once() {
    let transcript = read(&[json!({"type": "result", "subtype": "success", "is_error": false,
        "permission_denials": [{"tool_name": "Bash"}, {"tool_name": "Bash"}, {"tool_name": "Write"}]})]);
    assert_eq!(transcript.result().expect("a result").denied, ["Bash", "Write"]);
}
