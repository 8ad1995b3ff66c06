use proptest::prelude::*;

use super::*;
use crate::domain::text::Name;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn plan() -> Plan {
    let stages = ["plan", "impl", "review"].map(|s| Name::from_row(s.to_owned()));
    Plan::new(stages.to_vec()).expect("three stages")
}

fn standing(plan: &Plan, stage_index: usize) -> Standing<'_> {
    Standing {
        plan,
        stage_index,
        attempts_used: 0,
        max_attempts: 3,
        deferrals: 0,
        strikes: 0,
        rework_laps: 0,
        has_session: false,
        turns: 0,
        spent_usd: 0.0,
        asked_about: None,
        limit: None,
        resets_at: None,
    }
}

fn said(outcome: StageOutcome) -> Verdict {
    Verdict::Succeeded(StageResult { outcome, report: "report".into(), tickets: Vec::new() })
}

fn moved(standing: Standing<'_>, verdict: &Verdict) -> Move {
    after_attempt(standing, verdict, &Policy::default(), NOW)
}

#[test]
fn completed_stages_advance_and_the_last_closes() {
    let plan = plan();
    assert_eq!(
        moved(standing(&plan, 0), &said(StageOutcome::Completed)),
        Move::Advance { stage_index: 1 }
    );
    assert_eq!(moved(standing(&plan, 2), &said(StageOutcome::Completed)), Move::Close);
}

#[test]
fn rework_returns_to_the_named_stage_or_one_back() {
    let plan = plan();
    let rework =
        |stage: Option<&str>| said(StageOutcome::Rework { stage: stage.map(str::to_owned) });
    assert_eq!(moved(standing(&plan, 2), &rework(None)), Move::SendBack { stage_index: 1 });
    assert_eq!(moved(standing(&plan, 2), &rework(Some("plan"))), Move::SendBack { stage_index: 0 });
    assert!(matches!(moved(standing(&plan, 0), &rework(None)), Move::Hold(_)));
    assert!(matches!(moved(standing(&plan, 1), &rework(Some("review"))), Move::Hold(_)));
    let tired = Standing { rework_laps: 3, ..standing(&plan, 2) };
    assert!(matches!(moved(tired, &rework(None)), Move::Hold(_)));
    let last_lap = Standing { rework_laps: 2, ..standing(&plan, 2) };
    assert!(matches!(moved(last_lap, &rework(None)), Move::SendBack { .. }));
}

#[test]
fn a_blocked_stage_asks_its_question() {
    let plan = plan();
    let ask = |q: Option<&str>| said(StageOutcome::Blocked { question: q.map(str::to_owned) });
    assert_eq!(
        moved(standing(&plan, 1), &ask(Some("which port?"))),
        Move::Hold(Hold::new(HoldKind::Question, "which port?"))
    );
    assert_eq!(
        moved(standing(&plan, 1), &ask(None)),
        Move::Hold(Hold::new(HoldKind::Question, "report"))
    );
}

#[test]
fn failures_wait_longer_each_time_and_then_hold() {
    let plan = plan();
    let failed = Verdict::Failed { failure: Failure::NoResult, detail: "no result".into() };
    let retry = |seconds| Move::Retry {
        not_before: NOW.after(Duration::from_secs(seconds)),
        deferred: false,
        session: Session::Fresh,
    };
    assert_eq!(moved(standing(&plan, 1), &failed), retry(10));
    assert_eq!(moved(Standing { attempts_used: 1, ..standing(&plan, 1) }, &failed), retry(20));
    let Move::Hold(Hold { reason, .. }) =
        moved(Standing { attempts_used: 2, ..standing(&plan, 1) }, &failed)
    else {
        panic!("the third failure must hold");
    };
    assert_eq!(reason, "impl failed 3 of 3 attempts; the last: no_result: no result");
}

#[test]
fn an_overload_waits_and_charges_no_attempt() {
    let plan = plan();
    let overloaded = Verdict::Failed { failure: Failure::Overloaded, detail: "529".into() };
    let worn = Standing { attempts_used: 2, deferrals: 1, ..standing(&plan, 1) };
    let not_before = NOW.after(Duration::from_secs(120));
    let session = Session::Fresh;
    assert_eq!(moved(worn, &overloaded), Move::Retry { not_before, deferred: true, session });
    // Finished work is not repeated.
    let cut_off = Standing { has_session: true, ..worn };
    let session = Session::Continue;
    assert_eq!(moved(cut_off, &overloaded), Move::Retry { not_before, deferred: true, session });
}

