//! Slots: which workers exit so that more urgent work gets a worker.
//!
//! A worker belongs to one queue. When the server or a project has all the workers it may have, a queue without one
//! waits, however urgent its tickets are, until a worker of another queue exits. This module chooses which.

use super::attempt::StopMode;
use super::id::WorkerId;
use super::queue;
use super::queue::Queue;
use super::ticket::Priority;
use super::worker::Worker;
use super::worker::WorkerState;

/// The workers to drain now: idle ones without work, else busy ones whose queue would continue with
/// less urgent work. `queues` are those in which a ticket waits; `workers` all that are not
/// stopped.
///
/// A busy worker makes room for a higher priority. For an older ticket of the same priority it does
/// so only if that ticket's queue has no worker at all: otherwise two queues would take each
/// other's workers after every ticket.
#[must_use]
pub fn retirements(queues: &[Queue], workers: &[Worker], max_workers: i64) -> Vec<WorkerId> {
    let mut leaving: Vec<&Worker> = workers.iter().filter(|w| is_leaving(w)).collect();
    let count = |workers: usize| i64::try_from(workers).unwrap_or(i64::MAX);
    // Slots that are free, or become free by themselves.
    let mut free = max_workers - count(workers.len()) + count(leaving.len());
    let mut retired = Vec::new();
    for queue in queue::by_urgency(queues) {
        let of_project = |workers: &[&Worker]| {
            count(workers.iter().filter(|worker| worker.project == queue.project).count())
        };
        let mut room = queue.project_max_workers.map_or(i64::MAX, |most| {
            most.saturating_sub(queue.project_workers) + of_project(&leaving)
        });
        for _ in 0..queue::wanted(queue) {
            if free > 0 && room > 0 {
                free -= 1;
                room -= 1;
                continue;
            }
            let others = workers.iter().filter(|worker| {
                (room > 0 || worker.project == queue.project)
                    && !leaving.iter().any(|gone| gone.id == worker.id)
            });
            let Some(victim) = least_needed(others, queues, queue) else { break };
            retired.push(victim.id);
            leaving.push(victim);
            if victim.project != queue.project {
                room -= 1;
            }
        }
    }
    retired
}

fn is_leaving(worker: &Worker) -> bool {
    worker.state == WorkerState::Stopping || worker.stop == Some(StopMode::Drain)
}

