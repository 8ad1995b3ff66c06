//! Data that is no longer kept: old events, run directories and locks are removed by themselves,
//! and nothing that anybody needs.

use std::collections::BTreeSet;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::clock_shift::ClockShift;
use e2e::eventually::eventually;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

const DAY: i64 = 86_400;

/// Names in a directory of the state directory.
fn names(bed: &Bed, directory: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(bed.server.state_dir().join(directory)).expect("readable");
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn seqs(events: &[Value]) -> BTreeSet<i64> {
    events.iter().filter_map(|event| event["seq"].as_i64()).collect()
}

#[e2e::scenario]
async fn old_finished_data_is_removed_and_the_rest_is_kept() {
    let clock = ClockShift::build();
    let setup = Setup::default()
        .env("VIBE_ENSEMBLE_SWEEP_AFTER_MS", "1")
        .env("VIBE_ENSEMBLE_KEEP_EVENTS_DAYS", "30")
        .env("VIBE_ENSEMBLE_KEEP_ATTEMPTS_DAYS", "30")
        .env("VIBE_ENSEMBLE_KEEP_WORKERS_DAYS", "30");
    let mut bed = Bed::with(clock.applied_to(setup)).await;
    bed.project("shop", &["build"]).await;
    let old = bed.ticket("shop", &["build"], "").await;
    let open = bed.ticket("shop", &["build"], "fake: build: block which colour?").await;
    bed.completed(&old).await;
    bed.ticket_is(&open, "on_hold").await;
    bed.nothing_is_left().await;
    let before = bed.events().await;
    let last = before.last().expect("there were events")["seq"].clone();
    let of_open =
        |event: &&Value| event["ticket_id"] == open.as_str() && event["kind"] == "ticket_on_hold";
    let unmarked =
        before.iter().find(of_open).expect("the event is there")["seq"].as_i64().expect("a number");
    let marked: Vec<i64> = seqs(&before).into_iter().filter(|seq| *seq != unmarked).collect();
    bed.client.ok("mark_events_processed", json!({"event_seqs": marked})).await;
    // Nobody has marked that event, and the log has no gaps.
    let kept: BTreeSet<i64> = seqs(&before).into_iter().filter(|seq| *seq >= unmarked).collect();
    let usage = bed.client.ok("get_usage", json!({})).await;
    let attempt = |ticket: &Value| text(&ticket["attempts"][0], "attempt_id");
    let (gone, stays) = (attempt(&bed.get(&old).await), attempt(&bed.get(&open).await));

    bed.server.stop().await;
    clock.set(31 * DAY);
    bed.launch().await;
    // Nothing of the closed ticket but its history; everything of the open one.
    eventually("what is old is gone", || async {
        let (attempts, workers) = (names(&bed, "attempts"), names(&bed, "workers"));
        let left = seqs(&bed.events().await);
        let done = !attempts.contains(&gone) && workers.len() <= 1 && left == kept;
        if done { Ok(()) } else { Err(format!("{attempts:?} {workers:?} {left:?}")) }
    })
    .await;
    assert!(names(&bed, "attempts").contains(&stays), "its ticket is not closed");
    let told = bed.get(&old).await;
    assert_eq!(
        (&told["state"], &told["comments"][0]["content"]),
        (&json!("closed"), &json!("build done"))
    );
    let again = bed.client.ok("get_usage", json!({})).await;
    assert_eq!(again, usage, "what was spent stays spent");

    // The numbers of removed things are never reused.
    let new = bed.ticket("shop", &["build"], "").await;
    bed.completed(&new).await;
    let fresh: Vec<Value> =
        bed.events().await.into_iter().filter(|e| e["ticket_id"] == new.as_str()).collect();
    assert!(seqs(&fresh).first() > last.as_i64().as_ref(), "{fresh:?}");
    assert!(!before.iter().any(|event| event["attempt_id"] == bed_attempt(&fresh)), "{fresh:?}");
}

fn bed_attempt(events: &[Value]) -> Value {
    events
        .iter()
        .map(|event| event["attempt_id"].clone())
        .find(|id| !id.is_null())
        .unwrap_or_default()
}
