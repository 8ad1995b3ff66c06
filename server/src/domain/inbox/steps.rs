//! The steps that settle an item, as a tool and as a command.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::matter::Held;
use super::matter::Item;
use super::matter::Matter;
use crate::domain::bounds::Reached;
use crate::domain::hold::HoldKind;
use crate::domain::id::TicketId;
use crate::domain::limits::Account;
use crate::domain::outcome::Failure;
use crate::domain::pause::Cause;
use crate::domain::pause::Pause;
use crate::domain::pause::Scope;
use crate::domain::text;
use crate::domain::text::Name;

/// A step that settles an item.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// What it does, beginning with a verb.
    pub label: String,
    pub tool: &'static str,
    pub arguments: Map<String, Value>,
    /// The call after it, without which it settles nothing.
    pub then: Option<Call>,
    /// All of it for a shell.
    pub command: String,
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub tool: &'static str,
    pub arguments: Map<String, Value>,
}

impl Action {
    fn new(label: impl Into<String>, tool: &'static str, given: Value, command: String) -> Self {
        let Value::Object(arguments) = given else { unreachable!("arguments are an object") };
        Self { label: label.into(), tool, arguments, then: None, command }
    }

    /// This one, and `next` after it.
    fn before(self, next: Self) -> Self {
        let then = Some(Call { tool: next.tool, arguments: next.arguments });
        let command = format!("{} && {}", self.command, next.command);
        Self { then, command, ..self }
    }
}

impl Item {
    /// The steps that settle it, the likeliest first. Empty when only something outside this server does.
    #[must_use]
    pub fn actions(&self) -> Vec<Action> {
        match &self.matter {
            Matter::Held(held) => of_held(held, self.project.as_ref()),
            Matter::Paused { pause, failure, limit } => {
                of_pause(pause, *failure, limit.as_ref()).into_iter().collect()
            }
            Matter::Stuck { worker, ticket, trouble, .. } => {
                let again = Action::new(
                    "Give its result up and have it run again",
                    "stop_worker",
                    json!({"worker_id": worker.to_string(), "mode": "interrupt"}),
                    format!("vibe-ensemble worker stop {worker} --mode interrupt"),
                );
                let again = trouble.is_none().then_some(again);
                again.into_iter().chain([close(*ticket)]).collect()
            }
            Matter::Unheard { notifier, .. } => vec![Action::new(
                "Fix the cause, then have it try again",
                "resume_notifier",
                json!({"notifier": notifier.as_str()}),
                format!("vibe-ensemble notify resume {notifier}"),
            )],
        }
    }
}

/// Enough for as much again.
fn twice(limit: f64, spent: f64) -> f64 {
    (limit.max(spent) * 2.0).ceil()
}

/// Raises the limit that stopped a ticket.
fn raise(reached: Reached, project: &Name) -> Action {
    match reached {
        Reached::Dollars { ticket, limit, spent } => {
            let more = twice(limit, spent);
            Action::new(
                format!("Raise max_budget_usd of {ticket} to {}", text::counted(more, "dollar")),
                "update_ticket",
                json!({"ticket_id": ticket.to_string(), "max_budget_usd": more}),
                format!("vibe-ensemble ticket update {ticket} --max-budget-usd {more}"),
            )
        }
        Reached::Attempts { most, made } => {
            let more = most.max(made).saturating_mul(2);
            Action::new(
                format!("Raise max_attempts_per_ticket of {project} to {more}"),
                "update_project",
                json!({"project": project.as_str(), "max_attempts_per_ticket": more}),
                format!("vibe-ensemble project update {project} --max-attempts-per-ticket {more}"),
            )
        }
    }
}

