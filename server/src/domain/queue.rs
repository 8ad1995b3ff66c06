//! A queue: the tickets waiting for one worker type of one project. A view of the tickets, which is never stored.

use std::collections::BTreeMap;

use super::id::ProjectKey;
use super::id::TicketId;
use super::text::Name;
use super::ticket::Priority;

/// What the dispatcher and the coordinator see of one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    pub project: ProjectKey,
    pub project_name: Name,
    pub worker_type: Name,
    /// Tickets that wait for a worker.
    pub depth: i64,
    /// Those of them that have a place to work: a worktree that is ready, or the project's
    /// directory, which only one attempt can use.
    pub startable: i64,
    /// Tickets that a worker has.
    pub running: i64,
    /// Workers that are not stopped.
    pub workers: i64,
    /// Workers that have no ticket and may take one: launching or idle.
    pub free_workers: i64,
    pub max_workers: i64,
    pub auto_spawn: bool,
    /// Whether the queue itself, its project or the whole server is paused.
    pub paused: bool,
    /// Live workers of the project, and how many it may have.
    pub project_workers: i64,
    pub project_max_workers: Option<i64>,
    /// The highest waiting priority and its oldest ticket; they decide which queue goes first when
    /// slots are scarce.
    pub head: Option<(Priority, TicketId)>,
}

/// How many workers to launch now, per queue, most urgent queue first.
///
/// `live` counts every worker of the server that is not stopped, those of other queues too.
#[must_use]
pub fn launches(queues: &[Queue], live: i64, max_workers: i64) -> Vec<(usize, i64)> {
    let mut wanting: Vec<(usize, &Queue)> =
        queues.iter().enumerate().filter(|(_, queue)| wants(queue)).collect();
    wanting.sort_by_key(|(_, queue)| urgency(queue));
    let mut slots = max_workers - live;
    let mut launches = Vec::new();
    let mut planned: BTreeMap<ProjectKey, i64> = BTreeMap::new();
    for (index, queue) in wanting {
        let of_project = planned.entry(queue.project).or_default();
        let room = queue
            .project_max_workers
            .map_or(i64::MAX, |most| most - queue.project_workers - *of_project);
        let count = wanted(queue).min(slots).min(room);
        if count > 0 {
            slots -= count;
            *of_project += count;
            launches.push((index, count));
        }
    }
    launches
}

/// A ticket with a worktree of its own, in the order of its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its worktree is ready.
    Ready,
    /// Its worktree is about to be ready.
    BeingMade,
    /// Its worktree cannot be made just now.
    PassedOver,
}

/// What a worker does that asks for a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It takes the ticket at this place.
    Take(usize),
    /// It waits for a ticket that precedes the ready ones.
    Wait,
    /// There is no ticket to wait for.
    LookFurther,
}

/// The turn of one of the `idle` workers of a queue: each ticket whose worktree is being prepared reserves one of them,
/// so that no later ticket begins before it.
#[must_use]
pub fn turn(places: &[Place], idle: i64) -> Turn {
    let mut kept = 0;
    for (at, place) in places.iter().enumerate() {
        match place {
            Place::Ready if kept < idle => return Turn::Take(at),
            Place::Ready => return Turn::Wait,
            Place::BeingMade => kept += 1,
            Place::PassedOver => {}
        }
    }
    if kept > 0 { Turn::Wait } else { Turn::LookFurther }
}

/// The queues for which a worker would be launched, most urgent first.
pub(super) fn by_urgency(queues: &[Queue]) -> Vec<&Queue> {
    let mut wanting: Vec<&Queue> = queues.iter().filter(|queue| wants(queue)).collect();
    wanting.sort_by_key(|queue| urgency(queue));
    wanting
}

fn wants(queue: &Queue) -> bool {
    queue.auto_spawn && !queue.paused && queue.head.is_some() && wanted(queue) > 0
}

fn urgency(queue: &Queue) -> Option<(std::cmp::Reverse<Priority>, TicketId)> {
    queue.head.map(|(priority, ticket)| (std::cmp::Reverse(priority), ticket))
}

