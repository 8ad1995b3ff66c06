//! Whether the kept sums and counts match the rows that they sum up.
//!
//! Triggers keep them (see the migrations `sum_gates` and `add_failure_day`), so a difference means that someone changed the file with the
//! triggers off, or that a trigger is wrong. Read by the doctor and by a property test; it reads every attempt and
//! ticket.

use sqlx::SqliteConnection;

/// Each kept table, beside what its rows should be.
const CHECKS: [(&str, &str); 5] = [
    (
        "usage_day",
        "SELECT (SELECT COUNT(*) FROM (
            SELECT project_id, day, stage, SUM(attempts), SUM(unpriced), SUM(turns), SUM(input_tokens),
                   SUM(cached_tokens), SUM(output_tokens), SUM(cost_nano), SUM(assumed_nano), SUM(wall_ms),
                   MAX(peak_memory_bytes), SUM(gate_runs), SUM(gate_wall_ms), MAX(gate_peak_memory_bytes), SUM(gate_flaky)
              FROM attempt_usage GROUP BY project_id, day, stage
            EXCEPT
            SELECT project_id, day, stage, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens,
                   cost_nano, assumed_nano, wall_ms, peak_memory_bytes, gate_runs, gate_wall_ms, gate_peak_memory_bytes,
                   gate_flaky
              FROM usage_day))
          + (SELECT COUNT(*) FROM usage_day)
          - (SELECT COUNT(*) FROM (SELECT 1 FROM attempt_usage GROUP BY project_id, day, stage))",
    ),
    (
        "usage_stage",
        "SELECT (SELECT COUNT(*) FROM (
            SELECT ticket_id, stage, project_id, SUM(attempts), SUM(unpriced), SUM(turns), SUM(input_tokens),
                   SUM(cached_tokens), SUM(output_tokens), SUM(cost_nano), SUM(assumed_nano), SUM(wall_ms),
                   MAX(peak_memory_bytes), SUM(gate_runs), SUM(gate_wall_ms), MAX(gate_peak_memory_bytes), SUM(gate_flaky)
              FROM attempt_usage GROUP BY ticket_id, stage
            EXCEPT
            SELECT ticket_id, stage, project_id, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens,
                   cost_nano, assumed_nano, wall_ms, peak_memory_bytes, gate_runs, gate_wall_ms, gate_peak_memory_bytes,
                   gate_flaky
              FROM usage_stage))
          + (SELECT COUNT(*) FROM usage_stage)
          - (SELECT COUNT(*) FROM (SELECT 1 FROM attempt_usage GROUP BY ticket_id, stage))",
    ),
    (
        "usage_ticket",
        "SELECT (SELECT COUNT(*) FROM (
            SELECT ticket_id, project_id, SUM(attempts), SUM(unpriced), SUM(turns), SUM(input_tokens),
                   SUM(cached_tokens), SUM(output_tokens), SUM(cost_nano), SUM(assumed_nano), SUM(wall_ms),
                   MAX(peak_memory_bytes), SUM(gate_runs), SUM(gate_wall_ms), MAX(gate_peak_memory_bytes), SUM(gate_flaky)
              FROM attempt_usage GROUP BY ticket_id
            EXCEPT
            SELECT ticket_id, project_id, attempts, unpriced, turns, input_tokens, cached_tokens, output_tokens,
                   cost_nano, assumed_nano, wall_ms, peak_memory_bytes, gate_runs, gate_wall_ms, gate_peak_memory_bytes,
                   gate_flaky
              FROM usage_ticket))
          + (SELECT COUNT(*) FROM usage_ticket)
          - (SELECT COUNT(*) FROM (SELECT 1 FROM attempt_usage GROUP BY ticket_id))",
    ),
    (
        "failure_day",
        "SELECT (SELECT COUNT(*) FROM (
            SELECT a.ended_at / 86400000, t.project_id, a.stage, a.failure, COUNT(*)
              FROM attempt a JOIN ticket t ON t.ticket_id = a.ticket_id
             WHERE a.failure IS NOT NULL AND a.ended_at IS NOT NULL GROUP BY 1, 2, 3, 4
            EXCEPT
            SELECT day, project_id, stage, failure, attempts FROM failure_day))
          + (SELECT COUNT(*) FROM failure_day)
          - (SELECT COUNT(*) FROM (
                SELECT a.ended_at / 86400000, t.project_id, a.stage, a.failure
                  FROM attempt a JOIN ticket t ON t.ticket_id = a.ticket_id
                 WHERE a.failure IS NOT NULL AND a.ended_at IS NOT NULL GROUP BY 1, 2, 3, 4))",
    ),
    (
        "ticket_count",
        "SELECT (SELECT COUNT(*) FROM (
            SELECT project_id, state, COUNT(*) FROM ticket GROUP BY project_id, state
            EXCEPT
            SELECT project_id, state, tickets FROM ticket_count))
          + (SELECT COUNT(*) FROM ticket_count WHERE tickets <> 0)
          - (SELECT COUNT(*) FROM (SELECT 1 FROM ticket GROUP BY project_id, state))",
    ),
];

/// A sentence for each kept table that disagrees with its rows.
pub(crate) async fn problems(
    connection: &mut SqliteConnection,
) -> std::result::Result<Vec<String>, sqlx::Error> {
    let mut problems = Vec::new();
    for (table, sql) in CHECKS {
        let wrong: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
        if wrong != 0 {
            problems.push(format!("{table} disagrees with the rows it sums up"));
        }
    }
    Ok(problems)
}