fn of_held(held: &Held, project: Option<&Name>) -> Vec<Action> {
    let Held { ticket, stage, hold, has_type, is_done, reached, red, .. } = held;
    let id = ticket.to_string();
    let resume = |label: &str| {
        let command = format!("vibe-ensemble ticket resume {id}");
        Action::new(label, "resume_ticket", json!({"ticket_id": id}), command)
    };
    let answer = || {
        let given = json!({"ticket_id": id, "comment": ANSWER});
        let command = format!("vibe-ensemble answer {id} '{ANSWER}'");
        Action::new("Answer it", "resume_ticket", given, command)
    };
    let complete = || {
        let report = "Fixed manually.";
        let given = json!({"ticket_id": id, "stage": stage.as_str(), "outcome": "completed", "report": report});
        let command = format!("vibe-ensemble ticket complete {id} '{report}'");
        Action::new("Fix it, then complete the stage", "complete_ticket_stage", given, command)
    };
    let again = hold.kind == HoldKind::Unfinished;
    let mut actions = Vec::new();
    if hold.kind == HoldKind::Decision {
        actions.push(resume("Agree to it"));
    } else if *is_done && !again {
        actions.push(complete());
    }
    // Without its worker type nothing could run it, and resuming it is refused.
    if *has_type {
        actions.push(match hold.kind {
            HoldKind::Question => answer(),
            HoldKind::Limit => match reached.zip(project) {
                Some((reached, project)) => {
                    let raised = raise(reached, project).before(resume(""));
                    Action { label: format!("{}, then resume it", raised.label), ..raised }
                }
                None => resume("Resume it; it is held again unless the cause is gone"),
            },
            HoldKind::Conflict | HoldKind::Checkout | HoldKind::Configuration => {
                resume("Fix it, then resume it")
            }
            HoldKind::Setup => resume("Fix it, then try the setup again"),
            HoldKind::Gate => resume("Have its agent continue with what the gates found"),
            HoldKind::Unfinished => resume("Have the stage done again; what is there now is kept"),
            HoldKind::Decision => {
                let stage = stage.as_str();
                let command =
                    format!("vibe-ensemble ticket resume {id} --stage {stage} --comment '{WISH}'");
                let given = json!({"ticket_id": id, "stage": stage, "comment": WISH});
                Action::new("Have the stage done differently", "resume_ticket", given, command)
            }
            HoldKind::Failures | HoldKind::Operator => resume("Resume it"),
        });
    }
    if hold.kind == HoldKind::Gate {
        let command = format!("vibe-ensemble gate run {id}");
        let given = json!({"ticket_id": id});
        actions.push(Action::new("Run its gates again", "run_gates", given, command));
        actions.extend(red.iter().map(|gate| waive(&id, gate)));
    }
    // To do the stage again needs no repair first, so it is the likelier step.
    if *is_done && again {
        actions.push(complete());
    }
    actions.push(close(*ticket));
    actions
}

fn waive(id: &str, gate: &str) -> Action {
    let given = json!({"ticket_id": id, "gate": gate, "reason": GROUNDS});
    let command = format!("vibe-ensemble gate waive {id} {} '{GROUNDS}'", text::shell_word(gate));
    Action::new(format!("Let it pass {gate}"), "waive_gate", given, command)
}

/// Where the reason of a waiver goes, as with [`ANSWER`].
pub const GROUNDS: &str = "WHY IT MAY PASS";

/// Where goes what shall be different, as with [`ANSWER`].
pub const WISH: &str = "WHAT TO CHANGE";

/// Where an answer goes: steps are complete as they stand, and an answer is not known here.
pub const ANSWER: &str = "YOUR ANSWER";

fn close(ticket: TicketId) -> Action {
    let id = ticket.to_string();
    let command = format!("vibe-ensemble ticket close {id}");
    Action::new("Close it as cancelled", "close_ticket", json!({"ticket_id": id}), command)
}

fn of_pause(pause: &Pause, failure: Option<Failure>, limit: Option<&Account>) -> Option<Action> {
    if let (Cause::Budget, Scope::Project(project)) = (pause.cause, &pause.scope) {
        let Account { of, limit, spent, .. } = limit?;
        let setting = of.raised_by().first()?.name();
        let more = twice(*limit, *spent);
        let flag = setting.replace('_', "-");
        return Some(Action::new(
            format!("Raise {setting} to {}", text::counted(more, "dollar")),
            "update_project",
            json!({"project": project.as_str(), setting: more}),
            format!("vibe-ensemble project update {project} --{flag} {more}"),
        ));
    }
    if pause.cause == Cause::Budget {
        // It is in the configuration, which only its operator changes.
        return None;
    }
    let (given, place) = match &pause.scope {
        Scope::Everything => (json!({}), String::new()),
        Scope::Project(project) => (json!({"project": project.as_str()}), format!(" {project}")),
        Scope::Queue { project, worker_type } => (
            json!({"project": project.as_str(), "worker_type": worker_type.as_str()}),
            format!(" {project} {worker_type}"),
        ),
    };
    let label = match (failure, pause.cause) {
        (Some(Failure::Authentication), _) => "Log in with `claude` on the server, then resume it",
        (_, Cause::Failure) => "Fix the cause, then resume it",
        (_, Cause::Coordinator | Cause::UsageLimit | Cause::Budget) => "Resume it",
    };
    Some(Action::new(label, "resume", given, format!("vibe-ensemble resume{place}")))
}
