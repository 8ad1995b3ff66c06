//! The harness of the end-to-end tests: real server, real shims, an agent that obeys a script.
//!
//! - [`bed`]: a server with a client and scripted agents, ready for a scenario.
//! - [`server`]: starts, stops and kills one `vibe-ensemble serve` and everything that it started.
//! - [`kept`]: a server that is restarted whenever it is found dead, and a coordinator that repeats calls.
//! - [`claude`]: the real `claude`, if there is one to test with.
//! - [`client`]: MCP over HTTP, as a coordinator speaks it.
//! - [`browser`]: the dashboard's pages in real browsers.
//! - [`fake`]: what `fake-claude` records about each call, and how a scenario reads it.
//! - [`messages_api`]: a stub of the Messages API, so that the real `claude` runs without a model.
//! - [`repository`]: a user's git repository, and its state afterwards.
//! - [`schema`]: checks a value against the part of JSON Schema that the server uses.
//! - [`processes`]: finds and signals the processes of one test, never others.
//! - [`systemd`]: what systemd does for a socket of workers, without systemd.
//! - [`tmpfs`]: a small file system of a test's own.
//! - [`frozen`]: a file system on which writers hang.
//! - [`clock_shift`]: a wall clock that a test sets, for one server.
//! - [`control_group`]: where tests make control groups of their own.
//! - [`memory_group`]: a control group with little memory.
//! - [`task_group`]: a control group with few processes.
//! - [`binaries`]: where the programs under test are.
//! - [`seed`]: a database with a great many tickets.
//! - [`showcase`]: a server after a night of work.
//! - [`terminal`]: a real terminal, through tmux.
//! - [`plants`]: bugs that tests must find.
//! - [`points`]: the points of the programs at which a test may kill them.
//! - [`needs`]: what some tests need from the machine.
//! - [`harness`]: runs the scenarios, and reports those whose needs are not met as ignored.
//! - [`eventually`]: the one place that waits.
//!
//! Invariant: nothing here names an item of the server's crate. The tests know only the binaries
//! and the wire formats.
#![expect(clippy::missing_panics_doc, reason = "a harness reports by panicking")]

/// Registers a function as a scenario of [`harness`], instead of `#[test]`.
pub use e2e_macros::scenario;

pub mod bed;
pub mod binaries;
pub mod browser;
pub mod claude;
pub mod client;
pub mod clock_shift;
pub mod control_group;
pub mod eventually;
pub mod fake;
pub mod frozen;
pub mod harness;
pub mod kept;
pub mod memory_group;
pub mod messages_api;
pub mod needs;
pub mod plants;
pub mod points;
pub mod processes;
pub mod receiver;
pub mod repository;
pub mod schema;
pub mod seed;
pub mod server;
pub mod showcase;
pub mod systemd;
pub mod task_group;
pub mod terminal;
pub mod tmpfs;
