//! The script: how its lines are read, and what each command does.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::attack;
use crate::attack::Attack;
use crate::places::Places;
use crate::stream::Stream;
use crate::stream::Verdict;
use crate::tree;

#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Act(Action),
    /// Prints the final message and continues: what follows happens after the result.
    Result(Verdict),
    /// `hang-after-result`: prints the result, then never exits.
    HangAfterResult,
    /// `ignore-term`: SIGTERM has no effect from here on.
    IgnoreTerm,
    /// `exit N`: exits at once, without a result.
    Exit(i32),
    /// `die SIGNAL`: dies by that signal, without a result.
    Die(Signal),
}

#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    /// `say TEXT`: prints one assistant message.
    Say(String),
    /// `sleep SECONDS`.
    Sleep(Duration),
    /// `write FILE TEXT`, relative to the working directory, like all paths here.
    Write(PathBuf, String),
    /// `append FILE TEXT`: appends one line.
    Append(PathBuf, String),
    /// `git ARGUMENTS`, split at spaces. An agent whose git fails gives up.
    Git(Vec<String>),
    /// `commit MESSAGE`: commits everything in the working directory.
    Commit(String),
    /// `run COMMAND`, in a shell. An agent whose command fails gives up.
    Run(String),
    /// `touch FILE`.
    Touch(PathBuf),
    /// `wait-for FILE`: waits until it exists.
    WaitFor(PathBuf),
    /// `fork SECONDS`: leaves a sleeping child in the process group, with the pipes open.
    Fork(Duration),
    /// `daemonize SECONDS`: leaves a sleeper in a session of its own, with all descriptors closed.
    Daemonize(Duration),
    /// `fork-storm N`: leaves N sleeping children.
    ForkStorm(u32),
    /// `allocate MEBIBYTES`: allocates this much memory, uses all of it, and keeps it.
    Allocate(usize),
    /// `flood BYTES`: prints at least this much valid stream.
    Flood(u64),
    /// `raw LINE`: prints that line of the stream unchanged.
    Raw(String),
    /// `garbage`: lines that are not JSON, bytes that are not text, and one line of 9 MiB.
    Garbage,
    /// What an agent does to its supervisors, see [`attack`].
    Attack(Attack),
}

/// What a stage does if the script says nothing: it completes.
pub(crate) fn done(stage: &str) -> Verdict {
    Verdict::Completed { report: format!("{stage} done") }
}

/// The commands of the prompt that apply to this run of this stage, in order.
pub(crate) fn for_run(prompt: &str, stage: &str, run: u32) -> Result<Vec<Command>, String> {
    prompt
        .lines()
        .filter_map(|line| line.trim_start_matches([' ', '>']).strip_prefix("fake: "))
        .try_fold(Vec::new(), |mut commands, line| {
            let (target, command) =
                line.split_once(": ").ok_or_else(|| format!("no stage in `fake: {line}`"))?;
            let (target, wanted_run) = match target.split_once('#') {
                Some((target, number)) => {
                    let number: u32 =
                        number.parse().map_err(|_| format!("no run number in `{line}`"))?;
                    (target, Some(number))
                }
                None => (target, None),
            };
            if (target == "*" || target == stage) && wanted_run.is_none_or(|wanted| wanted == run) {
                commands.push(command.parse()?);
            }
            Ok(commands)
        })
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (verb, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        let path_and_text = || {
            let (path, text) = rest.split_once(' ').unwrap_or((rest, ""));
            (PathBuf::from(path), text.to_owned())
        };
        let seconds = || number::<f64>(line, rest).map(Duration::from_secs_f64);
        Ok(match verb {
            "say" => Self::Act(Action::Say(rest.to_owned())),
            "sleep" => Self::Act(Action::Sleep(seconds()?)),
            "write" => {
                let (path, text) = path_and_text();
                Self::Act(Action::Write(path, text))
            }
            "append" => {
                let (path, text) = path_and_text();
                Self::Act(Action::Append(path, text))
            }
            "git" => Self::Act(Action::Git(rest.split(' ').map(str::to_owned).collect())),
            "run" => Self::Act(Action::Run(rest.to_owned())),
            "commit" => Self::Act(Action::Commit(rest.to_owned())),
            "touch" => Self::Act(Action::Touch(rest.into())),
            "wait-for" => Self::Act(Action::WaitFor(rest.into())),
            "fork" => Self::Act(Action::Fork(seconds()?)),
            "daemonize" => Self::Act(Action::Daemonize(seconds()?)),
            "fork-storm" => Self::Act(Action::ForkStorm(number(line, rest)?)),
            "allocate" => Self::Act(Action::Allocate(number(line, rest)?)),
            "flood" => Self::Act(Action::Flood(number(line, rest)?)),
            "raw" => Self::Act(Action::Raw(rest.to_owned())),
            "garbage" => Self::Act(Action::Garbage),
            "ignore-term" => Self::IgnoreTerm,
            "complete" => Self::Result(Verdict::Completed { report: rest.to_owned() }),
            // `rework - TEXT` names no stage.
            "rework" => {
                let (stage, report) = rest.split_once(' ').unwrap_or((rest, "sent back"));
                let stage = (stage != "-").then(|| stage.to_owned());
                Self::Result(Verdict::Rework { stage, report: report.to_owned() })
            }
            // `tickets JSON`: completes with the list on the rest of the line.
            "tickets" => {
                let tickets = serde_json::from_str(rest).map_err(|e| format!("{e}: `{line}`"))?;
                Self::Result(Verdict::Planned { tickets })
            }
            "block" => Self::Result(Verdict::Blocked { question: rest.to_owned() }),
            "bad-result" => Self::Result(Verdict::BadShape),
            "no-output" => Self::Result(Verdict::NoOutput),
            "max-turns" => Self::Result(Verdict::MaxTurns),
            "api-error" => {
                let (status, error) = rest.split_once(' ').unwrap_or((rest, "server_error"));
                let status = number(line, status)?;
                Self::Result(Verdict::ApiError { status, error: error.to_owned() })
            }
            "hang-after-result" => Self::HangAfterResult,
            "exit" => Self::Exit(number(line, rest)?),
            "die" => Self::Die(
                Signal::from_str(&format!("SIG{}", rest.trim_start_matches("SIG")))
                    .map_err(|_| format!("no such signal: `{line}`"))?,
            ),
            verb => match attack::parse(verb, rest) {
                Some(parsed) => Self::Act(Action::Attack(parsed?)),
                None => return Err(format!("no such command: `{line}`")),
            },
        })
    }
}

