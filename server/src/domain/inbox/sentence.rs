//! The sentence of an item, the same for every reader.

use super::matter::Held;
use super::matter::Item;
use super::matter::Matter;
use crate::domain::hold::HoldKind;
use crate::domain::outcome::Failure;
use crate::domain::pause::Cause;
use crate::domain::pause::Pause;
use crate::domain::pause::Scope;
use crate::domain::text;

/// How much of a reason or question a sentence repeats; the ticket has it in full.
const REASON_CHARS: usize = 1000;

impl Item {
    /// What waits and why.
    #[must_use]
    pub fn sentence(&self) -> String {
        match &self.matter {
            Matter::Held(Held { ticket, title, stage, hold, .. }) => {
                let reason = text::sentence(&text::shortened(&hold.reason, REASON_CHARS));
                match hold.kind {
                    HoldKind::Question => format!("{ticket} \"{title}\" asks at {stage}: {reason}"),
                    HoldKind::Limit
                    | HoldKind::Failures
                    | HoldKind::Conflict
                    | HoldKind::Unfinished
                    | HoldKind::Checkout
                    | HoldKind::Configuration
                    | HoldKind::Decision
                    | HoldKind::Operator
                    | HoldKind::Gate
                    | HoldKind::Setup => {
                        format!("{ticket} \"{title}\" is on hold at {stage}: {reason}")
                    }
                }
            }
            Matter::Paused { pause, failure, .. } => paused(pause, *failure),
            Matter::Stuck { attempt, ticket, worker, trouble: None } => format!(
                "{attempt} of {ticket} is stuck: {worker} is dead, and the record that it left cannot be read or is not its \
                 own, or its processes could not be ended."
            ),
            Matter::Stuck { attempt, ticket, worker, trouble: Some(trouble) } => format!(
                "{attempt} of {ticket} is over, and {worker} cannot end it: {}",
                text::sentence(&text::shortened(trouble, REASON_CHARS))
            ),
            Matter::Unheard { notifier, error } => format!(
                "The notifier {notifier} is paused, because its messages do not arrive: {} What happens meanwhile is kept for \
                 it.",
                text::sentence(&text::shortened(error, REASON_CHARS))
            ),
        }
    }
}

fn paused(pause: &Pause, failure: Option<Failure>) -> String {
    let what = match &pause.scope {
        Scope::Everything => "Everything".to_owned(),
        Scope::Project(project) => format!("Project {project}"),
        Scope::Queue { project, worker_type } => format!("The queue {worker_type} of {project}"),
    };
    let reason = text::sentence(&text::shortened(&pause.reason, REASON_CHARS));
    let end = match (pause.until, pause.cause) {
        (Some(until), Cause::Failure) => format!(" It is tried again at {until}."),
        (Some(until), Cause::Coordinator | Cause::UsageLimit | Cause::Budget) => {
            format!(" It resumes by itself at {until}.")
        }
        (None, _) => String::new(),
    };
    if failure == Some(Failure::Authentication) {
        return format!(
            "{what} is paused until Claude Code is logged in on the server: {reason}{end}"
        );
    }
    format!("{what} is paused: {reason}{end}")
}
