//! What an ended attempt cost, as its agent reported, or as is assumed for an agent that could not report it.

use sqlx::SqliteConnection;

use crate::domain::attempt::Attempt;
use crate::domain::attempt::Spent;
use crate::domain::bill;
use crate::domain::bill::Owed;
use crate::domain::bill::Seen;
use crate::store::db::error::Result;

/// The code with which claude exits after TERM. It has written its session's running total then, so an attempt that
/// continues the session pays for it (measured with 2.1.330; after KILL the total of that run is lost).
const TOTAL_WAS_KEPT: i64 = 143;

/// Stores what an attempt used, in place of what was stored before, and corrects the sums of its ticket by the
/// difference. `found` is the stored attempt. Returns the dollars that the attempt is counted with.
pub(crate) async fn book(
    connection: &mut SqliteConnection,
    found: &Attempt,
    spent: &Spent,
) -> Result<f64> {
    let spent = bill::bounded(spent);
    let owed = owed(connection, found, &spent).await?;
    let Booked { told, assumed } = booked(connection, found, &spent, owed).await?;
    sqlx::query(
        "UPDATE attempt
            SET num_turns = ?2, cost_usd = ?3, input_tokens = ?4, output_tokens = ?5, cached_tokens = ?6,
                peak_memory_bytes = NULLIF(MAX(COALESCE(peak_memory_bytes, 0), COALESCE(?7, 0)), 0),
                seen_worth = ?8, assumed_usd = ?9, total_usd = ?10
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
    // With an error, claude reports $0 for a session that has cost something.
    .bind(spent.cost_usd.filter(|usd| *usd > 0.0 && told.is_some()))
    .execute(&mut *connection)
    .await?;
    let mut correction = assumed.unwrap_or(0.0) - found.assumed_usd.unwrap_or(0.0);
    if told.is_some() && owed.is_some_and(|owed| owed.pays_for_earlier) {
        correction -= paid_for(connection, found).await?;
    }
    sqlx::query(
        "UPDATE ticket
            SET cost_usd = MIN(MAX(cost_usd + ?2, 0.0), ?4), assumed_usd = MIN(MAX(assumed_usd + ?3, 0.0), ?4)
          WHERE ticket_id = ?1",
    )
    .bind(found.ticket.key())
    .bind(told.unwrap_or(0.0) - found.spent.cost_usd.unwrap_or(0.0))
    .bind(correction)
    .bind(bill::MOST_USD_IN_ALL)
    .execute(connection)
    .await?;
    Ok(told.or(assumed).unwrap_or(0.0))
}

/// What is stored of an attempt's dollars: what it reported or, where the report is not complete, what is assumed.
struct Booked {
    told: Option<f64>,
    assumed: Option<f64>,
}

async fn booked(
    connection: &mut SqliteConnection,
    found: &Attempt,
    spent: &Spent,
    owed: Option<Owed>,
) -> Result<Booked> {
    let ran = spent.ran || found.started_at.is_some();
    let budget = found.budget.map(|(usd, _)| usd);
    let (seen, before) = match owed {
        // It continued to work after its last report of dollars, and was ended before the next one.
        Some(owed) if spent.untold_worth > 0.0 => (Some(spent.untold_worth), owed.usd),
        Some(owed) => return Ok(Booked { told: Some(owed.usd), assumed: None }),
        None if !ran => return Ok(Booked { told: None, assumed: None }),
        None => (spent.seen_worth, 0.0),
    };
    let price = price(connection, &found.model).await?;
    let seen = Seen { worth: seen, under_way: !spent.idle };
    let left = budget.map(|usd| (usd - before).max(0.0));
    let assumed = (before + bill::assumed(seen, price, left)).min(bill::MOST_USD);
    Ok(Booked { told: None, assumed: Some(assumed) })
}

/// What an attempt owes of what it reported.
async fn owed(
    connection: &mut SqliteConnection,
    found: &Attempt,
    spent: &Spent,
) -> Result<Option<Owed>> {
    if !found.resumed {
        // No attempt came before it, and the two are one sum.
        let usd = spent.cost_usd.into_iter().chain(spent.own_usd).reduce(f64::max);
        return Ok(usd.map(|usd| Owed { usd, pays_for_earlier: false }));
    }
    let before: Option<f64> = sqlx::query_scalar(
        "SELECT total_usd FROM attempt
          WHERE claude_session_id = ?1 AND attempt_id < ?2 AND total_usd IS NOT NULL
          ORDER BY attempt_id DESC LIMIT 1",
    )
    .bind(&found.claude_session_id)
    .bind(found.id.key())
    .fetch_optional(connection)
    .await?;
    Ok(bill::owed(spent.cost_usd, spent.own_usd, before.unwrap_or(0.0)))
}

/// What a reported total makes it needless to assume for earlier attempts of the session.
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
pub(crate) async fn price(connection: &mut SqliteConnection, model: &str) -> Result<Option<f64>> {
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
