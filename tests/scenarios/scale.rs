//! Many at once.

use e2e::bed::Bed;
use e2e::eventually::eventually;
use e2e::processes::resident_kib;
use e2e::server::Setup;
use serde_json::json;

#[e2e::scenario]
async fn sixteen_workers_run_at_once_on_one_project() {
    let bed = Bed::with(Setup::default().max_workers(16)).await;
    bed.repository("shop", &[], json!({})).await;
    bed.worker_type("shop", "build", json!({"max_workers": 16})).await;
    let go = bed.server.path("go");
    let script = format!("fake: build: wait-for {}", go.display());
    let mut tickets = Vec::new();
    for _ in 0..16 {
        tickets.push(bed.ticket("shop", &["build"], &script).await);
    }

    // None of them can end before all of them are running.
    eventually("sixteen agents run", || {
        let running = bed.agents.calls().len();
        std::future::ready(if running == 16 { Ok(()) } else { Err(format!("{running}")) })
    })
    .await;
    let busy = bed.client.ok("list_workers", json!({"state": "busy"})).await;
    assert_eq!(busy["workers"].as_array().unwrap().len(), 16);
    std::fs::write(go, "").unwrap();

    for ticket in &tickets {
        bed.completed(ticket).await;
    }
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn the_server_never_runs_more_workers_than_it_may() {
    let bed = Bed::with(Setup::default().max_workers(2)).await;
    bed.repository("shop", &[], json!({})).await;
    for stage in ["build", "review"] {
        bed.worker_type("shop", stage, json!({"max_workers": 4})).await;
    }
    let mut tickets = Vec::new();
    for _ in 0..10 {
        tickets.push(bed.ticket("shop", &["build", "review"], "").await);
    }
    for ticket in &tickets {
        bed.completed(ticket).await;
    }

    let mut edges: Vec<(u64, i32)> = Vec::new();
    for call in bed.agents.calls() {
        let end = bed.agents.end_of(&call).expect("it ended by itself");
        edges.extend([(call.started_ns, 1), (end.ended_ns, -1)]);
    }
    edges.sort_unstable();
    let mut running = 0;
    for (_, edge) in edges {
        running += edge;
        assert!(running <= 2, "three agents at once");
    }
}

#[e2e::scenario]
async fn two_hundred_three_stage_tickets_run_through_and_memory_stays_flat() {
    let plan = ["design", "build", "review"];
    let bed = Bed::with(Setup::default().max_workers(16)).await;
    bed.repository("shop", &[], json!({})).await;
    for stage in plan {
        bed.worker_type("shop", stage, json!({"max_workers": 5})).await;
    }
    for _ in 0..200 {
        bed.ticket("shop", &plan, "").await;
    }

    bed.until_closed(200).await;

    let runs = bed.agents.runs();
    assert_eq!(runs.len(), 600);
    assert!(runs.values().all(|count| *count == 1), "every stage ran exactly once: {runs:?}");
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
    let resident = resident_kib(bed.server.pid()).unwrap();
    assert!(resident < 150 << 10, "the server holds {resident} KiB with nothing to do");
}
