//! What proves that a shim, a record or a process belongs to this server, and to which worker: what
//! its shim reported about itself over the link, and the place in which this database is used.

use std::sync::Arc;

use shim_protocol::message::Hello;
use shim_protocol::run_dir::UnitPlace;

use super::places::Places;
use crate::domain::id::AttemptId;
use crate::domain::id::WorkerId;
use crate::domain::reconcile::Life;
use crate::domain::reconcile::life;
use crate::domain::trace::Trace;
use crate::shim::evidence::Known;
use crate::shim::evidence::Mark;
use crate::shim::evidence::Unit;
use crate::shim::holder::Holder;
use crate::shim::locks;
use crate::shim::processes;
use crate::store::Result;
use crate::store::Store;

/// Looks up such proof. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) store: Store,
    pub(super) places: Arc<Places>,
}

impl Proof {
    /// Whether the shim of a worker that has no link is alive.
    pub(super) async fn life_of(&self, worker: WorkerId) -> Result<Life> {
        let lock = self.places.worker_lock(worker);
        if let Some(trace) = self.store.trace(worker).await? {
            let lock = locks::lock_of(&lock, trace.lock_inode, trace.taker());
            return Ok(life(lock, processes::process(&trace)));
        }
        // Without a start time, the process with its number may be another by now; that there is
        // none is proof enough.
        let pid = self.store.worker(worker).await?.pid.unwrap_or_default();
        let process = processes::process(&Trace { pid, ..Trace::default() });
        Ok(life(locks::lock(&lock, None), process))
    }

    /// The process of a worker's shim. Its start time identifies it only if this database was
    /// always used here: what a copy of the database remembers may belong to the original.
    pub(super) async fn holder(&self, worker: WorkerId, pid: i32) -> Result<Holder> {
        let trace = match self.places.place.granted_elsewhere {
            0 => self.store.trace(worker).await?,
            _ => None,
        };
        Ok(Holder { pid, lock: self.places.worker_lock(worker), trace })
    }

    /// The marks of an attempt's processes.
    pub(super) fn mark(&self, attempt: AttemptId) -> Mark {
        Mark {
            server_id: self.store.server_id().to_owned(),
            place_id: self.places.place.id.clone(),
            attempt_id: attempt.to_string(),
            here: attempt.key() > self.places.place.granted_elsewhere,
        }
    }

    /// What is known about the shim of a worker's attempt.
    pub(super) async fn known(&self, worker: WorkerId) -> Result<Known> {
        let worker_id = worker.to_string();
        let Some(trace) = self.store.trace(worker).await? else {
            let unit = Unit::File(self.store.worker(worker).await?.unit);
            return Ok(Known { worker_id, unit, ..Known::default() });
        };
        let shim = trace.taker();
        let place: Option<UnitPlace> = trace.unit.and_then(|unit| serde_json::from_str(&unit).ok());
        Ok(Known { worker_id, shim, seal_key: trace.seal_key, unit: Unit::Said(place) })
    }

    /// Stores what a worker's shim reports about itself, and refuses another process that uses its
    /// token. The inner error is the reason. `pid` is the process at the other end, according to
    /// the kernel.
    pub(super) async fn recognise(
        &self,
        worker: WorkerId,
        hello: &Hello,
        pid: Option<i32>,
    ) -> Result<std::result::Result<(), &'static str>> {
        // A process of another pid namespace has no number here.
        let seen = pid.filter(|pid| *pid > 0).map_or_else(|| i64::from(hello.pid), i64::from);
        let told = hello.traces.as_ref().map(|traces| Trace {
            pid: seen,
            started_ticks: traces.started_ticks,
            boot_id: traces.boot_id.clone(),
            lock_inode: traces.lock_inode,
            seal_key: traces.seal_key.clone(),
            unit: traces.unit.as_ref().and_then(|unit| serde_json::to_string(unit).ok()),
        });
        let kept = match self.store.trace(worker).await? {
            None => match &told {
                Some(told) => self.store.keep_trace(worker, told.clone()).await?,
                None => None,
            },
            kept => kept,
        };
        Ok(match (kept, told) {
            // A shim of an earlier version, as long as it never was another process.
            (None, None) => Ok(()),
            (Some(kept), Some(told)) if kept == told => Ok(()),
            (Some(_), _) | (None, Some(_)) => Err("the token belongs to another process"),
        })
    }
}