#[test]
fn a_session_without_a_result_is_asked_once_before_the_work_is_repeated() {
    let plan = plan();
    let ended = Standing { has_session: true, turns: 1, ..standing(&plan, 1) };
    let answer = Verdict::Failed { failure: Failure::NoResult, detail: "none".into() };
    let not_before = NOW.after(Duration::from_secs(10));
    let again = Move::Retry { not_before, deferred: false, session: Session::Fresh };
    for failure in Failure::ALL.iter().copied().filter(|f| f.may_have_an_outcome()) {
        if failure == Failure::PermissionDenied {
            continue;
        }
        let how = if failure == Failure::Stall {
            Verdict::TimedOut { failure, detail: "silent".into() }
        } else {
            Verdict::Failed { failure, detail: "signal 11".into() }
        };
        assert_eq!(moved(ended, &how), Move::Requeue { session: Session::Ask }, "{failure:?}");
        // Without a session there is nothing to ask.
        assert_eq!(moved(standing(&plan, 1), &how), again, "{failure:?}");
        // The answer was no outcome either: the work is repeated, and counts once.
        let work = Ended { failure, detail: "signal 11".into() };
        let once = Standing { asked_about: Some(&work), ..ended };
        let charged = i64::from(failure.is_charged());
        let asked = Standing { attempts_used: charged, strikes: 1 - charged, ..once };
        assert_eq!(moved(asked, &answer), again, "{failure:?}");
        let last = Standing { attempts_used: 3 * charged, strikes: 3 * (1 - charged), ..once };
        let Move::Hold(Hold { reason, .. }) = moved(last, &answer) else { panic!("{failure:?}") };
        let told = format!("{}: signal 11", failure.name());
        assert!(reason.ends_with(&told), "the work counts, not the answer: {reason}");
    }
    // A service that never answered has done nothing that could be asked about.
    let stalled = Verdict::TimedOut { failure: Failure::Stall, detail: "silent".into() };
    assert_eq!(moved(Standing { turns: 0, ..ended }, &stalled), again);
    for failure in [Failure::MalformedResult, Failure::Lost] {
        let how = Verdict::Failed { failure, detail: "signal 11".into() };
        assert_eq!(moved(ended, &how), again, "{failure:?}");
    }
}

#[test]
fn a_signal_continues_at_once_and_then_waits_longer_each_time() {
    let plan = plan();
    let signalled = Verdict::Signalled { resume: true, detail: "the signal USR1".into() };
    let wait = |deferrals| {
        let at = Standing { deferrals, has_session: true, ..standing(&plan, 1) };
        let Move::Retry { not_before, deferred: true, session: Session::Continue } =
            moved(at, &signalled)
        else {
            panic!("it continues, and that is counted")
        };
        not_before.since(NOW)
    };
    assert_eq!(wait(0), Duration::ZERO, "an operator's restart waits for nothing");
    let waits: Vec<Duration> = (1..5).map(wait).collect();
    assert!(waits[0] > Duration::ZERO && waits.is_sorted_by(|one, next| one < next), "{waits:?}");
}

#[test]
fn a_question_that_was_not_asked_is_asked_again_and_uses_no_attempt() {
    let plan = plan();
    let work = Ended { failure: Failure::Crashed, detail: "signal 11".into() };
    let last = Standing {
        attempts_used: 3,
        has_session: true,
        asked_about: Some(&work),
        ..standing(&plan, 1)
    };
    let ask = Session::Ask;
    let interrupted = Verdict::Interrupted { resume: false };
    assert_eq!(moved(last, &interrupted), Move::Requeue { session: ask });
    for failure in
        [Failure::NeverStarted, Failure::NoAgent, Failure::SpawnFailed, Failure::Overloaded]
    {
        let never = Verdict::Failed { failure, detail: "d".into() };
        let (Move::Retry { session, .. } | Move::Requeue { session }) = moved(last, &never) else {
            panic!("{failure:?}")
        };
        assert_eq!(session, ask, "{failure:?}");
    }
    let gone = Verdict::Failed { failure: Failure::SessionGone, detail: "d".into() };
    let Move::Hold(Hold { reason, .. }) = moved(last, &gone) else {
        panic!("its attempts are used up")
    };
    assert!(reason.ends_with("crashed: signal 11"), "{reason}");
}

#[test]
fn a_shortage_of_the_machine_uses_no_attempt_and_waits_with_its_queue() {
    let plan = plan();
    for failure in [Failure::NoAgent, Failure::SpawnFailed] {
        let never = Verdict::Failed { failure, detail: "d".into() };
        let worn = Standing { attempts_used: 2, strikes: 2, deferrals: 9, ..standing(&plan, 1) };
        assert_eq!(moved(worn, &never), Move::Requeue { session: Session::Fresh });
        assert!(
            !failure.is_charged() && failure.puts_queue_off() && !failure.may_have_an_outcome()
        );
    }
    // A worktree is made again meanwhile.
    let gone = Verdict::Failed { failure: Failure::WorktreeGone, detail: "d".into() };
    let not_before = NOW.after(Duration::from_secs(1));
    assert_eq!(
        moved(standing(&plan, 1), &gone),
        Move::Retry { not_before, deferred: true, session: Session::Fresh }
    );
}

