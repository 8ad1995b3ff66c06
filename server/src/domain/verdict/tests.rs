use serde_json::json;

use super::*;
use crate::domain::outcome::StageOutcome;
use crate::domain::outcome::StageResult;
use crate::domain::text::LONG_TEXT_BYTES;
use crate::domain::usage::ModelLimit;

fn ran(end: End, result: Option<AgentResult>) -> Facts {
    Facts {
        end,
        stop: None,
        signal: None,
        result,
        last_error: None,
        had_session: true,
        resumed: false,
        other_session: false,
        may_create_tickets: false,
        stderr_tail: String::new(),
        mcp_failed: Vec::new(),
        usage: None,
        oom_kills: 0,
        tasks_refused: 0,
        unreadable: None,
    }
}

fn success(output: Option<Value>) -> AgentResult {
    AgentResult { subtype: "success".into(), structured_output: output, ..AgentResult::default() }
}

/// Claude's result when the service answers with this status.
fn api(status: i64) -> AgentResult {
    AgentResult {
        subtype: "success".into(),
        is_error: true,
        api_error_status: Some(status),
        ..AgentResult::default()
    }
}

fn done() -> AgentResult {
    success(Some(json!({"outcome": "completed", "report": "done"})))
}

fn failure_of(facts: &Facts) -> Failure {
    let verdict = verdict(facts);
    let (Verdict::Failed { failure, .. } | Verdict::TimedOut { failure, .. }) = verdict else {
        panic!("expected a failure, got {verdict:?}");
    };
    failure
}

fn succeeded() -> Verdict {
    let (outcome, report) = (StageOutcome::Completed, "done".into());
    Verdict::Succeeded(StageResult { outcome, report, tickets: Vec::new() })
}

#[test]
fn success_needs_exit_zero_and_a_valid_result() {
    assert_eq!(verdict(&ran(End::Exited(0), Some(done()))), succeeded());
    assert_eq!(failure_of(&ran(End::Exited(1), Some(done()))), Failure::AgentError);
    assert_eq!(failure_of(&ran(End::Signaled(9), Some(done()))), Failure::KilledExternally);
    assert_eq!(failure_of(&ran(End::Unknown, Some(done()))), Failure::Unknown);
    assert_eq!(failure_of(&ran(End::Exited(0), None)), Failure::NoResult);
    assert_eq!(failure_of(&ran(End::Exited(0), Some(success(None)))), Failure::NoResult);
}

#[test]
fn a_child_that_hangs_after_its_result_has_finished() {
    for end in [End::Signaled(15), End::Signaled(9), End::Exited(143), End::Exited(0)] {
        let facts = Facts { stop: Some(Stop::HungAfterResult), ..ran(end, Some(done())) };
        assert_eq!(verdict(&facts), succeeded());
    }
    let unseen = Facts { stop: Some(Stop::HungAfterResult), ..ran(End::Unknown, Some(done())) };
    assert_eq!(failure_of(&unseen), Failure::Unknown);
}

#[test]
fn each_stop_has_its_meaning() {
    let stopped = |stop| verdict(&Facts { stop: Some(stop), ..ran(End::Exited(143), None) });
    assert_eq!(stopped(Stop::Interrupt), Verdict::Interrupted { resume: false });
    assert_eq!(stopped(Stop::Kill), Verdict::Interrupted { resume: false });
    assert_eq!(stopped(Stop::Restart), Verdict::Interrupted { resume: true });
    assert_eq!(stopped(Stop::Cancel), Verdict::Cancelled);
    assert!(matches!(stopped(Stop::Timeout), Verdict::TimedOut { failure: Failure::Timeout, .. }));
    assert!(matches!(stopped(Stop::Stall), Verdict::TimedOut { failure: Failure::Stall, .. }));
}

#[test]
fn a_signal_is_reported_with_its_sender_and_charged_to_an_agent_that_sent_it_itself() {
    let stopped = |stop, by_own| {
        let told = "the signal TERM from process 7 (\"bash\", user 1000)".to_owned();
        let signal = Some(Sent { by_own, told });
        verdict(&Facts { stop: Some(stop), signal, ..ran(End::Exited(143), None) })
    };
    for (stop, resume) in [(Stop::Interrupt, false), (Stop::Kill, false), (Stop::Restart, true)] {
        let Verdict::Signalled { resume: resumes, detail } = stopped(stop, false) else {
            panic!("{stop:?}")
        };
        assert_eq!(resumes, resume);
        assert!(detail.contains("TERM from process 7"), "{detail}");
    }
    assert_eq!(stopped(Stop::Cancel, false), Verdict::Cancelled);
    for stop in [Stop::Interrupt, Stop::Kill, Stop::Restart, Stop::Cancel] {
        let Verdict::Failed { failure: Failure::EndedItsWorker, detail } = stopped(stop, true)
        else {
            panic!("{stop:?}")
        };
        assert!(detail.contains("TERM from process 7"), "{detail}");
    }
}

