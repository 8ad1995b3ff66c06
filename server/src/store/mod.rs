//! The only SQL of the server: one SQLite file, one writer, a pool of readers.
//!
//! Each method that writes is one transaction and appends its events itself, so nobody can change state and forget to
//! say so. Writes that come together share one commit (see [`writer`]), and a caller hears of its write only after that
//! commit is on disk.
//!
//! Invariant: every write names the id and the state it believes, and looks at how many rows it changed.
//! Invariant: no reader holds a transaction while it waits for anything but the database.

mod accounts;
mod attempt;
mod backup;
mod bill;
mod claim;
mod close;
mod comment;
mod complete;
mod dearest;
mod end;
mod enforce;
mod error;
mod event;
mod history;
mod hold;
mod instance;
mod landing;
mod launch;
mod ledger;
mod limits;
mod open;
mod others;
mod overdue;
mod page;
mod pause;
mod planned;
mod project;
mod prune;
mod put_off;
mod question;
mod queue;
mod recovery;
mod row;
mod soundness;
mod spawn;
mod stuck;
mod sums;
mod surroundings;
mod ticket;
mod trace;
mod turn;
mod update;
mod worker;
mod worker_type;
mod worktree;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::RwLock;

use sqlx::SqlitePool;
use tokio::sync::watch;

pub use self::backup::Holdings;
pub use self::backup::back_up;
pub use self::claim::Claim;
pub use self::claim::Granted;
pub use self::end::EndReport;
pub use self::end::Ending;
pub use self::end::Work;
pub use self::enforce::ChangedLimits;
pub use self::enforce::Stopping;
pub use self::error::Error;
pub use self::error::Result;
pub use self::error::StoreError;
pub use self::event::EventMarks;
pub use self::event::EventPage;
pub use self::event::EventQuery;
pub use self::history::History;
pub use self::history::TicketDetail;
pub use self::history::Waiting;
pub use self::ledger::GroupBy;
pub use self::ledger::Usage;
pub use self::ledger::UsageFilter;
pub use self::ledger::UsagePage;
pub use self::open::check_file;
pub use self::overdue::Bounded;
pub use self::page::Listed;
pub use self::page::Page;
pub use self::prune::BATCH as PRUNE_BATCH;
pub use self::prune::Prunable;
pub use self::put_off::PutOff;
pub use self::queue::Counts;
pub use self::recovery::Highest;
pub use self::recovery::Unsettled;
pub use self::soundness::Checked;
pub use self::soundness::Soundness;
pub use self::stuck::Stuck;
pub use self::stuck::stuck_attempts;
pub use self::ticket::TicketFilter;
pub use self::worker::WorkerFilter;
pub use self::worktree::Occupied;
pub use self::worktree::Unprepared;

use self::writer::Writer;
use crate::domain::pipeline::Policy;

/// The rules that configuration decides and writes obey. A reload replaces them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    pub policy: Policy,
    /// Workers that may live at once on this server.
    pub max_workers: i64,
    /// Dollars that all attempts of one day (UTC) may cost together.
    pub max_usd_per_day: Option<f64>,
    /// Tickets that one ticket may become, where its project does not say.
    pub max_descendants: i64,
}

/// The database. Cheap to clone; all clones share one writer and one pool.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Writer,
    readers: SqlitePool,
    rules: Arc<RwLock<Rules>>,
    server_id: Arc<str>,
}

impl Store {
    /// Rises after every commit that changed something. Waiters re-read what they wait for: the level says that
    /// something happened, never what.
    #[must_use]
    pub fn level(&self) -> watch::Receiver<u64> {
        self.writer.level()
    }

    /// Names this database for ever; part of every grant.
    #[must_use]
    pub fn server_id(&self) -> &str {
        &self.server_id
    }

    #[must_use]
    pub fn rules(&self) -> Rules {
        *self.rules.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Replaces the rules; writes that begin later obey the new ones.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(std::sync::PoisonError::into_inner) = rules;
    }

    /// Says what to do when a write finds the disk full. That write has failed; later ones may succeed.
    pub fn on_full(&self, relief: impl Fn() + Send + Sync + 'static) {
        self.writer.on_full(Box::new(relief));
    }

    /// Checks that a reader and the writer both answer.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        self.writer.write(|_| Box::pin(async { Ok(()) }), /* raises level */ false).await
    }

    /// Ends the writer after what is queued, then closes every connection.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}
