//! Resident memory, as the kernel counts it.

use anyhow::Context;
use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::processes;
use serde_json::Value;
use serde_json::json;

/// In KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// How many tickets the full server holds.
    pub(crate) tickets: usize,
    pub(crate) server_idle_kib: u64,
    pub(crate) server_full_kib: u64,
    pub(crate) shim_kib: u64,
}

impl Memory {
    pub(crate) fn to_json(self) -> Value {
        json!({
            "tickets": self.tickets, "server_idle_kib": self.server_idle_kib,
            "server_full_kib": self.server_full_kib, "shim_kib": self.shim_kib,
        })
    }
}

pub(crate) fn resident(pid: i32) -> anyhow::Result<u64> {
    processes::resident_kib(pid).with_context(|| format!("process {pid} is gone"))
}

/// A shim that supervises a quiet agent.
pub(crate) async fn of_a_shim() -> anyhow::Result<u64> {
    let bed = Bed::start().await;
    bed.project("bench", &["build"]).await;
    let ticket =
        bed.ticket("bench", &["build"], "fake: build: say hello\nfake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;
    let status = bed.client.ok("get_worker_status", json!({"worker_id": call.worker})).await;
    resident(pid(&status, "pid"))
}
