//! What an ended attempt cost: as its agent told, or as is assumed of one that could not tell.

use sqlx::SqliteConnection;

use super::error::Result;
use crate::domain::attempt::Attempt;
use crate::domain::attempt::Spent;
use crate::domain::bill;

/// What claude exits with after TERM. It has written its session's running total then, so whoever goes on in that session
/// pays for it (measured with 2.1.330; after KILL the total of that run is lost).
const TOTAL_WAS_KEPT: i64 = 143;

/// Writes down what an attempt used, in place of what was written before, and corrects the sums of its ticket by the
/// difference. `found` is the attempt as it is stored.
pub(super) async fn book(
    connection: &mut SqliteConnection,
    found: &Attempt,
    spent: &Spent,
) -> Result<()> {
    let told = own_share(connection, found, spent).await?;
    let ran = spent.ran || found.started_at.is_some();
    let assumed = match told {
        None if ran => {
            let price = price(connection, &found.model).await?;
            let budget = found.budget.map(|(usd, _)| usd);
            Some(bill::assumed(spent.seen_worth, price, budget))
        }
        Some(_) | None => None,
    };
    sqlx::query(
        "UPDATE attempt
            SET num_turns = ?2, cost_usd = ?3, input_tokens = ?4, output_tokens = ?5, cached_tokens = ?6,
                peak_memory_bytes = NULLIF(MAX(COALESCE(peak_memory_bytes, 0), COALESCE(?7, 0)), 0),
                seen_worth = ?8, assumed_usd = ?9
          WHERE attempt_id = ?1",
    )
    .bind(found.id.key())
    .bind(spent.num_turns)
    .bind(told)
    .bind(spent.input_tokens)
    .bind(spent.output_tokens)
    .bind(spent.cached_tokens)
    .bind(spent.peak_memory_bytes)
    .bind(spent.seen_worth)
    .bind(assumed)
    .execute(&mut *connection)
    .await?;
    let mut assumed = assumed.unwrap_or(0.0) - found.assumed_usd.unwrap_or(0.0);
    if told.is_some() && found.resumed {
        assumed -= paid_for(connection, found).await?;
    }
    sqlx::query(
        "UPDATE ticket
            SET cost_usd = MAX(cost_usd + ?2, 0.0), assumed_usd = MAX(assumed_usd + ?3, 0.0)
          WHERE ticket_id = ?1",
    )
    .bind(found.ticket.key())
    .bind(told.unwrap_or(0.0) - found.spent.cost_usd.unwrap_or(0.0))
    .bind(assumed)
    .execute(connection)
    .await?;
    Ok(())
}

/// claude reports a session's cost as a running total, so an attempt that went on in a session owes only what came on
/// top of the attempts before it (measured with 2.1.330).
async fn own_share(
    connection: &mut SqliteConnection,
    found: &Attempt,
    spent: &Spent,
) -> Result<Option<f64>> {
    let Some(total) = spent.cost_usd.filter(|_| found.resumed) else { return Ok(spent.cost_usd) };
    let before: f64 = sqlx::query_scalar(
        "SELECT COALESCE(SUM(cost_usd), 0.0) FROM attempt WHERE claude_session_id = ?1 AND attempt_id < ?2",
    )
    .bind(&found.claude_session_id)
    .bind(found.id.key())
    .fetch_one(connection)
    .await?;
    Ok(Some((total - before).max(0.0)))
}

/// What a told total makes needless to assume of the attempts before it in its session.
async fn paid_for(connection: &mut SqliteConnection, found: &Attempt) -> Result<f64> {
    let before: Vec<(i64, f64)> = sqlx::query_as(
        "SELECT attempt_id, assumed_usd FROM attempt
          WHERE claude_session_id = ?1 AND attempt_id < ?2 AND exit_code = ?3 AND assumed_usd > 0",
    )
    .bind(&found.claude_session_id)
    .bind(found.id.key())
    .bind(TOTAL_WAS_KEPT)
    .fetch_all(&mut *connection)
    .await?;
    let mut paid = 0.0;
    for (attempt, usd) in before {
        sqlx::query("UPDATE attempt SET assumed_usd = 0 WHERE attempt_id = ?1")
            .bind(attempt)
            .execute(&mut *connection)
            .await?;
        paid += usd;
    }
    Ok(paid)
}

/// Dollars per input token, as the newest attempts with the same model paid them; the dearest of them.
async fn price(connection: &mut SqliteConnection, model: &str) -> Result<Option<f64>> {
    // The conditions are those of the index `attempt_priced`.
    const { assert!(bill::TELLING == 1000) };
    let price = sqlx::query_scalar(
        "SELECT MAX(cost_usd / seen_worth)
           FROM (SELECT cost_usd, seen_worth FROM attempt
                  WHERE model = ?1 AND state = 'ended' AND cost_usd > 0 AND seen_worth >= 1000 AND resumed = 0
                  ORDER BY attempt_id DESC
                  LIMIT 50)",
    )
    .bind(model)
    .fetch_one(connection)
    .await?;
    Ok(price)
}
