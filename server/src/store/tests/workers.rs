use super::Bed;
use super::NOW;
use crate::domain::worker::WorkerState;

/// A caller deletes what a worker works for, in the moment it was asked for.
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

/// A launch can fail after its shim was on its way: the shim says hello, takes a ticket, and nothing has failed.
#[tokio::test]
async fn a_worker_that_came_outlives_its_launch() {
    let bed = Bed::new().await;
    let came = bed.worker("impl").await;
    assert!(!bed.store.worker_never_came(came, "it could not be launched", NOW).await.unwrap());
    let worker = bed.store.worker(came).await.unwrap();
    assert!(!bed.store.launch_failed(&worker, "it could not be launched", NOW).await.unwrap());
    assert_eq!(bed.store.worker(came).await.unwrap().state, WorkerState::Idle);
    let (queue, _) = bed.store.queue("shop", "impl", NOW).await.unwrap();
    assert!(!queue.paused, "{queue:?}");

    let late = bed.store.request_workers("shop", "impl", 1, NOW).await.unwrap()[0].id;
    assert!(bed.store.mark_launched(late, "f".repeat(64), NOW).await.unwrap());
    assert!(bed.store.worker_never_came(late, "its shim never said hello", NOW).await.unwrap());
    assert_eq!(bed.store.worker(late).await.unwrap().state, WorkerState::Stopped);
}
