//! What changes state, one verb per file. Each move is one transaction, checks the state it believes, and appends its own
//! events. A move may name other moves, but never in a circle.

pub(crate) mod affect_others;
pub(crate) mod ask_outcome;
pub(crate) mod claim;
pub(crate) mod close;
pub(crate) mod comment;
pub(crate) mod complete;
pub(crate) mod create;
pub(crate) mod create_planned;
pub(crate) mod edit_project;
pub(crate) mod edit_worker_type;
pub(crate) mod empty_queue;
pub(crate) mod end;
pub(crate) mod ending;
pub(crate) mod enforce;
pub(crate) mod hear;
pub(crate) mod hold;
pub(crate) mod land;
pub(crate) mod launch;
pub(crate) mod mark;
pub(crate) mod park;
pub(crate) mod pause;
pub(crate) mod pause_queue;
pub(crate) mod pause_scope;
pub(crate) mod prepare;
pub(crate) mod prune;
pub(crate) mod put_off;
pub(crate) mod queue_due;
pub(crate) mod renumber;
pub(crate) mod resume;
pub(crate) mod settle;
pub(crate) mod spawn;
pub(crate) mod stop;
pub(crate) mod trace;
pub(crate) mod turn;
pub(crate) mod update;
