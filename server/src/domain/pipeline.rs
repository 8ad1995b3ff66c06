//! What becomes of a ticket when an attempt at it ends, or when the coordinator completes a stage itself.

use std::time::Duration;

use super::outcome::Failure;
use super::outcome::StageOutcome;
use super::outcome::StageResult;
use super::outcome::Verdict;
use super::retry::Backoff;
use super::ticket::Plan;
use super::time::Timestamp;

/// The rules of the pipeline that configuration may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Most times one ticket may be sent back before the coordinator is asked.
    pub max_rework: i64,
    /// Between charged attempts of one stage.
    pub retry: Backoff,
    /// Between attempts that an overloaded or failing model service ended.
    pub overload: Backoff,
}

impl Default for Policy {
    fn default() -> Self {
        let backoff = |first, most| Backoff {
            first: Duration::from_secs(first),
            most: Duration::from_secs(most),
        };
        Self { max_rework: 3, retry: backoff(10, 600), overload: backoff(60, 1800) }
    }
}

/// Where a ticket stands while its attempt ends.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    pub plan: &'a Plan,
    pub stage_index: usize,
    /// Charged attempts of this stage, the ending one not included.
    pub attempts_used: i64,
    /// Of the stage's worker type; one when the type is gone.
    pub max_attempts: i64,
    /// Uncharged failures since the stage was entered or resumed, the ending one not included.
    pub deferrals: i64,
    pub rework_laps: i64,
}

/// What becomes of the ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// On to a later stage.
    Advance { stage_index: usize },
    /// The last stage is done.
    Close,
    /// Back to an earlier stage.
    SendBack { stage_index: usize },
    /// The coordinator must decide.
    Hold { reason: String },
    /// The same stage again at once, uncharged.
    Requeue { resume: bool },
    /// The same stage again, not before a time.
    Retry { not_before: Timestamp, charged: bool },
}

/// Decides the move after an attempt. `pauses_queue` of the failure is the store's to act on.
#[must_use]
pub fn after_attempt(
    standing: Standing<'_>,
    verdict: &Verdict,
    policy: &Policy,
    now: Timestamp,
) -> Move {
    match verdict {
        Verdict::Succeeded(result) => after_stage(standing, result, policy),
        Verdict::Cancelled => Move::Hold { reason: "its worker was told to cancel it".to_owned() },
        Verdict::Interrupted { resume } => Move::Requeue { resume: *resume },
        Verdict::Failed { failure: Failure::SessionGone, .. } => Move::Requeue { resume: false },
        Verdict::Failed { failure, detail } | Verdict::TimedOut { failure, detail } => {
            if failure.is_charged() {
                charged(standing, failure.name(), detail, policy, now)
            } else {
                // Nothing that repeats goes without waiting, also when it is nobody's fault.
                let backoff =
                    if *failure == Failure::NeverStarted { policy.retry } else { policy.overload };
                let not_before = now.after(backoff.delay(standing.deferrals + 1));
                Move::Retry { not_before, charged: false }
            }
        }
        Verdict::Lost { detail } => charged(standing, Failure::Lost.name(), detail, policy, now),
    }
}

/// Decides the move after a stage was completed, by a worker or by the coordinator.
#[must_use]
pub fn after_stage(standing: Standing<'_>, result: &StageResult, policy: &Policy) -> Move {
    let (plan, at) = (standing.plan, standing.stage_index);
    match &result.outcome {
        StageOutcome::Completed if plan.is_last(at) => Move::Close,
        StageOutcome::Completed => Move::Advance { stage_index: at + 1 },
        StageOutcome::Blocked { question } => {
            let asked = question.as_deref().map(str::trim).filter(|q| !q.is_empty());
            Move::Hold { reason: asked.unwrap_or(&result.report).chars().take(2000).collect() }
        }
        StageOutcome::Rework { stage } => {
            let target = match stage.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
                Some(name) => plan.earlier(name, at),
                None => at.checked_sub(1),
            };
            let here = plan.stage(at);
            match (target, stage) {
                (Some(_), _) if standing.rework_laps >= policy.max_rework => Move::Hold {
                    reason: format!(
                        "{here} asked for rework once more after {} laps, the most one ticket may make",
                        standing.rework_laps
                    ),
                },
                (Some(stage_index), _) => Move::SendBack { stage_index },
                (None, Some(name)) => Move::Hold {
                    reason: format!(
                        "{here} asked for rework of {name:?}, which is no earlier stage of the plan"
                    ),
                },
                (None, None) => Move::Hold {
                    reason: format!("{here} asked for rework, and there is no stage before it"),
                },
            }
        }
    }
}

fn charged(
    standing: Standing<'_>,
    class: &str,
    detail: &str,
    policy: &Policy,
    now: Timestamp,
) -> Move {
    let used = standing.attempts_used + 1;
    if used >= standing.max_attempts {
        let stage = standing.plan.stage(standing.stage_index);
        return Move::Hold {
            reason: format!(
                "{stage} failed {used} of {used} attempts; the last: {class}: {detail}"
            ),
        };
    }
    Move::Retry { not_before: now.after(policy.retry.delay(used)), charged: true }
}

