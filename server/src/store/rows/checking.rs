//! How far the checks of a ticket are: its row, and one for each gate.

use sqlx::FromRow;
use sqlx::SqliteConnection;

use crate::domain::gates::kind::Phase;
use crate::domain::gates::kind::Step;
use crate::domain::hold::Hold;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::judging::GateVerdict;
use crate::domain::outcome::StageResult;
use crate::domain::time::Timestamp;
use crate::domain::verdict;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row::Place;

/// The checks of a ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct Checking {
    pub ticket: TicketId,
    pub phase: Phase,
    pub step: Step,
    /// The commit that is judged.
    pub commit: Option<String>,
    /// Of a landing: the commit of the base branch that the judged one was made from.
    pub onto: Option<String>,
    /// The attempt whose result waits.
    pub attempt: Option<AttemptId>,
    pub result: Option<StageResult>,
    pub strikes: i64,
    /// The hold to which the ticket returns, if somebody only asked.
    pub hold: Option<Hold>,
    pub gates: Vec<CheckingGate>,
}

/// A gate of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckingGate {
    pub position: i64,
    pub gate: String,
    pub verdict: Option<GateVerdict>,
    /// Runs at the judged commit.
    pub runs: i64,
    /// Its last run at the judged commit.
    pub attempt: Option<AttemptId>,
    /// Its next run is on the base commit.
    pub on_base: bool,
    /// The worktree on the base commit is set up, or needs no setup. Only read while its next run is there.
    pub base_set_up: bool,
    /// What fails and does not fail on the base commit; empty when it is the command as a whole.
    pub new: Vec<String>,
    /// The same for two failures that are the same.
    pub mark: Option<String>,
}

impl Checking {
    /// The gate that is next.
    pub(crate) fn next(&self) -> Option<&CheckingGate> {
        self.gates.iter().find(|gate| gate.verdict.is_none())
    }
}

#[derive(FromRow)]
struct Row {
    phase: String,
    step: String,
    commit_id: Option<String>,
    onto: Option<String>,
    attempt_id: Option<i64>,
    result: Option<String>,
    strikes: i64,
    hold: Option<String>,
}

#[derive(FromRow)]
struct GateRow {
    position: i64,
    gate: String,
    verdict: Option<String>,
    runs: i64,
    attempt_id: Option<i64>,
    on_base: bool,
    base_set_up: bool,
    new: String,
    mark: Option<String>,
}

/// The checks of a ticket, if there are any.
pub(crate) async fn find(
    connection: &mut SqliteConnection,
    ticket: TicketId,
) -> Result<Option<Checking>> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT phase, step, commit_id, onto, attempt_id, result, strikes, hold FROM checking WHERE ticket_id = ?1",
    )
    .bind(ticket.key())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let gates: Vec<GateRow> = sqlx::query_as(
        "SELECT position, gate, verdict, runs, attempt_id, on_base, base_set_up, new, mark
           FROM checking_gate WHERE ticket_id = ?1 ORDER BY position",
    )
    .bind(ticket.key())
    .fetch_all(connection)
    .await?;
    Ok(Some(decode(ticket, row, gates)?))
}

/// The gates in the last round of a ticket that are red and that nobody has waived.
pub(crate) async fn red_gates(
    connection: &mut SqliteConnection,
    ticket: TicketId,
) -> Result<Vec<String>> {
    let judged: Vec<(String, String)> = sqlx::query_as(
        "SELECT g.gate, g.verdict FROM checking_gate g
          WHERE g.ticket_id = ?1 AND g.verdict IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM gate_waiver w WHERE w.ticket_id = ?1 AND w.gate = g.gate)
          ORDER BY g.position",
    )
    .bind(ticket.key())
    .fetch_all(connection)
    .await?;
    let mut red = Vec::new();
    for (gate, verdict) in judged {
        let place = Place { table: "checking_gate", key: ticket.key() };
        let verdict: GateVerdict = place.named(&verdict, "verdict")?;
        if !verdict.passes() {
            red.push(gate);
        }
    }
    Ok(red)
}

