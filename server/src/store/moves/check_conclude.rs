//! The end of a round of gates: the ticket moves, its agent learns what is red, or somebody must decide.

use sqlx::SqliteConnection;

use super::complete;
use super::create_planned;
use super::hold;
use super::land;
use crate::domain::attempt::Attempt;
use crate::domain::attempt::AttemptState;
use crate::domain::attempt::Outcome;
use crate::domain::gates::kind::Phase;
use crate::domain::gates::kind::Step;
use crate::domain::gates::message;
use crate::domain::gates::ran::Exit;
use crate::domain::gates::round;
use crate::domain::gates::round::Counts;
use crate::domain::gates::round::Decision;
use crate::domain::gates::round::Found;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::id::AttemptId;
use crate::domain::id::WorkerId;
use crate::domain::judging::GateVerdict;
use crate::domain::outcome::StageResult;
use crate::domain::outcome::Verdict;
use crate::domain::pipeline;
use crate::domain::pipeline::Place;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;
use crate::store::rows::attempt;
use crate::store::rows::checking;
use crate::store::rows::checking::Checking;
use crate::store::rows::checks;
use crate::store::rows::event::By;
use crate::store::rows::waiver;
use crate::store::rows::worker_type;

/// Continues the checks of a ticket after a verdict: with the next gate, or with what the whole round means.
pub(crate) async fn go_on(
    connection: &mut SqliteConnection,
    found: &Ticket,
    rules: Rules,
    now: Timestamp,
) -> Result<()> {
    let Some(checking) = checking::find(connection, found.id).await? else { return Ok(()) };
    if checking.next().is_some() {
        let from = [Step::Running, Step::Plan];
        checking::step(connection, found.id, &from, Step::Due).await?;
        return Ok(());
    }
    let round = found_in(connection, &checking).await?;
    let concluding = Concluding { ticket: found, checking: &checking, round: &round, rules, now };
    match checking.phase {
        Phase::Setup => Ok(()),
        Phase::Stage => concluding.stage(connection).await,
        Phase::Landing => concluding.landing(connection).await,
        Phase::Asked => concluding.asked(connection).await,
    }
}

/// What each gate of the round found.
pub(crate) async fn found_in(
    connection: &mut SqliteConnection,
    checking: &Checking,
) -> Result<Vec<Found>> {
    let waivers = waiver::of_ticket(connection, checking.ticket).await?;
    let settings = checks::of_ticket(connection, checking.ticket).await?;
    let mut round = Vec::new();
    for gate in &checking.gates {
        let last = match gate.attempt {
            Some(attempt) => attempt::find(connection, attempt).await?,
            None => None,
        };
        let check = last.as_ref().and_then(|last| last.check.clone()).unwrap_or_default();
        let command = settings.gate(&gate.gate).map(|gate| message::shown(&gate.command));
        round.push(Found {
            gate: gate.gate.clone(),
            verdict: gate.verdict.unwrap_or(GateVerdict::Error),
            waived: waivers.iter().any(|waiver| waiver.gate == gate.gate),
            command: command.unwrap_or_default(),
            how: last.as_ref().map(how).unwrap_or_default(),
            new_failures: gate.new.clone(),
            tail: check.tail,
            attempt: last.map(|last| last.id.to_string()).unwrap_or_default(),
            note: check.note,
            mark: gate.mark.clone().unwrap_or_default(),
        });
    }
    Ok(round)
}

/// How an attempt ended, as the end of "it …".
fn how(found: &Attempt) -> String {
    let AttemptState::Ended(ended) = &found.state else { return "has not ended".to_owned() };
    match (ended.outcome, ended.exit_code, ended.signal) {
        (Outcome::TimedOut, ..) => "did not end in time".to_owned(),
        (Outcome::Succeeded, Some(code), _) => Exit::Code(code).words(),
        (Outcome::Succeeded, None, Some(signal)) => Exit::Signal(signal).words(),
        (Outcome::Succeeded, None, None) => "gave no result".to_owned(),
        (Outcome::Failed | Outcome::Cancelled | Outcome::Interrupted | Outcome::Lost, ..) => {
            format!("could not be run: {}", ended.detail)
        }
    }
}

/// A round whose gates are all judged.
struct Concluding<'c> {
    ticket: &'c Ticket,
    checking: &'c Checking,
    round: &'c [Found],
    rules: Rules,
    now: Timestamp,
}

