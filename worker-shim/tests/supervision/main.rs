//! The built shim against a scripted server: whatever happens to link, agent and shim, the record
//! shows it.

mod commands;
mod link;
mod rig;
mod signals;
mod start;
mod tree;
