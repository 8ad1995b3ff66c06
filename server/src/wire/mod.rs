//! What the server answers, as types that both sides share: tools write them, the command line reads them.
//!
//! The two sides may be of different versions, so whatever a type knows and an answer lacks reads as empty, and whatever
//! an answer has beyond it is ignored. A field is never given another type or meaning.

pub mod attempt;
pub mod comment;
pub mod event;
pub mod gate;
pub mod inbox;
pub mod notifier;
pub mod pause;
pub mod printed;
pub mod project;
pub mod queue;
pub mod read;
pub mod status;
pub mod stop;
pub mod ticket;
pub mod usage;
pub mod worker;
pub mod worker_type;
pub mod wrong;
