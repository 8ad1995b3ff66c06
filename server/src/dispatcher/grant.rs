//! From a claimed attempt to the grant for its shim.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shim_protocol::grant::Grant;
use shim_protocol::grant::GrantKind;
use shim_protocol::grant::Limits;
use shim_protocol::run_dir;

use super::places::Places;
use super::settings::Current;
use crate::domain::agent_files::OwnServer;
use crate::domain::attempt::Attempt;
use crate::domain::id::AttemptId;
use crate::domain::project::Project;
use crate::domain::prompt;
use crate::domain::prompt::Assignment;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::domain::worktree::Worktree;
use crate::store::Granted;

/// The first of a ticket's own ports, for its agent, its setup and its gates.
const PORT_VARIABLE: &str = "VIBE_ENSEMBLE_PORT";

/// Writes grants: everything with which an agent is started.
#[derive(Clone, Debug)]
pub(super) struct Grants {
    pub(super) server_id: String,
    pub(super) settings: Current,
    pub(super) places: Arc<Places>,
    /// Shims have the environment of this server rather than that of a unit.
    pub(super) is_launcher_plain: bool,
}

impl Grants {
    pub(super) fn grant(&self, granted: &Granted) -> Grant {
        let settings = self.settings.get();
        let Granted { attempt, ticket, project, settings: kind, comments, .. } = granted;
        let run_dir = self.places.run_dir(attempt.id);
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let assignment = Assignment {
            project,
            ticket,
            settings: kind,
            comments,
            last_failure: granted.last_failure.as_deref(),
            resume: attempt.resumed,
            asks_outcome: attempt.asks_outcome,
            budget_usd: attempt.budget.map(|(usd, _)| usd),
            claude_session_id: &attempt.claude_session_id,
            mark: &mark,
            run_dir: &run_dir.to_string_lossy(),
            worker_types: &granted.worker_types,
            ready: &granted.ready,
        };
        let program = settings.program();
        let first_port = granted.ready.ports.map(|(first, _)| first);
        let env =
            self.surroundings(settings.env, settings.search_path, attempt, project, first_port);
        Grant {
            version: 1,
            server_id: self.server_id.clone(),
            attempt_id: attempt.id.to_string(),
            ticket_id: ticket.id.to_string(),
            project: project.name.to_string(),
            stage: attempt.stage.to_string(),
            worker_id: attempt.worker.to_string(),
            claude_session_id: attempt.claude_session_id.clone(),
            program,
            args: prompt::arguments(&assignment),
            prompt: prompt::prompt(&assignment),
            cwd: ticket.work.as_ref().map_or_else(|| project.path.clone(), Worktree::cwd).into(),
            env,
            env_pass: settings.env_pass,
            files: prompt::files(kind, &self.access(attempt.id)),
            limits: self.limits(kind),
            kind: GrantKind::Agent,
            commands: Vec::new(),
            extra: serde_json::Map::new(),
        }
    }

    /// The environment of an attempt: what was chosen for it, and what no choice changes.
    pub(super) fn surroundings(
        &self,
        mut chosen: BTreeMap<String, String>,
        search_path: Option<String>,
        attempt: &Attempt,
        project: &Project,
        first_port: Option<i64>,
    ) -> BTreeMap<String, String> {
        // A worker that this server launched has the environment that the server had then. A worker
        // in a unit has the unit's.
        if let Some(path) = search_path.filter(|_| self.is_launcher_plain) {
            chosen.entry("PATH".to_owned()).or_insert(path);
        }
        let own = [
            ("VIBE_ENSEMBLE_PROJECT", project.name.to_string()),
            ("VIBE_ENSEMBLE_TICKET", attempt.ticket.to_string()),
            ("VIBE_ENSEMBLE_STAGE", attempt.stage.to_string()),
            (run_dir::ATTEMPT_VARIABLE, attempt.id.to_string()),
            ("VIBE_ENSEMBLE_WORKER", attempt.worker.to_string()),
            (run_dir::SERVER_VARIABLE, self.server_id.clone()),
            (run_dir::PLACE_VARIABLE, self.places.place.id.clone()),
        ];
        let port = first_port.map(|first| (PORT_VARIABLE, first.to_string()));
        chosen.extend(own.into_iter().chain(port).map(|(name, value)| (name.to_owned(), value)));
        chosen
    }

    /// The current bounds for an attempt of a worker type.
    pub(super) fn limits(&self, kind: &WorkerTypeSettings) -> Limits {
        Limits {
            timeout_ms: millis(Some(kind.timeout_seconds)),
            stall_ms: millis(kind.stall_seconds),
            max_turns: kind.max_turns.and_then(|turns| u32::try_from(turns).ok()),
            ..self.settings.get().limits
        }
    }

    /// How the agent of an attempt reaches this server. A repeated grant has the same access.
    fn access(&self, attempt: AttemptId) -> OwnServer {
        OwnServer { url: self.places.url.clone(), token: self.places.fence.token(attempt) }
    }
}

pub(super) fn millis(seconds: Option<i64>) -> Option<u64> {
    let seconds = u64::try_from(seconds?).ok()?;
    u64::try_from(Duration::from_secs(seconds).as_millis()).ok()
}