#[test]
fn a_result_that_raced_with_a_stop_is_accepted() {
    let raced = |stop| verdict(&Facts { stop: Some(stop), ..ran(End::Exited(143), Some(done())) });
    assert_eq!(raced(Stop::Interrupt), succeeded());
    assert_eq!(raced(Stop::Timeout), succeeded());
    assert_eq!(raced(Stop::Cancel), succeeded());
    // SIGINT makes claude write an error result and exit 0.
    let aborted = AgentResult {
        subtype: "error_during_execution".into(),
        is_error: true,
        ..AgentResult::default()
    };
    let facts = Facts { stop: Some(Stop::Interrupt), ..ran(End::Exited(0), Some(aborted)) };
    assert_eq!(verdict(&facts), Verdict::Interrupted { resume: false });
}

#[test]
fn errors_of_the_service_are_distinguished_by_structure() {
    let class = |status| failure_of(&ran(End::Exited(1), Some(api(status))));
    assert_eq!(class(401), Failure::Authentication);
    assert_eq!(class(403), Failure::Authentication);
    assert_eq!(class(402), Failure::Billing);
    assert_eq!(class(400), Failure::ApiError);
    for overloaded in [429, 529] {
        assert_eq!(class(overloaded), Failure::Overloaded);
    }
    for failing in [500, 503] {
        assert_eq!(class(failing), Failure::ServerError);
    }
    let usage = UsageLimit { rejected: true, utilization: Some(1.0), ..UsageLimit::default() };
    let limited = Facts { usage: Some(usage), ..ran(End::Exited(1), Some(api(429))) };
    assert_eq!(failure_of(&limited), Failure::UsageLimit);
    let ended = |subtype: &str| AgentResult {
        subtype: subtype.into(),
        is_error: true,
        ..AgentResult::default()
    };
    assert_eq!(failure_of(&ran(End::Exited(1), Some(ended("error_max_turns")))), Failure::MaxTurns);
    assert_eq!(
        failure_of(&ran(End::Exited(1), Some(ended("error_max_budget_usd")))),
        Failure::MaxBudget
    );
    let gone = Facts {
        resumed: true,
        had_session: false,
        ..ran(End::Exited(1), Some(ended("error_during_execution")))
    };
    assert_eq!(failure_of(&gone), Failure::SessionGone);
    assert!(!Failure::SessionGone.is_charged() && !Failure::Overloaded.is_charged());
}

#[test]
fn a_failure_says_that_processes_were_refused() {
    let crowded = |end| Facts { tasks_refused: 61, ..ran(end, None) };
    let Verdict::Failed { failure, detail } = verdict(&crowded(End::Exited(2))) else {
        panic!("it failed");
    };
    assert_eq!(failure, Failure::NoResult);
    assert!(detail.contains("TasksMax=") && detail.contains("61 more"), "{detail}");
    assert!(detail.contains("exited with code 2"), "{detail}");
}

#[test]
fn ends_that_this_server_did_not_cause_are_distinguished() {
    assert_eq!(failure_of(&ran(End::Signaled(11), None)), Failure::Crashed);
    assert_eq!(failure_of(&ran(End::Exited(134), None)), Failure::Crashed);
    assert_eq!(failure_of(&ran(End::Signaled(9), None)), Failure::KilledExternally);
    assert_eq!(failure_of(&ran(End::Exited(143), None)), Failure::KilledExternally);
    let no_memory = Facts { oom_kills: 1, ..ran(End::Signaled(9), None) };
    assert_eq!(failure_of(&no_memory), Failure::OutOfMemory);
    assert_eq!(failure_of(&ran(End::Exited(3), None)), Failure::NoResult);
    let part_of_it = Facts { oom_kills: 1, ..ran(End::Exited(3), None) };
    assert_eq!(failure_of(&part_of_it), Failure::OutOfMemory);
    let ended_well = Facts { oom_kills: 1, ..ran(End::Exited(0), None) };
    assert_eq!(failure_of(&ended_well), Failure::NoResult);
    let interrupted = AgentResult {
        subtype: "error_during_execution".into(),
        is_error: true,
        terminal_reason: Some("aborted_tools".into()),
        ..AgentResult::default()
    };
    let facts = ran(End::Exited(0), Some(interrupted));
    assert_eq!(failure_of(&facts), Failure::KilledExternally);
}

