//! The agent's program and the projects' directories: whether they are back.

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

/// Looks out for what queues lack that cannot start their agents. A restart forgets what was seen, and such a queue is
/// tried when its wait is over.
#[derive(Debug)]
pub(super) struct Lookout {
    store: Store,
    settings: Current,
    seen: HashMap<(ProjectKey, Name), Seen>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    agent: Option<Identity>,
    /// The project's directory is there.
    directory: bool,
}

impl Lookout {
    pub(super) fn new(store: Store, settings: Current) -> Self {
        Self { store, settings, seen: HashMap::new() }
    }

    /// Lets queues be tried at once whose agent or directory has come back, or is another one by now. Returns whether any
    /// still waits for that.
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
