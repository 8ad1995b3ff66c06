//! The adapter to the MCP SDK. Only files in this folder name `rmcp`.

mod about;
mod endpoint;
mod handler;
mod outcome;
mod request;

pub(crate) use endpoint::Mcp;
pub(crate) use handler::Handlers;
