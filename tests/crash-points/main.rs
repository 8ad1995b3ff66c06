//! Kills the server or a shim at every named point, and checks that nothing differs afterwards.
//!
//! ```text
//! cargo test --workspace --features e2e/crash-points --test crash-points
//! ```
//!
//! The test builds the programs itself, from a copy of the source in `target/planted`: with the
//! points and, to test the tests, once more with each planted bug of `tests/plants`. `--workspace`
//! keeps the features of dependencies as they are in the ordinary build: for one package alone,
//! cargo would compile them once more.
//!
//! `e2e::points` reads the points from the source of both programs. A point that is not reached
//! fails the test, so a new point needs a story here that reaches it.

mod oracle;
mod plants;
mod programs;
mod story;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::oracle::Told;
use crate::programs::Programs;
use crate::story::Story;

/// Only the points whose names begin with one of these, separated by commas.
const ONLY: &str = "VIBE_ENSEMBLE_TEST_POINTS";

/// How many stories run at a time. They mostly wait.
const AT_ONCE: usize = 8;

/// The points to which whoever runs the tests confines them.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests chooses by the environment")]
fn chosen() -> Option<String> {
    std::env::var(ONLY).ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_point_changes_nothing() {
    let mut points = e2e::points::all();
    assert!(points.len() >= 100, "{} points", points.len());
    if let Some(some) = chosen() {
        points.retain(|point| some.split(',').any(|beginning| point.starts_with(beginning)));
    }
    let programs = Arc::new(Programs::with(None).await);
    let begun = Instant::now();
    let mut expected: BTreeMap<Story, Told> = BTreeMap::new();
    for story in points.iter().map(|point| Story::of(point)).collect::<BTreeSet<_>>() {
        expected.insert(story, story::tell(story, None, &programs).await);
    }
    let expected = Arc::new(expected);
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    let mut names = BTreeMap::new();
    for point in points.clone() {
        let (slots, expected) = (Arc::clone(&slots), Arc::clone(&expected));
        let programs = Arc::clone(&programs);
        let name = point.clone();
        let task = running.spawn(async move {
            let _slot = slots.acquire().await.expect("never closed");
            let story = Story::of(&point);
            let told = story::tell(story, Some(&point), &programs).await;
            oracle::compare(&point, &expected[&story], &told)
        });
        names.insert(task.id(), name);
    }
    let mut failures = Vec::new();
    while let Some(ended) = running.join_next_with_id().await {
        match ended {
            Ok((_, Ok(()))) => {}
            Ok((id, Err(difference))) => failures.push(format!("{}: {difference}", names[&id])),
            Err(error) => failures.push(format!("{}: {error}", names[&error.id()])),
        }
    }
    eprintln!("{} points in {:?}", points.len(), begun.elapsed());
    assert!(failures.is_empty(), "{} points failed:\n{}", failures.len(), failures.join("\n"));
}
