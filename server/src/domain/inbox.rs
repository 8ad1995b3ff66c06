//! The inbox: everything that waits for somebody, each with a sentence and the steps that would settle it.
//!
//! The sentence is the same for every reader and names no step; each step is given as a tool with its arguments and as a
//! command, complete as they stand.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::bounds::Reached;
use super::hold::Hold;
use super::hold::HoldKind;
use super::id::AttemptId;
use super::id::TicketId;
use super::id::WorkerId;
use super::limits::Account;
use super::names::names;
use super::outcome::Failure;
use super::pause::Cause;
use super::pause::Pause;
use super::pause::Scope;
use super::text;
use super::text::Name;
use super::time::Timestamp;

names! {
    /// What waits that is not a ticket on hold, whose kind is that of its hold.
    pub enum OtherKind {
        /// Claude Code is not logged in, or its login is refused.
        Login = "login",
        QueuePaused = "queue_paused",
        ProjectPaused = "project_paused",
        ServerPaused = "server_paused",
        /// An attempt whose end cannot be accepted.
        Stuck = "stuck",
        /// A notifier whose messages do not arrive.
        Notification = "notification",
    }
}

/// Every kind of item, in the order of the declarations.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    HoldKind::NAMES.into_iter().chain(OtherKind::NAMES)
}

/// How much of a reason or question a sentence repeats; the ticket has it in full.
const REASON_CHARS: usize = 1000;

