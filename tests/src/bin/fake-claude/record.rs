//! Records how the agent was called, counts its runs, and notices a second agent on the same
//! ticket.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use e2e::fake;
use e2e::fake::Call;
use e2e::fake::CallEnd;
use serde::Serialize;

#[expect(clippy::disallowed_methods, reason = "the record says when the process really ran")]
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_nanos()).expect("before 2554")
}

/// The contents of the file of a session whose work is done.
const DONE: &[u8] = b"done";

pub(crate) struct Recorder {
    /// `CLAUDE_FAKE_DIR`; without it nothing is recorded.
    directory: Option<PathBuf>,
    call: Call,
    /// Held as long as this process lives; the kernel releases it however the process ends.
    _running: Option<File>,
}

impl Recorder {
    pub(crate) fn begin(argv: Vec<String>, prompt: &str, started_ns: u64) -> Self {
        let env: std::collections::BTreeMap<String, String> = std::env::vars_os()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .collect();
        let of = |name: &str| env.get(name).cloned().unwrap_or_default();
        let directory = env.get(fake::DIRECTORY_VARIABLE).map(PathBuf::from);
        let (ticket, stage) = (of("VIBE_ENSEMBLE_TICKET"), of("VIBE_ENSEMBLE_STAGE"));
        let run = directory.as_deref().map_or(1, |directory| count_run(directory, &ticket, &stage));
        let call = Call {
            run,
            ticket,
            stage,
            attempt: of("VIBE_ENSEMBLE_ATTEMPT"),
            worker: of("VIBE_ENSEMBLE_WORKER"),
            argv,
            cwd: std::env::current_dir().unwrap_or_default(),
            prompt: prompt.to_owned(),
            pid: i32::try_from(std::process::id()).expect("a pid is small"),
            started_ns,
            env,
        };
        let running = directory.as_deref().and_then(|directory| hold_ticket(directory, &call));
        if let Some(directory) = &directory {
            write(&directory.join("calls"), &call.name(), &call);
        }
        Self { directory, call, _running: running }
    }

    pub(crate) fn call(&self) -> &Call {
        &self.call
    }

    /// The script that lies in a file instead of the ticket's description, if there is one.
    pub(crate) fn filed_script(&self) -> String {
        let Some(directory) = &self.directory else { return String::new() };
        let file = directory.join(fake::SCRIPTS).join(&self.call.ticket);
        fs::read_to_string(file).unwrap_or_default()
    }

    /// The session to announce, by claude's rules: a new id must be unused, a resumed one must
    /// exist.
    pub(crate) fn open_session(&self) -> Result<String, String> {
        let asked = |name: &str| self.call.argument(name).map(str::to_owned);
        let (Some(session), resumed) = (match asked("--resume") {
            Some(session) => (Some(session), true),
            None => (asked("--session-id"), false),
        }) else {
            return Ok(uuid::Uuid::new_v4().to_string());
        };
        let Some(directory) = &self.directory else { return Ok(session) };
        let file = directory.join("sessions").join(&session);
        if resumed {
            if file.exists() {
                return Ok(session);
            }
            crate::stream::print_unknown_session(&session);
            return Err(format!("No conversation found with session ID: {session}"));
        }
        match File::create_new(&file) {
            Ok(_) => Ok(session),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(format!("Error: Session ID {session} is already in use."))
            }
            Err(error) => panic!("could not write {}: {error}", file.display()),
        }
    }

    /// The lines that the agent obeys: those of the prompt or, if it has none, those that its session read before, as a
    /// real session knows them from its transcript. A question about its outcome is no order to do its work again.
    pub(crate) fn script(&self, prompt: &str) -> String {
        if self.call.is_question() {
            return prompt.to_owned();
        }
        let Some(file) = self.session_file().map(|file| file.with_extension("script")) else {
            return prompt.to_owned();
        };
        if prompt.contains("fake: ") {
            fs::write(file, prompt).expect("writable");
            return prompt.to_owned();
        }
        fs::read_to_string(file).unwrap_or_else(|_| prompt.to_owned())
    }

    /// Records in the session that all its work is done, as a real session knows from its
    /// transcript.
    pub(crate) fn work_done(&self) {
        // Without records there are no sessions either.
        if let Some(file) = self.session_file().filter(|file| file.exists()) {
            fs::write(file, DONE).expect("writable");
        }
    }

    /// Whether this session knows that it has done all its work.
    pub(crate) fn knows_of_work_done(&self) -> bool {
        let file = self.session_file();
        file.is_some_and(|file| fs::read(file).is_ok_and(|text| text == DONE))
    }

    fn session_file(&self) -> Option<PathBuf> {
        let session = ["--resume", "--session-id"].iter().find_map(|name| self.call.argument(name));
        Some(self.directory.as_ref()?.join("sessions").join(session?))
    }

    /// Records the end and returns this process's exit code.
    pub(crate) fn end(&self, exit_code: i32) -> ExitCode {
        if let Some(directory) = &self.directory {
            let end = CallEnd { exit_code, ended_ns: now_ns() };
            write(&directory.join("ends"), &self.call.name(), &end);
        }
        ExitCode::from(u8::try_from(exit_code).expect("an exit code fits a byte"))
    }
}

/// The number of this run of the stage. The files are created exclusively, so two agents never take
/// the same number.
fn count_run(directory: &Path, ticket: &str, stage: &str) -> u32 {
    let runs = directory.join("runs");
    (1..=u32::MAX)
        .find(|run| match File::create_new(runs.join(fake::name(ticket, stage, *run))) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => panic!("could not write in {}: {error}", runs.display()),
        })
        .expect("runs are few")
}

/// Takes the ticket's lock; leaves a note if another live agent has it.
fn hold_ticket(directory: &Path, call: &Call) -> Option<File> {
    let path = directory.join("running").join(&call.ticket);
    let file = File::options().create(true).append(true).open(&path).expect("writable");
    if file.try_lock().is_ok() {
        return Some(file);
    }
    let note = format!("{}.{}", call.name(), call.pid);
    fs::write(directory.join("overlaps").join(note), "").expect("writable");
    None
}

/// Writes a record atomically: a reader never sees half of it.
fn write(directory: &Path, name: &str, record: &impl Serialize) {
    let temporary = directory.join(format!(".{name}"));
    let mut file = File::create(&temporary).expect("the harness made the directory");
    let bytes = serde_json::to_vec(record).expect("plain data");
    file.write_all(&bytes).expect("writable");
    fs::rename(&temporary, directory.join(name)).expect("same directory");
}
