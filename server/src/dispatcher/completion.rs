//! From an exit record to a committed end.

use std::path::Path;
use std::sync::Arc;

use shim_protocol::exit::ExitRecord;
use shim_protocol::exit::ExitStatus;
use shim_protocol::message::AckVerdict;

use super::heard::Heard;
use super::settings::Current;
use super::worktrees::Worktrees;
use crate::clock::Clock;
use crate::domain::attempt::StopMode;
use crate::domain::id::AttemptId;
use crate::domain::outcome::Failure;
use crate::domain::outcome::Verdict;
use crate::domain::usage::Held;
use crate::domain::usage::UsageLimit;
use crate::domain::verdict;
use crate::shim::facts;
use crate::shim::facts::Known;
use crate::store::EndReport;
use crate::store::Ending;
use crate::store::Result;
use crate::store::Store;

/// Judges exit records and stores the ends of attempts. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Completions {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) settings: Current,
    /// What agents reported about the account.
    pub(super) heard: Arc<Heard>,
    pub(super) worktrees: Worktrees,
}

impl Completions {
    /// Pauses work that a usage limit of the account would refuse, or that would use the share
    /// reserved for the coordinator.
    ///
    /// A shim repeats its agent's last report with every heartbeat and in its record. Each report
    /// is heeded once: an old one must not overrule an operator who has resumed the work meanwhile.
    /// A later report without a restriction ends the pause.
    pub(super) async fn heed_usage_limit(
        &self,
        attempt: AttemptId,
        usage: &UsageLimit,
    ) -> Result<()> {
        if !self.heard.is_news(attempt, usage) {
            return Ok(());
        }
        let (reserve, now) = (self.settings.get().usage_reserve, self.clock.now());
        let holds = usage.holds(reserve);
        if holds.is_empty()
            && let Some(told_at) = usage.told_at
        {
            return self.store.usage_limit_holds_no_more(told_at, now).await;
        }
        for hold in holds {
            let reason = hold.reason(reserve);
            // A refusal without a reset time holds for a while after it was reported; a record may
            // repeat it hours later.
            let said_at = usage.told_at.unwrap_or(now);
            let wait = self.store.rules().policy.overload.delay(1);
            let until = hold.until.unwrap_or_else(|| said_at.after(wait));
            if until <= now {
                continue;
            }
            match hold.of {
                Held::Everything => self.store.hold_for_usage_limit(reason, until, now).await?,
                Held::Models(family) => {
                    let attempt = self.store.attempt(attempt).await?;
                    let like = attempt.map(|attempt| attempt.model).filter(|_| hold.rejected);
                    self.store.hold_models(family, like, reason, until, now).await?;
                }
            }
        }
        Ok(())
    }

    /// Judges a record and commits the end of its attempt. Keep the record until this has returned.
    pub(super) async fn complete(
        &self,
        attempt: AttemptId,
        record: &ExitRecord,
    ) -> Result<AckVerdict> {
        let found = self.store.attempt(attempt).await?;
        if let Some(found) = found.as_ref().filter(|found| !found.kind.is_agent()) {
            return self.complete_check(found, record).await;
        }
        let worktree_gone = self.worktree_is_gone(attempt, record).await?;
        let known = found.as_ref().map(|found| Known {
            resumed: found.resumed,
            session: found.claude_session_id.clone(),
            may_create_tickets: found.may_create_tickets,
            worktree_gone,
        });
        let mut facts = facts::facts(record, &known.unwrap_or_default());
        // The database already knows what this server cancels. A shim of an earlier version reports
        // "cancel" also when it was refused, and its ticket would be on hold without a reason.
        let overdue = found.as_ref().is_some_and(|found| found.overdue);
        let told_to = found.and_then(|found| found.stop);
        let ordered = told_to == Some(StopMode::Cancel);
        let told = record.stop.as_ref().is_some_and(|stop| stop.signal.is_none());
        if facts.stop == Some(verdict::Stop::Cancel) && told && !ordered {
            facts.stop = Some(verdict::Stop::Interrupt);
        }
        facts.usage = facts.usage.map(|usage| usage.believed(self.clock.now()));
        // The server itself ended the attempt's processes; the shim only saw them die.
        let is_overdue = overdue && facts.stop.is_none() && facts.result.is_none();
        if is_overdue {
            facts.stop = Some(match told_to {
                Some(StopMode::Cancel) => verdict::Stop::Cancel,
                Some(StopMode::Interrupt | StopMode::Kill) => verdict::Stop::Interrupt,
                Some(StopMode::Drain) | None => verdict::Stop::Timeout,
            });
        }
        if let Some(usage) = &facts.usage {
            self.heed_usage_limit(attempt, usage).await?;
        }
        let (exit_code, signal) = facts::codes(&record.status);
        let verdict = verdict::verdict(&facts);
        let timed_out = matches!(verdict, Verdict::TimedOut { failure: Failure::Timeout, .. });
        let verdict = if overdue && timed_out { overdue_verdict() } else { verdict };
        let accepted = matches!(verdict, Verdict::Succeeded(_));
        // Git first: what the database calls accepted must be on the branch, even after a crash in
        // between.
        let settled = self.worktrees.settle(attempt, accepted).await?;
        let ending = Ending {
            attempt,
            verdict,
            exit_code,
            signal,
            spent: facts::spent(record),
            had_session: facts.had_session,
            last_words: facts.result.and_then(|result| result.prose),
            usage: facts.usage,
            record: serde_json::to_string(record).ok(),
            work: settled.work.clone(),
            // An agent that signals its own shim does not decide what happens to its ticket.
            cancelled: facts.stop == Some(verdict::Stop::Cancel)
                && !facts.signal.as_ref().is_some_and(|sent| sent.by_own),
        };
        let report = self.store.end_attempt(ending, self.clock.now()).await?;
        self.heard.forget(attempt);
        drop(settled);
        tracing::debug!(%attempt, worker = %record.worker_id, report = report.name(), swept = record.swept, "the end of an attempt was stored");
        Ok(match report {
            EndReport::Accepted => AckVerdict::Accepted,
            EndReport::Duplicate => AckVerdict::Duplicate,
            EndReport::Parked => AckVerdict::Parked,
        })
    }

    /// Whether an attempt could not begin because its ticket's worktree had been removed. A shim
    /// cannot tell that from a missing agent: both are "no such file". Checked before anything
    /// makes the worktree again.
    async fn worktree_is_gone(&self, attempt: AttemptId, record: &ExitRecord) -> Result<bool> {
        match record.status {
            ExitStatus::NotStarted { .. } => {}
            ExitStatus::Exited { .. }
            | ExitStatus::Signaled { .. }
            | ExitStatus::Unknown
            | ExitStatus::Newer => return Ok(false),
        }
        let occupied = self.store.worktree_of(attempt).await?;
        Ok(occupied.is_some_and(|occupied| !Path::new(&occupied.work.cwd()).is_dir()))
    }
}

/// The verdict on an attempt whose time ran out while its shim did nothing.
pub(super) fn overdue_verdict() -> Verdict {
    let detail = "its time was up and its shim did not end it, so the server ended its processes";
    Verdict::TimedOut { failure: Failure::Timeout, detail: detail.to_owned() }
}