/// Performs one step. The error is the reason why the agent gives up.
pub(crate) fn act(action: &Action, stream: &mut Stream, places: &Places) -> Result<(), String> {
    let named = |text: &str| places.named(text);
    let own = |path: &Path| places.path(&path.display().to_string());
    match action {
        Action::Say(text) => stream.say(text),
        Action::Sleep(duration) => std::thread::sleep(*duration),
        Action::Write(path, text) => fs::write(own(path), named(text)).expect("writable"),
        Action::Append(path, text) => append(&own(path), &named(text)),
        Action::Git(arguments) => {
            git(&arguments.iter().map(|one| named(one)).collect::<Vec<_>>())?;
        }
        Action::Commit(message) => {
            git(&["add".to_owned(), "--all".to_owned()])?;
            git(&["commit".to_owned(), "--quiet".to_owned(), "-m".to_owned(), named(message)])?;
        }
        Action::Run(command) => run(&named(command))?,
        Action::Touch(path) => append_bytes(&own(path), b""),
        Action::WaitFor(path) => {
            let path = own(path);
            while !path.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Action::Fork(duration) => tree::leave_child(*duration),
        Action::Daemonize(duration) => tree::daemonize(*duration),
        Action::ForkStorm(children) => {
            for _ in 0..*children {
                tree::leave_child(Duration::from_hours(1));
            }
        }
        Action::Allocate(mebibytes) => std::mem::forget(vec![1_u8; mebibytes << 20]),
        Action::Flood(bytes) => stream.flood(*bytes),
        Action::Raw(line) => stream.raw_line(line),
        Action::Garbage => stream.garbage(),
        Action::Attack(attack) => attack::act(attack, places)?,
    }
    Ok(())
}

/// As a real agent would, but without the user's hooks: whatever a hook records was caused by the
/// server.
fn git(arguments: &[String]) -> Result<(), String> {
    let status = std::process::Command::new("git")
        .args(["-c", "user.name=Agent", "-c", "user.email=agent@localhost"])
        .args(["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false", "-c", "gc.auto=0"])
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .expect("git runs");
    if status.success() { Ok(()) } else { Err(format!("git {arguments:?}: {status}")) }
}

fn run(command: &str) -> Result<(), String> {
    let status = std::process::Command::new("sh")
        .args(["-c", command])
        .stdin(std::process::Stdio::null())
        // The stream is for messages.
        .stdout(std::process::Stdio::null())
        .status()
        .expect("a shell runs");
    if status.success() { Ok(()) } else { Err(format!("{command}: {status}")) }
}

fn append(path: &Path, text: &str) {
    append_bytes(path, format!("{text}\n").as_bytes());
}

fn append_bytes(path: &Path, bytes: &[u8]) {
    let mut file = fs::File::options().create(true).append(true).open(path).expect("writable");
    file.write_all(bytes).expect("writable");
}

fn number<T: FromStr>(line: &str, text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("no number in `{line}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_applies_to_its_stage_and_run_only() {
        let prompt = "# T-1\nfake: impl: say hi\n  fake: impl#2: exit 3\nfake: *: touch x\nfake: review: garbage\n";
        let say = || Command::Act(Action::Say("hi".to_owned()));
        let touch = || Command::Act(Action::Touch("x".into()));
        assert_eq!(for_run(prompt, "impl", 1), Ok(vec![say(), touch()]));
        assert_eq!(for_run(prompt, "impl", 2), Ok(vec![say(), Command::Exit(3), touch()]));
        assert_eq!(for_run(prompt, "design", 1), Ok(vec![touch()]));
    }

    #[test]
    fn a_mistake_in_a_script_is_an_error() {
        assert!(for_run("fake: *: dance", "impl", 1).is_err());
        assert!(for_run("fake: dance", "impl", 1).is_err());
        assert!(for_run("fake: *: exit soon", "impl", 1).is_err());
    }
}