/// One thing that waits for somebody.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub since: Timestamp,
    /// The project it is in; `None` for the whole server.
    pub project: Option<Name>,
    pub matter: Matter,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Matter {
    /// A ticket on hold.
    Held(Held),
    Paused {
        pause: Pause,
        /// What paused a queue, when it was a failure.
        failure: Option<Failure>,
        /// The limit that paused a project, and what has been spent of it.
        limit: Option<Account>,
    },
    /// An attempt that keeps its ticket although it is over.
    Stuck {
        attempt: AttemptId,
        ticket: TicketId,
        worker: WorkerId,
        /// What its running shim reports; `None` when the shim is dead and what it left settles nothing.
        trouble: Option<String>,
    },
    /// A notifier that is paused because its messages do not arrive.
    Unheard {
        notifier: Name,
        /// Why its last try failed.
        error: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub ticket: TicketId,
    pub title: String,
    pub stage: Name,
    pub hold: Hold,
    /// The limit that would stop it again right after it is resumed.
    pub reached: Option<Reached>,
    /// Its stage has a worker type.
    pub has_type: bool,
    /// All its stages are completed but for what keeps this last one from counting.
    pub is_done: bool,
    /// The red gates that nobody has waived, when it is on hold for them.
    pub red: Vec<String>,
}

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
    /// What it is about, which is also what tells it apart: T-42, A-17, shop/implement, shop, or server.
    #[must_use]
    pub fn id(&self) -> String {
        match &self.matter {
            Matter::Held(held) => held.ticket.to_string(),
            Matter::Stuck { attempt, .. } => attempt.to_string(),
            Matter::Unheard { notifier, .. } => format!("notify:{notifier}"),
            Matter::Paused { pause, .. } => match &pause.scope {
                Scope::Everything => "server".to_owned(),
                Scope::Project(project) => project.to_string(),
                Scope::Queue { project, worker_type } => format!("{project}/{worker_type}"),
            },
        }
    }

    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.matter {
            Matter::Held(held) => held.hold.kind.name(),
            Matter::Stuck { .. } => OtherKind::Stuck.name(),
            Matter::Unheard { .. } => OtherKind::Notification.name(),
            Matter::Paused { failure: Some(Failure::Authentication), .. } => {
                OtherKind::Login.name()
            }
            Matter::Paused { pause, .. } => match &pause.scope {
                Scope::Everything => OtherKind::ServerPaused.name(),
                Scope::Project(_) => OtherKind::ProjectPaused.name(),
                Scope::Queue { .. } => OtherKind::QueuePaused.name(),
            },
        }
    }

    #[must_use]
    pub const fn ticket(&self) -> Option<TicketId> {
        match &self.matter {
            Matter::Held(held) => Some(held.ticket),
            Matter::Stuck { ticket, .. } => Some(*ticket),
            Matter::Paused { .. } | Matter::Unheard { .. } => None,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limits::Limit;

    fn name(text: &str) -> Name {
        Name::from_row(text.to_owned())
    }

    fn held(kind: HoldKind) -> Matter {
        Matter::Held(Held {
            ticket: TicketId::from_key(42),
            title: "Refuse expired coupons".to_owned(),
            stage: name("implement"),
            hold: Hold::new(kind, "Should an expired coupon count as used?"),
            reached: None,
            has_type: kind != HoldKind::Configuration,
            is_done: matches!(kind, HoldKind::Conflict | HoldKind::Unfinished),
            red: if kind == HoldKind::Gate { vec!["test".to_owned()] } else { Vec::new() },
        })
    }

    fn pause(scope: Scope, cause: Cause, until: Option<i64>) -> Pause {
        let until = until.map(Timestamp::from_millis);
        Pause {
            scope,
            cause,
            reason: "the reason".to_owned(),
            since: Timestamp::from_millis(0),
            until,
        }
    }

    /// Every kind of matter, with its words.
    fn matters() -> Vec<Matter> {
        let queue = || Scope::Queue { project: name("shop"), worker_type: name("implement") };
        let project = || Scope::Project(name("shop"));
        let plain = |pause| Matter::Paused { pause, failure: None, limit: None };
        let login = pause(queue(), Cause::Failure, None);
        let spent = |of, limit, spent| Some(Account { of, limit, spent, reserved: 0.0 });
        let budget = |until, limit| Matter::Paused {
            pause: pause(project(), Cause::Budget, until),
            failure: None,
            limit,
        };
        let stuck = |trouble: Option<&str>| Matter::Stuck {
            attempt: AttemptId::from_key(17),
            ticket: TicketId::from_key(42),
            worker: WorkerId::from_key(7),
            trouble: trouble.map(str::to_owned),
        };
        let mut all: Vec<Matter> = HoldKind::ALL.into_iter().map(held).collect();
        let ticket = TicketId::from_key(42);
        for reached in [
            Reached::Dollars { ticket, limit: 5.0, spent: 5.25 },
            Reached::Attempts { most: 10, made: 11 },
        ] {
            let Matter::Held(plain) = held(HoldKind::Limit) else { unreachable!("it is held") };
            all.push(Matter::Held(Held { reached: Some(reached), ..plain }));
        }
        all.extend([
            Matter::Paused { pause: login, failure: Some(Failure::Authentication), limit: None },
            plain(pause(queue(), Cause::Failure, Some(60_000))),
            plain(pause(project(), Cause::Coordinator, None)),
            budget(Some(60_000), spent(Limit::ProjectDay, 5.0, 5.25)),
            budget(None, spent(Limit::Project, 5.0, 5.0)),
            plain(pause(Scope::Everything, Cause::Coordinator, None)),
            plain(pause(Scope::Everything, Cause::Budget, Some(60_000))),
            stuck(None),
            stuck(Some("No space left on device (os error 28)")),
            Matter::Unheard {
                notifier: name("phone"),
                error: "it answered 503 Service Unavailable".to_owned(),
            },
        ]);
        all
    }

    #[test]
    fn the_items_are_the_reviewed_ones() {
        let mut text = String::new();
        for matter in matters() {
            let project = Some(name("shop"));
            let item = Item { since: Timestamp::from_millis(0), project, matter };
            text.extend([item.kind(), " ", &item.id(), ": ", &item.sentence(), "\n"]);
            for Action { label, tool, arguments, then, command } in item.actions() {
                let given = Value::Object(arguments).to_string();
                text.extend(["  ", &label, ": ", tool, " ", &given]);
                if let Some(Call { tool, arguments }) = then {
                    text.extend([", then ", tool, " ", &Value::Object(arguments).to_string()]);
                }
                text.extend(["\n    ", &command, "\n"]);
            }
        }
        crate::snapshot::holds("inbox", &text);
    }

    #[test]
    fn every_kind_has_an_example() {
        let found: Vec<&str> = matters()
            .into_iter()
            .map(|matter| Item { since: Timestamp::from_millis(0), project: None, matter }.kind())
            .collect();
        for kind in kinds() {
            assert!(found.contains(&kind), "{kind}");
        }
    }
}
