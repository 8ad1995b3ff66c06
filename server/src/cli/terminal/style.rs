//! Colours, by what they say. Only the sixteen colours that every theme defines, so that light and dark both work.

use std::fmt::Write as _;

use anstyle::AnsiColor;
use anstyle::Style;

/// What a colour says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// Headings, and what the eye looks for first.
    Strong,
    /// Beside the point: done with, or detail.
    Faint,
    /// At work, or well.
    Good,
    /// Waits for somebody.
    Attention,
    /// Failed.
    Bad,
    /// Where something is: commands, branches, places.
    Pointer,
    Added,
    Removed,
}

impl Tone {
    /// The tone of a state, an outcome or a resolution, by its name.
    #[must_use]
    pub fn of_state(name: &str) -> Self {
        match name {
            "running" | "busy" | "succeeded" => Self::Good,
            "blocked" | "on_hold" | "paused" | "stuck" | "stopping" => Self::Attention,
            "failed" | "timed_out" | "lost" => Self::Bad,
            "closed" | "completed" | "cancelled" | "stopped" | "interrupted" | "idle" => {
                Self::Faint
            }
            _ => Self::Plain,
        }
    }

    /// In the terms of a terminal.
    #[must_use]
    pub fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
            Self::Good | Self::Added => colour(AnsiColor::Green),
            Self::Attention => colour(AnsiColor::Yellow).bold(),
            Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Removed => colour(AnsiColor::Red),
            Self::Pointer => colour(AnsiColor::Cyan),
        }
    }

    /// Appends `text` in this tone.
    pub fn paint(self, text: &str, colour: bool, into: &mut String) {
        if colour && self != Self::Plain && !text.is_empty() {
            let style = self.style();
            // Writing to a String cannot fail.
            write!(into, "{style}{text}{style:#}").unwrap_or_default();
        } else {
            into.push_str(text);
        }
    }
}
