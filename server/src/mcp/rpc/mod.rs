//! JSON-RPC beside the SDK: what clients send that the SDK would misread, drop, or answer without saying why.

pub(crate) mod batch;
pub(crate) mod message;
pub(crate) mod params;
pub(crate) mod running;