#[test]
fn denied_tools_explain_a_missing_result() {
    let denied = AgentResult { denied: vec!["Bash".into()], ..success(None) };
    let facts = ran(End::Exited(0), Some(denied));
    assert_eq!(failure_of(&facts), Failure::PermissionDenied);
    let offline =
        Facts { mcp_failed: vec!["db".into()], ..ran(End::Exited(0), Some(success(None))) };
    assert_eq!(failure_of(&offline), Failure::McpNotConnected);
    // It found another way.
    let denied = AgentResult { denied: vec!["Bash".into()], ..done() };
    assert_eq!(verdict(&ran(End::Exited(0), Some(denied))), succeeded());
}

#[test]
fn a_result_without_an_outcome_is_reported_although_its_agent_had_to_be_ended() {
    for end in [End::Signaled(15), End::Signaled(9), End::Exited(143), End::Exited(0)] {
        let facts = Facts { stop: Some(Stop::HungAfterResult), ..ran(end, Some(success(None))) };
        let Verdict::Failed { failure, detail } = verdict(&facts) else { panic!("it failed") };
        assert_eq!(failure, Failure::NoResult);
        assert_eq!(detail, "the agent ended without calling StructuredOutput");
    }
}

#[test]
fn an_agent_that_began_another_session_only_guesses() {
    let resumed = |end, result| Facts { resumed: true, ..ran(end, result) };
    let other = Facts { other_session: true, ..resumed(End::Exited(0), Some(done())) };
    assert_eq!(failure_of(&other), Failure::SessionGone);
    let stalled = Facts { stop: Some(Stop::Stall), ..other.clone() };
    assert_eq!(failure_of(&stalled), Failure::SessionGone);
    let cancelled = Facts { stop: Some(Stop::Cancel), ..other };
    assert_eq!(verdict(&cancelled), Verdict::Cancelled);
    // An agent that only complains, and begins no session.
    let complains = Facts {
        had_session: false,
        stderr_tail: "No conversation found with session ID: 5d1e\n".into(),
        ..resumed(End::Exited(1), None)
    };
    let Verdict::Failed { failure, detail } = verdict(&complains) else { panic!("it failed") };
    assert_eq!(failure, Failure::SessionGone);
    assert!(detail.ends_with("No conversation found with session ID: 5d1e"), "{detail}");
    let killed = Facts { end: End::Signaled(9), ..complains };
    assert_eq!(failure_of(&killed), Failure::KilledExternally);
}

#[test]
fn an_error_that_claude_calls_success_is_reported_as_an_error() {
    let result = AgentResult {
        is_error: true,
        prose: Some("Credit balance is too low".into()),
        ..success(None)
    };
    let Verdict::Failed { detail, .. } = verdict(&ran(End::Exited(1), Some(result))) else {
        panic!("it failed")
    };
    assert_eq!(detail, "the agent ended with an error: Credit balance is too low");
}

#[test]
fn a_missing_result_is_reported_with_the_unreadable_output() {
    let unreadable = Some("one line of its output could not be read: EOF".to_owned());
    for result in [None, Some(success(None))] {
        let facts = Facts { unreadable: unreadable.clone(), ..ran(End::Exited(0), result) };
        let Verdict::Failed { detail, .. } = verdict(&facts) else { panic!("it failed") };
        assert!(detail.ends_with("; one line of its output could not be read: EOF"), "{detail}");
    }
}

#[test]
fn a_missing_program_is_reported_with_its_error() {
    let class_in = |errno, worktree_gone| {
        let error = "could not start claude: No such file or directory".to_owned();
        let facts = ran(End::NotStarted { error, errno, worktree_gone }, None);
        let Verdict::Failed { failure, detail } = verdict(&facts) else { panic!("must fail") };
        assert!(detail.contains("No such file"));
        failure
    };
    let class = |errno| class_in(errno, false);
    for not_there in [nix::libc::ENOENT, nix::libc::EACCES, nix::libc::ENOEXEC, nix::libc::ENOTDIR]
    {
        assert_eq!(class(Some(not_there)), Failure::NoAgent);
        assert_eq!(class_in(Some(not_there), true), Failure::WorktreeGone);
    }
    // EAGAIN, ENOMEM, EMFILE, ENFILE, ETXTBSY, ENOSPC, EDQUOT, EIO, ESTALE.
    for passing in [11, 12, 24, 23, 26, 28, 122, 5, 116] {
        assert_eq!(class(Some(passing)), Failure::SpawnFailed, "a machine that is full: {passing}");
        assert_eq!(class_in(Some(passing), true), Failure::SpawnFailed);
    }
    for own in
        [None, Some(nix::libc::E2BIG), Some(nix::libc::EINVAL), Some(nix::libc::ENAMETOOLONG)]
    {
        assert_eq!(class(own), Failure::NotStarted, "{own:?}");
    }
}

