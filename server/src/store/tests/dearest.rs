//! The dearest groups are the same whether they are walked to or summed from every attempt.

use sqlx::Connection as _;
use sqlx::SqliteConnection;

use super::*;
use crate::store::GroupBy;
use crate::store::UsageFilter;

/// Attempts of 40 tickets with two stages on nine days, in dollars that leave ties.
async fn filled() -> Bed {
    let bed = Bed::new().await;
    bed.worker("impl").await;
    for _ in 0..40 {
        bed.ticket(&["plan", "impl"]).await;
    }
    let path = bed.dir.path().join("test.db");
    let mut raw = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    for number in 0..11_000_i64 {
        let stage = if number % 3 == 0 { "plan" } else { "impl" };
        let (ticket, day, cents) = (number % 40 + 1, number % 9, (number * 7919) % 13);
        sqlx::query(
            "INSERT INTO attempt (ticket_id, stage_index, stage, worker_id, pull_id, state, outcome, claude_session_id,
                    granted_at, started_at, ended_at, cost_usd)
             VALUES (?1, 0, ?2, 1, ?3, 'ended', 'succeeded', 's', ?4, ?4, ?4, ?5)",
        )
        .bind(ticket)
        .bind(stage)
        .bind(number.to_string())
        .bind(day * 86_400_000 + number)
        .bind(f64::from(i32::try_from(cents).unwrap()) / 100.0)
        .execute(&mut raw)
        .await
        .unwrap();
    }
    raw.close().await.unwrap();
    bed
}

/// The dollars of all groups, dearest first, summed from the attempts.
async fn summed(bed: &Bed, group: &str, since: i64, stage: &str) -> Vec<i64> {
    let sql = format!(
        "SELECT SUM(cost_nano) FROM attempt_usage WHERE at >= {since} AND stage LIKE '{stage}'
          GROUP BY {group} ORDER BY 1 DESC"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&bed.store.readers).await.unwrap()
}

#[tokio::test]
async fn the_dearest_groups_are_those_of_all_attempts() {
    let bed = filled().await;
    let day = 86_400_000;
    for (by, group) in [
        (GroupBy::Ticket, "ticket_id"),
        (GroupBy::Stage, "ticket_id, stage"),
        (GroupBy::Attempt, "attempt_id"),
    ] {
        // Everything, a long period that is walked, and a short one that is summed.
        for since in [None, Some(day), Some(7 * day + day / 2)] {
            for worker_type in [None, Some("impl")] {
                let filter = UsageFilter {
                    since: since.map(Timestamp::from_millis),
                    worker_type: worker_type.map(str::to_owned),
                    ..UsageFilter::default()
                };
                let all = summed(&bed, group, since.unwrap_or(0), worker_type.unwrap_or("%")).await;
                for skip in [0, 30] {
                    let page = bed.store.usage(filter.clone(), by, skip, 20).await.unwrap();
                    #[expect(clippy::cast_possible_truncation, reason = "cents")]
                    let costs: Vec<i64> = page
                        .groups
                        .iter()
                        .map(|group| (group.cost_usd * 1e9).round() as i64)
                        .collect();
                    let skip = usize::try_from(skip).unwrap();
                    let expected: Vec<i64> = all.iter().skip(skip).take(20).copied().collect();
                    assert_eq!(
                        costs, expected,
                        "{by:?} since {since:?} of {worker_type:?} from {skip}"
                    );
                    assert_eq!(page.more, all.len() > skip + 20);
                    #[expect(clippy::cast_possible_truncation, reason = "cents")]
                    let total = (page.total.cost_usd * 1e9).round() as i64;
                    assert_eq!(total, all.iter().sum::<i64>());
                }
            }
        }
    }
}
