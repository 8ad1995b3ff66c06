//! Pausing and resuming the whole server, a project or a queue on request.

use sqlx::SqliteConnection;

use super::pause_queue;
use super::pause_scope;
use super::pause_scope::NewPause;
use crate::domain::id::ProjectKey;
use crate::domain::pause::Cause;
use crate::domain::pause::NO_REASON;
use crate::domain::pause::Pause;
use crate::domain::pause::Paused;
use crate::domain::pause::Scope;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Store;
use crate::store::rows::pause;
use crate::store::rows::project;
use crate::store::rows::worker_type;

const PAUSE: faults::Points = faults::points!("server.pause");

const RESUME: faults::Points = faults::points!("server.resume");

/// The project a scope is in.
async fn project_of(
    connection: &mut SqliteConnection,
    scope: &Scope,
) -> Result<Option<ProjectKey>> {
    Ok(match scope {
        Scope::Everything => None,
        Scope::Project(name) | Scope::Queue { project: name, .. } => {
            Some(project::load(connection, name.as_str()).await?.key)
        }
    })
}

async fn paused(connection: &mut SqliteConnection, scope: Scope) -> Result<Paused> {
    let project = project_of(connection, &scope).await?;
    let mut pauses = pause::standing(connection, project).await?;
    let mut inner = Vec::new();
    if let Scope::Queue { project, worker_type } = &scope {
        let kind = worker_type::load(connection, project.as_str(), worker_type.as_str()).await?;
        pauses.extend(pause::of_queue(&kind));
    } else {
        inner = pause::inner(connection, project).await?;
    }
    Ok(Paused { scope, pauses, inner })
}

impl Store {
    /// Starts nothing new in a scope until it is resumed; running attempts continue. Repeating the call only changes
    /// the reason, if it gives one.
    pub async fn pause(
        &self,
        scope: Scope,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<Paused> {
        self.writer
            .at(PAUSE)
            .write(move |connection| Box::pin(pause(connection, scope, reason, now)))
            .await
    }

    /// Resumes a scope. A usage limit that holds everything is lifted too: the caller knows better. A scope that a limit
    /// in dollars holds is refused; raising the limit ends that pause.
    ///
    /// `all` also resumes every project and every queue in the scope.
    pub async fn resume(&self, scope: Scope, all: bool, now: Timestamp) -> Result<Paused> {
        self.writer
            .at(RESUME)
            .write(move |connection| Box::pin(resume(connection, scope, all, now)))
            .await
    }
}

async fn pause(
    connection: &mut SqliteConnection,
    scope: Scope,
    reason: Option<String>,
    now: Timestamp,
) -> Result<Paused> {
    let project = project_of(connection, &scope).await?;
    let stood = match reason {
        Some(_) => None,
        None => stands(connection, &scope, project).await?,
    };
    let reason = reason.or(stood);
    let reason = reason.as_deref().unwrap_or(NO_REASON);
    if let Scope::Queue { project: name, worker_type } = &scope {
        let kind = worker_type::load(connection, name.as_str(), worker_type.as_str()).await?;
        pause_queue::pause_by_hand(connection, &kind, reason, now).await?;
    } else {
        let cause = Cause::Coordinator;
        let new = NewPause { project, cause, reason, until: None };
        pause_scope::set(connection, new, now).await?;
    }
    paused(connection, scope).await
}

/// The reason of the pause that somebody requested for this very scope before.
async fn stands(
    connection: &mut SqliteConnection,
    scope: &Scope,
    project: Option<ProjectKey>,
) -> Result<Option<String>> {
    let pauses = match scope {
        Scope::Queue { project, worker_type } => {
            let kind =
                worker_type::load(connection, project.as_str(), worker_type.as_str()).await?;
            pause::of_queue(&kind).into_iter().collect()
        }
        Scope::Everything | Scope::Project(_) => pause::standing(connection, project).await?,
    };
    let is_same = |pause: &Pause| pause.scope == *scope && pause.cause == Cause::Coordinator;
    Ok(pauses.into_iter().find(is_same).map(|pause| pause.reason))
}

/// Resumes every project and every queue in a scope.
async fn resume_inner(
    connection: &mut SqliteConnection,
    project: Option<ProjectKey>,
    now: Timestamp,
) -> Result<()> {
    for pause in pause::inner(connection, project).await? {
        match (&pause.scope, pause.cause) {
            (Scope::Project(name), Cause::Coordinator | Cause::UsageLimit) => {
                let key = project::load(connection, name.as_str()).await?.key;
                pause_scope::lift(connection, Some(key), pause.cause, now).await?;
            }
            (Scope::Queue { project, worker_type }, _) => {
                let kind =
                    worker_type::load(connection, project.as_str(), worker_type.as_str()).await?;
                pause_queue::unpause(connection, kind.project, &kind.name, now).await?;
            }
            // Those of a dollar limit end when it is raised.
            (Scope::Project(_), Cause::Budget | Cause::Failure) | (Scope::Everything, _) => {}
        }
    }
    Ok(())
}

async fn resume(
    connection: &mut SqliteConnection,
    scope: Scope,
    all: bool,
    now: Timestamp,
) -> Result<Paused> {
    let project = project_of(connection, &scope).await?;
    if all && !matches!(scope, Scope::Queue { .. }) {
        resume_inner(connection, project, now).await?;
    }
    if let Scope::Queue { project: name, worker_type } = &scope {
        let kind = worker_type::load(connection, name.as_str(), worker_type.as_str()).await?;
        pause_queue::unpause(connection, kind.project, &kind.name, now).await?;
        return paused(connection, scope).await;
    }
    let by_hand = pause_scope::lift(connection, project, Cause::Coordinator, now).await?;
    let limit = pause_scope::lift(connection, project, Cause::UsageLimit, now).await?;
    let paused = paused(connection, scope).await?;
    let budget = paused.pauses.iter().find(|p| p.cause == Cause::Budget && p.scope == paused.scope);
    if let (Some(budget), false) = (budget, by_hand || limit) {
        let what = match &paused.scope {
            Scope::Everything => "Everything".to_owned(),
            Scope::Project(name) => format!("Project {name}"),
            Scope::Queue { worker_type, .. } => format!("Queue {worker_type}"),
        };
        let reason = budget.reason.clone();
        return Err(Refusal::PausedByBudget { what, reason }.into());
    }
    Ok(paused)
}