impl Concluding<'_> {
    async fn stage(&self, connection: &mut SqliteConnection) -> Result<()> {
        match self.decide(connection).await? {
            Decision::Pass => self.pass(connection).await,
            Decision::Tell { fingerprint } => self.tell(connection, &fingerprint).await,
            Decision::Hold { why } => self.hold(connection, &why).await,
        }
    }

    async fn decide(&self, connection: &mut SqliteConnection) -> Result<Decision> {
        let stage = self.ticket.current_stage();
        let kind = worker_type::find(connection, self.ticket.project, stage.as_str()).await?;
        let last: Option<String> =
            sqlx::query_scalar("SELECT gate_fingerprint FROM ticket WHERE ticket_id = ?1")
                .bind(self.ticket.id.key())
                .fetch_one(&mut *connection)
                .await?;
        let counts = Counts {
            failures: self.ticket.gate_failures,
            max_failures: kind.map_or(1, |kind| kind.settings.max_gate_failures),
            last: last.as_deref(),
        };
        let decision = round::decide(self.round, counts);
        // A user who completed the stage is there, and reads why it is not.
        if let (Decision::Tell { .. }, None) = (&decision, self.checking.attempt) {
            let red: Vec<&Found> = self.round.iter().filter(|found| found.is_red()).collect();
            return Ok(Decision::Hold { why: format!("{} failed", round::names(&red)) });
        }
        Ok(decision)
    }

    /// Moves the ticket on: the result that waited is accepted.
    async fn pass(&self, connection: &mut SqliteConnection) -> Result<()> {
        let Some(result) = self.checking.result.clone() else { return Ok(()) };
        let by = self.by(connection).await?;
        checking::end(connection, self.ticket.id).await?;
        sqlx::query(
            "UPDATE ticket SET gate_message = NULL, gate_fingerprint = NULL, gate_failures = 0 WHERE ticket_id = ?1",
        )
        .bind(self.ticket.id.key())
        .execute(&mut *connection)
        .await?;
        // What it asks for may be impossible by now.
        let verdict = Verdict::Succeeded(result);
        match create_planned::judge(connection, self.ticket.id, verdict, self.rules).await? {
            Verdict::Succeeded(result) => self.move_on(connection, by, &result).await,
            Verdict::Failed { detail, .. }
            | Verdict::TimedOut { detail, .. }
            | Verdict::Lost { detail } => {
                let why = Hold::new(HoldKind::Failures, detail);
                hold::at_its_stage(connection, self.ticket, by, &why, self.now).await
            }
            Verdict::Cancelled | Verdict::Interrupted { .. } | Verdict::Signalled { .. } => Ok(()),
        }
    }

    async fn move_on(
        &self,
        connection: &mut SqliteConnection,
        by: By,
        result: &StageResult,
    ) -> Result<()> {
        let ticket = self.ticket;
        let place = Place {
            plan: &ticket.plan,
            stage_index: ticket.stage_index,
            rework_laps: ticket.rework_laps,
        };
        let to = pipeline::after_stage(place, result, &self.rules.policy);
        complete::done(connection, ticket, by, result, to, self.now).await
    }

    async fn by(&self, connection: &mut SqliteConnection) -> Result<By> {
        let found = match self.checking.attempt {
            Some(attempt) => attempt::find(connection, attempt).await?,
            None => None,
        };
        Ok(found.map_or(By::Coordinator, |found| By::Attempt(found.id, found.worker)))
    }

    /// Sends the stage back to its agent, in the same session, with what is red.
    async fn tell(&self, connection: &mut SqliteConnection, fingerprint: &str) -> Result<()> {
        checking::end(connection, self.ticket.id).await?;
        self.note_red(connection, Some(fingerprint)).await?;
        sqlx::query(
            "UPDATE ticket SET state = 'queued', updated_at = ?2 WHERE ticket_id = ?1 AND state = 'running'",
        )
        .bind(self.ticket.id.key())
        .bind(self.now.millis())
        .execute(&mut *connection)
        .await?;
        self.resume_session(connection).await
    }

    /// Counts a red round, and keeps what its agent is to read.
    async fn note_red(
        &self,
        connection: &mut SqliteConnection,
        fingerprint: Option<&str>,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE ticket SET gate_failures = gate_failures + 1, gate_message = ?2, gate_fingerprint = ?3
              WHERE ticket_id = ?1",
        )
        .bind(self.ticket.id.key())
        .bind(message::red(self.round))
        .bind(fingerprint)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// The next attempt of the stage continues in the session of the one whose result is red.
    async fn resume_session(&self, connection: &mut SqliteConnection) -> Result<()> {
        if let Some((session, worker)) = self.session(connection).await? {
            sqlx::query(
                "UPDATE ticket SET resume_session_id = ?2, resume_worker_id = ?3, resume_asks_outcome = 0
                  WHERE ticket_id = ?1 AND state IN ('queued', 'on_hold')",
            )
            .bind(self.ticket.id.key())
            .bind(session)
            .bind(worker.key())
            .execute(connection)
            .await?;
        }
        Ok(())
    }

    async fn session(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Option<(String, WorkerId)>> {
        let id: Option<i64> = match self.checking.attempt {
            Some(attempt) => Some(attempt.key()),
            None => {
                sqlx::query_scalar(
                    "SELECT attempt_id FROM attempt
                      WHERE ticket_id = ?1 AND stage_index = ?2 AND kind = 'agent' AND outcome = 'succeeded'
                      ORDER BY attempt_id DESC LIMIT 1",
                )
                .bind(self.ticket.id.key())
                .bind(i64::try_from(self.ticket.stage_index).unwrap_or(0))
                .fetch_optional(&mut *connection)
                .await?
            }
        };
        let Some(id) = id else { return Ok(None) };
        let found = attempt::find(connection, AttemptId::from_key(id)).await?;
        Ok(found.map(|found| (found.claude_session_id, found.worker)))
    }

    /// Puts the ticket on hold with the evidence. Its result waits: the gate may be waived, or run again.
    async fn hold(&self, connection: &mut SqliteConnection, why: &str) -> Result<()> {
        let from = [Step::Running, Step::Plan];
        checking::step(connection, self.ticket.id, &from, Step::Held).await?;
        self.note_red(connection, None).await?;
        let by = self.by(connection).await?;
        hold::at_its_stage(connection, self.ticket, by, &self.evidence(why), self.now).await?;
        self.resume_session(connection).await
    }

    fn evidence(&self, why: &str) -> Hold {
        let reason = format!("{why}.{}", message::evidence(self.round));
        Hold::new(HoldKind::Gate, reason)
    }

    /// What would be merged was judged.
    async fn landing(&self, connection: &mut SqliteConnection) -> Result<()> {
        let red: Vec<&Found> = self.round.iter().filter(|found| found.is_red()).collect();
        if red.is_empty() {
            let from = [Step::Running, Step::Plan];
            checking::step(connection, self.ticket.id, &from, Step::Passed).await?;
            return Ok(());
        }
        let base = self
            .ticket
            .work
            .as_ref()
            .and_then(|work| work.base_name())
            .unwrap_or("its base branch");
        let why = format!(
            "it is completed but not merged: together with what is in {base} by now, {} failed",
            round::names(&red)
        );
        let from = [Step::Running, Step::Plan];
        checking::step(connection, self.ticket.id, &from, Step::Held).await?;
        self.note_red(connection, None).await?;
        if land::end(connection, self.ticket.id, None).await?.is_some() {
            let by = By::Coordinator;
            hold::at_its_stage(connection, self.ticket, by, &self.evidence(&why), self.now).await?;
        }
        self.resume_session(connection).await
    }

    /// Somebody asked: a result that waited is accepted if nothing is red, and otherwise the ticket waits as before.
    async fn asked(&self, connection: &mut SqliteConnection) -> Result<()> {
        let red: Vec<&Found> = self.round.iter().filter(|found| found.is_red()).collect();
        if red.is_empty() && self.checking.result.is_some() {
            return self.pass(connection).await;
        }
        let from = [Step::Running, Step::Plan];
        checking::step(connection, self.ticket.id, &from, Step::Held).await?;
        let why = match &self.checking.hold {
            Some(hold) if red.is_empty() || hold.kind != HoldKind::Gate => hold.clone(),
            Some(_) | None if red.is_empty() => {
                Hold::new(HoldKind::Operator, "its gates passed when they were run manually")
            }
            Some(_) | None => self.evidence(&format!("{} failed", round::names(&red))),
        };
        if !red.is_empty() {
            self.note_red(connection, None).await?;
        }
        hold::at_its_stage(connection, self.ticket, By::Coordinator, &why, self.now).await?;
        self.resume_session(connection).await?;
        if self.checking.result.is_none() {
            checking::end(connection, self.ticket.id).await?;
        }
        Ok(())
    }
}
