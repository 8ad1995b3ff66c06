//! The pager: where git would use one, and as git finds it.

use std::io;
use std::io::Write as _;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::Stdio;

use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use crate::config::Environment;

/// The command that shows what is longer than the screen; none when nobody wants one.
#[must_use]
pub(super) fn command(environment: &Environment) -> Option<String> {
    let names = ["VIBE_ENSEMBLE_PAGER", "PAGER"];
    let given = names.into_iter().find_map(|name| environment.get(name));
    let command = given.unwrap_or("less").trim();
    (!command.is_empty() && command != "cat").then(|| command.to_owned())
}

/// A pager that is being written to.
#[derive(Debug)]
pub(super) struct Pager {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Keeps an interrupt from ending this program under the pager, which takes it for "stop scrolling".
    _interrupts: Option<Signal>,
}

impl Pager {
    /// Starts it; none when it cannot be started.
    pub(super) fn start(command: &str, environment: &Environment) -> Option<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]).stdin(Stdio::piped());
        // As git has it: end with what fits on one screen, let colours through, leave the text on the screen.
        if environment.get("LESS").is_none() {
            shell.env("LESS", "FRX");
        }
        if environment.get("LV").is_none() {
            shell.env("LV", "-c");
        }
        let is_async = tokio::runtime::Handle::try_current().is_ok();
        let interrupts = is_async.then(|| signal(SignalKind::interrupt()).ok()).flatten();
        let mut child = shell.spawn().ok()?;
        let stdin = child.stdin.take();
        Some(Self { child, stdin, _interrupts: interrupts })
    }

    /// Writes a line. A reader who has seen enough closes the pager, which is reported as a broken pipe.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        match &mut self.stdin {
            Some(stdin) => writeln!(stdin, "{line}"),
            None => Ok(()),
        }
    }

    /// Waits until the reader closes it.
    pub(super) fn close(&mut self) -> io::Result<()> {
        drop(self.stdin.take());
        self.child.wait().map(drop)
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        // The terminal is the pager's until it ends; a shell that prompts meanwhile would fight it for the keys.
        self.close().unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_comes_before_everybodys_and_nothing_means_none() {
        let found = |pairs: &[(&str, &str)]| {
            let mut environment = Environment::default();
            for (name, value) in pairs {
                environment = environment.with(name, value);
            }
            command(&environment)
        };
        assert_eq!(found(&[]).as_deref(), Some("less"));
        assert_eq!(found(&[("PAGER", "more")]).as_deref(), Some("more"));
        let both = [("PAGER", "more"), ("VIBE_ENSEMBLE_PAGER", "most -s")];
        assert_eq!(found(&both).as_deref(), Some("most -s"));
        assert_eq!(found(&[("PAGER", "more"), ("VIBE_ENSEMBLE_PAGER", "")]), None);
        assert_eq!(found(&[("PAGER", "cat")]), None);
    }
}
