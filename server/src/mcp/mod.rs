//! What the coordinator talks to: MCP over HTTP, and the three pages a supervisor asks for.
//!
//! A request passes [`http`] (who may ask, and how much), [`rpc`] (its message, respelled where the SDK would misread it),
//! [`sdk`] (the adapter to the MCP SDK), and a [`tool`] of the [`catalog`]. The tool checks its arguments, commits through
//! the store and answers with what it committed; [`reply`] words what it refused. Long texts for models are the Markdown
//! files in `words`.
//!
//! Invariant: only [`sdk`] names the MCP SDK; the body of a tool is a plain async function.
//! Invariant: nothing here names the dispatcher or a shim. Tools commit, the store's level rises, the dispatcher looks.

mod arguments;
mod call;
mod catalog;
mod counts;
pub(crate) mod desk;
mod http;
mod instructions;
mod page;
mod prompts;
mod reply;
mod resources;
mod rpc;
mod schema;
mod sdk;
mod seats;
mod service;
mod spelling;
mod status;
mod tool;
mod tools;
mod transcript;
mod visitor;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::domain::advice::Reader;
use crate::domain::refusal::Refusal;

/// The schema of the arguments of a coordinator's tool, from which the command line makes options.
pub(crate) fn arguments_of(tool: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    // The completions of a shell need those of every command, and to make the catalogue takes milliseconds.
    static ARGUMENTS: LazyLock<BTreeMap<&str, serde_json::Map<String, serde_json::Value>>> =
        LazyLock::new(|| catalog::tools().into_iter().map(|it| (it.name, it.arguments)).collect());
    ARGUMENTS.get(tool).cloned()
}

/// A refusal by the store in the words of a shell, for commands that write to it while no server runs.
pub(crate) fn refused_in_shell(refusal: &Refusal) -> String {
    reply::refusal(refusal, Reader::Shell)
}

/// The schema of the answer of a coordinator's tool, which its command prints with `--json`.
#[cfg(test)]
pub(crate) fn answer_of(tool: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    let found = catalog::tools().into_iter().find(|known| known.name == tool)?;
    Some(found.result)
}

/// The name of every tool, for `call`, and for tests of words that name them.
pub(crate) fn tool_names() -> Vec<&'static str> {
    catalog::tools().iter().map(|tool| tool.name).collect()
}

pub use catalog::LONG_TEXTS;
pub use desk::Desk;
pub use http::access::Access;
pub use http::access::Auth;
pub use http::access::Key;
pub(crate) use http::gate::is_from_person;
pub use http::limits::Limits;
pub use http::transport::BrowserPages;
pub use http::transport::router;
pub use http::transport::serve;
pub use service::Service;
pub(crate) use visitor::Visitor;
