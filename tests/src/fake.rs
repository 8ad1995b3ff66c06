//! What `fake-claude` records, and how a scenario reads it.
//!
//! The directory named by `CLAUDE_FAKE_DIR` contains `runs/` (one file per run, created
//! exclusively: the count), `calls/` (one record per run), `ends/` (one more if the run ended by
//! itself), `running/` (one lock per ticket), `overlaps/` (two agents on one ticket at once: always
//! a bug), `sessions/` (the session ids in use) and `attacks/` (one file per attack that an agent
//! was about to make).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Names the directory; begins with `CLAUDE_`, so the allow-list passes it on.
pub const DIRECTORY_VARIABLE: &str = "CLAUDE_FAKE_DIR";

/// The directory of scripts that are in no description; each is named by its ticket.
pub const SCRIPTS: &str = "scripts";

/// One run of the agent, recorded before it does anything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// 1 for the first run of this stage of this ticket, then 2, 3, ….
    pub run: u32,
    pub ticket: String,
    pub stage: String,
    pub attempt: String,
    pub worker: String,
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub cwd: PathBuf,
    /// Everything that arrived on standard input.
    pub prompt: String,
    pub pid: i32,
    /// Unix nanoseconds at the first instruction of `main`.
    pub started_ns: u64,
}

/// Written when a run ends by itself; a killed run has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallEnd {
    pub exit_code: i32,
    pub ended_ns: u64,
}

/// The server's prompt that asks a session for the outcome of its work.
const ASKS_OUTCOME: &str = include_str!("../../server/src/domain/prompt/words/asks-outcome.md");

/// Whether a prompt, or a request that contains one, only asks a session for the outcome of its work.
#[must_use]
pub fn asks_outcome(text: &str) -> bool {
    let first = ASKS_OUTCOME.lines().next().and_then(|line| line.split_once("{ticket}"));
    let (_, sentence) = first.expect("its first line names the ticket");
    text.contains(sentence)
}

impl Call {
    /// The value after an option, in either form: `--name value` or `--name=value`.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}=");
        self.argv.iter().enumerate().find_map(|(index, argument)| {
            if argument == name {
                self.argv.get(index + 1).map(String::as_str)
            } else {
                argument.strip_prefix(&prefix)
            }
        })
    }

    /// Whether any argument contains the text.
    #[must_use]
    pub fn argv_has(&self, text: &str) -> bool {
        self.argv.iter().any(|argument| argument.contains(text))
    }

    /// Whether it does no work and only asks a session for the outcome of its work.
    #[must_use]
    pub fn is_question(&self) -> bool {
        asks_outcome(&self.prompt)
    }

    /// The file name of this call's records.
    #[must_use]
    pub fn name(&self) -> String {
        name(&self.ticket, &self.stage, self.run)
    }
}

/// The name under which one run of a stage is recorded.
#[must_use]
pub fn name(ticket: &str, stage: &str, run: u32) -> String {
    format!("{ticket}.{stage}.{run}")
}

/// The record of everything the scripted agents of one test did.
#[derive(Clone, Debug)]
pub struct CallLog {
    directory: PathBuf,
}

impl CallLog {
    /// The directories in it.
    pub const PARTS: [&str; 7] =
        ["runs", "calls", "ends", "running", "overlaps", "sessions", "attacks"];

    /// Makes the directories, so that an agent never has to.
    pub fn create(directory: PathBuf) -> io::Result<Self> {
        for part in Self::PARTS {
            fs::create_dir_all(directory.join(part))?;
        }
        Ok(Self { directory })
    }

    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// All calls so far, in the order they started.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        let mut calls: Vec<Call> = self
            .names("calls")
            .iter()
            .map(|name| read(&self.directory.join("calls").join(name)).expect("listed just now"))
            .collect();
        calls.sort_by_key(|call| call.started_ns);
        calls
    }

    /// The calls for one stage of one ticket, first run first.
    #[must_use]
    pub fn calls_of(&self, ticket: &str, stage: &str) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.ticket == ticket && call.stage == stage);
        calls
    }

    /// The one call for a stage of a ticket. Panics if there was none, or more than one.
    #[must_use]
    pub fn only_call_of(&self, ticket: &str, stage: &str) -> Call {
        let mut calls = self.calls_of(ticket, stage);
        assert_eq!(calls.len(), 1, "runs of {ticket}/{stage}");
        calls.remove(0)
    }

    /// How many times each `ticket.stage` ran.
    #[must_use]
    pub fn runs(&self) -> BTreeMap<String, u32> {
        let mut runs = BTreeMap::new();
        for name in self.names("runs") {
            let (stage, _) = name.rsplit_once('.').expect("a run is named ticket.stage.run");
            *runs.entry(stage.to_owned()).or_insert(0) += 1;
        }
        runs
    }

    /// How the run ended; `None` if it has not ended, or was killed.
    #[must_use]
    pub fn end_of(&self, call: &Call) -> Option<CallEnd> {
        read(&self.directory.join("ends").join(call.name()))
    }

    /// The runs that found another agent on the same ticket.
    #[must_use]
    pub fn overlaps(&self) -> Vec<String> {
        self.names("overlaps")
    }

    /// How many times agents made each kind of attack, by the name that their scripts gave it.
    #[must_use]
    pub fn attacks(&self) -> BTreeMap<String, u32> {
        let mut attacks = BTreeMap::new();
        for name in self.names("attacks") {
            let (_, kind) = name.rsplit_once('.').expect("an attack is named ATTEMPT.KIND");
            *attacks.entry(kind.to_owned()).or_insert(0) += 1;
        }
        attacks
    }

    fn names(&self, part: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.directory.join(part))
            .expect("the harness made it")
            .map(|entry| entry.expect("readable").file_name().into_string().expect("ASCII names"))
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => panic!("could not read {}: {error}", path.display()),
    };
    Some(serde_json::from_slice(&bytes).expect("a record is renamed into place when whole"))
}
