//! A kept sum equals the sum of its rows, whatever is done to them.

use proptest::prelude::*;
use sqlx::Connection as _;
use sqlx::SqliteConnection;

use super::*;
use crate::store::db::sums;

/// One change of an attempt or a ticket, as some statement of the store may make it.
#[derive(Clone, Debug)]
enum Change {
    Ticket,
    Attempt { ticket: i64, stage: &'static str, kind: &'static str, granted_at: i64 },
    Start { attempt: i64, at: i64 },
    End { attempt: i64, at: i64, cost: Option<f64>, tokens: i64, memory: Option<i64> },
    Hold { attempt: i64, memory: i64 },
    Judge { attempt: i64, verdict: &'static str },
    Correct { attempt: i64, failure: &'static str },
    Assume { attempt: i64, usd: f64 },
    Move { ticket: i64, state: &'static str },
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let at = 0..5 * 86_400_000_i64;
    let change = prop_oneof![
        Just(Change::Ticket),
        (
            1..6_i64,
            prop_oneof![Just("plan"), Just("impl")],
            prop_oneof![Just("agent"), Just("gate"), Just("setup")],
            at.clone()
        )
            .prop_map(|(ticket, stage, kind, granted_at)| Change::Attempt {
                ticket,
                stage,
                kind,
                granted_at
            }),
        (1..20_i64, 1..9_i64).prop_map(|(attempt, memory)| Change::Hold { attempt, memory }),
        (1..20_i64, prop_oneof![Just("flaky"), Just("passed")])
            .prop_map(|(attempt, verdict)| Change::Judge { attempt, verdict }),
        (1..20_i64, at.clone()).prop_map(|(attempt, at)| Change::Start { attempt, at }),
        (
            1..20_i64,
            at,
            prop_oneof![Just(None), Just(Some(0.1)), Just(Some(1e308)), (0.0..9.0).prop_map(Some)],
            prop_oneof![0..1000_i64, Just(i64::MAX / 1_000_000)],
            prop_oneof![Just(None), (1..9_i64).prop_map(Some)],
        )
            .prop_map(|(attempt, at, cost, tokens, memory)| Change::End {
                attempt,
                at,
                cost,
                tokens,
                memory
            }),
        (1..20_i64, prop_oneof![Just("crashed"), Just("no_result")])
            .prop_map(|(attempt, failure)| Change::Correct { attempt, failure }),
        (1..20_i64, 0.0..3.0).prop_map(|(attempt, usd)| Change::Assume { attempt, usd }),
        (1..6_i64, prop_oneof![Just("queued"), Just("running"), Just("blocked")])
            .prop_map(|(ticket, state)| Change::Move { ticket, state }),
    ];
    prop::collection::vec(change, 1..60)
}

async fn make(
    connection: &mut SqliteConnection,
    number: usize,
    change: &Change,
) -> sqlx::Result<()> {
    let sql = match change {
        Change::Ticket => "INSERT INTO ticket (project_id, title, description, priority, state, stage_index,
                current_stage, created_at, updated_at) VALUES (1, 'x', '', 1, 'queued', 0, 'impl', 0, 0)"
            .to_owned(),
        Change::Attempt { ticket, stage, kind, granted_at } => format!(
            "INSERT INTO attempt (ticket_id, stage_index, stage, worker_id, pull_id, state, claude_session_id, granted_at, kind)
             SELECT ticket_id, 0, '{stage}', 1, 'p{number}', 'ended', 's', {granted_at}, '{kind}' FROM ticket
              WHERE ticket_id = {ticket}"
        ),
        Change::Start { attempt, at } => {
            format!("UPDATE attempt SET started_at = {at} WHERE attempt_id = {attempt}")
        }
        Change::End { attempt, at, cost, tokens, memory } => {
            let cost = cost.map_or("NULL".to_owned(), |usd| format!("{usd:e}"));
            let memory = memory.map_or("NULL".to_owned(), |bytes| bytes.to_string());
            format!(
                "UPDATE attempt SET ended_at = {at}, cost_usd = {cost}, num_turns = 1, input_tokens = {tokens},
                        failure = CASE {at} % 3 WHEN 0 THEN NULL WHEN 1 THEN 'no_result' ELSE 'timeout' END,
                        output_tokens = {tokens}, peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, 0), COALESCE({memory}, 0))
                  WHERE attempt_id = {attempt} AND ended_at IS NULL"
            )
        }
        Change::Hold { attempt, memory } => format!(
            "UPDATE attempt SET peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, 0), {memory})
              WHERE attempt_id = {attempt} AND ended_at IS NULL"
        ),
        Change::Judge { attempt, verdict } => {
            format!("UPDATE attempt SET verdict = '{verdict}' WHERE attempt_id = {attempt}")
        }
        Change::Correct { attempt, failure } => {
            format!("UPDATE attempt SET failure = '{failure}' WHERE attempt_id = {attempt}")
        }
        Change::Assume { attempt, usd } => {
            format!("UPDATE attempt SET assumed_usd = {usd} WHERE attempt_id = {attempt}")
        }
        Change::Move { ticket, state } => {
            format!("UPDATE ticket SET state = '{state}' WHERE ticket_id = {ticket}")
        }
    };
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

proptest! {
    // Each case makes a database.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_kept_sum_equals_the_sum_of_its_rows(changes in changes()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bed = Bed::new().await;
            bed.worker("impl").await;
            bed.store.close().await;
            let path = bed.dir.path().join("test.db");
            let mut raw = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
            // The rows need not make sense as attempts; the sums must follow them all the same.
            sqlx::query("PRAGMA ignore_check_constraints = ON").execute(&mut raw).await.unwrap();
            for (number, change) in changes.iter().enumerate() {
                make(&mut raw, number, change).await.unwrap();
            }
            let problems = sums::problems(&mut raw).await.unwrap();
            raw.close().await.unwrap();
            prop_assert!(problems.is_empty(), "{problems:?}");
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_sum_that_somebody_changed_is_found() {
    let bed = Bed::new().await;
    bed.ticket(&["impl"]).await;
    bed.store.close().await;
    let path = bed.dir.path().join("test.db");
    let mut raw = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    sqlx::query("UPDATE ticket_count SET tickets = tickets + 1").execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();
    let problems = crate::store::check_file(&path).await.unwrap();
    assert_eq!(problems, ["ticket_count disagrees with the rows it sums up"]);
}
