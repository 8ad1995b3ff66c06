//! From the runs of a gate to its verdict, as far as they say enough, and what it means for the checks of its ticket.

use sqlx::SqliteConnection;

use super::check_claim;
use super::check_conclude;
use crate::domain::attempt::Attempt;
use crate::domain::attempt::AttemptState;
use crate::domain::attempt::Outcome;
use crate::domain::checks::Checks;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::gates::kind::Step;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::judging::End;
use crate::domain::judging::GateVerdict;
use crate::domain::judging::Judged;
use crate::domain::judging::New;
use crate::domain::judging::Next;
use crate::domain::judging::Run;
use crate::domain::judging::Tests;
use crate::domain::judging::judge as runs;
use crate::domain::judging::recurrence;
use crate::domain::summary;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::row::Place;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;
use crate::store::rows::attempt;
use crate::store::rows::checking;
use crate::store::rows::checking::Checking;
use crate::store::rows::checking::CheckingGate;
use crate::store::rows::checks;
use crate::store::rows::event;
use crate::store::rows::ticket;

const JUDGED: faults::Points = faults::points!("server.check_judged");

/// What a ticket needs whose gate has to run on the base commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseWait {
    /// It has been judged by a run that another ticket made.
    Judged,
    /// Another ticket runs it.
    Busy,
    /// A worktree at this commit, in which the ticket runs it itself.
    Worktree { commit: String },
    /// Nothing: its checks have moved on.
    Nothing,
}

impl Store {
    /// Judges a ticket's gate by what is known of the base commit, or says what has to be done to know it.
    pub async fn judge_by_base(&self, id: TicketId, now: Timestamp) -> Result<BaseWait> {
        let rules = self.rules();
        self.writer
            .at(JUDGED)
            .write_raising_if(
                move |connection| Box::pin(by_base(connection, id, rules, now)),
                |wait| *wait == BaseWait::Judged,
            )
            .await
    }

    /// The ticket's gate may run on the base commit: there is a worktree for it.
    pub async fn base_ready(&self, id: TicketId) -> Result<()> {
        self.writer.at(JUDGED).write(move |connection| Box::pin(ready(connection, id))).await
    }
}

