//! An attempt's row: reading it as an [`Attempt`], and refusing the agent of an attempt that is over.

use std::collections::BTreeSet;

use serde::Deserialize;
use sqlx::FromRow;
use sqlx::SqliteConnection;

use crate::domain::attempt::Attempt;
use crate::domain::attempt::AttemptState;
use crate::domain::attempt::Check;
use crate::domain::attempt::Ended;
use crate::domain::attempt::Progress;
use crate::domain::attempt::Silence;
use crate::domain::attempt::Spent;
use crate::domain::gates::kind::AttemptKind;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::judging::Tests;
use crate::domain::refusal::Refusal;
use crate::domain::time::Present;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::db::row::Place;
use crate::store::db::store::Store;

/// The longest report of single tests that is kept, in bytes.
const MOST_TESTS_BYTES: usize = 4 << 20;

#[derive(FromRow, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "a row has the columns its table has")]
pub(crate) struct AttemptRow {
    attempt_id: i64,
    ticket_id: i64,
    stage_index: i64,
    stage: String,
    worker_id: i64,
    state: String,
    outcome: Option<String>,
    failure: Option<String>,
    detail: Option<String>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    claude_session_id: String,
    #[serde(deserialize_with = "row::flag")]
    resumed: bool,
    #[serde(deserialize_with = "row::flag")]
    asks_outcome: bool,
    #[serde(deserialize_with = "row::real")]
    budget_usd: Option<f64>,
    budget_of: Option<String>,
    limit_reached: Option<String>,
    num_turns: Option<i64>,
    #[serde(deserialize_with = "row::real")]
    cost_usd: Option<f64>,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    cached_tokens: Option<i64>,
    peak_memory_bytes: Option<i64>,
    #[serde(deserialize_with = "row::real")]
    seen_worth: Option<f64>,
    model: String,
    #[serde(deserialize_with = "row::real")]
    assumed_usd: Option<f64>,
    cut_short: Option<String>,
    granted_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    stop_mode: Option<String>,
    #[serde(deserialize_with = "row::flag")]
    suspect: bool,
    #[serde(deserialize_with = "row::flag")]
    overdue: bool,
    trouble: Option<String>,
    #[serde(deserialize_with = "row::flag")]
    may_create_tickets: bool,
    timeout_seconds: Option<i64>,
    progress: Option<String>,
    progress_percent: Option<i64>,
    progress_at: Option<i64>,
    kind: String,
    #[serde(deserialize_with = "row::flag")]
    is_cleanup: bool,
    gate: Option<String>,
    commands: Option<String>,
    commit_id: Option<String>,
    #[serde(deserialize_with = "row::flag")]
    is_base: bool,
    verdict: Option<String>,
    output_tail: Option<String>,
    note: Option<String>,
    tests: Option<String>,
}

impl AttemptRow {
    /// What it runs instead of an agent.
    fn check(&mut self, place: Place) -> std::result::Result<Check, StoreError> {
        let verdict = self.verdict.take().map(|verdict| place.named(&verdict, "verdict"));
        Ok(Check {
            gate: self.gate.take(),
            commands: place.json(self.commands.as_deref(), "commands")?.unwrap_or_default(),
            commit: self.commit_id.take(),
            is_base: self.is_base,
            verdict: verdict.transpose()?,
            tail: self.output_tail.take().unwrap_or_default(),
            note: self.note.take(),
            tests: tests(place, self.tests.as_deref())?,
        })
    }
}

/// A report of single tests, as [`json_of`] writes it.
pub(crate) fn tests(
    place: Place,
    json: Option<&str>,
) -> std::result::Result<Option<Tests>, StoreError> {
    let read: Option<(BTreeSet<String>, BTreeSet<String>)> = place.json(json, "tests")?;
    Ok(read.map(|(passed, failed)| Tests { passed, failed }))
}

/// The JSON of a report; `None` for one that is too long to be kept.
pub(crate) fn json_of(tests: &Tests) -> Option<String> {
    let json = serde_json::json!([tests.passed, tests.failed]).to_string();
    Some(json).filter(|json| json.len() <= MOST_TESTS_BYTES)
}

impl TryFrom<AttemptRow> for Attempt {
    type Error = StoreError;

