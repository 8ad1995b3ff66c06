//! The names that may stand in the paths and texts of a script, which is written before its ticket has an id.
//!
//! | name | is replaced by |
//! |---|---|
//! | `{ticket}` `{stage}` `{attempt}` `{worker}` | those of this run |
//! | `{worktree}` | the directory the agent was started in |
//! | `{run}` | the run directory of this attempt |
//! | `{attempts}` | the directory of all run directories |
//! | `{state}` | the server's state directory |
//! | `{next}` | the attempt after the newest that has a run directory: `A-18` |
//! | `{other}` | the newest attempt besides this one that has no exit record; `A-none` when there is none |

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use e2e::fake::Call;
use shim_protocol::run_dir;

/// Where this run takes place, as it was when the agent started.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    ticket: String,
    stage: String,
    pub(crate) attempt: String,
    worker: String,
    worktree: PathBuf,
    /// Absent if the agent was given no file of its run directory.
    run: Option<PathBuf>,
    env: BTreeMap<String, String>,
}

impl Places {
    pub(crate) fn of(call: &Call) -> Self {
        // Every agent receives the path of its MCP configuration, which is in its run directory.
        let run = call.argument("--mcp-config").and_then(|file| Path::new(file).parent());
        Self {
            ticket: call.ticket.clone(),
            stage: call.stage.clone(),
            attempt: call.attempt.clone(),
            worker: call.worker.clone(),
            worktree: call.cwd.clone(),
            run: run.map(Path::to_owned),
            env: call.env.clone(),
        }
    }

    /// A variable of the agent's environment.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str)
    }

    /// The text with every name replaced.
    pub(crate) fn named(&self, text: &str) -> String {
        let mut named = text.to_owned();
        // Looked up only if needed: `{next}` and `{other}` list a directory.
        let mut replace = |name: &str, value: &dyn Fn() -> String| {
            if named.contains(name) {
                named = named.replace(name, &value());
            }
        };
        let shown = |path: &Path| path.display().to_string();
        replace("{ticket}", &|| self.ticket.clone());
        replace("{stage}", &|| self.stage.clone());
        replace("{attempt}", &|| self.attempt.clone());
        replace("{worker}", &|| self.worker.clone());
        replace("{worktree}", &|| shown(&self.worktree));
        replace("{run}", &|| shown(self.run()));
        replace("{attempts}", &|| shown(self.attempts()));
        replace("{state}", &|| shown(&self.state()));
        replace("{next}", &|| self.next());
        replace("{other}", &|| self.other());
        named
    }

    /// A path of the script: names replaced, relative to the directory in which the agent was
    /// started.
    pub(crate) fn path(&self, text: &str) -> PathBuf {
        self.worktree.join(self.named(text))
    }

    /// The directory of all run directories.
    pub(crate) fn attempts(&self) -> &Path {
        self.run().parent().expect("a run directory is below attempts/")
    }

    /// The server's state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.attempts().parent().expect("attempts/ is in the state directory").to_owned()
    }

    pub(crate) fn run(&self) -> &Path {
        self.run.as_deref().expect("the agent was started with a file of its run directory")
    }

    fn next(&self) -> String {
        let newest = self.numbers().into_iter().max().unwrap_or(0);
        format!("A-{}", newest + 1)
    }

    fn other(&self) -> String {
        let open = self.numbers().into_iter().filter(|number| {
            let name = format!("A-{number}");
            name != self.attempt && !self.attempts().join(&name).join(run_dir::EXIT).exists()
        });
        open.max().map_or_else(|| "A-none".to_owned(), |number| format!("A-{number}"))
    }

    /// The numbers of all attempts that have a run directory.
    fn numbers(&self) -> Vec<u64> {
        let entries = fs::read_dir(self.attempts()).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("A-")?.parse().ok())
            .collect()
    }
}