/// The worker to give up for a ticket of `wanting`; none if all do more urgent work.
fn least_needed<'w>(
    workers: impl Iterator<Item = &'w Worker>,
    queues: &[Queue],
    wanting: &Queue,
) -> Option<&'w Worker> {
    let (priority, ticket) = wanting.head?;
    let loss = |worker: &Worker| -> Option<(bool, Option<Priority>)> {
        if worker.project == wanting.project && worker.worker_type == wanting.worker_type {
            return None;
        }
        let own = queues
            .iter()
            .find(|q| q.project == worker.project && q.worker_type == worker.worker_type)
            .filter(|own| own.startable > 0 && !own.paused)
            .and_then(|own| own.head);
        match (worker.state, own) {
            (WorkerState::Idle, None) => Some((false, None)),
            (WorkerState::Busy, Some((next, older))) => {
                let gives_way =
                    next < priority || (next == priority && ticket < older && wanting.workers == 0);
                gives_way.then_some((true, Some(next)))
            }
            // A busy worker with an empty queue will soon be idle, and an idle worker with work
            // will not be idle for long.
            (WorkerState::Idle, Some(_))
            | (WorkerState::Busy, None)
            | (WorkerState::Launching | WorkerState::Stopping | WorkerState::Stopped, _) => None,
        }
    };
    workers
        .filter_map(|worker| Some((loss(worker)?, worker)))
        .min_by_key(|(loss, worker)| (*loss, std::cmp::Reverse(worker.id)))
        .map(|(_, worker)| worker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::AttemptId;
    use crate::domain::id::ProjectKey;
    use crate::domain::id::TicketId;
    use crate::domain::text::Name;
    use crate::domain::time::Timestamp;
    use crate::domain::worker::WorkerKind;

    fn queue(name: &str, workers: i64, head: (Priority, i64)) -> Queue {
        Queue {
            project: ProjectKey(1),
            project_name: Name::from_row("p".into()),
            worker_type: Name::from_row(name.into()),
            depth: 1,
            startable: 1,
            running: 0,
            workers,
            free_workers: 0,
            max_workers: 4,
            auto_spawn: true,
            paused: false,
            project_workers: workers,
            project_max_workers: None,
            head: Some((head.0, TicketId::from_key(head.1))),
        }
    }

    fn worker(id: i64, kind: &str, state: WorkerState) -> Worker {
        Worker {
            id: WorkerId::from_key(id),
            project: ProjectKey(1),
            project_name: Name::from_row("p".into()),
            worker_type: Name::from_row(kind.into()),
            kind: WorkerKind::Agent,
            has_network: true,
            state,
            pid: None,
            child_pid: None,
            unit: None,
            ticket: None,
            attempt: (state == WorkerState::Busy).then(|| AttemptId::from_key(id)),
            stop: (state == WorkerState::Stopping).then_some(StopMode::Drain),
            memory_bytes: None,
            started_at: Timestamp::from_millis(0),
            last_heartbeat_at: None,
            stopped_at: None,
            stop_reason: None,
        }
    }

    fn ids(retired: &[WorkerId]) -> Vec<i64> {
        retired.iter().map(|id| id.key()).collect()
    }

    #[test]
    fn an_idle_worker_makes_room_only_when_there_is_none() {
        let wanting = [queue("review", 0, (Priority::Low, 9))];
        let idle = [worker(1, "build", WorkerState::Idle)];
        assert_eq!(ids(&retirements(&wanting, &idle, 1)), [1]);
        assert_eq!(ids(&retirements(&wanting, &idle, 2)), [0; 0]);
        let leaving = [worker(1, "build", WorkerState::Stopping), idle[0].clone()];
        assert_eq!(ids(&retirements(&wanting, &leaving, 2)), [0; 0], "a slot is on its way");
    }

    #[test]
    fn an_idle_worker_of_another_queue_that_has_work_keeps_it() {
        let build = queue("build", 1, (Priority::Low, 1));
        let wanting =
            [Queue { free_workers: 1, ..build }, queue("review", 0, (Priority::Urgent, 9))];
        let idle = [worker(1, "build", WorkerState::Idle)];
        assert_eq!(ids(&retirements(&wanting, &idle, 1)), [0; 0]);
        let paused = [Queue { paused: true, ..wanting[0].clone() }, wanting[1].clone()];
        assert_eq!(ids(&retirements(&paused, &idle, 1)), [1]);
    }

    #[test]
    fn a_busy_worker_makes_room_for_more_urgent_work_and_the_least_urgent_first() {
        let queues = [
            queue("build", 1, (Priority::Normal, 1)),
            queue("test", 1, (Priority::Low, 2)),
            queue("review", 0, (Priority::Urgent, 9)),
        ];
        let busy = [worker(1, "build", WorkerState::Busy), worker(2, "test", WorkerState::Busy)];
        assert_eq!(ids(&retirements(&queues, &busy, 2)), [2]);
        let done = [worker(1, "docs", WorkerState::Busy)];
        assert_eq!(ids(&retirements(&queues[2..], &done, 1)), [0; 0], "it is idle soon");
    }

    #[test]
    fn an_older_ticket_gets_a_first_worker_but_no_second_one() {
        let busy = [worker(1, "build", WorkerState::Busy)];
        let queues = |workers| {
            [
                queue("build", 1, (Priority::Normal, 5)),
                queue("review", workers, (Priority::Normal, 3)),
            ]
        };
        assert_eq!(ids(&retirements(&queues(0), &busy, 1)), [1]);
        assert_eq!(ids(&retirements(&queues(1), &busy, 1)), [0; 0]);
    }

    #[test]
    fn a_full_project_gives_up_one_of_its_own_workers() {
        let full = Queue {
            project_workers: 1,
            project_max_workers: Some(1),
            ..queue("review", 0, (Priority::Normal, 3))
        };
        let elsewhere = Worker { project: ProjectKey(2), ..worker(1, "build", WorkerState::Idle) };
        let own = worker(2, "build", WorkerState::Idle);
        assert_eq!(ids(&retirements(&[full], &[elsewhere, own], 8)), [2]);
    }
}
