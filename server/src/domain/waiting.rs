//! `waiting_for`: one sentence on why a ticket is not running and what would move it.

use super::id::TicketId;
use super::ticket::LiveAttempt;
use super::ticket::Resolution;
use super::ticket::Ticket;
use super::ticket::TicketState;
use super::worker_type::Pause;

/// What the sentence depends on besides the ticket itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The tickets it waits for that are not completed, with their states.
    pub open_dependencies: Vec<(TicketId, &'static str)>,
    pub live: Option<LiveAttempt>,
    /// `None` when the current stage's worker type is gone.
    pub queue: Option<QueueSurroundings>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSurroundings {
    pub pause: Option<Pause>,
    pub auto_spawn: bool,
    pub workers: i64,
    pub max_workers: i64,
    /// Tickets of the same queue that go first.
    pub ahead: i64,
    /// Another attempt works in the directory, where only one can be.
    pub directory_taken: bool,
    /// Its worktree is not ready.
    pub unprepared: bool,
}

/// The sentence, or `None` for a closed ticket, which waits for nothing.
#[must_use]
pub fn waiting_for(ticket: &Ticket, around: &Surroundings) -> Option<String> {
    let stage = ticket.current_stage();
    Some(match &ticket.state {
        TicketState::Closed {
            resolution: Resolution::Completed | Resolution::Cancelled, ..
        } => return None,
        TicketState::Running => match around.live {
            Some(live) if live.suspect => format!(
                "{} of its stage {stage} is stuck: its shim is dead, and what it left contradicts itself or its processes \
                 could not be ended. Nothing else runs this ticket meanwhile. Give its result up with stop_worker ({}, mode \
                 interrupt) to have it run again, or end it with close_ticket; `vibe-ensemble doctor` lists it.",
                live.attempt, live.worker
            ),
            Some(live) => format!("{} runs its stage {stage} as {}.", live.worker, live.attempt),
            None => match &ticket.work {
                Some(work) if work.landing => format!(
                    "Its stages are completed; {} is being merged into {}.",
                    work.branch,
                    work.base_name().unwrap_or("its base branch")
                ),
                Some(_) | None => format!("Its stage {stage} is running."),
            },
        },
        TicketState::OnHold { reason } => {
            format!(
                "On hold: {} Move it with resume_ticket, or end it with close_ticket.",
                sentence(reason)
            )
        }
        TicketState::Scheduled { not_before } => {
            format!("Its stage {stage} is tried again at {not_before}.")
        }
        TicketState::Blocked => {
            let open: Vec<String> = around
                .open_dependencies
                .iter()
                .map(|(id, state)| format!("{id} ({state})"))
                .collect();
            format!("It waits for {} to complete.", open.join(", "))
        }
        TicketState::Queued => queued(ticket, around.queue.as_ref()),
    })
}

fn queued(ticket: &Ticket, queue: Option<&QueueSurroundings>) -> String {
    let stage = ticket.current_stage();
    let Some(queue) = queue else {
        return format!("Its stage {stage} has no worker type; create it with create_worker_type.");
    };
    if let Some(pause) = &queue.pause {
        return format!(
            "The queue {stage} is paused since {}: {} Spawn a worker or update the worker type to resume it.",
            pause.since,
            sentence(&pause.reason)
        );
    }
    if queue.workers == 0 && (!queue.auto_spawn || queue.max_workers == 0) {
        return format!(
            "No worker of type {stage} lives and none is launched by itself; start one with spawn_worker."
        );
    }
    if queue.directory_taken {
        return format!(
            "It waits for the project's directory, where another attempt works; attempts take turns there. It is in the \
             queue {stage} with {} before it.",
            queue.ahead
        );
    }
    match queue.ahead {
        0 if queue.unprepared => {
            "It is next in its queue, and its worktree is being made ready.".to_owned()
        }
        0 => format!("It is next in the queue {stage} and waits for a free worker."),
        1 => format!("One ticket is before it in the queue {stage}."),
        ahead => format!("{ahead} tickets are before it in the queue {stage}."),
    }
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.ends_with(['.', '?', '!']) { text.to_owned() } else { format!("{text}.") }
}
