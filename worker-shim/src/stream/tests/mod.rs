use serde_json::Value;
use serde_json::json;
use shim_protocol::exit::ResultMessage;
use shim_protocol::exit::StopReason;
use shim_protocol::exit::Usage;
use shim_protocol::exit::UsageLimit;

use super::MAX_LINE;
use super::Transcript;

mod results;

const NOW: i64 = 1_795_380_000_000;

fn read(lines: &[Value]) -> Transcript {
    let mut transcript = Transcript::default();
    for line in lines {
        transcript.feed(format!("{line}\n").as_bytes(), NOW);
    }
    transcript.finish(NOW);
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
        denials: Vec::new(),
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
    transcript.feed(b"\n\xff\xfe\n{\"type\":\nwarning: text\n{\"type\":\"assistant\"}\r\n", NOW);
    assert_eq!(transcript.turns(), 1);
}

#[test]
fn lines_are_whole_however_the_reads_fall() {
    let text = format!("{}\n{}\n", assistant("a"), assistant("b"));
    let mut transcript = Transcript::default();
    for byte in text.as_bytes() {
        transcript.feed(&[*byte], NOW);
    }
    assert_eq!(transcript.turns(), 2);
}

#[test]
fn the_last_result_wins_and_needs_no_newline() {
    let mut transcript = Transcript::default();
    transcript.feed(b"{\"type\":\"result\",\"subtype\":\"success\"}\n", NOW);
    transcript.feed(b"{\"type\":\"result\",\"subtype\":\"error_max_turns\"}", NOW);
    assert_eq!(transcript.result().unwrap().subtype, "success");
    transcript.finish(NOW);
    assert_eq!(transcript.result().unwrap().subtype, "error_max_turns");
}

#[test]
fn a_line_over_the_limit_is_passed_over_and_the_next_one_read() {
    let mut transcript = Transcript::default();
    let chunk = vec![b'x'; 1 << 20];
    transcript.feed(b"{\"type\":\"assistant\",\"pad\":\"", NOW);
    for _ in 0..=(MAX_LINE >> 20) {
        transcript.feed(&chunk, NOW);
    }
    transcript.feed(b"\"}\n{\"type\":\"assistant\"}\n", NOW);
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
fn reports_of_the_service_in_between_are_read() {
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
        told_at_ms: Some(NOW),
    };
    assert_eq!(transcript.usage_limit(), Some(&told));
    let refused = read(&[json!({"type": "rate_limit_event", "rate_limit_info": {
        "status": "rejected", "resetsAt": 1_795_386_217, "unifiedWindows": {"five_hour": {"utilization": 1}}}})]);
    let told = UsageLimit {
        rejected: true,
        resets_at_ms: Some(1_795_386_217_000),
        utilization: Some(1.0),
        models: Vec::new(),
        told_at_ms: Some(NOW),
    };
    assert_eq!(refused.usage_limit(), Some(&told));
}

