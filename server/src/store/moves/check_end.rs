//! The end of an attempt of setup or gate: the guard that accepts it once, its verdict, and what follows.

use sqlx::SqliteConnection;

use super::check_judge;
use super::cleanup;
use super::ending::EndReport;
use super::free;
use super::hold;
use super::land;
use super::park;
use super::settle;
use crate::domain::attempt::Attempt;
use crate::domain::attempt::Check;
use crate::domain::event::EventKind;
use crate::domain::event::NewEvent;
use crate::domain::gates::kind::AttemptKind;
use crate::domain::gates::kind::Phase;
use crate::domain::gates::kind::Step;
use crate::domain::gates::message;
use crate::domain::gates::ran::Ran;
use crate::domain::gates::ran::STRIKES;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::id::AttemptId;
use crate::domain::judging::End;
use crate::domain::judging::Run;
use crate::domain::judging::Tests;
use crate::domain::outcome::Failure;
use crate::domain::summary;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;
use crate::store::rows::attempt;
use crate::store::rows::checking;
use crate::store::rows::checking::Checking;
use crate::store::rows::event;
use crate::store::rows::event::By;
use crate::store::rows::ticket;

const ENDED: faults::Points = faults::points!("server.check_end");

/// The end of an attempt of setup or gate.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckEnding {
    pub attempt: AttemptId,
    pub ran: Ran,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub tail: String,
    /// What else people should know, such as what it changed in the worktree.
    pub note: Option<String>,
    pub tests: Option<Tests>,
    pub peak_memory_bytes: Option<i64>,
    /// The exit record as it was written; absent when the server itself ends the attempt.
    pub record: Option<String>,
}

impl Store {
    /// Ends an attempt of setup or gate, and continues the checks of its ticket. Repeating it changes nothing.
    pub async fn end_check(&self, ending: CheckEnding, now: Timestamp) -> Result<EndReport> {
        let rules = self.rules();
        let attempt = ending.attempt;
        let report = self
            .writer
            .at(ENDED)
            .write(move |connection| Box::pin(end(connection, ending, rules, now)))
            .await?;
        faults::trace!("end-committed", attempt);
        Ok(report)
    }
}

async fn end(
    connection: &mut SqliteConnection,
    ending: CheckEnding,
    rules: Rules,
    now: Timestamp,
) -> Result<EndReport> {
    let (outcome, failure, detail) = ending.ran.booked();
    let ended = sqlx::query(
        "UPDATE attempt
            SET state = 'ended', outcome = ?2, failure = ?3, detail = ?4, recorded = ?5, exit_code = ?6, signal = ?7,
                ended_at = ?8, settled_at = ?8, suspect = 0, trouble = NULL, output_tail = ?9, note = ?10, tests = ?11,
                peak_memory_bytes = MAX(COALESCE(peak_memory_bytes, ?12), COALESCE(?12, peak_memory_bytes))
          WHERE attempt_id = ?1 AND state <> 'ended' AND kind <> 'agent'",
    )
    .bind(ending.attempt.key())
    .bind(outcome.name())
    .bind(failure.map(Failure::name))
    .bind(detail)
    .bind(ending.record.is_some())
    .bind(ending.exit_code)
    .bind(ending.signal)
    .bind(now.millis())
    .bind(&ending.tail)
    .bind(ending.note.as_deref().filter(|note| !note.is_empty()))
    .bind(ending.tests.as_ref().and_then(attempt::json_of))
    .bind(ending.peak_memory_bytes)
    .execute(&mut *connection)
    .await?;
    if ended.rows_affected() == 0 {
        return late(connection, &ending, now).await;
    }
    let Some(found) = attempt::find(connection, ending.attempt).await? else {
        return Ok(EndReport::Parked);
    };
    free::worker(connection, &found).await?;
    if found.kind == AttemptKind::Cleanup {
        let how = how(&found, &ending);
        cleanup::ended(connection, &found, &ending.ran, &how, rules, now).await?;
        return Ok(EndReport::Accepted);
    }
    let ticket = ticket::load(connection, found.ticket).await?;
    let checking = checking::find(connection, found.ticket).await?;
    let is_checked = ticket.state == TicketState::Running;
    if let Some(checking) = checking.filter(|checking| is_checked && checking.step == Step::Running)
    {
        Continuing {
            ticket: &ticket,
            checking: &checking,
            found: &found,
            ending: &ending,
            rules,
            now,
        }
        .go_on(connection)
        .await?;
    }
    free_base(connection, found.id).await?;
    Ok(EndReport::Accepted)
}

/// The command that failed, and how.
fn how(found: &Attempt, ending: &CheckEnding) -> String {
    let commands = found.check.as_ref().map(|check| check.commands.as_slice());
    let command = commands.unwrap_or_default().get(ending.ran.at().unwrap_or_default());
    let command = command.map(|argv| message::shown(argv)).unwrap_or_default();
    match (&ending.ran, ending.ran.words()) {
        (Ran::Nothing { detail, .. }, _) => format!("`{command}` could not be run: {detail}"),
        (_, Some(words)) => format!("`{command}` {words}"),
        (_, None) => format!("`{command}` gave no result"),
    }
}

