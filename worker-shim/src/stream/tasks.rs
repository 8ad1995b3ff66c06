//! The tasks that an agent left running in the background: its own tests, a subagent, a server that
//! it started.

use super::fields::Fields;

/// The most tasks that are distinguished; beyond them, the oldest is forgotten.
const MOST: usize = 256;

/// The background tasks that are running. While there is one, the end of a turn is not the end of
/// the work: the agent is woken when a task ends, and may report its outcome only then.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    live: Vec<String>,
}

impl Tasks {
    pub(super) fn any(&self) -> bool {
        !self.live.is_empty()
    }

    /// Takes a `system` line; returns true if it reports that a task began.
    pub(super) fn take(&mut self, line: &Fields<'_>) -> bool {
        if line.is("subtype", "background_tasks_changed") {
            // The whole list, each time.
            let before = self.live.len();
            let named = line.objects("tasks").into_iter().filter_map(|task| task.text("task_id"));
            self.live = named.take(MOST).collect();
            return self.live.len() > before;
        }
        let Some(task) = line.text("task_id") else { return false };
        let patch = line.object("patch").unwrap_or_default();
        if line.is("subtype", "task_started") {
            // The turn of a task in the foreground waits for it, and the stream does not always
            // report that it ended.
            if line.get("is_backgrounded") != Some(false) {
                self.begins(task);
            }
            return true;
        }
        let over = ["completed", "failed", "killed", "stopped"];
        let ended =
            patch.raw("end_time").is_some() || over.iter().any(|over| patch.is("status", over));
        if line.is("subtype", "task_notification") || ended {
            self.live.retain(|known| *known != task);
        } else if patch.get("is_backgrounded") == Some(true) {
            self.begins(task);
        }
        false
    }

    fn begins(&mut self, task: String) {
        if self.live.contains(&task) {
            return;
        }
        if self.live.len() == MOST {
            self.live.remove(0);
        }
        self.live.push(task);
    }
}