async fn by_base(
    connection: &mut SqliteConnection,
    id: TicketId,
    rules: Rules,
    now: Timestamp,
) -> Result<BaseWait> {
    let Some(checking) = checking::find(connection, id).await? else {
        return Ok(BaseWait::Nothing);
    };
    if checking.step != Step::Base {
        return Ok(BaseWait::Nothing);
    }
    let ticket = ticket::load(connection, id).await?;
    let settings = checks::of_ticket(connection, id).await?;
    match base(connection, &ticket, &checking, &settings).await? {
        Known::Ran(run) => {
            checking::step(connection, id, &[Step::Base], Step::Running).await?;
            judge(connection, &ticket, Some(&run), rules, now).await?;
            Ok(BaseWait::Judged)
        }
        Known::Running => Ok(BaseWait::Busy),
        Known::Nothing { commit, key } => {
            sqlx::query(
                "INSERT INTO gate_base (commit_id, command, ticket_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )
            .bind(&commit)
            .bind(key)
            .bind(id.key())
            .execute(connection)
            .await?;
            Ok(BaseWait::Worktree { commit })
        }
        // Its settings changed: there is no such gate any more, or nothing to compare with.
        Known::None => {
            checking::step(connection, id, &[Step::Base], Step::Running).await?;
            let nothing = Run { end: End::NotStarted, tests: None };
            judge(connection, &ticket, Some(&nothing), rules, now).await?;
            Ok(BaseWait::Judged)
        }
    }
}

async fn ready(connection: &mut SqliteConnection, id: TicketId) -> Result<()> {
    if checking::step(connection, id, &[Step::Base], Step::Due).await? {
        let settings = checks::of_ticket(connection, id).await?;
        sqlx::query(
            "UPDATE checking_gate SET on_base = 1, base_set_up = ?2
              WHERE ticket_id = ?1
                AND position = (SELECT MIN(position) FROM checking_gate WHERE ticket_id = ?1 AND verdict IS NULL)",
        )
        .bind(id.key())
        .bind(settings.worktree.setup.is_empty())
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// Judges the gate that is next by its runs, and by `base`: what the base commit did, if that was just found out. The
/// checks then continue.
pub(crate) async fn judge(
    connection: &mut SqliteConnection,
    found: &Ticket,
    base: Option<&Run>,
    rules: Rules,
    now: Timestamp,
) -> Result<()> {
    let id = found.id;
    let Some(checking) = checking::find(connection, id).await? else { return Ok(()) };
    let settings = checks::of_ticket(connection, id).await?;
    let Some(next) = checking.next() else { return Ok(()) };
    let Some(gate) = settings.gate(&next.gate) else {
        return give_up(connection, found, rules, now).await;
    };
    let last = match next.attempt {
        Some(attempt) => attempt::find(connection, attempt).await?,
        None => None,
    };
    let Some(last) = last else {
        checking::step(connection, id, &[Step::Running], Step::Due).await?;
        return Ok(());
    };
    let known = match base {
        Some(_) => Known::None,
        None => self::base(connection, found, &checking, &settings).await?,
    };
    let known = match &known {
        Known::Ran(run) => Some(run),
        Known::Running | Known::Nothing { .. } | Known::None => None,
    };
    // Only the number of the runs before the last one counts.
    let run = Run { end: end_of(&last), tests: tests_of(&last) };
    let before = Run { end: run.end, tests: None };
    let earlier = usize::try_from(next.runs - 1).unwrap_or_default();
    let mut all = vec![before; earlier];
    all.push(run.clone());
    let has_base = check_claim::base_commit(&checking, found)
        .is_some_and(|base| checking.commit.as_ref().is_some_and(|commit| *commit != base));
    let to = match runs::next(gate, &all, base.or(known), has_base) {
        Next::Run => Step::Due,
        Next::RunBase => Step::Base,
        Next::Done(judged) => {
            verdict(connection, found, next, Some(&last), (&judged, run.end), now).await?;
            return check_conclude::go_on(connection, found, rules, now).await;
        }
    };
    sqlx::query("UPDATE checking_gate SET on_base = 0 WHERE ticket_id = ?1 AND on_base = 1")
        .bind(id.key())
        .execute(&mut *connection)
        .await?;
    checking::step(connection, id, &[Step::Running], to).await?;
    Ok(())
}

/// The gate that is next could not be run.
pub(crate) async fn give_up(
    connection: &mut SqliteConnection,
    found: &Ticket,
    rules: Rules,
    now: Timestamp,
) -> Result<()> {
    let Some(checking) = checking::find(connection, found.id).await? else { return Ok(()) };
    let Some(next) = checking.next() else { return Ok(()) };
    let last = match next.attempt {
        Some(attempt) => attempt::find(connection, attempt).await?,
        None => None,
    };
    let judged = Judged { verdict: GateVerdict::Error, new: New::Whole, known: Vec::new() };
    verdict(connection, found, next, last.as_ref(), (&judged, End::NotStarted), now).await?;
    check_conclude::go_on(connection, found, rules, now).await
}

/// Stores the verdict of a gate, and says so in an event.
async fn verdict(
    connection: &mut SqliteConnection,
    found: &Ticket,
    gate: &CheckingGate,
    last: Option<&Attempt>,
    (judged, end): (&Judged, End),
    now: Timestamp,
) -> Result<()> {
    let tail = last.and_then(|last| last.check.as_ref()).map(|check| check.tail.as_str());
    let mark = recurrence::mark(&gate.gate, judged, end, tail.unwrap_or_default());
    let new = match &judged.new {
        New::Nothing | New::Whole => Vec::new(),
        New::Tests { failed, missing } => {
            let missing = missing.iter().map(|test| format!("{test} (missing)"));
            failed.iter().cloned().chain(missing).collect()
        }
    };
    sqlx::query(
        "UPDATE checking_gate SET verdict = ?3, new = ?4, mark = ?5, on_base = 0
          WHERE ticket_id = ?1 AND position = ?2 AND verdict IS NULL",
    )
    .bind(found.id.key())
    .bind(gate.position)
    .bind(judged.verdict.name())
    .bind(serde_json::Value::from(new).to_string())
    .bind(mark)
    .execute(&mut *connection)
    .await?;
    let Some(last) = last else { return Ok(()) };
    sqlx::query("UPDATE attempt SET verdict = ?2 WHERE attempt_id = ?1")
        .bind(last.id.key())
        .bind(judged.verdict.name())
        .execute(&mut *connection)
        .await?;
    let kind = if judged.verdict.passes() { EventKind::GatePassed } else { EventKind::GateFailed };
    let summary = summary::gate_judged(found.id, &gate.gate, last.id, judged.verdict);
    let said = NewEvent { attempt: Some(last.id), ..event::about(found, kind, summary) };
    event::append(connection, said, now).await
}

/// What is known of a gate on the base commit.
enum Known {
    Ran(Run),
    /// Another ticket runs it.
    Running,
    Nothing {
        commit: String,
        /// Under which its result will be kept.
        key: String,
    },
    /// There is no base commit, or no such gate.
    None,
}

async fn base(
    connection: &mut SqliteConnection,
    found: &Ticket,
    checking: &Checking,
    settings: &Checks,
) -> Result<Known> {
    let gate = checking.next().and_then(|next| settings.gate(&next.gate));
    let Some((gate, commit)) = gate.zip(check_claim::base_commit(checking, found)) else {
        return Ok(Known::None);
    };
    let key = check_claim::base_key(gate, settings);
    let row: Option<(i64, Option<String>)> = sqlx::query_as(
        "SELECT ticket_id, ran FROM gate_base WHERE commit_id = ?1 AND command = ?2",
    )
    .bind(&commit)
    .bind(&key)
    .fetch_optional(connection)
    .await?;
    Ok(match row {
        None => Known::Nothing { commit, key },
        // Its own, from before a crash.
        Some((ticket, None)) if ticket == found.id.key() => Known::Nothing { commit, key },
        Some((_, None)) => Known::Running,
        Some((ticket, Some(ran))) => {
            let place = Place { table: "gate_base", key: ticket };
            Known::Ran(run_of(place, &ran)?)
        }
    })
}

/// Keeps what a run on the base commit did, for other tickets.
pub(crate) async fn keep_base(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
    run: &Run,
) -> Result<()> {
    let (kind, code) = match run.end {
        End::Exited(code) => ("exited", code),
        End::Signalled(signal) => ("signalled", signal),
        End::TimedOut => ("timed_out", 0),
        End::NotStarted => return Ok(()),
    };
    let tests = run.tests.as_ref().map(|tests| (&tests.passed, &tests.failed));
    sqlx::query("UPDATE gate_base SET ran = ?2 WHERE attempt_id = ?1")
        .bind(attempt.key())
        .bind(serde_json::json!([kind, code, tests]).to_string())
        .execute(connection)
        .await?;
    Ok(())
}

type Kept =
    (String, i32, Option<(std::collections::BTreeSet<String>, std::collections::BTreeSet<String>)>);

fn run_of(
    place: Place,
    json: &str,
) -> std::result::Result<Run, crate::store::db::error::StoreError> {
    let (kind, code, tests): Kept = place.need(place.json(Some(json), "ran")?, "ran")?;
    let end = match kind.as_str() {
        "exited" => End::Exited(code),
        "signalled" => End::Signalled(code),
        "timed_out" => End::TimedOut,
        other => return Err(place.bad("ran", other)),
    };
    Ok(Run { end, tests: tests.map(|(passed, failed)| Tests { passed, failed }) })
}

/// How an attempt of a gate ended, by its row.
fn end_of(found: &Attempt) -> End {
    let AttemptState::Ended(ended) = &found.state else { return End::NotStarted };
    match (ended.outcome, ended.exit_code, ended.signal) {
        (Outcome::TimedOut, ..) => End::TimedOut,
        (Outcome::Succeeded, Some(code), _) => End::Exited(code),
        (Outcome::Succeeded, None, Some(signal)) => End::Signalled(signal),
        (Outcome::Succeeded, None, None)
        | (Outcome::Failed | Outcome::Cancelled | Outcome::Interrupted | Outcome::Lost, ..) => {
            End::NotStarted
        }
    }
}

fn tests_of(found: &Attempt) -> Option<Tests> {
    found.check.as_ref().and_then(|check| check.tests.clone())
}
