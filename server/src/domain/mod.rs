//! What Vibe-Ensemble is about, as values and decisions.
//!
//! Everything here is pure: functions take values and `now` and return a decision. No module reads a clock, a file, an
//! environment or a database, so every rule of the pipeline is one unit test away.
//!
//! Invariant: nothing here names another module of the crate, nor tokio, sqlx, axum, `std::fs` or `std::process`.

pub mod advice;
pub mod agent_files;
pub mod attempt;
pub mod bill;
pub mod bounds;
pub mod checks;
pub mod comment;
pub mod event;
pub mod gates;
pub mod globs;
pub mod hold;
pub mod id;
pub mod inbox;
pub mod judging;
pub mod limits;
pub mod names;
pub mod nearest;
pub mod notify;
pub mod outcome;
pub mod overdue;
pub mod pause;
pub mod pipeline;
pub mod planned;
pub mod ports;
pub mod project;
pub mod project_limits;
pub mod prompt;
pub mod queue;
pub mod reconcile;
pub mod refusal;
pub mod retry;
pub mod slots;
pub mod stopping;
pub mod summary;
pub mod text;
pub mod ticket;
pub mod time;
pub mod trace;
pub mod usage;
pub mod verdict;
pub mod waiting;
pub mod worker;
pub mod worker_type;
pub mod worktree;
