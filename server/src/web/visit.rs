//! A request for a page, by a browser that may see it.

use crate::mcp::Visitor;
use crate::web::query::Query;

/// A request that its session, or the lack of need for one, lets through.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) visitor: Visitor,
    pub(crate) query: Query,
    /// The path and the query, as they were asked for.
    pub(crate) here: String,
    /// It was made by a script that reads JSON.
    pub(crate) wants_json: bool,
    /// The colours that its user chose, if not those of the system.
    pub(crate) theme: Option<&'static str>,
}
