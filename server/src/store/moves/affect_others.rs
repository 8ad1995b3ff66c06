//! What the end of one attempt means for other tickets: in the same commit, so that none of them begins in between.

use sqlx::SqliteConnection;

use super::ending::Ending;
use super::pause_queue;
use super::pause_scope;
use super::put_off;
use crate::domain::attempt::Attempt;
use crate::domain::outcome::Failure;
use crate::domain::outcome::Verdict;
use crate::domain::pipeline::Move;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::domain::usage::Held;
use crate::domain::usage::UsageLimit;
use crate::domain::worker_type::PassingCause;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;

/// Makes those queues wait that would meet the same failure, and resumes those that the attempt shows to work. `to` is
/// the move of its own ticket.
pub(crate) async fn affect(
    connection: &mut SqliteConnection,
    (ticket, found): (&Ticket, &Attempt),
    ending: &Ending,
    to: &Move,
    rules: Rules,
    now: Timestamp,
) -> Result<()> {
    if let Verdict::Failed { failure, detail } = &ending.verdict
        && failure.pauses_queue()
    {
        let why = (detail.as_str(), Some(*failure));
        pause_queue::pause(connection, ticket.project, &found.stage, why, now).await?;
    }
    if let Verdict::Failed { failure, detail } = &ending.verdict
        && failure.puts_queue_off()
    {
        let queue = (ticket.project, &found.stage);
        put_off::put_off(connection, queue, PassingCause::Start, detail, rules, now).await?;
    }
    if ending.spent.ran {
        put_off::agent_started(connection, found.id, now).await?;
    }
    if let Verdict::Failed { failure: Failure::UsageLimit, .. } = &ending.verdict
        && let Some(usage) = &ending.usage
        && let Move::Retry { not_before, .. } = to
    {
        refused(connection, found, usage, *not_before, now).await?;
    }
    Ok(())
}

/// The service refused the attempt for a usage limit: every other queue that it would refuse waits as long as the
/// attempt's ticket.
async fn refused(
    connection: &mut SqliteConnection,
    found: &Attempt,
    usage: &UsageLimit,
    until: Timestamp,
    now: Timestamp,
) -> Result<()> {
    for hold in usage.holds(/* reserve */ 0.0) {
        let reason = hold.reason(/* reserve */ 0.0);
        match &hold.of {
            Held::Everything => pause_scope::usage_limit(connection, reason, until, now).await?,
            Held::Models(family) => {
                let models = (family.as_str(), Some(found.model.as_str()));
                put_off::hold_models(connection, models, &reason, until, now).await?;
            }
        }
    }
    Ok(())
}