    fn try_from(mut row: AttemptRow) -> std::result::Result<Self, StoreError> {
        let place = Place { table: "attempt", key: row.attempt_id };
        let kind = match place.named(&row.kind, "kind")? {
            AttemptKind::Setup if row.is_cleanup => AttemptKind::Cleanup,
            kind @ (AttemptKind::Agent
            | AttemptKind::Setup
            | AttemptKind::Gate
            | AttemptKind::Cleanup) => kind,
        };
        let check = if kind.is_agent() { None } else { Some(row.check(place)?) };
        let state = match row.state.as_str() {
            "granted" => AttemptState::Granted,
            "running" => AttemptState::Running,
            "ended" => {
                let outcome = place.need(row.outcome, "outcome")?;
                let failure = row.failure.map(|f| place.named(&f, "failure"));
                AttemptState::Ended(Ended {
                    at: row::time(place.need(row.ended_at, "ended_at")?),
                    outcome: place.named(&outcome, "outcome")?,
                    failure: failure.transpose()?,
                    detail: row.detail.unwrap_or_default(),
                    exit_code: row.exit_code,
                    signal: row.signal,
                })
            }
            other => return Err(place.bad("state", other)),
        };
        let of = row.budget_of.map(|of| place.named(&of, "budget_of"));
        let budget = row.budget_usd.zip(of.transpose()?);
        let stop = row.stop_mode.map(|m| place.named(&m, "stop_mode"));
        Ok(Self {
            id: AttemptId::from_key(row.attempt_id),
            ticket: TicketId::from_key(row.ticket_id),
            stage_index: place.index(row.stage_index, "stage_index")?,
            stage: row::name(row.stage),
            worker: WorkerId::from_key(row.worker_id),
            state,
            claude_session_id: row.claude_session_id,
            resumed: row.resumed,
            asks_outcome: row.asks_outcome,
            budget,
            limit_reached: row.limit_reached,
            cut_short: row.cut_short,
            stop: stop.transpose()?,
            granted_at: row::time(row.granted_at),
            started_at: row.started_at.map(row::time),
            suspect: row.suspect,
            overdue: row.overdue,
            trouble: row.trouble,
            may_create_tickets: row.may_create_tickets,
            timeout_seconds: row.timeout_seconds,
            progress: row.progress.zip(row.progress_at).map(|(said, at)| Progress {
                said,
                percent: row.progress_percent,
                at: row::time(at),
            }),
            spent: Spent {
                num_turns: row.num_turns,
                cost_usd: row.cost_usd.map(row::dollars),
                own_usd: None,
                input_tokens: row.input_tokens,
                output_tokens: row.output_tokens,
                cached_tokens: row.cached_tokens,
                peak_memory_bytes: row.peak_memory_bytes,
                seen_worth: row.seen_worth,
                untold_worth: 0.0,
                idle: false,
                ran: row.started_at.is_some(),
            },
            model: row.model,
            assumed_usd: row.assumed_usd.map(row::dollars),
            kind,
            check,
        })
    }
}

pub(crate) async fn find(
    connection: &mut SqliteConnection,
    id: AttemptId,
) -> Result<Option<Attempt>> {
    let row: Option<AttemptRow> = sqlx::query_as("SELECT * FROM attempt_row WHERE attempt_id = ?1")
        .bind(id.key())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(Attempt::try_from).transpose()?)
}

impl Store {
    /// The attempt of that id; `None` if this database never granted it.
    pub async fn attempt(&self, id: AttemptId) -> Result<Option<Attempt>> {
        find(&mut *self.readers.acquire().await?, id).await
    }

    /// The attempt whose agent calls; refused if the agent may no longer use the server.
    pub async fn speaking_attempt(
        &self,
        id: AttemptId,
        present: impl Into<Present>,
    ) -> Result<Attempt> {
        speaking(&mut *self.readers.acquire().await?, id, &present.into()).await
    }

    /// The highest attempt number this database ever gave out.
    pub async fn newest_attempt(&self) -> Result<AttemptId> {
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'attempt'";
        let seq: Option<i64> = sqlx::query_scalar(sql).fetch_optional(&self.readers).await?;
        Ok(AttemptId::from_key(seq.unwrap_or(0)))
    }
}

/// The attempt whose agent calls, or the refusal of one that may no longer use the server. In a write transaction this
/// is the fence: the attempt cannot end between this check and what follows.
pub(crate) async fn speaking(
    connection: &mut SqliteConnection,
    id: AttemptId,
    present: &Present,
) -> Result<Attempt> {
    let found = find(connection, id).await?;
    let over = Refusal::AttemptSilenced { attempt: id, why: Silence::Ended };
    let found = found.ok_or(over)?;
    match found.silence(present) {
        Some(why) => Err(Refusal::AttemptSilenced { attempt: id, why }.into()),
        None => Ok(found),
    }
}