#[test]
fn the_usage_limit_waits_for_its_reset() {
    let plan = plan();
    let limited = Verdict::Failed { failure: Failure::UsageLimit, detail: "429".into() };
    let reset = NOW.after(Duration::from_secs(3600));
    let told = Standing { resets_at: Some(reset), ..standing(&plan, 1) };
    assert_eq!(
        moved(told, &limited),
        Move::Retry { not_before: reset, deferred: true, session: Session::Fresh }
    );
}

#[test]
fn a_limit_holds_the_ticket_it_stopped() {
    let plan = plan();
    let spent = Met::Spent("$5.00 has been spent".into());
    let limited = Standing { limit: Some(&spent), ..standing(&plan, 1) };
    let held = Move::Hold(Hold::new(HoldKind::Limit, "$5.00 has been spent"));
    assert_eq!(moved(limited, &Verdict::Interrupted { resume: false }), held);
    let budget = Verdict::Failed { failure: Failure::MaxBudget, detail: "d".into() };
    assert_eq!(moved(limited, &budget), held);
    // What others had set aside is free by now, or the limit was raised.
    let more = Standing { limit: Some(&Met::More), has_session: true, spent_usd: 1.0, ..limited };
    assert_eq!(moved(more, &budget), Move::Requeue { session: Session::Continue });
    // Work that was done in time is accepted.
    assert!(matches!(moved(limited, &said(StageOutcome::Completed)), Move::Advance { .. }));
}

#[test]
fn an_agent_that_was_denied_something_is_asked_before_its_ticket_is_held() {
    let plan = plan();
    let ended = Standing { has_session: true, turns: 60, ..standing(&plan, 1) };
    let detail = || "it gave no result, and was denied Bash (npm publish)".to_owned();
    let denied = Verdict::Failed { failure: Failure::PermissionDenied, detail: detail() };
    assert_eq!(moved(ended, &denied), Move::Requeue { session: Session::Ask });
    let work = Ended { failure: Failure::PermissionDenied, detail: detail() };
    let asked = Standing { asked_about: Some(&work), ..ended };
    assert!(matches!(moved(asked, &said(StageOutcome::Completed)), Move::Advance { .. }));
    let prose = Verdict::Failed { failure: Failure::NoResult, detail: "none".into() };
    for answer in [&prose, &denied] {
        assert_eq!(moved(asked, answer), Move::Hold(Hold::new(HoldKind::Configuration, detail())));
    }
    // A denial while it is asked is no reason: something else ended the work.
    let crashed = Ended { failure: Failure::Crashed, detail: "signal 11".into() };
    let asked = Standing { asked_about: Some(&crashed), ..ended };
    assert!(matches!(moved(asked, &denied), Move::Retry { .. }));
}

#[test]
fn a_run_that_its_budget_ended_before_it_spent_anything_waits() {
    let plan = plan();
    let budget = Verdict::Failed { failure: Failure::MaxBudget, detail: "d".into() };
    let more = Standing { limit: Some(&Met::More), has_session: true, ..standing(&plan, 1) };
    let waits = |seconds| Move::Retry {
        not_before: NOW.after(Duration::from_secs(seconds)),
        deferred: true,
        session: Session::Continue,
    };
    assert_eq!(moved(more, &budget), waits(10));
    assert_eq!(moved(Standing { deferrals: 3, ..more }, &budget), waits(80));
    let work = Ended { failure: Failure::Crashed, detail: "signal 11".into() };
    let asks = Standing { asked_about: Some(&work), ..more };
    let Move::Retry { session: Session::Ask, .. } = moved(asks, &budget) else {
        panic!("a question goes round for ever neither")
    };
}

