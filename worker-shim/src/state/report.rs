//! From the end of an attempt to the server's ack: the record is sealed, reported, and repeated.

use std::time::Duration;

use shim_protocol::exit::ExitRecord;

use super::event::Action;
use super::event::SealOrder;
use super::machine::Machine;
use super::say;
use super::work::REPEAT_AFTER;
use super::work::Work;
use crate::exit::Exit;

/// A record that cannot be written is tried again, because space on a disk may be freed, but not
/// forever. Giving up discards a result that was paid for, so the limit leaves an operator time to
/// react to the report.
const SEAL_PAUSE: Duration = Duration::from_secs(1);
const SEAL_PATIENCE: Duration = Duration::from_mins(10);

impl Machine {
    pub(super) fn seal(
        &mut self,
        attempt_id: String,
        order: SealOrder,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        actions.push(Action::Seal(order.clone()));
        let (retry_at, give_up_at) = (now + SEAL_PAUSE, now + SEAL_PATIENCE);
        let (unsealed, repeat_at) = (None, now);
        self.work = Work::Sealing { attempt_id, order, retry_at, give_up_at, unsealed, repeat_at };
    }

    /// A record that cannot be written is offered over the link: what the server commits is as
    /// durable, and a paid result is not thrown away because somebody removed a directory.
    /// Meanwhile the shim keeps trying to write it.
    pub(super) fn seal_failed(
        &mut self,
        record: Box<ExitRecord>,
        why: &str,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let up = self.dialer.is_up();
        let Work::Sealing { attempt_id, retry_at, give_up_at, unsealed, repeat_at, .. } =
            &mut self.work
        else {
            return;
        };
        *retry_at = now + SEAL_PAUSE;
        if unsealed.is_none() {
            let trouble = format!("the end of {attempt_id} cannot be recorded: {why}");
            actions.push(Action::Complain(trouble));
            if up {
                *repeat_at = now + REPEAT_AFTER;
                actions.push(say::unsealed(&record));
            }
            *unsealed = Some(record);
        }
        // While the server listens, it may still take it.
        if *give_up_at <= now && !up {
            self.exit = Exit::CannotRecord;
            self.leave(actions);
        }
    }

    /// Durable before announced: only a record that is on disk gets here.
    pub(super) fn report(
        &mut self,
        record: Box<ExitRecord>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        if self.dialer.is_up() {
            actions.push(say::completed(&record));
        }
        self.work = Work::Reporting { record, since: now, repeat_at: now + REPEAT_AFTER };
    }

    /// The server has committed the end of an attempt; only now may the attempt be forgotten.
    pub(super) fn acked(&mut self, attempt_id: &str, actions: &mut Vec<Action>) {
        let reported = match &self.work {
            Work::Reporting { record, .. } => Some(record),
            Work::Sealing { unsealed, .. } => unsealed.as_ref(),
            Work::Idle
            | Work::Pulling { .. }
            | Work::Parting { .. }
            | Work::Beginning { .. }
            | Work::Live(_)
            | Work::Gone => None,
        };
        if reported.is_some_and(|record| record.attempt_id == attempt_id) {
            actions.push(Action::Forget);
            self.work = Work::Idle;
        }
    }
}
