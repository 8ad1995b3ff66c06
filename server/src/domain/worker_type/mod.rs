//! A worker type: a role in a project, with its system prompt and its limits. Its name is the name
//! of a stage.
//!
//! `table` lists every setting once; `rule` says which values are valid; `settings` holds them as
//! Rust types. `role` has the type as a whole, with the pause of its queue.

mod role;
pub mod rule;
mod settings;
mod table;

pub use role::Passing;
pub use role::PassingCause;
pub use role::Pause;
pub use role::WorkerType;
pub use settings::ALWAYS_DISALLOWED_TOOLS;
pub use settings::Setting;
pub use settings::WorkerTypeChange;
pub use settings::WorkerTypeSettings;
pub(crate) use table::worker_type_settings;
