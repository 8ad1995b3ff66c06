use super::Bed;
use super::NOW;
use crate::domain::worker::WorkerState;

/// Whoever deletes what a worker works for, in the moment it was asked for.
#[tokio::test]
async fn a_worker_that_was_never_launched_holds_no_slot() {
    for deletion in ["queue", "worker type", "project"] {
        let bed = Bed::new().await;
        let asked = bed.store.request_workers("shop", "impl", 3, NOW).await.expect("workers");
        match deletion {
            "queue" => drop(bed.store.delete_queue("shop", "impl", false, NOW).await.unwrap()),
            "worker type" => {
                drop(bed.store.delete_worker_type("shop", "impl", true, NOW).await.unwrap());
            }
            _ => drop(bed.store.delete_project("shop", true, NOW).await.unwrap()),
        }
        assert_eq!(bed.store.live_workers().await.unwrap(), [], "after deleting the {deletion}");
        for worker in asked {
            let worker = bed.store.worker(worker.id).await.unwrap();
            assert_eq!(worker.state, WorkerState::Stopped);
            assert!(!bed.store.mark_launched(worker.id, "f".repeat(64), NOW).await.unwrap());
        }
        let stopped = bed.kinds().await.iter().filter(|kind| **kind == "worker_stopped").count();
        assert_eq!(stopped, 3, "after deleting the {deletion}");
    }
}
