//! The settings of the server: where they come from, what they may be, and everything that is wrong with them.
//!
//! One table in `options.rs` drives the struct, the flags, the variables, the file, the help and
//! `packaging/config.example.toml`. [`load()`] reads file < environment < flag, checks the whole and reports every problem
//! at once, before anything binds.
//!
//! Invariant: the process environment is read once, by [`Environment::of_process`], and nowhere else in the crate.

mod environment;
mod example;
mod file;
mod flags;
mod given;
mod layers;
mod load;
mod notify;
mod options;
mod places;
mod problem;
mod rule;
mod shared;

pub use environment::Environment;
pub use example::example;
pub use flags::BriefFlags;
pub use flags::Flags;
pub use given::Source;
pub use layers::Effective;
pub use load::Config;
pub use load::load;
pub use options::OPTIONS;
pub use options::Opt;
pub use options::Settings;
pub use options::TakesEffect;
pub use places::CREDENTIALS;
pub use places::OWN_TOKEN;
pub use problem::Fault;
pub use problem::Problem;
pub use problem::Problems;
pub use rule::Auth;
pub use rule::Launcher;

#[cfg(test)]
mod tests;
