//! How long the shim waits for its server, and when it asks for work or exits.

use std::time::Duration;

use shim_protocol::message::ToServer;

use super::event::Action;
use super::machine::Machine;
use super::say;
use super::say::Departure;
use super::work::Work;

/// A shim with nothing running and nothing to report exits when the server is away for this long.
const IDLE_PATIENCE: Duration = Duration::from_mins(1);
/// How long the shim dials while it has a record to report. Afterwards, the server finds the record
/// on disk.
const REPORT_PATIENCE: Duration = Duration::from_mins(10);
/// After a signal that ends the shim: the longest wait for the ack.
const PARTING_REPORT_PATIENCE: Duration = Duration::from_secs(10);
/// After such a signal while the server is away: long enough to dial once more a server that is
/// just restarting. The record is on disk, and a shutdown of the machine waits for this process.
const PARTING_DIAL_PATIENCE: Duration = Duration::from_secs(1);
/// After a goodbye that crossed an unanswered pull: how long a grant may still arrive.
const PARTING_PATIENCE: Duration = Duration::from_secs(1);

impl Machine {
    /// Continues when there is no work: pulls, or exits.
    pub(super) fn settle(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.patience_ends().is_some_and(|at| at <= now) {
            self.leave(actions);
            return;
        }
        let (up, stays) = (self.dialer.is_up(), self.departure == Departure::Stay);
        match &mut self.work {
            Work::Idle if stays && up => {
                self.pulls += 1;
                let pull_id = format!("{:032x}-{}", self.identity.nonce, self.pulls);
                actions.push(Action::Send(ToServer::Pull { pull_id: pull_id.clone() }));
                self.work = Work::Pulling { pull_id };
            }
            Work::Idle if !stays => {
                if up {
                    actions.push(say::goodbye(self.departure));
                }
                self.leave(actions);
            }
            Work::Pulling { pull_id } if !stays => {
                // The goodbye may cross a grant on its way. The attempt is committed then, and must
                // get an end.
                let (pull_id, until) = (std::mem::take(pull_id), now + PARTING_PATIENCE);
                if up {
                    actions.push(say::goodbye(self.departure));
                    self.work = Work::Parting { pull_id, until };
                } else {
                    self.leave(actions);
                }
            }
            Work::Idle
            | Work::Pulling { .. }
            | Work::Parting { .. }
            | Work::Beginning { .. }
            | Work::Live(_)
            | Work::Sealing { .. }
            | Work::Reporting { .. }
            | Work::Gone => {}
        }
    }

    /// When the shim stops waiting for a server, if ever.
    pub(super) fn patience_ends(&self) -> Option<Duration> {
        let away = self.dialer.away_since();
        match &self.work {
            Work::Idle | Work::Pulling { .. } => away.map(|since| since + IDLE_PATIENCE),
            Work::Reporting { since, .. } => match self.departure {
                Departure::Refused => Some(*since),
                Departure::Told => Some(match away {
                    Some(away) => away.max(*since) + PARTING_DIAL_PATIENCE,
                    None => *since + PARTING_REPORT_PATIENCE,
                }),
                Departure::Stay | Departure::OutOfWork | Departure::Drained => {
                    away.map(|away| away.max(*since) + REPORT_PATIENCE)
                }
            },
            Work::Parting { .. }
            | Work::Beginning { .. }
            | Work::Live(_)
            | Work::Sealing { .. }
            | Work::Gone => None,
        }
    }
}
