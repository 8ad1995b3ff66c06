//! What proves that something belongs to this server.

use super::*;
use crate::domain::trace::Directory;
use crate::domain::trace::Trace;

fn directory(path: &str, inode: u64) -> Directory {
    Directory { path: path.into(), device: 7, inode }
}

#[tokio::test]
async fn a_database_in_another_directory_is_in_another_place() {
    let bed = Bed::new().await;
    assert_eq!(bed.store.place().await.unwrap(), None);
    let first = bed.store.settle_in(directory("/state", 42)).await.unwrap();
    assert_eq!(first.granted_elsewhere, 0);
    let again = bed.store.settle_in(directory("/renamed", 42)).await.unwrap();
    assert_eq!((&again.id, again.directory.path.as_str()), (&first.id, "/renamed"));
    bed.ticket(&["impl"]).await;
    let worker = bed.worker("impl").await;
    let granted = bed.granted(worker, "p1").await;
    let copy = bed.store.settle_in(directory("/copy", u64::MAX)).await.unwrap();
    assert_ne!(copy.id, first.id);
    assert_eq!(copy.granted_elsewhere, granted.attempt.id.key());
    assert_eq!(bed.store.place().await.unwrap(), Some(copy));
}

#[tokio::test]
async fn the_first_traces_of_a_worker_are_the_ones_that_count() {
    let bed = Bed::new().await;
    let worker = bed.worker("impl").await;
    assert_eq!(bed.store.trace(worker).await.unwrap(), None);
    let trace = Trace {
        pid: 4711,
        started_ticks: Some(u64::MAX),
        boot_id: Some("this".into()),
        lock_inode: Some(u64::MAX),
        seal_key: Some("ab".into()),
        unit: Some("{}".into()),
    };
    let kept = bed.store.keep_trace(worker, trace.clone()).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&trace));
    let thief = Trace { pid: 4712, ..trace.clone() };
    assert_eq!(bed.store.keep_trace(worker, thief).await.unwrap(), Some(trace));
}
