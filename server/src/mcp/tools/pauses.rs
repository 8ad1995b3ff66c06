//! Pauses: `pause` and `resume`, of a queue, a project or everything.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::pause::Scope;
use crate::domain::refusal::Refusal;
use crate::domain::text;
use crate::domain::text::Name;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::wire::pause::PausedView;

pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            "pause",
            "Pause a queue, a project or everything",
            Effect::Settles,
            "Starts nothing new until resume: in one queue (`project` and `worker_type`), in one project (`project`), \
             or on the whole server (neither). Running work continues; stop it with stop. Tickets stay queued, \
             and their waiting_for gives the reason. Pausing again only changes the reason, if you give one. Returns the scope and every \
             pause that holds it, its own and wider ones.",
            pause,
        ),
        Tool::new(
            "resume",
            "Resume a queue, a project or everything",
            Effect::Settles,
            "Resumes a queue, a project or everything: what pause paused, what a failure paused (fix its cause first), \
             and the pause of a usage limit. The pause of a dollar limit ends when you raise the limit, with \
             update_project. Each scope is resumed separately, unless `all` is true: `pauses` in the answer lists what still \
             holds it, `still_paused` the pauses inside it. For a ticket on hold, use resume_ticket.",
            resume,
        ),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PauseWhat {
    /// The project's name; default: everything.
    project: Option<String>,
    /// Only the queue of this worker type of the project.
    worker_type: Option<String>,
    /// The reason, in one sentence.
    reason: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ResumeWhat {
    /// The project's name; default: everything.
    project: Option<String>,
    /// Only the queue of this worker type of the project.
    worker_type: Option<String>,
    /// Also resume every project and every queue in it; default false.
    all: Option<bool>,
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
    Ok(service.store.pause(scope, reason, service.now()).await?.into())
}

async fn resume(service: Service, given: ResumeWhat) -> Result<PausedView> {
    let scope = scope(given.project.as_deref(), given.worker_type.as_deref())?;
    Ok(service.store.resume(scope, given.all.unwrap_or(false), service.now()).await?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::Invalid;

    #[test]
    fn a_worker_type_needs_its_project() {
        assert_eq!(scope(None, None), Ok(Scope::Everything));
        assert!(matches!(scope(Some("shop"), Some("build")), Ok(Scope::Queue { .. })));
        assert!(matches!(
            scope(None, Some("build")),
            Err(Refusal::InvalidField(Invalid { field, .. })) if field == "worker_type"
        ));
    }
}
