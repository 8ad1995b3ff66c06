//! What is read for answers: lists by page, and rows joined from several tables. Nothing here writes.

pub(crate) mod at_work;
pub(crate) mod board;
pub(crate) mod bounded;
pub(crate) mod changed_limits;
pub(crate) mod checks;
pub(crate) mod counts;
pub(crate) mod events;
pub(crate) mod failures;
pub(crate) mod history;
pub(crate) mod inbox;
pub(crate) mod left_running;
pub(crate) mod past_events;
pub(crate) mod pauses;
pub(crate) mod projects;
pub(crate) mod prunable;
pub(crate) mod queues;
pub(crate) mod running_bills;
pub(crate) mod search;
pub(crate) mod stuck;
pub(crate) mod surroundings;
pub(crate) mod table;
pub(crate) mod tickets;
pub(crate) mod unsettled;
pub(crate) mod worker_types;
pub(crate) mod workers;
pub(crate) mod worktrees;