fn decode(
    ticket: TicketId,
    row: Row,
    gates: Vec<GateRow>,
) -> std::result::Result<Checking, StoreError> {
    let place = Place { table: "checking", key: ticket.key() };
    let result = row.result.map(|json| {
        let value = serde_json::from_str(&json).ok();
        verdict::stage_result(value.as_ref(), true).map_err(|_| place.bad("result", &json))
    });
    let hold: Option<(String, String)> = place.json(row.hold.as_deref(), "hold")?;
    let hold = hold.map(|(kind, reason)| Ok(Hold::new(place.named(&kind, "hold")?, reason)));
    let gate = |row: GateRow| -> std::result::Result<CheckingGate, StoreError> {
        let verdict = row.verdict.map(|verdict| place.named(&verdict, "verdict"));
        Ok(CheckingGate {
            position: row.position,
            gate: row.gate,
            verdict: verdict.transpose()?,
            runs: row.runs,
            attempt: row.attempt_id.map(AttemptId::from_key),
            on_base: row.on_base,
            base_set_up: row.base_set_up,
            new: place.list(&row.new, "new")?,
            mark: row.mark,
        })
    };
    Ok(Checking {
        ticket,
        phase: place.named(&row.phase, "phase")?,
        step: place.named(&row.step, "step")?,
        commit: row.commit_id,
        onto: row.onto,
        attempt: row.attempt_id.map(AttemptId::from_key),
        result: result.transpose()?,
        strikes: row.strikes,
        hold: hold.transpose()?,
        gates: gates.into_iter().map(gate).collect::<std::result::Result<_, _>>()?,
    })
}

/// New checks of a ticket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewChecking<'n> {
    pub(crate) phase: Phase,
    pub(crate) step: Step,
    pub(crate) commit: Option<&'n str>,
    pub(crate) onto: Option<&'n str>,
    pub(crate) attempt: Option<AttemptId>,
    pub(crate) result: Option<&'n StageResult>,
    pub(crate) hold: Option<&'n Hold>,
}

/// Begins checks of a ticket, in place of those it had.
pub(crate) async fn begin(
    connection: &mut SqliteConnection,
    ticket: TicketId,
    new: NewChecking<'_>,
    now: Timestamp,
) -> Result<()> {
    end(connection, ticket).await?;
    let hold = new.hold.map(|hold| serde_json::json!([hold.kind.name(), hold.reason]).to_string());
    sqlx::query(
        "INSERT INTO checking (ticket_id, phase, step, commit_id, onto, attempt_id, result, hold, since)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )
    .bind(ticket.key())
    .bind(new.phase.name())
    .bind(new.step.name())
    .bind(new.commit)
    .bind(new.onto)
    .bind(new.attempt.map(AttemptId::key))
    .bind(new.result.map(|result| result.to_json().to_string()))
    .bind(hold)
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the checks of a ticket.
pub(crate) async fn end(connection: &mut SqliteConnection, ticket: TicketId) -> Result<()> {
    free_bases(connection, ticket).await?;
    for sql in [
        "DELETE FROM checking_gate WHERE ticket_id = ?1",
        "DELETE FROM checking WHERE ticket_id = ?1",
    ] {
        sqlx::query(sql).bind(ticket.key()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// What a ticket was to run on base commits may be run by another one.
pub(crate) async fn free_bases(connection: &mut SqliteConnection, ticket: TicketId) -> Result<()> {
    sqlx::query("DELETE FROM gate_base WHERE ticket_id = ?1 AND ran IS NULL")
        .bind(ticket.key())
        .execute(connection)
        .await?;
    Ok(())
}

/// Moves the checks of a ticket to a step, if they are at one of `from`. Returns whether they were.
pub(crate) async fn step(
    connection: &mut SqliteConnection,
    ticket: TicketId,
    from: &[Step],
    to: Step,
) -> Result<bool> {
    let from = serde_json::Value::from(from.iter().map(|step| step.name()).collect::<Vec<_>>());
    let moved = sqlx::query(
        "UPDATE checking SET step = ?2
          WHERE ticket_id = ?1 AND step IN (SELECT value FROM json_each(?3))",
    )
    .bind(ticket.key())
    .bind(to.name())
    .bind(from.to_string())
    .execute(&mut *connection)
    .await?;
    if to == Step::Held {
        free_bases(connection, ticket).await?;
    }
    Ok(moved.rows_affected() > 0)
}
