//! Where the output goes, and what that means for its form.

use std::io;
use std::io::IsTerminal as _;
use std::io::Write as _;

use super::display::Display;
use super::page::Page;
use super::pager;
use super::pager::Pager;
use super::times::Times;
use crate::clock::Clock;
use crate::config::Environment;
use crate::domain::time::Timestamp;
use crate::telemetry;

/// The columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;

/// Standard output, as it was found.
#[derive(Clone, Debug)]
pub struct Screen {
    /// Columns; none where nothing is wrapped or shortened, because no terminal shows it.
    width: Option<usize>,
    /// Lines of the terminal.
    height: Option<usize>,
    colour: bool,
    times: Times,
    now: Timestamp,
    /// The command of the pager, if one may be used.
    pager: Option<String>,
    environment: Environment,
}

impl Screen {
    /// What standard output is.
    #[must_use]
    pub fn of(display: &Display, environment: &Environment) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let size = is_terminal.then(|| size(environment));
        let times = match (display.utc, is_terminal) {
            (true, _) => Times::Utc,
            (false, true) => Times::Local,
            (false, false) => Times::Exact,
        };
        let pager =
            if is_terminal && !display.no_pager { pager::command(environment) } else { None };
        Self {
            width: size.map(|(width, _)| width),
            height: size.and_then(|(_, height)| height),
            colour: telemetry::takes_colour(environment, is_terminal),
            times,
            now: Clock::system().now(),
            pager,
            environment: environment.clone(),
        }
    }

    /// The same, as it is now: windows are resized, and time passes.
    #[must_use]
    pub fn refreshed(&self) -> Self {
        let size = self.width.map(|_| size(&self.environment));
        Self {
            width: size.map(|(width, _)| width),
            height: size.and_then(|(_, height)| height),
            now: Clock::system().now(),
            ..self.clone()
        }
    }

    /// A terminal of so many columns, for tests. It is 05:10 on 2026-11-29 there, in UTC.
    #[cfg(test)]
    #[must_use]
    pub fn of_columns(width: usize) -> Self {
        Self { width: Some(width), times: Times::Local, ..Self::pipe() }
    }

    /// No terminal, for tests.
    #[cfg(test)]
    #[must_use]
    pub fn pipe() -> Self {
        Self {
            width: None,
            height: None,
            colour: false,
            times: Times::Exact,
            now: Timestamp::from_millis(1_795_929_000_000),
            pager: None,
            environment: Environment::default(),
        }
    }

    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.width.is_some()
    }

    #[must_use]
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    #[must_use]
    pub fn height(&self) -> Option<usize> {
        self.height
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How long ago an instant in wire form was, for a column.
    #[must_use]
    pub fn ago(&self, at: &str) -> String {
        self.times.ago(at, self.now)
    }

    /// An instant in wire form on a line of its own.
    #[must_use]
    pub fn at(&self, at: &str) -> String {
        self.times.at(at, self.now)
    }

    /// Sentences with the instants in it as this screen shows them.
    #[must_use]
    pub fn told(&self, text: &str) -> String {
        self.times.within(text, self.now)
    }

    /// An instant in wire form at the beginning of a line of a log.
    #[must_use]
    pub fn stamp(&self, at: &str) -> String {
        self.times.stamp(at)
    }

    /// The time of the day, for the lines of an agent.
    #[must_use]
    pub fn clock(&self, at: Timestamp) -> String {
        self.times.clock(at)
    }

    /// The lines of a page as they would be written.
    #[must_use]
    pub fn lines(&self, page: &Page) -> Vec<String> {
        page.lines(self.width, self.colour)
    }

    /// Prints a page, in a pager if it is longer than the screen.
    pub fn show(&self, page: &Page) -> io::Result<()> {
        let mut output = self.open();
        output.page(page)?;
        output.close()
    }

    /// Prints a page without a pager: what is looked at again and again.
    pub fn print(&self, page: &Page) -> io::Result<()> {
        let mut output = self.stream();
        output.page(page)?;
        output.close()
    }

    /// Output whose length is not known; a pager takes it once it is longer than the screen.
    #[must_use]
    pub fn open(&self) -> Output<'_> {
        Output { screen: self, held: Vec::new(), holds: self.pager.is_some(), pager: None }
    }

    /// Output that is written at once, as what is followed must be.
    #[must_use]
    pub fn stream(&self) -> Output<'_> {
        Output { screen: self, held: Vec::new(), holds: false, pager: None }
    }
}

/// The columns and lines of the terminal.
fn size(environment: &Environment) -> (usize, Option<usize>) {
    let found = terminal_size::terminal_size_of(io::stdout());
    // A terminal over a serial line says that it has none.
    let found = found.map(|(width, height)| (usize::from(width.0), usize::from(height.0)));
    let (width, height) = found.unwrap_or((0, 0));
    let number = |name| environment.get(name)?.parse::<usize>().ok().filter(|number| *number > 0);
    let width = if width > 0 { width } else { number("COLUMNS").unwrap_or(COLUMNS) };
    let height = if height > 0 { Some(height) } else { number("LINES") };
    (width, height)
}

/// Standard output, or the pager in front of it.
#[derive(Debug)]
pub struct Output<'s> {
    screen: &'s Screen,
    /// Lines that still fit on the screen.
    held: Vec<String>,
    /// Whether lines are held until it is known that they fit.
    holds: bool,
    pager: Option<Pager>,
}

impl Output<'_> {
    /// Writes a page.
    pub fn page(&mut self, page: &Page) -> io::Result<()> {
        self.screen.lines(page).into_iter().try_for_each(|line| self.line(line))
    }

    /// Writes a line as it is. It must be free of what a terminal would act on.
    pub fn plain(&mut self, line: &str) -> io::Result<()> {
        self.line(line.to_owned())
    }

    /// Whether anybody reads it still: a pager may have been closed.
    fn line(&mut self, line: String) -> io::Result<()> {
        if let Some(pager) = &mut self.pager {
            return pager.line(&line);
        }
        if !self.holds {
            return writeln!(io::stdout().lock(), "{line}");
        }
        self.held.push(line);
        // One line of the screen is the prompt's.
        let fits = self.screen.height.is_none_or(|height| self.held.len() < height);
        if fits {
            return Ok(());
        }
        self.holds = false;
        let command = self.screen.pager.as_deref().unwrap_or_default();
        self.pager = Pager::start(command, &self.screen.environment);
        self.release()
    }

    /// Writes what was held.
    fn release(&mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        if let Some(pager) = &mut self.pager {
            return held.iter().try_for_each(|line| pager.line(line));
        }
        let mut out = io::stdout().lock();
        held.iter().try_for_each(|line| writeln!(out, "{line}"))
    }

    /// Writes what was held, and waits until the reader has seen enough.
    pub fn close(mut self) -> io::Result<()> {
        self.release()?;
        match &mut self.pager {
            Some(pager) => pager.close(),
            None => Ok(()),
        }
    }
}
