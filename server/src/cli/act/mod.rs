//! Commands that are one call of a tool: what they take is read from the tool's own schema, so a shell can do whatever a
//! coordinator can, with the same checks.
//!
//! A command says only what a schema cannot: which arguments stand without an option, which text is worth an editor, and
//! what a shell calls things ([`Act`]). [`field`] makes the options, [`given`] reads them, [`long`] fetches long texts,
//! [`mod@call`] makes the call and gives refusals of arguments in the words of the command line,
//! [`mod@change`] finds out whether a change changed anything.

mod call;
mod change;
mod command;
mod field;
mod given;
mod long;
mod told;

pub use call::call;
pub use call::put;
pub use call::refuse_without_change;
pub use change::Effect;
pub use change::change;
pub use command::Act;
pub use command::Place;
pub use command::Text;
pub use given::Given;
pub use long::edited;
pub use long::read;
pub use told::Told;
pub use told::carry_out;
pub use told::present;
