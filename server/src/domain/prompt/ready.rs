//! What a worker must know about how its directory was made ready, and which gates await its work.

use std::fmt::Write as _;

use crate::domain::checks::Checks;
use crate::domain::checks::Copied;
use crate::domain::checks::Gate;
use crate::domain::judging::due::Changes;
use crate::domain::judging::due::Occasion;
use crate::domain::judging::due::due;
use crate::domain::text;
use crate::domain::text::shown;

const CANNOT_FAIL: &str = "writing to a String cannot fail";

/// What a ticket has besides its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    pub checks: Checks,
    /// The first port of its block, and how many there are.
    pub ports: Option<(i64, i64)>,
    pub copied: Option<Copied>,
}

/// The most gates whose commands a prompt lists.
const LISTED: usize = 20;

/// The section on the directory; empty if nothing was done there.
pub(super) fn directory(ready: &Ready, is_worktree: bool) -> String {
    let mut text = String::new();
    if let Some(copied) = ready.copied.as_ref().filter(|copied| is_worktree && copied.files > 0) {
        let files = text::counted(copied.files, "file");
        line(
            &mut text,
            &format!(
                "{files} that git ignores came from the project's checkout, such as local settings. They may be secrets: commit \
                 none of them and repeat none in a report."
            ),
        );
    }
    if is_worktree && !ready.checks.worktree.setup.is_empty() {
        let commands: Vec<String> =
            ready.checks.worktree.setup.iter().map(|argv| format!("`{}`", command(argv))).collect();
        line(
            &mut text,
            &format!("This ran here before the first attempt: {}.", commands.join(", ")),
        );
    }
    if let Some((first, count)) = ready.ports {
        let ports = match count {
            1 => format!("The port {first} is"),
            _ => format!("The ports {first} to {} are", first + count - 1),
        };
        line(
            &mut text,
            &format!(
                "{ports} this ticket's alone; VIBE_ENSEMBLE_PORT is the first. Use them for servers that you start."
            ),
        );
    }
    text
}

/// The section on gates; empty if none awaits this stage.
pub(super) fn gates(checks: &Checks, stage: &str) -> String {
    let occasion = Occasion::Stage { stage, moved: true };
    let awaiting = due(checks, occasion, Changes::Unknown);
    if awaiting.is_empty() {
        return String::new();
    }
    let mut text = include_str!("words/gates.md").to_owned();
    text.push('\n');
    for gate in awaiting.iter().take(LISTED) {
        line(&mut text, &one(gate));
    }
    if let Some(more) = awaiting.len().checked_sub(LISTED).filter(|more| *more > 0) {
        line(&mut text, &format!("and {more} more"));
    }
    let protected: Vec<String> = checks
        .gates
        .iter()
        .flat_map(|gate| &gate.protected)
        .map(|glob| format!("`{}`", shown(glob)))
        .collect();
    if !protected.is_empty() {
        let files = protected.join(", ");
        writeln!(
            text,
            "\nFiles that match {files} decide what the gates find. If you change one, somebody must agree before your work \
             counts; say in your report why the change is right."
        )
        .expect(CANNOT_FAIL);
    }
    text
}

fn one(gate: &Gate) -> String {
    let mut text = format!("{}: `{}`", shown(&gate.name), command(&gate.command));
    if !gate.directory.is_empty() {
        write!(text, ", in {}", shown(&gate.directory)).expect(CANNOT_FAIL);
    }
    if !gate.when_changed.is_empty() {
        let globs: Vec<String> =
            gate.when_changed.iter().map(|glob| format!("`{}`", shown(glob))).collect();
        write!(text, ", if the ticket changes {}", globs.join(" or ")).expect(CANNOT_FAIL);
    }
    text
}

/// An argv as a shell would take it, on one line.
fn command(argv: &[String]) -> String {
    let word = |word: &String| {
        let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
        let text = shown(word);
        if !text.is_empty() && text.chars().all(is_plain) {
            text
        } else {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn line(text: &mut String, what: &str) {
    writeln!(text, "- {what}").expect(CANNOT_FAIL);
}
