//! The end of an attempt: the guard that accepts a result exactly once, and everything that follows from it, in one
//! transaction.

use sqlx::SqliteConnection;

use super::affect_others;
use super::ask_outcome;
use super::check_begin;
use super::complete;
use super::create_planned;
use super::ending::EndReport;
use super::ending::Ending;
use super::ending::Work;
use super::free;
use super::hold;
use super::park;
use super::prepare;
use super::settle;
use super::warn;
use crate::domain::attempt::Attempt;
use crate::domain::event::EventKind;
use crate::domain::hold::Hold;
use crate::domain::limits;
use crate::domain::limits::Funds;
use crate::domain::outcome::Failure;
use crate::domain::outcome::Verdict;
use crate::domain::pipeline;
use crate::domain::pipeline::Met;
use crate::domain::pipeline::Move;
use crate::domain::pipeline::Session;
use crate::domain::pipeline::Standing;
use crate::domain::pipeline::booked;
use crate::domain::summary;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::domain::usage::UsageLimit;
use crate::domain::worker_type::WorkerType;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;
use crate::store::money::accounts;
use crate::store::money::bill;
use crate::store::rows::attempt;
use crate::store::rows::event;
use crate::store::rows::event::By;
use crate::store::rows::ticket;
use crate::store::rows::worker_type;

const REPORTED: faults::Points = faults::points!("server.end");

const GIVEN_UP: faults::Points = faults::points!("server.requeue");

impl Store {
    /// Ends an attempt and moves its ticket on. Repeating it changes nothing.
    pub async fn end_attempt(&self, ending: Ending, now: Timestamp) -> Result<EndReport> {
        let rules = self.rules();
        let attempt = ending.attempt;
        let points = if ending.record.is_some() { REPORTED } else { GIVEN_UP };
        let report = self
            .writer
            .at(points)
            .write(move |connection| Box::pin(end(connection, ending, rules, now)))
            .await?;
        faults::trace!("end-committed", attempt);
        Ok(report)
    }
}

async fn end(
    connection: &mut SqliteConnection,
    ending: Ending,
    rules: Rules,
    now: Timestamp,
) -> Result<EndReport> {
    let Some(found) = attempt::find(connection, ending.attempt).await? else {
        return park::report(connection, ending.attempt, ending.record.as_deref(), now).await;
    };
    let verdict = create_planned::judge(connection, found.ticket, ending.verdict, rules).await?;
    // Work that the database does not accept lies beyond the accepted commit; the next check of the worktree puts it
    // aside.
    let work = if matches!(verdict, Verdict::Succeeded(_)) { ending.work } else { Work::None };
    // It was stopped only to continue with less to spend.
    let goes_on = found.cut_short.is_some() && matches!(verdict, Verdict::Interrupted { .. });
    let verdict = if goes_on { Verdict::Interrupted { resume: true } } else { verdict };
    let ending = Ending { verdict, work, ..ending };
    let booked = booked::booked(&found, &ending.verdict);
    // The guard. No row means that something else ended this attempt, so this report changes nothing.
    let ended = sqlx::query(
        "UPDATE attempt
            SET state = 'ended', outcome = ?2, failure = ?3, detail = ?4, charged = ?5, recorded = ?6, exit_code = ?7,
                signal = ?8, ended_at = ?9, settled_at = ?9, suspect = 0, trouble = NULL
          WHERE attempt_id = ?1 AND state <> 'ended'",
    )
    .bind(ending.attempt.key())
    .bind(booked.outcome.name())
    .bind(booked.failure.map(Failure::name))
    .bind(booked.detail)
    .bind(booked.charged)
    .bind(ending.record.is_some())
    .bind(ending.exit_code)
    .bind(ending.signal)
    .bind(now.millis())
    .execute(&mut *connection)
    .await?;
    if ended.rows_affected() == 0 {
        return late(connection, &ending, rules, now).await;
    }
    let spent_usd = bill::book(connection, &found, &ending.spent).await?;
    warn::after_booking(connection, found.ticket, rules, now).await?;
    sqlx::query(
        "UPDATE ticket SET attempts_used = attempts_used + ?2, strikes = strikes + ?3 WHERE ticket_id = ?1",
    )
    .bind(found.ticket.key())
    .bind(i64::from(booked.charged))
    .bind(i64::from(booked.struck))
    .execute(&mut *connection)
    .await?;
    free::worker(connection, &found).await?;
    match &ending.work {
        Work::None => {}
        Work::Accepted(head) => {
            prepare::set_head(connection, found.ticket, head, /* ready */ true).await?;
        }
        Work::Owed(_) => prepare::owe(connection, found.ticket, found.id).await?,
    }
    let ticket = ticket::load(connection, found.ticket).await?;
    let counted = Counted { charged: booked.charged, struck: booked.struck, spent_usd };
    move_on(connection, &ticket, &found, &ending, counted, rules, now).await?;
    Ok(EndReport::Accepted)
}