#[cfg(test)]
mod tests {
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
            rework_laps: 0,
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
    fn rework_goes_where_it_says_or_one_back() {
        let plan = plan();
        let rework =
            |stage: Option<&str>| said(StageOutcome::Rework { stage: stage.map(str::to_owned) });
        assert_eq!(moved(standing(&plan, 2), &rework(None)), Move::SendBack { stage_index: 1 });
        assert_eq!(
            moved(standing(&plan, 2), &rework(Some("plan"))),
            Move::SendBack { stage_index: 0 }
        );
        assert!(matches!(moved(standing(&plan, 0), &rework(None)), Move::Hold { .. }));
        assert!(matches!(moved(standing(&plan, 1), &rework(Some("review"))), Move::Hold { .. }));
        let tired = Standing { rework_laps: 3, ..standing(&plan, 2) };
        assert!(matches!(moved(tired, &rework(None)), Move::Hold { .. }));
        let last_lap = Standing { rework_laps: 2, ..standing(&plan, 2) };
        assert!(matches!(moved(last_lap, &rework(None)), Move::SendBack { .. }));
    }

    #[test]
    fn a_blocked_stage_asks_its_question() {
        let plan = plan();
        let ask = |q: Option<&str>| said(StageOutcome::Blocked { question: q.map(str::to_owned) });
        assert_eq!(
            moved(standing(&plan, 1), &ask(Some("which port?"))),
            Move::Hold { reason: "which port?".into() }
        );
        assert_eq!(moved(standing(&plan, 1), &ask(None)), Move::Hold { reason: "report".into() });
    }

    #[test]
    fn failures_wait_longer_each_time_and_then_hold() {
        let plan = plan();
        let failed = Verdict::Failed { failure: Failure::NoResult, detail: "no result".into() };
        let retry = |seconds| Move::Retry {
            not_before: NOW.after(Duration::from_secs(seconds)),
            charged: true,
        };
        assert_eq!(moved(standing(&plan, 1), &failed), retry(10));
        assert_eq!(moved(Standing { attempts_used: 1, ..standing(&plan, 1) }, &failed), retry(20));
        let Move::Hold { reason } =
            moved(Standing { attempts_used: 2, ..standing(&plan, 1) }, &failed)
        else {
            panic!("the third failure must hold");
        };
        assert_eq!(reason, "impl failed 3 of 3 attempts; the last: no_result: no result");
    }

    #[test]
    fn an_overload_waits_and_charges_nobody() {
        let plan = plan();
        let overloaded = Verdict::Failed { failure: Failure::Overloaded, detail: "529".into() };
        let worn = Standing { attempts_used: 2, deferrals: 1, ..standing(&plan, 1) };
        let not_before = NOW.after(Duration::from_secs(120));
        assert_eq!(moved(worn, &overloaded), Move::Retry { not_before, charged: false });
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
            Just(Verdict::Lost { detail: "d".into() }),
        ]
    }

    proptest! {
        /// However its attempts end, a ticket stays inside its plan, spends no more attempts and laps than allowed,
        /// and never retries without counting or waiting.
        #[test]
        fn every_sequence_stays_inside_the_rules(sequence in prop::collection::vec(verdicts(), 1..60)) {
            let plan = plan();
            let policy = Policy::default();
            let mut at = standing(&plan, 0);
            for verdict in sequence {
                match after_attempt(at, &verdict, &policy, NOW) {
                    Move::Advance { stage_index } => {
                        prop_assert_eq!(stage_index, at.stage_index + 1);
                        at = Standing { rework_laps: at.rework_laps, ..standing(&plan, stage_index) };
                    }
                    Move::SendBack { stage_index } => {
                        prop_assert!(stage_index < at.stage_index);
                        at = Standing { rework_laps: at.rework_laps + 1, ..standing(&plan, stage_index) };
                    }
                    Move::Retry { not_before, charged } => {
                        prop_assert!(not_before > NOW);
                        if charged { at.attempts_used += 1 } else { at.deferrals += 1 }
                    }
                    Move::Requeue { resume } => {
                        let interrupted = matches!(verdict, Verdict::Interrupted { .. });
                        let gone = matches!(verdict, Verdict::Failed { failure: Failure::SessionGone, .. });
                        prop_assert!(interrupted || gone);
                        prop_assert!(!(resume && gone));
                    }
                    Move::Close => {
                        prop_assert!(plan.is_last(at.stage_index));
                        return Ok(());
                    }
                    Move::Hold { reason } => {
                        prop_assert!(!reason.is_empty());
                        return Ok(());
                    }
                }
                prop_assert!(at.stage_index < plan.stages().len());
                prop_assert!(at.attempts_used < at.max_attempts);
                prop_assert!(at.rework_laps <= policy.max_rework);
            }
        }
    }
}
