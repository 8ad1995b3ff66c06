//! Tickets that a stage's result asks for: checked before the result is accepted, and created in the commit that
//! accepts it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sqlx::SqliteConnection;

use super::create;
use super::create::Admitted;
use crate::domain::comment::CommentKind;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::outcome::Failure;
use crate::domain::outcome::Verdict;
use crate::domain::planned::Dependency;
use crate::domain::planned::PlannedTicket;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::store::db::error::Error;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;
use crate::store::money::limits;
use crate::store::rows::checks;
use crate::store::rows::comment;
use crate::store::rows::comment::NewComment;
use crate::store::rows::ticket;

/// The verdict after a look at the database: a result with a ticket that would be refused is malformed, and a result
/// that asks for more tickets than its family may have creates none.
pub(crate) async fn judge(
    connection: &mut SqliteConnection,
    parent: TicketId,
    verdict: Verdict,
    rules: Rules,
) -> Result<Verdict> {
    let Verdict::Succeeded(result) = &verdict else { return Ok(verdict) };
    if result.tickets.is_empty() {
        return Ok(verdict);
    }
    let parent = ticket::load(connection, parent).await?;
    for planned in &result.tickets {
        match admit(connection, &parent, planned).await {
            Ok(_) => {}
            Err(Error::Refused(refusal)) => {
                let detail = refusal.of_planned(&planned.key);
                return Ok(Verdict::Failed { failure: Failure::MalformedResult, detail });
            }
            Err(error) => return Err(error),
        }
    }
    if let Err(detail) =
        limits::descendants(connection, &parent, result.tickets.len(), rules).await?
    {
        return Ok(Verdict::Failed { failure: Failure::TooManyTickets, detail });
    }
    Ok(verdict)
}

/// Creates the tickets of a result that was judged in this transaction, and lists their ids in a comment.
pub(crate) async fn create(
    connection: &mut SqliteConnection,
    parent: &Ticket,
    (attempt, worker): (AttemptId, WorkerId),
    tickets: &[PlannedTicket],
    now: Timestamp,
) -> Result<()> {
    if tickets.is_empty() {
        return Ok(());
    }
    let stage = parent.current_stage();
    let mut made: BTreeMap<&str, TicketId> = BTreeMap::new();
    let mut list = "Tickets created:\n".to_owned();
    for planned in tickets {
        let mut admitted = admit(connection, parent, planned).await?;
        let siblings = planned.depends_on.iter().filter_map(|dependency| match dependency {
            Dependency::Planned(key) => made.get(key.as_str()).copied(),
            Dependency::Existing(_) => None,
        });
        admitted.wait_for(siblings);
        let new = create::Row {
            admitted,
            title: &planned.title,
            description: &planned.description,
            plan: &planned.plan,
            priority: planned.priority,
            origin: create::Origin::Planned { parent, attempt, worker, key: &planned.key },
        };
        let id = create::insert(connection, new, now).await?.id;
        checks::inherit(connection, id, parent.id).await?;
        made.insert(planned.key.as_str(), id);
        writeln!(list, "- {id} ({}): {}", planned.key, planned.title)
            .expect("writing to a String cannot fail");
    }
    let note = NewComment {
        ticket: parent.id,
        author: stage.as_str(),
        stage: Some(stage.as_str()),
        attempt: Some(attempt),
        kind: CommentKind::Report,
        content: list.trim_end(),
    };
    comment::insert(connection, note, now).await?;
    Ok(())
}

async fn admit(
    connection: &mut SqliteConnection,
    parent: &Ticket,
    planned: &PlannedTicket,
) -> Result<Admitted> {
    let existing: Vec<TicketId> = planned
        .depends_on
        .iter()
        .filter_map(|dependency| match dependency {
            Dependency::Existing(id) => Some(*id),
            Dependency::Planned(_) => None,
        })
        .collect();
    create::admit(connection, parent.project, &parent.project_name, &planned.plan, &existing).await
}