/// How many more workers it has work for and may have.
pub(super) fn wanted(queue: &Queue) -> i64 {
    (queue.startable - queue.free_workers).min(queue.max_workers - queue.workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(
        name: &str,
        depth: i64,
        workers: i64,
        free: i64,
        max: i64,
        head: (Priority, i64),
    ) -> Queue {
        Queue {
            project: ProjectKey(1),
            project_name: Name::from_row("p".into()),
            worker_type: Name::from_row(name.into()),
            depth,
            startable: depth,
            running: 0,
            workers,
            free_workers: free,
            max_workers: max,
            auto_spawn: true,
            paused: false,
            project_workers: workers,
            project_max_workers: None,
            head: (depth > 0).then_some((head.0, TicketId::from_key(head.1))),
        }
    }

    #[test]
    fn launches_up_to_depth_type_and_server() {
        let deep = queue("a", 10, 1, 0, 4, (Priority::Normal, 5));
        assert_eq!(launches(std::slice::from_ref(&deep), 1, 16), [(0, 3)]);
        assert_eq!(launches(std::slice::from_ref(&deep), 15, 16), [(0, 1)]);
        assert_eq!(launches(std::slice::from_ref(&deep), 16, 16), []);
        let served = queue("a", 2, 2, 2, 4, (Priority::Normal, 5));
        assert_eq!(launches(&[served], 2, 16), []);
    }

    #[test]
    fn the_last_slot_is_used_for_the_most_urgent_ticket() {
        let normal = queue("a", 1, 0, 0, 4, (Priority::Normal, 1));
        let urgent = queue("b", 1, 0, 0, 4, (Priority::Urgent, 9));
        assert_eq!(launches(&[normal.clone(), urgent], 0, 1), [(1, 1)]);
        let older = queue("c", 1, 0, 0, 4, (Priority::Normal, 0));
        assert_eq!(launches(&[normal, older], 0, 1), [(1, 1)]);
    }

    #[test]
    fn a_project_keeps_its_worker_limit_over_all_its_queues() {
        let of = |name: &str, head| Queue {
            project_workers: 1,
            project_max_workers: Some(3),
            ..queue(name, 5, 0, 0, 4, (Priority::Normal, head))
        };
        assert_eq!(launches(&[of("a", 2), of("b", 1)], 1, 16), [(1, 2)]);
        let other = Queue { project: ProjectKey(2), ..queue("c", 1, 0, 0, 1, (Priority::Low, 9)) };
        assert_eq!(launches(&[of("a", 1), other], 1, 16), [(0, 2), (1, 1)]);
    }

    #[test]
    fn no_worker_is_launched_for_tickets_without_a_place_to_work() {
        let deep = queue("a", 10, 0, 0, 4, (Priority::Normal, 5));
        let shared = Queue { startable: 1, ..deep.clone() };
        assert_eq!(launches(&[shared], 0, 16), [(0, 1)]);
        let waiting = Queue { startable: 0, ..deep };
        assert_eq!(launches(&[waiting], 0, 16), []);
    }

    #[test]
    fn one_worker_waits_for_a_worktree_that_is_being_made() {
        use Place::BeingMade;
        use Place::PassedOver;
        use Place::Ready;
        assert_eq!(turn(&[Ready, BeingMade], 1), Turn::Take(0));
        assert_eq!(
            turn(&[BeingMade, Ready], 1),
            Turn::Wait,
            "it goes before the one that is ready"
        );
        assert_eq!(turn(&[BeingMade, Ready], 2), Turn::Take(1), "the other one waits");
        assert_eq!(turn(&[BeingMade, BeingMade, Ready], 2), Turn::Wait);
        assert_eq!(
            turn(&[PassedOver, Ready], 1),
            Turn::Take(1),
            "nobody knows how long that takes"
        );
        assert_eq!(turn(&[BeingMade], 3), Turn::Wait);
        assert_eq!(turn(&[PassedOver], 1), Turn::LookFurther);
        assert_eq!(turn(&[], 1), Turn::LookFurther);
    }

    #[test]
    fn paused_and_manual_queues_get_no_worker() {
        let paused = Queue { paused: true, ..queue("a", 1, 0, 0, 4, (Priority::Normal, 1)) };
        let manual = Queue { auto_spawn: false, ..queue("b", 1, 0, 0, 4, (Priority::Normal, 1)) };
        assert_eq!(launches(&[paused, manual], 0, 16), []);
    }
}