/// A run on the base commit that gave no result makes room for another one.
pub(crate) async fn free_base(connection: &mut SqliteConnection, attempt: AttemptId) -> Result<()> {
    sqlx::query("DELETE FROM gate_base WHERE attempt_id = ?1 AND ran IS NULL")
        .bind(attempt.key())
        .execute(connection)
        .await?;
    Ok(())
}

/// A report for an attempt that has ended.
async fn late(
    connection: &mut SqliteConnection,
    ending: &CheckEnding,
    now: Timestamp,
) -> Result<EndReport> {
    let Some(found) = attempt::find(connection, ending.attempt).await? else {
        return park::report(connection, ending.attempt, ending.record.as_deref(), now).await;
    };
    let recorded: bool = sqlx::query_scalar("SELECT recorded FROM attempt WHERE attempt_id = ?1")
        .bind(ending.attempt.key())
        .fetch_one(&mut *connection)
        .await?;
    if recorded {
        return Ok(EndReport::Duplicate);
    }
    if ending.record.is_some() {
        settle::settle(connection, ending.attempt, now).await?;
        free::worker(connection, &found).await?;
    }
    park::report(connection, ending.attempt, ending.record.as_deref(), now).await
}

/// The checks of a ticket after one of their attempts.
struct Continuing<'c> {
    ticket: &'c Ticket,
    checking: &'c Checking,
    found: &'c Attempt,
    ending: &'c CheckEnding,
    rules: Rules,
    now: Timestamp,
}

