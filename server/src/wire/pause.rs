//! What keeps a queue, a project or everything from starting anything.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::pause::Cause;
use crate::domain::pause::Pause;
use crate::domain::pause::Paused;
use crate::domain::pause::Scope;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct PausedView {
    #[schemars(extend("enum" = Scope::NAMES))]
    pub scope: String,
    pub project: Option<String>,
    pub worker_type: Option<String>,
    /// Whether any pause holds it.
    pub paused: bool,
    /// The pauses that hold it, its own and wider ones.
    pub pauses: Vec<PauseView>,
    /// The pauses of projects and queues in it, which last until each is resumed.
    pub still_paused: Vec<PauseView>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct PauseView {
    /// What it pauses.
    #[schemars(extend("enum" = Scope::NAMES))]
    pub scope: String,
    /// The project it pauses, or whose queue it pauses.
    pub project: Option<String>,
    /// The worker type whose queue it pauses.
    pub worker_type: Option<String>,
    /// Who or what paused it.
    #[schemars(extend("enum" = Cause::NAMES))]
    pub cause: String,
    pub reason: String,
    pub since: String,
    /// When it ends by itself, if it does.
    pub until: Option<String>,
}

impl From<Pause> for PauseView {
    fn from(pause: Pause) -> Self {
        let scope = pause.scope.name().to_owned();
        let (project, worker_type) = match pause.scope {
            Scope::Everything => (None, None),
            Scope::Project(project) => (Some(project.into_string()), None),
            Scope::Queue { project, worker_type } => {
                (Some(project.into_string()), Some(worker_type.into_string()))
            }
        };
        Self {
            scope,
            project,
            worker_type,
            cause: pause.cause.name().to_owned(),
            reason: pause.reason,
            since: pause.since.to_string(),
            until: pause.until.map(|until| until.to_string()),
        }
    }
}

impl From<Paused> for PausedView {
    fn from(found: Paused) -> Self {
        let scope = found.scope.name().to_owned();
        let (project, worker_type) = match found.scope {
            Scope::Everything => (None, None),
            Scope::Project(name) => (Some(name.into_string()), None),
            Scope::Queue { project, worker_type } => {
                (Some(project.into_string()), Some(worker_type.into_string()))
            }
        };
        let views = |pauses: Vec<Pause>| -> Vec<PauseView> {
            pauses.into_iter().map(PauseView::from).collect()
        };
        let (pauses, still_paused) = (views(found.pauses), views(found.inner));
        Self { scope, project, worker_type, paused: !pauses.is_empty(), pauses, still_paused }
    }
}