#[test]
fn uncharged_failures_do_not_repeat_forever() {
    let plan = plan();
    let killed = Verdict::Failed { failure: Failure::HangAtStart, detail: "d".into() };
    assert!(matches!(moved(standing(&plan, 1), &killed), Move::Retry { .. }));
    let again = Standing { strikes: 2, ..standing(&plan, 1) };
    assert!(matches!(moved(again, &killed), Move::Hold(_)));
    let denied = Verdict::Failed { failure: Failure::PermissionDenied, detail: "Bash".into() };
    assert_eq!(
        moved(standing(&plan, 1), &denied),
        Move::Hold(Hold::new(HoldKind::Configuration, "Bash"))
    );
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    let failures = prop::sample::select(Failure::ALL.to_vec());
    prop_oneof![
        Just(said(StageOutcome::Completed)),
        prop::option::of("[a-z]{1,6}|plan|impl")
            .prop_map(|stage| said(StageOutcome::Rework { stage })),
        Just(said(StageOutcome::Blocked { question: None })),
        failures.prop_map(|failure| Verdict::Failed { failure, detail: "d".into() }),
        Just(Verdict::Cancelled),
        any::<bool>().prop_map(|resume| Verdict::Interrupted { resume }),
        any::<bool>().prop_map(|resume| Verdict::Signalled { resume, detail: "d".into() }),
        Just(Verdict::Lost { detail: "d".into() }),
    ]
}

proptest! {
    /// However its attempts end, a ticket stays inside its plan, uses no more attempts and rework
    /// rounds than allowed, and never retries without counting or waiting.
    #[test]
    fn every_sequence_of_ends_obeys_the_rules(
        sequence in prop::collection::vec((verdicts(), any::<bool>()), 1..60)
    ) {
        let plan = plan();
        let policy = Policy::default();
        let mut at = standing(&plan, 0);
        let mut asked: Option<Ended> = None;
        for (verdict, has_session) in sequence {
            let failure = match &verdict {
                Verdict::Failed { failure, .. } | Verdict::TimedOut { failure, .. } => Some(*failure),
                Verdict::Lost { .. } => Some(Failure::Lost),
                Verdict::Succeeded(_)
                | Verdict::Cancelled
                | Verdict::Interrupted { .. }
                | Verdict::Signalled { .. } => None,
            };
            let consequence = failure.filter(|_| asked.is_none()).map(Failure::consequence);
            // A question goes only to a session that exists.
            let has_session = has_session || asked.is_some();
            at.has_session = has_session;
            at.turns = i64::from(has_session);
            let charged = i64::from(consequence == Some(Consequence::Charge));
            let struck = i64::from(consequence == Some(Consequence::Strike));
            let asks = |session| match session {
                Session::Ask => asked.clone().or(failure.map(|failure| {
                    Ended { failure, detail: "d".to_owned() }
                })),
                Session::Fresh | Session::Continue => None,
            };
            let ending = Standing { asked_about: asked.as_ref(), ..at };
            match after_attempt(ending, &verdict, &policy, NOW) {
                Move::Advance { stage_index } => {
                    asked = None;
                    prop_assert_eq!(stage_index, at.stage_index + 1);
                    at = Standing { rework_laps: at.rework_laps, ..standing(&plan, stage_index) };
                }
                Move::SendBack { stage_index } => {
                    asked = None;
                    prop_assert!(stage_index < at.stage_index);
                    at = Standing { rework_laps: at.rework_laps + 1, ..standing(&plan, stage_index) };
                }
                Move::Retry { not_before, deferred, session } => {
                    // The first signal counts, and later ones wait.
                    let first = matches!(verdict, Verdict::Signalled { .. }) && at.deferrals == 0;
                    prop_assert!(not_before > NOW || (first && deferred));
                    prop_assert!(session == Session::Fresh || has_session);
                    at.attempts_used += charged;
                    at.strikes += struck;
                    at.deferrals += i64::from(deferred);
                    asked = asks(session);
                }
                Move::Requeue { session } => {
                    let interrupted = matches!(verdict, Verdict::Interrupted { .. });
                    let gone = failure == Some(Failure::SessionGone) && asked.is_none();
                    // A question follows work that was counted, so it cannot follow a question.
                    let held = i64::from(consequence == Some(Consequence::HoldTicket));
                    let question = session == Session::Ask && charged + struck + held == 1;
                    // Its queue waits; the store ensures that in the same commit.
                    let put_off = failure.is_some_and(Failure::puts_queue_off);
                    prop_assert!(interrupted || gone || question || put_off);
                    prop_assert!(!gone || session == Session::Fresh);
                    at.attempts_used += charged;
                    at.strikes += struck;
                    asked = asks(session);
                }
                Move::Close => {
                    prop_assert!(plan.is_last(at.stage_index));
                    return Ok(());
                }
                Move::Hold(Hold { reason, .. }) => {
                    prop_assert!(!reason.is_empty());
                    return Ok(());
                }
            }
            prop_assert!(at.stage_index < plan.stages().len());
            // At the last attempt a question may still be open.
            let most = at.max_attempts + i64::from(asked.is_some());
            prop_assert!(at.attempts_used < most && at.strikes < most);
            prop_assert!(at.rework_laps <= policy.max_rework);
        }
    }
}
