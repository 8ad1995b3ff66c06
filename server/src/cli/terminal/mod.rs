//! What a person sees: tables and pages that fit the terminal they are shown on.
//!
//! A command builds a [`Page`] of lines and [`Table`]s and gives it to the [`Screen`]. On a terminal the screen wraps
//! and shortens to its width, colours by state, tells times as a person would, and takes a pager for what is longer
//! than the screen. Elsewhere (a pipe, a file) nothing is shortened or coloured and times are exact, so that `grep` and
//! scripts see all there is.
//!
//! Invariant: whatever becomes part of a page has lost the characters that a terminal would act on, or that turn the
//! direction of writing. Only this module writes escape sequences.

mod cell;
mod display;
mod dollars;
mod full_screen;
mod page;
mod pager;
pub mod prose;
mod screen;
mod since;
mod stacked;
mod style;
mod table;
mod times;
mod width;

pub use cell::Cell;
pub use display::ColorWhen;
pub use display::Display;
pub use dollars::MARK;
pub use dollars::dollars;
pub use dollars::is_assumed;
pub use full_screen::FullScreen;
pub use full_screen::Key;
pub use page::Line;
pub use page::Page;
pub use screen::Output;
pub use screen::Screen;
pub use since::Since;
pub use style::Tone;
pub use table::Column;
pub use table::Table;
pub use times::Times;
pub use times::lasted;
pub use times::memory;
pub use times::read as read_time;
