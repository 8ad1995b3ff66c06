//! What the coordinator talks to: MCP over HTTP, and the three pages a supervisor asks for.
//!
//! [`transport`] decides who may speak, [`server`] speaks MCP, [`tools`] holds what the tools do, [`reply`] how a refusal
//! reads. A tool checks its arguments, commits through the store and answers with what it committed.
//!
//! Invariant: only [`server`] and [`transport`] name the MCP SDK; a tool's body is a plain async function.
//! Invariant: nothing here names the dispatcher or a shim. Tools commit, the store's level rises, the dispatcher looks.

mod access;
mod arguments;
mod batch;
mod body;
mod cancelled;
mod catalog;
mod connections;
mod instructions;
mod kept;
mod limits;
mod message;
mod metrics;
mod page;
mod prompts;
mod reply;
mod requests;
mod resources;
mod room;
mod schema;
mod server;
mod service;
mod spelling;
mod tools;
mod transcript;
mod transport;

#[cfg(test)]
mod tests;

/// The name of every tool, for tests of words that name them.
#[cfg(test)]
pub(crate) fn tool_names() -> Vec<&'static str> {
    catalog::tools().iter().map(|tool| tool.name).collect()
}

pub use access::Access;
pub use access::Auth;
pub use access::Key;
pub use limits::Limits;
pub use service::Service;
pub use transport::router;
pub use transport::serve;
