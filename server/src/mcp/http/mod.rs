//! HTTP: who may connect, who may ask, and how much of the machine a request may take.

pub(crate) mod access;
mod answers;
mod body;
mod connections;
mod endpoint;
pub(crate) mod gate;
mod kept;
pub(crate) mod limits;
mod links;
mod metrics;
mod open;
mod pages;
mod room;
mod sending;
mod shares;
pub(crate) mod transport;
mod visit;

#[cfg(test)]
pub(crate) use body::MOST_BYTES;
