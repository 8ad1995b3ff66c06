//! What a ticket waits for whose worktree is set up, or whose gates run.

use super::around::CheckWait;
use super::around::FailedLaunch;
use super::around::GitStep;
use super::around::Surroundings;
use super::cause::Cause;
use super::queued::braked;
use super::wait::Wait;
use crate::domain::advice::Advice;
use crate::domain::gates::kind::Phase;
use crate::domain::gates::kind::Step;
use crate::domain::text::Name;
use crate::domain::text::sentence;
use crate::domain::ticket::LiveAttempt;

/// A setup or a gate that is running.
pub(super) fn checked_by(live: &LiveAttempt, stage: &Name) -> String {
    let LiveAttempt { attempt, gate, .. } = live;
    match gate {
        None if live.is_base => format!(
            "{attempt} sets a worktree up on the base commit, where its gate runs next to see what fails there as well."
        ),
        None => format!("{attempt} sets its worktree up, before its stage {stage}."),
        Some(gate) if live.is_base => {
            format!(
                "{attempt} runs its gate {gate} on the base commit, to see what fails there as well."
            )
        }
        Some(gate) => format!("{attempt} runs its gate {gate}."),
    }
}

/// Setup or gates of which none runs just now.
pub(super) fn checks(stage: &Name, around: &Surroundings) -> Wait {
    let Some(wait) = &around.checks else {
        return Wait::new(Cause::Running, format!("Its stage {stage} is running."));
    };
    let what = match (wait.phase, &wait.gate) {
        (Phase::Setup, _) => "the setup of its worktree".to_owned(),
        (Phase::Stage | Phase::Landing | Phase::Asked, Some(gate)) => format!("its gate {gate}"),
        (Phase::Stage | Phase::Landing | Phase::Asked, None) => "its gates".to_owned(),
    };
    if wait.step == Step::Due
        && !wait.is_paused
        && let Some(wait) = unlaunched(wait, &what, around)
    {
        return wait;
    }
    let why = match (wait.step, &around.git) {
        (_, Some(GitStep::Failed { why })) => {
            format!("Git prepares its worktree for {what}, which is retried: {}", sentence(why))
        }
        (Step::Plan | Step::Base, _) => format!("Git prepares its worktree for {what}."),
        (Step::Passed, _) => "Its gates have passed, and its branch is being merged.".to_owned(),
        (Step::Due, _) if wait.is_paused => {
            format!(
                "It waits for {what}; no setup and no gate runs while its project or the server is paused."
            )
        }
        (Step::Due, _) if !wait.has_room => format!(
            "It waits for {what}: as many setups and gates run as may (max_gates); the next one that ends makes room."
        ),
        (Step::Due | Step::Running | Step::Held, _) => {
            format!("It waits for {what}; a worker is about to run that.")
        }
    };
    Wait::new(Cause::Gates, why)
}

/// Why no worker comes for a setup or a gate that is due, if none does.
fn unlaunched(wait: &CheckWait, what: &str, around: &Surroundings) -> Option<Wait> {
    if let Some(braked) = braked(around) {
        return Some(braked);
    }
    let brakes = &around.brakes;
    if brakes.shim_too_old {
        let why = format!(
            "It waits for {what}, but the installed vibe-ensemble-shim runs no setup and no gate; it is older than this server."
        );
        let install = "install the vibe-ensemble-shim of this version";
        return Some(Wait::new(Cause::LaunchFailing, why).or(Advice::just(install)));
    }
    let (failed, kind) = if wait.has_network {
        (&brakes.launches, "no worker")
    } else {
        (&brakes.offline_launches, "no worker without a network")
    };
    let FailedLaunch { why, again_at } = failed.as_ref().filter(|_| wait.has_room)?;
    let why = format!(
        "It waits for {what}, but {kind} could be launched, for a reason that may pass: {} This is retried at {again_at}.",
        sentence(why)
    );
    Some(Wait { until: Some(*again_at), ..Wait::new(Cause::LaunchFailing, why) })
}