async fn move_on(
    connection: &mut SqliteConnection,
    ticket: &Ticket,
    found: &Attempt,
    ending: &Ending,
    counted: Counted,
    rules: Rules,
    now: Timestamp,
) -> Result<()> {
    let kind = worker_type::find(connection, ticket.project, found.stage.as_str()).await?;
    let (deferrals, strikes): (i64, i64) =
        sqlx::query_as("SELECT deferrals, strikes FROM ticket WHERE ticket_id = ?1")
            .bind(ticket.id.key())
            .fetch_one(&mut *connection)
            .await?;
    let limit = match &ending.verdict {
        Verdict::Interrupted { .. } | Verdict::Signalled { .. } => {
            found.limit_reached.clone().map(Met::Spent)
        }
        Verdict::Failed { failure: Failure::MaxBudget, .. } => {
            limit_met(connection, ticket, found, kind.as_ref(), rules, now).await?
        }
        Verdict::Succeeded(_)
        | Verdict::Failed { .. }
        | Verdict::TimedOut { .. }
        | Verdict::Cancelled
        | Verdict::Lost { .. } => None,
    };
    let work = ask_outcome::asked_about(connection, found).await?;
    // An attempt that was to continue a session, and ended before the session was announced, leaves the session as it
    // was.
    let has_session = ending.had_session || found.resumed;
    let standing = Standing {
        plan: &ticket.plan,
        stage_index: ticket.stage_index,
        attempts_used: ticket.attempts_used - i64::from(counted.charged),
        max_attempts: kind.as_ref().map_or(1, |kind| kind.settings.max_attempts),
        deferrals,
        strikes: strikes - i64::from(counted.struck),
        rework_laps: ticket.rework_laps,
        has_session,
        turns: ending.spent.num_turns.unwrap_or(0),
        spent_usd: counted.spent_usd,
        asked_about: work.as_ref(),
        limit: limit.as_ref(),
        resets_at: ending.usage.as_ref().and_then(UsageLimit::refused_until),
    };
    let by = By::Attempt(found.id, found.worker);
    let to = match &ending.work {
        Work::None | Work::Accepted(_) => {
            pipeline::after_attempt(standing, &ending.verdict, &rules.policy, now)
        }
        Work::Owed(why) => Move::Hold(why.clone()),
    };
    if let Verdict::Succeeded(result) = &ending.verdict {
        if check_begin::stage(connection, ticket, by, result, &to, now).await? {
            if ending.cancelled {
                check_begin::hold(connection, ticket, by, &Hold::cancelled_too_late(found.id), now)
                    .await?;
            }
            return Ok(());
        }
        complete::stage_done(connection, ticket, by, result, to, now).await?;
        if ending.cancelled {
            let moved = ticket::load(connection, ticket.id).await?;
            hold::hold(connection, &moved, &Hold::cancelled_too_late(found.id), now).await?;
        }
        return Ok(());
    }
    let event = event::about(
        ticket,
        EventKind::TicketAttemptFailed,
        summary::attempt_ended(found, ticket, &ending.verdict, &to),
    );
    event::append(connection, by.sign(event), now).await?;
    affect_others::affect(connection, (ticket, found), ending, &to, rules, now).await?;
    // If it ended otherwise, its last words are the service's, not its answer.
    if let Verdict::Failed { failure: Failure::NoResult, .. } = &ending.verdict
        && let Some(answer) = ending.last_words.as_deref()
        && found.asks_outcome
    {
        ask_outcome::answered(connection, found, answer, now).await?;
    }
    let session = pipeline::session_after(&to, &ending.verdict, limit.is_some());
    complete::apply(connection, ticket, by, to, now).await?;
    if session != Session::Fresh && has_session {
        sqlx::query(
            "UPDATE ticket SET resume_session_id = ?2, resume_worker_id = ?3, resume_asks_outcome = ?4
              WHERE ticket_id = ?1 AND state IN ('queued', 'scheduled', 'on_hold')",
        )
        .bind(ticket.id.key())
        .bind(&found.claude_session_id)
        .bind(found.worker.key())
        .bind(session == Session::Ask)
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// What the end of an attempt was counted as.
#[derive(Clone, Copy, Debug)]
struct Counted {
    charged: bool,
    struck: bool,
    spent_usd: f64,
}

/// The limit that an attempt ran into when it spent its budget, if that is not its worker type's own.
async fn limit_met(
    connection: &mut SqliteConnection,
    ticket: &Ticket,
    found: &Attempt,
    kind: Option<&WorkerType>,
    rules: Rules,
    now: Timestamp,
) -> Result<Option<Met>> {
    if let Some(why) = &found.limit_reached {
        return Ok(Some(Met::Spent(why.clone())));
    }
    let Some((usd, of)) = booked::limited_from_above(found) else { return Ok(None) };
    if let Some(kind) = kind {
        let per_attempt = kind.settings.max_budget_usd;
        match accounts::funds(connection, ticket.id, per_attempt, rules, now).await? {
            // The limit was raised meanwhile, or others did not spend what they had set aside.
            Funds::Granted(_) | Funds::Reserved(_) => return Ok(Some(Met::More)),
            Funds::Spent(_) => {}
        }
    }
    Ok(Some(Met::Spent(limits::used_up(of, found.id, usd))))
}

/// A report for an attempt that has ended: the same report again, or one that came too late.
async fn late(
    connection: &mut SqliteConnection,
    ending: &Ending,
    rules: Rules,
    now: Timestamp,
) -> Result<EndReport> {
    let recorded: bool = sqlx::query_scalar("SELECT recorded FROM attempt WHERE attempt_id = ?1")
        .bind(ending.attempt.key())
        .fetch_one(&mut *connection)
        .await?;
    if recorded {
        return Ok(EndReport::Duplicate);
    }
    // The record also proves that its shim has ended the process tree, and that the worker is free.
    if ending.record.is_some() {
        settle::settle(connection, ending.attempt, now).await?;
        if let Some(found) = attempt::find(connection, ending.attempt).await? {
            // What it used is charged, whatever became of its result.
            bill::book(connection, &found, &ending.spent).await?;
            warn::after_booking(connection, found.ticket, rules, now).await?;
            free::worker(connection, &found).await?;
        }
    }
    park::report(connection, ending.attempt, ending.record.as_deref(), now).await
}
