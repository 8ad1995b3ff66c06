//! The agent's program and the projects' directories: whether they have come back.

use std::collections::HashMap;
use std::path::Path;

use super::settings::Current;
use crate::domain::id::ProjectKey;
use crate::domain::text::Name;
use crate::shim::program;
use crate::shim::program::Identity;
use crate::store::PutOff;
use crate::store::Result;
use crate::store::Store;

/// Watches for what queues lack that cannot start their agents. A restart forgets what was seen;
/// such a queue is then tried when its wait is over.
#[derive(Debug)]
pub(super) struct Lookout {
    store: Store,
    settings: Current,
    seen: HashMap<(ProjectKey, Name), Seen>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    agent: Option<Identity>,
    /// Whether the project's directory exists.
    directory: bool,
}

impl Lookout {
    pub(super) fn new(store: Store, settings: Current) -> Self {
        Self { store, settings, seen: HashMap::new() }
    }

    /// Releases the queues whose agent or directory has come back or changed. Returns whether any
    /// queue still waits for one.
    pub(super) async fn look(&mut self) -> Result<bool> {
        let waiting = self.store.put_off().await?;
        self.seen.retain(|(project, worker_type), _| {
            waiting.iter().any(|w| w.project == *project && w.worker_type == *worker_type)
        });
        if waiting.is_empty() {
            return Ok(false);
        }
        let settings = self.settings.get();
        let agent = program::identity(&settings.agent_command, settings.search_path.as_deref());
        for queue in &waiting {
            let directory = Path::new(&queue.directory).is_dir();
            let now = Seen { agent: agent.clone(), directory };
            let key = (queue.project, queue.worker_type.clone());
            let before = self.seen.insert(key, now.clone());
            if before.is_some_and(|before| before != now) && now.agent.is_some() && directory {
                self.store.try_now(PutOff::clone(queue)).await?;
            }
        }
        Ok(true)
    }
}
