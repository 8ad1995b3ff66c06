//! What an agent wrote, in parts: a transcript of a hundred megabytes is never read whole.
//!
//! [`mod@file`] reads lines forwards and backwards from an offset, [`mod@rows`] makes rows of them that a page can show, [`output`]
//! of what a setup or a gate printed, [`api`] answers scripts, [`page`] is the end of it without a script.
//!
//! Invariant: an answer takes memory for at most a few megabytes of lines, whatever the file holds.

mod api;
mod change;
mod file;
mod output;
mod page;
mod rows;
mod search;

pub(crate) use api::lines;
pub(crate) use api::next;
pub(crate) use api::part;

pub(crate) use page::section;
