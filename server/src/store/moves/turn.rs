//! Whose turn it is: the ticket that a worker begins next.
//!
//! By priority, then age. In a directory that attempts share, a ticket that has begun goes before a new one of the same
//! priority, across all queues that work there: its changes are in the way of every other ticket until it is done.

use sqlx::SqliteConnection;

use super::seek::Seeker;
use crate::domain::id::TicketId;
use crate::domain::queue::Place;
use crate::domain::queue::Turn;
use crate::domain::queue::turn;
use crate::store::db::error::Result;
use crate::store::rows::queue;
use crate::store::rows::queue::Alone;

/// Tickets at the head of a queue that are checked one by one.
const HEAD: i64 = 64;

/// The ticket that the worker gets, if one may begin. The worker does not wait for the worktree of a ticket that is
/// `passed_over`.
pub(crate) async fn next(
    connection: &mut SqliteConnection,
    seeker: &Seeker,
    passed_over: &[TicketId],
) -> Result<Option<TicketId>> {
    if let Some(own) = seeker.resumes() {
        return Ok(Some(own));
    }
    let alone = alone(connection, seeker, passed_over).await?;
    let shared = if seeker.is_directory_free { shared(connection, seeker).await? } else { None };
    let best = alone.into_iter().chain(shared).min_by_key(|(priority, id)| (-priority, *id));
    Ok(best.map(|(_, id)| TicketId::from_key(id)))
}

/// The best ticket with a worktree of its own, with its priority. A ticket whose worktree is being created is waited
/// for: it goes before later ones, although their worktrees are ready.
async fn alone(
    connection: &mut SqliteConnection,
    seeker: &Seeker,
    passed_over: &[TicketId],
) -> Result<Option<(i64, i64)>> {
    let head =
        queue::head_alone(connection, seeker.project(), seeker.worker_type.as_str(), HEAD).await?;
    let place = |ticket: &Alone| match ticket.ready {
        true => Place::Ready,
        false if passed_over.contains(&TicketId::from_key(ticket.ticket_id)) => Place::PassedOver,
        false => Place::BeingMade,
    };
    let places: Vec<Place> = head.iter().map(place).collect();
    match turn(&places, seeker.idle) {
        Turn::Take(at) => Ok(head.get(at).map(|ticket| (ticket.priority, ticket.ticket_id))),
        Turn::Wait => Ok(None),
        Turn::LookFurther => {
            // CROSS JOIN keeps the order: from the few worktrees that are ready, never from the whole queue.
            let best = sqlx::query_as(
                "SELECT t.priority, t.ticket_id
                   FROM worktree k
                  CROSS JOIN ticket t ON t.ticket_id = k.ticket_id
                  WHERE k.ready = 1 AND t.state = 'queued' AND t.project_id = ?1 AND t.current_stage = ?2
                  ORDER BY t.priority DESC, t.ticket_id
                  LIMIT 1",
            )
            .bind(seeker.project().0)
            .bind(seeker.worker_type.as_str())
            .fetch_optional(connection)
            .await?;
            Ok(best)
        }
    }
}

/// The best ticket that works in the project's directory, with its priority, unless one of another queue goes before
/// it.
async fn shared(connection: &mut SqliteConnection, seeker: &Seeker) -> Result<Option<(i64, i64)>> {
    let own: i64 =
        sqlx::query_scalar("SELECT rank FROM queue_row WHERE project_id = ?1 AND name = ?2")
            .bind(seeker.project().0)
            .bind(seeker.worker_type.as_str())
            .fetch_optional(&mut *connection)
            .await?
            .unwrap_or(-1);
    if own < 0 {
        return Ok(None);
    }
    // Only a ticket that can begin goes before others, or the directory would wait for nothing.
    let before: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1
           FROM queue_row q
          WHERE q.directory = (SELECT directory FROM project WHERE project_id = ?1)
            AND NOT (q.project_id = ?1 AND q.name = ?2)
            AND NOT q.paused
            AND ((q.auto_spawn AND q.max_workers > 0 AND COALESCE(q.project_max_workers, 1) > 0)
                 OR q.free_workers > 0)
            AND q.rank > ?3)",
    )
    .bind(seeker.project().0)
    .bind(seeker.worker_type.as_str())
    .bind(own)
    .fetch_one(&mut *connection)
    .await?;
    if before {
        return Ok(None);
    }
    let best = sqlx::query_as(
        "SELECT t.priority, t.ticket_id
           FROM ticket t JOIN project p ON p.project_id = t.project_id
          WHERE t.project_id = ?1 AND t.current_stage = ?2 AND t.state = 'queued' AND t.priority = ?3
            AND t.begun >= ?4 AND COALESCE(t.isolation, p.isolation) = 'shared'
          ORDER BY t.ticket_id
          LIMIT 1",
    )
    .bind(seeker.project().0)
    .bind(seeker.worker_type.as_str())
    .bind(own / 2)
    .bind(own % 2)
    .fetch_optional(connection)
    .await?;
    Ok(best)
}