#[test]
fn a_refusal_that_the_run_got_over_is_none() {
    let refused = json!({"type": "rate_limit_event",
        "rate_limit_info": {"status": "rejected", "resetsAt": 1_795_386_217}});
    let result = |more: Value| {
        let mut line =
            json!({"type": "result", "subtype": "success", "is_error": false, "num_turns": 1});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let outcome = json!({"structured_output": {"outcome": "completed", "report": "done"}});
    let stands = |end: Value| {
        let read = read(&[refused.clone(), end]);
        read.usage_limit().expect("it was reported").rejected
    };
    assert!(!stands(result(outcome.clone())));
    assert!(stands(result(json!({}))), "nothing says that it was served");
    assert!(stands(result(json!({"is_error": true, "subtype": "error_during_execution"}))));
    let mut local = result(outcome);
    local["num_turns"] = json!(0);
    assert!(stands(local), "nothing was asked of the service");
}

#[test]
fn a_refused_login_is_believed_after_several_reports_without_a_message_between() {
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
        // A line that is not a message of the model says nothing about the login.
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
    // claude itself retries an overload, as often as it likes.
    assert_eq!(refused(&refusals("server_error", 10)), None);
}

#[test]
fn the_same_call_to_the_same_answer_is_counted_and_so_are_tokens() {
    let call = |id: &str, command: &str| {
        json!({"type": "assistant", "session_id": "s", "parent_tool_use_id": null, "message": {
            "id": id, "role": "assistant", "usage": {"input_tokens": 10, "output_tokens": 1,
                "cache_read_input_tokens": 3},
            "content": [{"type": "tool_use", "id": id, "name": "Bash", "input": {"command": command}}]}})
    };
    let answer = |id: &str| {
        json!({"type": "user", "parent_tool_use_id": null, "message": {"role": "user",
            "content": [{"type": "tool_result", "tool_use_id": id, "content": "fine"}]}})
    };
    let calls = [("m1", "a"), ("m2", "b"), ("m3", "b"), ("m4", "b")];
    let lines: Vec<Value> =
        calls.iter().flat_map(|(id, command)| [call(id, command), answer(id)]).collect();
    let transcript = read(&lines);
    assert_eq!(transcript.signs().repeats, 3);
    assert_eq!(transcript.signs().turns, 4);
    let used = transcript.usage().expect("messages came");
    assert_eq!((used.input_tokens, used.output_tokens, used.cache_read_input_tokens), (40, 4, 12));
}

#[test]
fn lines_of_one_message_between_those_of_subagents_are_one_turn() {
    let line = |id: &str, agent: Option<&str>| {
        json!({"type": "assistant", "parent_tool_use_id": agent, "message": {"id": id,
            "usage": {"input_tokens": 100, "output_tokens": 1}, "content": []}})
    };
    let lines: Vec<Value> = (0..8)
        .flat_map(|n| {
            let agent = format!("t{n}");
            [line("main", None), line(&format!("sub{n}"), Some(&agent)), line("main", None)]
        })
        .collect();
    let transcript = read(&lines);
    assert_eq!((transcript.signs().turns, transcript.turns()), (1, 9));
    assert_eq!(transcript.usage().expect("messages came").input_tokens, 900);
}

#[test]
fn invalid_characters_and_values_cost_themselves_and_not_the_result() {
    let deep = format!("{}{}", "[".repeat(4000), "]".repeat(4000));
    let head = r#"{"type":"result","subtype":"success","is_error":false,"num_turns":1,"total_cost_usd":0.5"#;
    for (dirt, report) in [
        (r#""report":"a \ud83d b""#.to_owned(), "a \u{fffd} b"),
        (format!(r#""report":"x","more":{deep}"#), "x"),
        (r#""report":"x","n":1e999"#.to_owned(), "x"),
        ("\"report\":\"a\u{1}b\"".to_owned(), "a\u{1}b"),
    ] {
        let line = format!(
            "{head},\"x\":\"\\ud83d\",\"structured_output\":{{\"outcome\":\"completed\",{dirt}}}}}\n"
        );
        let mut transcript = Transcript::default();
        transcript.feed(line.as_bytes(), NOW);
        let result = transcript.result().expect("a result");
        let output = result.structured_output.as_ref().expect("an outcome");
        assert_eq!(output["report"], report);
        assert_eq!(transcript.told().and_then(|told| told.total_usd), Some(0.5));
        assert_eq!(transcript.unreadable(), None);
    }
    let mut transcript = Transcript::default();
    let line =
        [head.as_bytes(), b",\"structured_output\":{\"report\":\"a\xff\xf0\x9f\"}}\n"].concat();
    transcript.feed(&line, NOW);
    let output = transcript.result().and_then(|result| result.structured_output.clone());
    assert_eq!(output, Some(json!({"report": "a\u{fffd}\u{fffd}"})));
}

#[test]
fn an_unreadable_line_is_counted_with_its_reason() {
    let mut transcript = Transcript::default();
    transcript.feed(b"warning: no JSON\n\n[1]\n", NOW);
    assert_eq!(transcript.unreadable(), None, "nobody meant it as a message");
    transcript.feed(b"{\"type\":\"result\",\"subtype\":\n", NOW);
    transcript.feed(&vec![b'x'; MAX_LINE + 1], NOW);
    transcript.feed(b"\n", NOW);
    let unreadable = transcript.unreadable().expect("two lines");
    assert_eq!((unreadable.lines, unreadable.why.as_str()), (2, "it is longer than 8 MiB"));
    transcript.feed(b"{\"type\":\"result\"", NOW);
    transcript.finish(NOW);
    let unreadable = transcript.unreadable().expect("three lines");
    assert!(unreadable.lines == 3 && unreadable.why.starts_with("EOF"), "{unreadable:?}");
}

#[test]
fn a_refusal_of_the_service_is_over_when_it_answers_again() {
    let refusal = json!({"type": "rate_limit_event",
        "rate_limit_info": {"status": "rejected", "resetsAt": 1_795_386_217}});
    let error = json!({"type": "assistant", "error": "rate_limit",
        "message": {"id": "e", "usage": {"input_tokens": 0}}});
    let answer = json!({"type": "assistant", "message": {"id": "m", "usage": {"input_tokens": 5}}});
    let rejected = |lines: &[&Value]| {
        let lines: Vec<Value> = lines.iter().copied().cloned().collect();
        read(&lines).usage_limit().expect("a limit was reported").rejected
    };
    assert!(rejected(&[&refusal, &error]));
    assert!(!rejected(&[&refusal, &error, &answer]));
    assert!(rejected(&[&answer, &refusal]));
}

#[test]
fn denied_tools_are_named_once() {
    let transcript = read(&[json!({"type": "result", "subtype": "success", "is_error": false,
        "permission_denials": [{"tool_name": "Bash"}, {"tool_name": "Bash"}, {"tool_name": "Write"}]})]);
    assert_eq!(transcript.result().expect("a result").denied, ["Bash", "Write"]);
}