impl Continuing<'_> {
    async fn go_on(&self, connection: &mut SqliteConnection) -> Result<()> {
        let id = self.ticket.id;
        match &self.ending.ran {
            Ran::Cancelled => {
                checking::step(connection, id, &[Step::Running], Step::Held).await?;
                match self.checking.phase {
                    Phase::Setup => checking::end(connection, id).await?,
                    Phase::Landing => drop(land::end(connection, id, None).await?),
                    Phase::Stage | Phase::Asked => {}
                }
                let what = self.what();
                let why =
                    Hold::new(HoldKind::Operator, format!("its worker was asked to cancel {what}"));
                return hold::at_its_stage(connection, self.ticket, self.by(), &why, self.now)
                    .await;
            }
            // The worktree is put in order first.
            Ran::Interrupted => {
                self.leave_base(connection).await?;
                checking::step(connection, id, &[Step::Running], self.again()).await?;
                return Ok(());
            }
            Ran::Nothing { .. } => return self.strike(connection).await,
            Ran::Passed | Ran::Failed { .. } | Ran::TimedOut { .. } | Ran::NotStarted { .. } => {}
        }
        sqlx::query("UPDATE checking SET strikes = 0 WHERE ticket_id = ?1 AND strikes > 0")
            .bind(id.key())
            .execute(&mut *connection)
            .await?;
        match self.found.kind {
            AttemptKind::Setup if self.is_base() => self.after_base_setup(connection).await,
            AttemptKind::Setup => self.after_setup(connection).await,
            AttemptKind::Gate => self.after_gate(connection).await,
            AttemptKind::Agent | AttemptKind::Cleanup => Ok(()),
        }
    }

    /// The step from which an attempt that said nothing is repeated. A run on the base commit begins with its worktree.
    fn again(&self) -> Step {
        match self.checking.phase {
            Phase::Setup => Step::Due,
            Phase::Stage | Phase::Landing | Phase::Asked if self.is_base() => Step::Base,
            Phase::Stage | Phase::Landing | Phase::Asked => Step::Plan,
        }
    }

    async fn leave_base(&self, connection: &mut SqliteConnection) -> Result<()> {
        sqlx::query("UPDATE checking_gate SET on_base = 0 WHERE ticket_id = ?1 AND on_base = 1")
            .bind(self.ticket.id.key())
            .execute(connection)
            .await?;
        Ok(())
    }

    fn by(&self) -> By {
        By::Attempt(self.found.id, self.found.worker)
    }

    fn what(&self) -> String {
        match &self.found.check {
            Some(Check { gate: Some(gate), .. }) => format!("{}, its gate {gate}", self.found.id),
            Some(Check { is_base: true, .. }) => {
                format!("{}, the setup of its base commit", self.found.id)
            }
            Some(_) | None => format!("{}, its setup", self.found.id),
        }
    }

    fn said(&self, kind: EventKind, summary: String) -> NewEvent {
        NewEvent { attempt: Some(self.found.id), ..event::about(self.ticket, kind, summary) }
    }

    /// The attempt said nothing about its commands. It is repeated, later each time and not for ever.
    async fn strike(&self, connection: &mut SqliteConnection) -> Result<()> {
        let strikes = self.checking.strikes + 1;
        if strikes < STRIKES {
            self.leave_base(connection).await?;
            let not_before = self.now.after(self.rules.policy.again.delay(strikes));
            sqlx::query(
                "UPDATE checking SET step = ?2, strikes = ?3, not_before = ?4
                  WHERE ticket_id = ?1 AND step = 'running'",
            )
            .bind(self.ticket.id.key())
            .bind(self.again().name())
            .bind(strikes)
            .bind(not_before.millis())
            .execute(connection)
            .await?;
            return Ok(());
        }
        match self.found.kind {
            AttemptKind::Setup | AttemptKind::Gate if self.is_base() => {
                self.without_base(connection).await
            }
            AttemptKind::Setup => self.setup_failed(connection).await,
            AttemptKind::Gate => {
                self.ran(connection).await?;
                check_judge::give_up(connection, self.ticket, self.rules, self.now).await
            }
            AttemptKind::Agent | AttemptKind::Cleanup => Ok(()),
        }
    }

    fn is_base(&self) -> bool {
        self.found.check.as_ref().is_some_and(|check| check.is_base)
    }

    /// The base commit does not say whether what fails there failed before.
    async fn without_base(&self, connection: &mut SqliteConnection) -> Result<()> {
        // Another ticket may find it out.
        checking::free_bases(connection, self.ticket.id).await?;
        self.judge(connection, Some(&Run { end: End::NotStarted, tests: None })).await
    }

    /// The gate that is next runs on the base commit, now that the worktree there is set up.
    async fn after_base_setup(&self, connection: &mut SqliteConnection) -> Result<()> {
        if self.ending.ran != Ran::Passed {
            return self.without_base(connection).await;
        }
        sqlx::query(
            "UPDATE checking_gate SET base_set_up = 1 WHERE ticket_id = ?1 AND on_base = 1",
        )
        .bind(self.ticket.id.key())
        .execute(&mut *connection)
        .await?;
        checking::step(connection, self.ticket.id, &[Step::Running], Step::Due).await?;
        Ok(())
    }

    async fn after_setup(&self, connection: &mut SqliteConnection) -> Result<()> {
        if self.ending.ran != Ran::Passed {
            return self.setup_failed(connection).await;
        }
        checking::end(connection, self.ticket.id).await?;
        sqlx::query("UPDATE ticket SET state = 'queued', updated_at = ?2 WHERE ticket_id = ?1 AND state = 'running'")
            .bind(self.ticket.id.key())
            .bind(self.now.millis())
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "UPDATE worktree SET set_up = 1, ready = 1 WHERE ticket_id = ?1 AND removed_at IS NULL",
        )
        .bind(self.ticket.id.key())
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn setup_failed(&self, connection: &mut SqliteConnection) -> Result<()> {
        let id = self.ticket.id;
        let summary = summary::setup_failed(id, self.found.id, &self.how());
        event::append(connection, self.said(EventKind::SetupFailed, summary), self.now).await?;
        checking::end(connection, id).await?;
        let tail = message::end_of(&self.ending.tail, message::EVIDENCE_BYTES);
        let end = if tail.is_empty() {
            String::new()
        } else {
            format!(". The end of its output:\n{tail}")
        };
        let reason =
            format!("the setup of its worktree failed in {}: {}{end}", self.found.id, self.how());
        let why = Hold::new(HoldKind::Setup, reason);
        hold::at_its_stage(connection, self.ticket, self.by(), &why, self.now).await
    }

    fn how(&self) -> String {
        how(self.found, self.ending)
    }

    async fn after_gate(&self, connection: &mut SqliteConnection) -> Result<()> {
        let end = self.ending.ran.end().unwrap_or(End::NotStarted);
        let run = Run { end, tests: self.ending.tests.clone() };
        if self.is_base() {
            // Earlier versions ran the setup in the same attempt. What fails before the gate says nothing about it.
            let commands = self.found.check.as_ref().map_or(0, |check| check.commands.len());
            let setup = commands.saturating_sub(1);
            let is_of_setup = self.ending.ran.at().is_some_and(|at| at < setup);
            let run = if is_of_setup { Run { end: End::NotStarted, tests: None } } else { run };
            return self.judge(connection, Some(&run)).await;
        }
        self.ran(connection).await?;
        self.judge(connection, None).await
    }

    /// Counts the attempt as a run of the gate that is next.
    async fn ran(&self, connection: &mut SqliteConnection) -> Result<()> {
        sqlx::query(
            "UPDATE checking_gate SET runs = runs + 1, attempt_id = ?3 WHERE ticket_id = ?1 AND position = ?2",
        )
        .bind(self.ticket.id.key())
        .bind(self.checking.next().map(|next| next.position))
        .bind(self.found.id.key())
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Judges the gate that is next by its runs. `base`: what the base commit did, if that was just found out.
    async fn judge(&self, connection: &mut SqliteConnection, base: Option<&Run>) -> Result<()> {
        if let Some(base) = base.filter(|base| base.end != End::NotStarted) {
            check_judge::keep_base(connection, self.found.id, base).await?;
        }
        check_judge::judge(connection, self.ticket, base, self.rules, self.now).await
    }
}
