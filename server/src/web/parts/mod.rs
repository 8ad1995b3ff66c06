//! What pages are put together from.

pub(crate) mod action;
pub(crate) mod findings;
pub(crate) mod gates;
pub(crate) mod graph;
pub(crate) mod ladder;
pub(crate) mod timeline;
pub(crate) mod values;
