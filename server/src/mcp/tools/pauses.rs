//! Pauses: `pause` and `resume`, of a queue, a project or everything.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::pause::Cause;
use crate::domain::pause::Pause;
use crate::domain::pause::Paused;
use crate::domain::pause::Scope;
use crate::domain::refusal::Refusal;
use crate::domain::text;
use crate::domain::text::Name;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;

/// What is said when nobody says why.
const NO_REASON: &str = "the coordinator paused it";

pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            "pause",
            "Pause a queue, a project or everything",
            Effect::Settles,
            "Starts nothing new until resume: in one queue (`project` and `worker_type`), in one project (`project`), or \
             on the whole server (neither). What runs goes on; stop it with stop_worker. Tickets stay queued and their \
             waiting_for says why. Pausing again only changes the reason. Returns the scope and every pause that holds \
             it, its own and wider ones.",
            pause,
        ),
        Tool::new(
            "resume",
            "Resume a queue, a project or everything",
            Effect::Settles,
            "Lets a queue, a project or everything go on: what pause paused, what a failure paused (mend its cause \
             first), and a usage limit's hold on everything. What a limit in dollars holds goes on when the limit is \
             raised, with update_project. Each scope is resumed by itself: `pauses` in the answer lists what still holds \
             it. For a ticket that is on hold use resume_ticket.",
            resume,
        ),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PauseWhat {
    /// The project's name; everything is paused when it is left out.
    project: Option<String>,
    /// Only the queue of this worker type of the project.
    worker_type: Option<String>,
    /// Why, in one sentence, for whoever wonders.
    reason: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ResumeWhat {
    /// The project's name; everything is resumed when it is left out.
    project: Option<String>,
    /// Only the queue of this worker type of the project.
    worker_type: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct PausedView {
    #[schemars(extend("enum" = Scope::NAMES))]
    scope: &'static str,
    project: Option<String>,
    worker_type: Option<String>,
    /// Whether anything keeps it from starting work.
    paused: bool,
    /// What does, its own pauses and wider ones.
    pauses: Vec<PauseView>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct PauseView {
    /// What is paused by it.
    #[schemars(extend("enum" = Scope::NAMES))]
    scope: &'static str,
    /// The project it pauses, or whose queue it pauses.
    project: Option<String>,
    /// Who or what paused it.
    #[schemars(extend("enum" = Cause::NAMES))]
    cause: &'static str,
    reason: String,
    since: String,
    /// When it ends by itself, if it does.
    until: Option<String>,
}

impl From<Pause> for PauseView {
    fn from(pause: Pause) -> Self {
        let scope = pause.scope.name();
        let project = match pause.scope {
            Scope::Everything => None,
            Scope::Project(project) | Scope::Queue { project, .. } => Some(project.into_string()),
        };
        Self {
            scope,
            project,
            cause: pause.cause.name(),
            reason: pause.reason,
            since: pause.since.to_string(),
            until: pause.until.map(|until| until.to_string()),
        }
    }
}

impl From<Paused> for PausedView {
    fn from(found: Paused) -> Self {
        let scope = found.scope.name();
        let (project, worker_type) = match found.scope {
            Scope::Everything => (None, None),
            Scope::Project(name) => (Some(name.into_string()), None),
            Scope::Queue { project, worker_type } => {
                (Some(project.into_string()), Some(worker_type.into_string()))
            }
        };
        let pauses: Vec<PauseView> = found.pauses.into_iter().map(PauseView::from).collect();
        Self { scope, project, worker_type, paused: !pauses.is_empty(), pauses }
    }
}

fn scope(project: Option<&str>, worker_type: Option<&str>) -> std::result::Result<Scope, Refusal> {
    let project = project.map(|name| Name::parse("project", name)).transpose()?;
    let kind = worker_type.map(|name| Name::parse("worker_type", name)).transpose()?;
    match (project, kind) {
        (None, None) => Ok(Scope::Everything),
        (Some(project), None) => Ok(Scope::Project(project)),
        (Some(project), Some(worker_type)) => Ok(Scope::Queue { project, worker_type }),
        (None, Some(worker_type)) => {
            let allowed = "left out unless project names its project";
            Err(Refusal::invalid("worker_type", worker_type.as_str(), allowed))
        }
    }
}

async fn pause(service: Service, given: PauseWhat) -> Result<PausedView> {
    let scope = scope(given.project.as_deref(), given.worker_type.as_deref())?;
    let reason = given.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    let reason = reason.map(|reason| text::title("reason", reason)).transpose()?;
    let reason = reason.unwrap_or_else(|| NO_REASON.to_owned());
    Ok(service.store.pause(scope, reason, service.now()).await?.into())
}

async fn resume(service: Service, given: ResumeWhat) -> Result<PausedView> {
    let scope = scope(given.project.as_deref(), given.worker_type.as_deref())?;
    Ok(service.store.resume(scope, service.now()).await?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_type_needs_its_project() {
        assert_eq!(scope(None, None), Ok(Scope::Everything));
        assert!(matches!(scope(Some("shop"), Some("build")), Ok(Scope::Queue { .. })));
        assert!(matches!(
            scope(None, Some("build")),
            Err(Refusal::InvalidField { field, .. }) if field == "worker_type"
        ));
    }
}
