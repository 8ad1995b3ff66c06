//! The dashboard: pages for people, rendered here and improved by a little script.
//!
//! A request for a page passes the same gate as every other one (`mcp/http`), which knows its session. [`admission`] turns it
//! into a [`visit::Visit`], or answers with the one page that says how to get a session. A page in [`pages`] asks
//! [`crate::mcp::Desk`] for what it shows, which are the tools and a few lists, and changes nothing; [`act`] carries out
//! what a form asks for, by calling the tool of that name. [`stream`] tells browsers what happens, [`transcript`] reads
//! what agents wrote.
//!
//! Invariant: nothing here names the store, the dispatcher or a shim.
//! Invariant: what an agent wrote reaches a page only through [`text`], which leaves nothing in it that a browser or an
//! eye would take for something else: no markup, no link that works, no unseen character, no key.
//! Invariant: a change is a POST with the token of its session, from a session that may change something.
//! Invariant: no page needs a script, and no page runs one that is not a file of this server.

mod act;
mod admission;
mod assets;
mod bulk;
mod command;
mod form;
mod headers;
mod hub;
mod jobs;
mod pages;
mod parts;
mod query;
mod router;
mod shell;
mod site;
mod stream;
mod text;
mod transcript;
mod visit;

pub use router::dashboard;
pub use site::About;
pub use site::Doctor;
pub use site::Setting;
