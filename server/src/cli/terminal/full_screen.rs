//! A screen of its own, which gives the terminal back as it was.

use std::io;
use std::io::Write as _;
use std::time::Duration;

use crossterm::cursor;
use crossterm::event;
use crossterm::event::Event;
use crossterm::event::KeyCode;
use crossterm::event::KeyEvent;
use crossterm::event::KeyEventKind;
use crossterm::event::KeyModifiers;
use crossterm::queue;
use crossterm::style::Print;
use crossterm::terminal;
use crossterm::terminal::BeginSynchronizedUpdate;
use crossterm::terminal::Clear;
use crossterm::terminal::ClearType;
use crossterm::terminal::EndSynchronizedUpdate;
use crossterm::terminal::EnterAlternateScreen;
use crossterm::terminal::LeaveAlternateScreen;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;

use super::page::Page;
use super::screen::Screen;

/// What the user pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// q, Esc, Ctrl-C, or a signal that ends the program.
    Quit,
    Up,
    Down,
    PageUp,
    PageDown,
    Letter(char),
    /// The window has another size now.
    Resized,
}

/// The terminal while this program has all of it. Dropping it restores the terminal, also when the program panics.
#[derive(Debug)]
pub struct FullScreen {
    keys: mpsc::Receiver<Key>,
    ends: [Signal; 3],
}

impl FullScreen {
    /// Takes the screen.
    pub fn enter() -> io::Result<Self> {
        let kinds = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
        let [term, hup, int] = kinds.map(signal);
        let ends = [term?, hup?, int?];
        terminal::enable_raw_mode()?;
        let (tell, keys) = mpsc::channel(16);
        // Made before anything may fail, so that what follows is undone.
        let full = Self { keys, ends };
        queue!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        io::stdout().flush()?;
        // A thread, because it waits for ever, and nothing waits for a thread when the program ends.
        std::thread::spawn(move || {
            while let Ok(event) = event::read() {
                if let Some(key) = meant(&event)
                    && tell.blocking_send(key).is_err()
                {
                    break;
                }
            }
        });
        Ok(full)
    }

    /// Draws a page over what was there. What is longer than the screen is left out, with a line that says so.
    pub fn draw(&mut self, screen: &Screen, page: &Page) -> io::Result<()> {
        self.draw_lines(screen, &screen.lines(page))
    }

    /// The same for lines that are laid out already.
    pub fn draw_lines(&mut self, screen: &Screen, lines: &[String]) -> io::Result<()> {
        let height = screen.height().unwrap_or(24).max(1);
        let mut out = io::BufWriter::new(io::stdout().lock());
        queue!(out, BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
        let fits = if lines.len() > height { height - 1 } else { lines.len() };
        for (row, line) in lines.iter().take(fits).enumerate() {
            // Cleared first: behind a line that fills the screen, its last character would be cleared.
            queue!(out, cursor::MoveTo(0, u16::try_from(row).unwrap_or(u16::MAX)))?;
            queue!(out, Clear(ClearType::UntilNewLine), Print(line))?;
        }
        if fits < lines.len() {
            let row = u16::try_from(fits).unwrap_or(u16::MAX);
            let left = lines.len() - fits;
            queue!(out, cursor::MoveTo(0, row), Clear(ClearType::UntilNewLine))?;
            queue!(out, Print(format!("  … {left} more lines")))?;
        } else if fits < height {
            let row = u16::try_from(fits).unwrap_or(u16::MAX);
            queue!(out, cursor::MoveTo(0, row), Clear(ClearType::FromCursorDown))?;
        }
        queue!(out, EndSynchronizedUpdate)?;
        out.flush()
    }

    /// The next key, or none after `patience`.
    pub async fn next(&mut self, patience: Duration) -> io::Result<Option<Key>> {
        let [term, hup, int] = &mut self.ends;
        tokio::select! {
            // No key can come any more: the terminal is gone.
            key = self.keys.recv() => Ok(Some(key.unwrap_or(Key::Quit))),
            _ = term.recv() => Ok(Some(Key::Quit)),
            _ = hup.recv() => Ok(Some(Key::Quit)),
            _ = int.recv() => Ok(Some(Key::Quit)),
            () = tokio::time::sleep(patience) => Ok(None),
        }
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        // Nothing more can be done for a terminal that is gone.
        let _restored = queue!(io::stdout(), cursor::Show, LeaveAlternateScreen);
        io::stdout().flush().unwrap_or_default();
        terminal::disable_raw_mode().unwrap_or_default();
    }
}

fn meant(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else {
        return matches!(event, Event::Resize(..)).then_some(Key::Resized);
    };
    if *kind == KeyEventKind::Release {
        return None;
    }
    if modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(code, KeyCode::Char('c' | 'd')).then_some(Key::Quit);
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "keys that mean nothing here")]
    match *code {
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
        KeyCode::Char('k') | KeyCode::Up => Some(Key::Up),
        KeyCode::Char('j') | KeyCode::Down => Some(Key::Down),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(Key::PageDown),
        KeyCode::Char(letter) => Some(Key::Letter(letter)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_leave_is_understood() {
        let key = |code, modifiers| meant(&Event::Key(KeyEvent::new(code, modifiers)));
        for code in [KeyCode::Char('q'), KeyCode::Esc] {
            assert_eq!(key(code, KeyModifiers::NONE), Some(Key::Quit));
        }
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Some(Key::Letter('c')));
        assert_eq!(meant(&Event::Resize(80, 24)), Some(Key::Resized));
        assert_eq!(meant(&Event::FocusLost), None);
    }
}