#[test]
fn a_model_that_does_not_exist_concerns_the_queue_and_no_ticket() {
    let unknown = AgentResult { prose: Some("There is no such model.".into()), ..api(404) };
    let Verdict::Failed { failure, detail } = verdict(&ran(End::Exited(1), Some(unknown))) else {
        panic!("must fail")
    };
    assert_eq!(failure, Failure::NoModel);
    assert!(failure.pauses_queue() && !failure.is_charged());
    assert!(detail.contains("There is no such model. Set model of the worker type"), "{detail}");
}

#[test]
fn a_refusal_for_one_model_is_a_usage_limit_too() {
    let opus = ModelLimit {
        window: "seven_day_opus".into(),
        rejected: true,
        resets_at: None,
        utilization: None,
    };
    let usage = Some(UsageLimit { models: vec![opus], ..UsageLimit::default() });
    let limited = Facts { usage, ..ran(End::Exited(1), Some(api(429))) };
    assert_eq!(failure_of(&limited), Failure::UsageLimit);
}

#[test]
fn the_server_checks_the_schema_too() {
    let result = |value: Value| stage_result(Some(&value), false);
    let rework = result(json!({"outcome": "rework", "report": "r", "rework_stage": "impl"}));
    assert_eq!(rework.map(|r| r.outcome), Ok(StageOutcome::Rework { stage: Some("impl".into()) }));
    let blocked = result(json!({"outcome": "blocked", "report": "r", "question": "which?"}));
    assert_eq!(
        blocked.map(|r| r.outcome),
        Ok(StageOutcome::Blocked { question: Some("which?".into()) })
    );
    for bad in [
        json!("completed"),
        json!({"outcome": "completed"}),
        json!({"outcome": "completed", "report": ""}),
        json!({"outcome": "done", "report": "r"}),
        json!({"outcome": "completed", "report": 7}),
        json!({"outcome": "completed", "report": "r", "extra": 1}),
        json!({"outcome": "rework", "report": "r", "rework_stage": ["impl"]}),
    ] {
        assert!(result(bad.clone()).is_err(), "{bad} was accepted");
    }
}

#[test]
fn a_report_is_cut_and_cleaned_but_never_refused() {
    let long = result_report(&"é".repeat(LONG_TEXT_BYTES));
    assert!(long.len() <= LONG_TEXT_BYTES && long.ends_with("cut at 1 MiB.)"));
    assert_eq!(result_report("a\0b"), "a\u{fffd}b");
}

fn result_report(report: &str) -> String {
    let output = json!({"outcome": "completed", "report": report});
    stage_result(Some(&output), false).expect("valid").report
}

#[test]
fn tickets_are_for_completed_stages_that_may_create_them() {
    let output = |outcome: &str, tickets: &Value| json!({"outcome": outcome, "report": "planned", "tickets": tickets});
    let one = json!([{"key": "api", "title": "Build", "execution_plan": ["impl"]}]);
    let result = stage_result(Some(&output("completed", &one)), true).expect("valid");
    assert_eq!(result.tickets.len(), 1);
    for nothing in [json!([]), Value::Null] {
        let result = stage_result(Some(&output("blocked", &nothing)), true).expect("valid");
        assert_eq!(result.tickets, []);
    }
    let wrong = |output: &Value, may| stage_result(Some(output), may).expect_err("refused");
    assert!(wrong(&output("completed", &one), false).contains("may_create_tickets"));
    for outcome in ["rework", "blocked"] {
        assert!(wrong(&output(outcome, &one), true).contains("outcome completed only"));
    }
    let bad = json!([{"key": "api", "title": "Build"}]);
    let why = wrong(&output("completed", &bad), true);
    assert!(why.contains("\"api\": execution_plan is missing"), "{why}");
    let failed = verdict(&Facts {
        may_create_tickets: true,
        ..ran(End::Exited(0), Some(success(Some(output("completed", &bad)))))
    });
    let Verdict::Failed { failure, detail } = failed else { panic!("must fail, is {failed:?}") };
    assert_eq!(failure, Failure::MalformedResult);
    assert_eq!(detail, why);
}
