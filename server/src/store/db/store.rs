//! The handle of the store: one writer, a pool of readers, and the rules that writes obey.
//!
//! Its methods are in the other floors, each beside what it does.

use std::future::ready;
use std::sync::Arc;
use std::sync::RwLock;

use sqlx::SqlitePool;
use tokio::sync::watch;

use super::error::Result;
use super::writer::Writer;
use crate::domain::pipeline::Policy;

/// The rules that configuration decides and writes obey. A reload replaces them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    pub policy: Policy,
    /// Workers that may run at the same time on this server.
    pub max_workers: i64,
    /// Setups and gates that may run at the same time on this server.
    pub max_gates: i64,
    /// Dollars that all attempts of one day (UTC) may cost together.
    pub max_usd_per_day: Option<f64>,
    /// The part of each dollar limit at which it is warned of, in percent; 0 for no warnings.
    pub budget_warning_percent: i64,
    /// Tickets that one ticket may become, if its project has no limit of its own.
    pub max_descendants: i64,
}

/// The database. Cheap to clone; all clones share one writer and one pool.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) writer: Writer,
    pub(crate) readers: SqlitePool,
    pub(crate) rules: Arc<RwLock<Rules>>,
    pub(crate) server_id: Arc<str>,
}

impl Store {
    /// Rises after every commit that changed something. Callers that wait read what they wait for again: the level
    /// shows that something changed, never what.
    #[must_use]
    pub fn level(&self) -> watch::Receiver<u64> {
        self.writer.level()
    }

    /// Identifies this database for ever; part of every grant.
    #[must_use]
    pub fn server_id(&self) -> &str {
        &self.server_id
    }

    #[must_use]
    pub fn rules(&self) -> Rules {
        *self.rules.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The same, for the calls of a session: the events that they cause are no news to its consumer.
    #[must_use]
    pub fn caused_by(&self, consumer: &str) -> Self {
        Self { writer: self.writer.caused_by(consumer), ..self.clone() }
    }

    /// Replaces the rules; writes that begin afterwards obey the new ones.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(std::sync::PoisonError::into_inner) = rules;
    }

    /// Sets what to do when a write finds the disk full. That write has failed; later ones may succeed.
    pub fn on_full(&self, relief: impl Fn() + Send + Sync + 'static) {
        self.writer.on_full(Box::new(relief));
    }

    /// Checks that a reader and the writer both answer.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        self.writer.quietly().write(|_| Box::pin(ready(Ok(())))).await
    }

    /// Ends the writer after the queued writes, then closes every connection.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}
