//! From an exit record to a committed end.

use shim_protocol::exit::ExitRecord;
use shim_protocol::message::AckVerdict;

use super::Dispatcher;
use super::worktrees::Settled;
use crate::domain::attempt::StopMode;
use crate::domain::id::AttemptId;
use crate::domain::outcome::Verdict;
use crate::domain::verdict;
use crate::domain::verdict::UsageLimit;
use crate::plant;
use crate::shim::facts;
use crate::shim::facts::Known;
use crate::store::EndReport;
use crate::store::Ending;
use crate::store::Result;

impl Dispatcher {
    /// Starts nothing more when the account's usage limit is reached, or what is kept of it for the coordinator.
    pub(super) async fn heed_usage_limit(&self, usage: &UsageLimit) -> Result<()> {
        let reserve = self.settings().usage_reserve;
        let Some(until) = usage.holds_until(reserve) else { return Ok(()) };
        let reason = if usage.rejected {
            "the account's usage limit is reached".to_owned()
        } else {
            format!(
                "{:.0} % of the account's usage limit are used, and {:.0} % are kept for the coordinator \
                 (usage_reserve_percent)",
                usage.utilization.unwrap_or(1.0) * 100.0,
                reserve * 100.0
            )
        };
        self.store.hold_for_usage_limit(reason, until, self.now()).await
    }

    /// Judges a record and commits the end of its attempt. Only after this returned may anybody forget the record.
    pub(super) async fn complete(
        &self,
        attempt: AttemptId,
        record: &ExitRecord,
    ) -> Result<AckVerdict> {
        let found = self.store.attempt(attempt).await?;
        let known = found.as_ref().map(|found| Known {
            resumed: found.resumed,
            may_create_tickets: found.may_create_tickets,
        });
        let mut facts = facts::facts(record, known.unwrap_or_default());
        // What this server cancels it has stored before. A shim of an earlier build says the same when it was refused,
        // and nobody would know why its ticket is on hold.
        let ordered = found.and_then(|found| found.stop) == Some(StopMode::Cancel);
        let told = record.stop.as_ref().is_some_and(|stop| stop.signal.is_none());
        if facts.stop == Some(verdict::Stop::Cancel) && told && !ordered {
            facts.stop = Some(verdict::Stop::Interrupt);
        }
        if let Some(usage) = &facts.usage {
            self.heed_usage_limit(usage).await?;
        }
        let (exit_code, signal) = facts::codes(&record.status);
        let verdict = verdict::verdict(&facts);
        let accepted = matches!(verdict, Verdict::Succeeded(_));
        // Git first: what the database says is accepted must be on the branch, also after a crash in between.
        let forgets = plant::is("accepted-work-forgotten");
        let settled =
            if forgets { Settled::nothing() } else { self.settle_work(attempt, accepted).await? };
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
            cancelled: facts.stop == Some(verdict::Stop::Cancel),
        };
        let report = self.store.end_attempt(ending, self.now()).await?;
        drop(settled);
        tracing::debug!(%attempt, worker = %record.worker_id, ?report, swept = record.swept, "attempt reported");
        Ok(match report {
            EndReport::Accepted => AckVerdict::Accepted,
            EndReport::Duplicate => AckVerdict::Duplicate,
            EndReport::Parked => AckVerdict::Parked,
        })
    }
}
