//! An agent that the kernel really kills for lack of memory.
//!
//! This is a program of its own: a plain launcher's shim sees the kernel's count for the whole
//! machine, and processes that another test kills there on purpose would look the same.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use e2e::bed::Bed;
use e2e::memory_group::MemoryGroup;
use e2e::server::Setup;
use serde_json::json;

fn main() -> std::process::ExitCode {
    e2e::harness::main()
}

#[e2e::scenario(needs(MemoryGroup))]
async fn an_agent_that_runs_out_of_memory_is_reported_as_such() {
    let group = MemoryGroup::make().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let agent = elsewhere.path().join("agent");
    // It writes not one byte without the limit.
    let script = format!(
        "#!/bin/sh\ncat >/dev/null\necho $$ >{} || exit 9\nexec tail /dev/zero\n",
        group.members().display()
    );
    fs::write(&agent, script).unwrap();
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    let bed = Bed::with(Setup { agent: Some(agent), ..Setup::default() }).await;
    let _repository = bed.repository("shop", &[], json!({})).await;
    bed.worker_type("shop", "build", json!({"max_attempts": 2})).await;
    let ticket = bed.ticket("shop", &["build"], "Work.").await;

    let held = bed.ticket_is(&ticket, "on_hold").await;
    let attempts = held["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{held}");
    for attempt in attempts {
        assert_eq!(attempt["failure"], "out_of_memory", "{held}");
        assert_eq!(attempt["signal"], 9);
        assert!(attempt["detail"].as_str().is_some_and(|why| why.contains("memory")), "{held}");
    }
    assert_eq!(held["attempts_used"], 2, "the work itself may need too much");
    bed.nothing_is_left().await;
}
