//! What pages are made of: the tools, called by name, and the few views that only pages ask for.
//!
//! A page changes nothing but by a tool, so it has the tools' checks, words and refusals. What it shows beyond them
//! (a board, a table in any order, a search, the log backwards, a diff) is read here.
//!
//! Invariant: pages name this and never the store.

mod call;
mod diff;
mod lists;
mod log;
mod work;

use std::sync::Arc;

use crate::mcp::catalog;
use crate::mcp::service::Service;
use crate::mcp::tool::Tool;

pub(crate) use call::Declined;
pub(crate) use call::DeskResult;
pub(crate) use call::refused;
pub(crate) use diff::ChangedFile;
pub(crate) use diff::Difference;
pub(crate) use lists::BoardCount;
pub(crate) use lists::FailureRow;
pub(crate) use lists::Found;
pub(crate) use lists::Rows;
pub(crate) use log::Logged;

pub(crate) use crate::store::MARKS;
pub(crate) use crate::store::MOST_COUNTED;
pub(crate) use crate::store::SortBy;
pub(crate) use crate::store::TableQuery;

/// The tools and views of pages. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    service: Service,
    tools: Arc<Vec<Tool>>,
}

impl Desk {
    #[must_use]
    pub fn new(service: Service) -> Self {
        Self { service, tools: Arc::new(catalog::tools()) }
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}
