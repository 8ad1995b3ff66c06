//! How the lines of agents are printed: in which form, from when on, and how many of them.

use std::collections::VecDeque;
use std::io;

use serde_json::Value;
use serde_json::json;
use shim_protocol::grant::GrantKind;
use shim_protocol::run_dir::Stream;

use super::options::Logs;
use crate::cli::output;
use crate::cli::terminal::Line;
use crate::cli::terminal::Output;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Tone;
use crate::cli::terminal::read_time;
use crate::cli::transcript;
use crate::domain::id::AttemptId;
use crate::domain::time::Timestamp;

/// The columns of a time of the day.
const CLOCK: usize = 10;

/// In which form lines are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// For people.
    Words { verbose: bool },
    /// As the agent wrote them.
    Raw,
    /// For scripts.
    Json,
    /// As text without what a terminal would act on.
    Text,
}

/// One printed line.
#[derive(Debug)]
enum Printed {
    Line(Line),
    Json(Value),
    Raw(String),
}

/// Prints what agents wrote.
#[derive(Debug)]
pub(super) struct Writer<'s> {
    screen: &'s Screen,
    output: Output<'s>,
    form: Form,
    stream: Stream,
    /// The attempt ran commands: everything they wrote is in one stream, and none of it is a message of an agent.
    is_of_commands: bool,
    since: Option<Timestamp>,
    /// The time of the last line that had one.
    at: Option<Timestamp>,
    /// The last lines, while only those are wanted.
    held: Option<(usize, VecDeque<Printed>)>,
    /// What to tell when all is printed.
    note: Option<String>,
}

impl<'s> Writer<'s> {
    pub(super) fn new(command: &Logs, screen: &'s Screen, output: Output<'s>) -> Self {
        let form = match (command.json, command.raw, command.stderr) {
            (true, ..) => Form::Json,
            (false, true, _) => Form::Raw,
            (false, false, true) => Form::Text,
            (false, false, false) => Form::Words { verbose: command.verbose },
        };
        Self {
            screen,
            output,
            form,
            is_of_commands: false,
            stream: if command.stderr { Stream::Stderr } else { Stream::Stdout },
            since: command.since.map(|since| since.instant(screen.now())),
            at: None,
            held: command.limit.map(|limit| (limit, VecDeque::new())),
            note: None,
        }
    }

    pub(super) fn stream(&self) -> Stream {
        if self.is_of_commands { Stream::Stderr } else { self.stream }
    }

    /// What follows was written by an agent, or by the commands of a setup or a gate.
    pub(super) fn read(&mut self, kind: GrantKind) {
        self.is_of_commands = !kind.is_agent();
    }

    /// Whether an attempt that ended then has nothing to show.
    pub(super) fn is_before(&self, ended: Option<&str>) -> bool {
        let ended = ended.and_then(read_time);
        self.since.zip(ended).is_some_and(|(since, ended)| ended < since)
    }

    /// A heading, or a verdict, between what agents wrote. Scripts read only that.
    pub(super) fn say(&mut self, line: Line) -> io::Result<()> {
        match self.form {
            Form::Words { .. } | Form::Text => self.put(Printed::Line(line)),
            Form::Raw | Form::Json => Ok(()),
        }
    }

    /// An instant as it stands in a heading.
    pub(super) fn at(&self, at: &str) -> String {
        self.screen.at(at)
    }

    /// Sentences with the instants in them as this screen shows them.
    pub(super) fn told(&self, text: &str) -> String {
        self.screen.told(text)
    }

    /// A note beside the output, once it is complete.
    pub(super) fn tell(&mut self, note: String) {
        self.note = Some(note);
    }

    /// A line that an agent wrote. `seen` is now, when it was written just now.
    pub(super) fn line(
        &mut self,
        attempt: AttemptId,
        line: &str,
        seen: Option<Timestamp>,
    ) -> io::Result<()> {
        let said = transcript::written_at(line).as_deref().and_then(read_time);
        let at = said.or(seen);
        self.at = at.or(self.at);
        if self.since.zip(self.at).is_some_and(|(since, at)| at < since) {
            return Ok(());
        }
        let form = match self.form {
            Form::Words { .. } if self.is_of_commands => Form::Text,
            form @ (Form::Words { .. } | Form::Raw | Form::Json | Form::Text) => form,
        };
        match form {
            Form::Json => self.put(Printed::Json(object(attempt, self.stream(), line))),
            Form::Raw => self.put(Printed::Raw(line.to_owned())),
            Form::Text => self.put(Printed::Line(Line::verbatim(line))),
            Form::Words { verbose } => {
                let clock = at.map(|at| self.screen.clock(at)).unwrap_or_default();
                for (index, told) in transcript::told(line, verbose).into_iter().enumerate() {
                    let clock = if index == 0 { clock.as_str() } else { "" };
                    let indent = told.text.len() - told.text.trim_start().len();
                    let line = Line::new().toned(format!("{clock:<CLOCK$}"), Tone::Faint);
                    let line = line.toned(told.text, told.tone).hang(CLOCK + indent);
                    self.put(Printed::Line(line))?;
                }
                Ok(())
            }
        }
    }

    fn put(&mut self, printed: Printed) -> io::Result<()> {
        let Some((limit, held)) = &mut self.held else { return self.write(printed) };
        held.push_back(printed);
        if held.len() > *limit {
            held.pop_front();
        }
        Ok(())
    }

    /// Prints the last lines that were held back; from now on each is printed as it comes.
    pub(super) fn release(&mut self) -> io::Result<()> {
        let held = self.held.take().map(|(_, held)| held).unwrap_or_default();
        held.into_iter().try_for_each(|printed| self.write(printed))
    }

    fn write(&mut self, printed: Printed) -> io::Result<()> {
        match printed {
            Printed::Json(value) => self.output.plain(&output::on_one_line(&value)),
            Printed::Raw(line) => self.output.plain(&output::plain(&line)),
            Printed::Line(line) => {
                let mut page = Page::new();
                page.line(line);
                self.output.page(&page)
            }
        }
    }

    /// Prints what is left; returns the note that belongs beside it.
    pub(super) fn close(mut self) -> io::Result<Option<String>> {
        self.release()?;
        self.output.close()?;
        Ok(self.note)
    }
}

/// One line of an agent for scripts: what is JSON as it is, all else as text.
fn object(attempt: AttemptId, stream: Stream, line: &str) -> Value {
    let attempt = attempt.to_string();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_scripts_every_line_is_an_object() {
        let attempt: AttemptId = "A-3".parse().expect("an id");
        assert_eq!(
            object(attempt, Stream::Stdout, r#"{"type":"result"}"#),
            json!({"attempt_id": "A-3", "stream": "stdout", "message": {"type": "result"}})
        );
        for text in ["not JSON", "[1]", "7", ""] {
            assert_eq!(
                object(attempt, Stream::Stderr, text),
                json!({"attempt_id": "A-3", "stream": "stderr", "text": text})
            );
        }
    }
}
