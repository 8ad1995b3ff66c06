//! The sentences about pauses.

use super::around::Surroundings;
use super::cause::Cause;
use super::wait::Wait;
use crate::domain::advice::Advice;
use crate::domain::advice::Step;
use crate::domain::pause;
use crate::domain::text::sentence;
use crate::domain::ticket::Ticket;
use crate::domain::worker_type::Passing;
use crate::domain::worker_type::PassingCause;

/// The pause that keeps the ticket from running: of everything, of its project, or of its queue.
pub(super) fn standing_pause(ticket: &Ticket, around: &Surroundings) -> Option<Wait> {
    if let Some(pause) = around.pauses.first() {
        return Some(paused(pause));
    }
    let queue = around.queue.as_ref()?;
    let pause = queue.pause.as_ref()?;
    let (stage, since, reason) = (ticket.current_stage(), pause.since, sentence(&pause.reason));
    let resume =
        |to: &str| Advice::take_with(Step::Resume, to, format!("{} {stage}", ticket.project_name));
    let Some(Passing { cause, until }) = pause.passing else {
        let to = if pause.by_hand { "resume it" } else { "fix the cause, then resume it" };
        let why = format!("The queue {stage} has been paused since {since}: {reason}");
        return Some(Wait::new(Cause::QueuePaused, why).or(resume(to)));
    };
    // While it is being tried, there is nothing to wait for but the outcome.
    let until = until?;
    let (cause, end) = match cause {
        // A worker that exists needs no launch.
        PassingCause::Launch if queue.idle_workers > 0 => return None,
        PassingCause::Launch => (Cause::LaunchFailing, "This is retried by itself at"),
        PassingCause::Start => (Cause::QueuePaused, "This is retried by itself at"),
        PassingCause::UsageLimit => (Cause::UsageLimit, "It resumes by itself at"),
    };
    let why = format!("The queue {stage} has been waiting since {since}: {reason} {end} {until}.");
    let wait = Wait::new(cause, why).or(resume("resume it now"));
    Some(Wait { until: Some(until), ..wait })
}

fn paused(pause: &pause::Pause) -> Wait {
    let what = match &pause.scope {
        pause::Scope::Everything => "Everything",
        pause::Scope::Project(_) => "Its project",
        pause::Scope::Queue { .. } => "Its queue",
    };
    let cause = match (&pause.scope, pause.cause) {
        (_, pause::Cause::UsageLimit) => Cause::UsageLimit,
        (_, pause::Cause::Budget) => Cause::Budget,
        (pause::Scope::Everything, _) => Cause::ServerPaused,
        (pause::Scope::Project(_), _) => Cause::ProjectPaused,
        (pause::Scope::Queue { .. }, _) => Cause::QueuePaused,
    };
    let end = match (pause.until, pause.cause) {
        (Some(until), pause::Cause::UsageLimit) => format!(" It resumes by itself at {until}."),
        (Some(until), _) => format!(" It resumes by itself at {until} at the latest."),
        (None, _) => String::new(),
    };
    let why =
        format!("{what} has been paused since {}: {}{end}", pause.since, sentence(&pause.reason));
    let wait = Wait { until: pause.until, ..Wait::new(cause, why) };
    match pause.ends_with() {
        None => wait,
        Some(advice) => wait.or(advice),
    }
}
