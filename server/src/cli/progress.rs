//! How far a long step is, on standard error: one line that is rewritten on a terminal, else a line every few seconds.
//!
//! A step of seconds says nothing, so that commands that are quick stay quiet. Standard output is not touched.

use std::future::Future;
use std::io;
use std::io::IsTerminal as _;
use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::MissedTickBehavior;

/// How often the line is rewritten on a terminal.
const REWRITTEN: Duration = Duration::from_millis(500);

/// How often there is a new line elsewhere: in a log, a line each half second would bury everything else.
const WRITTEN: Duration = Duration::from_secs(5);

/// Erases the line the cursor is in.
const ERASE: &str = "\r\x1b[K";

/// Waits for `step` and tells of it as `what`, with the percentage that `done` knows, if it does.
pub async fn told<T>(
    what: &str,
    done: impl Fn() -> Option<u64>,
    step: impl Future<Output = T>,
) -> T {
    let stderr = io::stderr();
    let is_terminal = stderr.is_terminal();
    tell(stderr, is_terminal, what, done, step).await
}

async fn tell<T>(
    mut out: impl Write,
    is_terminal: bool,
    what: &str,
    done: impl Fn() -> Option<u64>,
    step: impl Future<Output = T>,
) -> T {
    let mut step = pin!(step);
    let begun = Instant::now();
    let every = if is_terminal { REWRITTEN } else { WRITTEN };
    let mut ticks = tokio::time::interval_at(begun + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_shown = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut step => break ended,
            _ = ticks.tick() => {
                let percent = done().map(|percent| format!("{percent} %, ")).unwrap_or_default();
                let line = format!("{what}: {percent}{} s", begun.elapsed().as_secs());
                let written = if is_terminal {
                    write!(out, "{ERASE}{line}").and_then(|()| out.flush())
                } else {
                    writeln!(out, "{line}")
                };
                // Nobody reads it any more; the step continues.
                written.unwrap_or_default();
                is_shown = is_terminal;
            }
        }
    };
    if is_shown {
        write!(out, "{ERASE}").and_then(|()| out.flush()).unwrap_or_default();
    }
    ended
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// What is written while a step of so many seconds runs.
    async fn said(seconds: u64, is_terminal: bool, known: bool) -> String {
        let mut out = Vec::new();
        let percent = Cell::new(0);
        let done = || {
            percent.set(percent.get() + 10);
            known.then_some(percent.get())
        };
        let step = async {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            "its result"
        };
        assert_eq!(tell(&mut out, is_terminal, "copying", done, step).await, "its result");
        String::from_utf8(out).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_gets_a_line_every_few_seconds() {
        assert_eq!(said(12, false, true).await, "copying: 10 %, 5 s\ncopying: 20 %, 10 s\n");
        assert_eq!(said(7, false, false).await, "copying: 5 s\n");
        assert_eq!(said(4, false, true).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminal_has_one_line_that_is_gone_afterwards() {
        let said = said(2, true, false).await;
        assert!(!said.contains('\n'), "{said:?}");
        let lines: Vec<&str> = said.split(ERASE).collect();
        assert_eq!(lines, ["", "copying: 0 s", "copying: 1 s", "copying: 1 s", ""]);
    }
}
