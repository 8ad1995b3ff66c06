//! The agent's program: where it is now, and whether it is back.

use std::collections::HashMap;
use std::path::Path;
use std::path::PathBuf;

use super::Dispatcher;
use super::Settings;
use crate::domain::id::ProjectKey;
use crate::domain::text::Name;
use crate::shim::program;
use crate::shim::program::Identity;
use crate::store::PutOff;
use crate::store::Result;

/// What was there when a queue that cannot start its agents was last looked at. A restart forgets it, and the queue is
/// tried when its wait is over.
#[derive(Debug, Default)]
pub(super) struct Lookout {
    seen: HashMap<(ProjectKey, Name), Seen>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    agent: Option<Identity>,
    /// The project's directory is there.
    directory: bool,
}

impl Settings {
    /// The agent's program for a grant: where it is by the server's own `PATH`. A worker may be older than a change of it.
    /// One that is not found goes out as it is named: a worker's unit may see what the server does not.
    pub(super) fn program(&self) -> PathBuf {
        let found = program::find(&self.agent_command, self.search_path.as_deref());
        found.unwrap_or_else(|| self.agent_command.clone())
    }
}

impl Dispatcher {
    /// Lets queues be tried at once whose agent or directory has come back, or is another one by now. Returns whether any
    /// still waits for that.
    pub(super) async fn look_for_agents(&self, lookout: &mut Lookout) -> Result<bool> {
        let waiting = self.store.put_off().await?;
        lookout.seen.retain(|(project, worker_type), _| {
            waiting.iter().any(|w| w.project == *project && w.worker_type == *worker_type)
        });
        if waiting.is_empty() {
            return Ok(false);
        }
        let settings = self.settings();
        let agent = program::identity(&settings.agent_command, settings.search_path.as_deref());
        for queue in &waiting {
            let directory = Path::new(&queue.directory).is_dir();
            let now = Seen { agent: agent.clone(), directory };
            let key = (queue.project, queue.worker_type.clone());
            let before = lookout.seen.insert(key, now.clone());
            if before.is_some_and(|before| before != now) && now.agent.is_some() && directory {
                self.store.try_now(PutOff::clone(queue)).await?;
            }
        }
        Ok(true)
    }
}
