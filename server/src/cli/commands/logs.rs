//! `logs`: the transcript of an attempt, from its run directory.

use std::fs;
use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use clap::Args;
use serde_json::Value;
use serde_json::json;
use shim_protocol::plain_file;
use shim_protocol::run_dir;
use shim_protocol::run_dir::Stream;

use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::transcript;
use crate::config;
use crate::config::Environment;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::exit::Exit;
use crate::state;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[expect(clippy::doc_markdown, reason = "clap prints these comments as they are")]
pub struct Logs {
    /// An attempt, such as A-17, or a ticket, such as T-42, for its latest attempt
    #[arg(value_name = "ATTEMPT|TICKET")]
    pub id: String,
    /// Print the standard error of the agent instead
    #[arg(long)]
    pub stderr: bool,
    /// Keep printing until the attempt ends
    #[arg(long, short)]
    pub follow: bool,
    /// Print the lines as the agent wrote them
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
    /// Print one JSON object per line: attempt_id, stream, and message (a line of JSON) or text (any other line)
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

/// Most bytes of one segment that are read before what they say is printed.
const MOST_AT_ONCE: u64 = 1 << 30;

/// Between two looks at the files of a running attempt.
const LOOK: Duration = Duration::from_millis(250);

pub async fn run(command: &Logs, environment: &Environment) -> anyhow::Result<Exit> {
    let config = config::load(&command.connection.flags(), environment)?;
    let attempts = config.state_dir.join(state::ATTEMPTS);
    let run_dir = find(&attempts, &command.id)?;
    let stream = if command.stderr { Stream::Stderr } else { Stream::Stdout };
    let mut reader = Reader { run_dir, stream, number: 0, offset: 0, rest: Vec::new() };
    loop {
        // Asked before reading: what is written before the end is then read after it was seen.
        let ended = !command.follow || run_dir::read_exit(&reader.run_dir)?.is_some();
        for line in reader.read(ended)? {
            if command.json {
                output::line(object(&reader.run_dir, stream, &line))?;
            } else if command.raw || command.stderr {
                output::line(if command.raw { line } else { output::plain(&line) })?;
            } else {
                transcript::readable(&line).into_iter().try_for_each(output::line)?;
            }
        }
        if ended {
            return Ok(Exit::Ok);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// One line of an agent for scripts: what is JSON as it is, all else as text.
fn object(run_dir: &Path, stream: Stream, line: &str) -> Value {
    let attempt = run_dir.file_name().unwrap_or_default().to_string_lossy();
    let stream = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    match serde_json::from_str::<Value>(line) {
        Ok(message @ Value::Object(_)) => {
            json!({"attempt_id": attempt, "stream": stream, "message": message})
        }
        Ok(_) | Err(_) => json!({"attempt_id": attempt, "stream": stream, "text": line}),
    }
}

/// The run directory of an attempt, or of a ticket's latest one.
fn find(attempts: &Path, id: &str) -> anyhow::Result<PathBuf> {
    if let Ok(attempt) = id.parse::<AttemptId>() {
        let path = attempts.join(attempt.to_string());
        if path.is_dir() {
            return Ok(path);
        }
        bail!(
            "there is no run directory {}: it was removed, or the attempt belongs to another server (--state-dir)",
            path.display()
        );
    }
    let Ok(ticket) = id.parse::<TicketId>() else {
        bail!("{id:?} is neither an attempt such as A-17 nor a ticket such as T-42");
    };
    let entries =
        fs::read_dir(attempts).with_context(|| format!("could not read {}", attempts.display()))?;
    let mut found: Vec<AttemptId> = Vec::new();
    for entry in entries {
        let name =
            entry.with_context(|| format!("could not read {}", attempts.display()))?.file_name();
        found.extend(name.to_str().and_then(|name| name.parse::<AttemptId>().ok()));
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    for attempt in found {
        let path = attempts.join(attempt.to_string());
        // A directory whose grant cannot be read is not this ticket's for all we know; the others may be.
        let grant = run_dir::read_grant(&path).ok().flatten();
        if grant.is_some_and(|grant| grant.ticket_id == ticket.to_string()) {
            return Ok(path);
        }
    }
    bail!("{ticket} has no attempt in {}", attempts.display())
}

/// Reads on where it stopped, over the boundaries of segments.
struct Reader {
    run_dir: PathBuf,
    stream: Stream,
    /// The segment being read; 0 before the first.
    number: u32,
    offset: u64,
    /// A line whose end is not written yet.
    rest: Vec<u8>,
}

impl Reader {
    fn read(&mut self, ended: bool) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        for path in run_dir::segments(&self.run_dir, self.stream)? {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(number) = name.and_then(|name| self.stream.number_of(name)) else { continue };
            if number < self.number {
                continue;
            }
            if number > self.number {
                if self.number > 0 && number > self.number + 1 {
                    output::note("(older output was dropped)");
                }
                (self.number, self.offset) = (number, 0);
            }
            let before = self.rest.len();
            match read_from(&path, self.offset, &mut self.rest) {
                Ok(()) => {}
                // Dropped between the listing and the reading.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("could not read {}", path.display()));
                }
            }
            self.offset += u64::try_from(self.rest.len() - before)?;
            lines.extend(self.whole_lines());
        }
        if ended && !self.rest.is_empty() {
            lines.push(String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned());
        }
        Ok(lines)
    }

    fn whole_lines(&mut self) -> Vec<String> {
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect()
    }
}

fn read_from(path: &Path, offset: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let mut file = plain_file::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    file.take(MOST_AT_ONCE).read_to_end(into).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_over_segments_and_time() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let write = |number, text: &str| {
            fs::write(dir.path().join(Stream::Stdout.segment(number)), text).expect("writes");
        };
        let mut reader = Reader {
            run_dir: dir.path().to_owned(),
            stream: Stream::Stdout,
            number: 0,
            offset: 0,
            rest: Vec::new(),
        };
        write(3, "one\ntw");
        assert_eq!(reader.read(false).expect("reads"), ["one"]);
        write(3, "one\ntwo\n");
        write(4, "three\nfou");
        assert_eq!(reader.read(false).expect("reads"), ["two", "three"]);
        assert_eq!(reader.read(true).expect("reads"), ["fou"]);
    }

    #[test]
    fn for_scripts_every_line_is_an_object() {
        let run_dir = Path::new("/state/attempts/A-3");
        assert_eq!(
            object(run_dir, Stream::Stdout, r#"{"type":"result"}"#),
            json!({"attempt_id": "A-3", "stream": "stdout", "message": {"type": "result"}})
        );
        for text in ["not JSON", "[1]", "7", ""] {
            assert_eq!(
                object(run_dir, Stream::Stderr, text),
                json!({"attempt_id": "A-3", "stream": "stderr", "text": text})
            );
        }
    }

    #[test]
    fn an_unknown_id_says_what_one_looks_like() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let words = |id| find(dir.path(), id).expect_err("is not there").to_string();
        assert!(words("W-1").contains("neither an attempt such as A-17"));
        assert!(words("A-1").contains("no run directory"));
        assert!(words("T-1").starts_with("T-1 has no attempt in "));
    }
}
