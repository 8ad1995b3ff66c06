//! What each message of the server does to the work and to the link.

use std::time::Duration;

use shim_protocol::PROTOCOL_MAX;
use shim_protocol::PROTOCOL_MIN;
use shim_protocol::exit::Stop;
use shim_protocol::exit::StopReason;
use shim_protocol::grant::Grant;
use shim_protocol::grant::GrantKind;
use shim_protocol::message::StopMode;
use shim_protocol::message::ToServer;
use shim_protocol::message::ToShim;
use shim_protocol::message::Welcome;

use super::event::Action;
use super::machine::Machine;
use super::say;
use super::say::Departure;
use super::work::REPEAT_AFTER;
use super::work::Work;

/// The newest format of a grant that this version can run.
const GRANT_VERSION: u16 = 1;

impl Machine {
    pub(super) fn message(&mut self, message: ToShim, now: Duration, actions: &mut Vec<Action>) {
        match message {
            ToShim::Welcome(welcome) => self.welcome(&welcome, now, actions),
            ToShim::Refused { .. } => {
                self.dialer.shut();
                self.depart(Departure::Refused);
                actions.push(Action::Hangup);
                // The work is still wanted; only this shim must not do it.
                let stop = Stop::of(StopReason::Interrupt);
                self.with_live(|live| live.stop(stop, now, actions));
            }
            ToShim::Grant { pull_id, grant } => self.grant(&pull_id, grant, actions),
            ToShim::Empty { pull_id } => {
                if self.awaits(&pull_id) {
                    self.out_of_work(actions);
                }
            }
            ToShim::Ack { attempt_id, .. } => self.acked(&attempt_id, actions),
            ToShim::Stop { attempt_id, mode } => {
                let reason = match mode {
                    StopMode::Interrupt => StopReason::Interrupt,
                    StopMode::Cancel => StopReason::Cancel,
                    StopMode::Kill => StopReason::Kill,
                };
                self.with_live(|live| {
                    if live.attempt_id == attempt_id {
                        live.stop(Stop::of(reason), now, actions);
                    }
                });
            }
            ToShim::Limits { attempt_id, limits } => self.with_live(|live| {
                if live.attempt_id == attempt_id {
                    live.limit(*limits, now, actions);
                }
            }),
            ToShim::Drain {} => self.drain(None, None),
            // An older server; every kind that this version sends has always existed.
            ToShim::Unsupported { .. } => {}
        }
    }

    fn welcome(&mut self, welcome: &Welcome, now: Duration, actions: &mut Vec<Action>) {
        if !self.dialer.is_greeting() {
            return;
        }
        if !(PROTOCOL_MIN..=PROTOCOL_MAX).contains(&welcome.protocol) {
            actions.push(Action::Hangup);
            self.dialer.lost(now);
            return;
        }
        self.dialer.welcomed(Duration::from_millis(welcome.heartbeat_ms), now);
        // Whatever was unanswered on the last link is sent again.
        match &mut self.work {
            Work::Pulling { pull_id } => {
                actions.push(Action::Send(ToServer::Pull { pull_id: pull_id.clone() }));
            }
            Work::Live(live) => actions.push(say::started(live)),
            Work::Reporting { record, repeat_at, .. } => {
                *repeat_at = now + REPEAT_AFTER;
                actions.push(say::completed(record));
            }
            Work::Sealing { unsealed: Some(record), repeat_at, .. } => {
                *repeat_at = now + REPEAT_AFTER;
                actions.push(say::unsealed(record));
            }
            Work::Idle
            | Work::Parting { .. }
            | Work::Beginning { .. }
            | Work::Sealing { unsealed: None, .. }
            | Work::Gone => {}
        }
    }

    fn out_of_work(&mut self, actions: &mut Vec<Action>) {
        if matches!(self.work, Work::Parting { .. }) {
            self.leave(actions);
        } else {
            self.depart(Departure::OutOfWork);
            self.work = Work::Idle;
        }
    }

    /// Takes a grant that this shim still waits for. Any other grant is the repeated answer to a
    /// pull that was already answered.
    fn grant(&mut self, pull_id: &str, grant: Box<Grant>, actions: &mut Vec<Action>) {
        if !self.awaits(pull_id) {
            return;
        }
        let parting = matches!(self.work, Work::Parting { .. });
        self.work = Work::Beginning {
            attempt_id: grant.attempt_id.clone(),
            limits: grant.limits.clone(),
            stop: self.parting.clone().filter(|_| parting),
        };
        let version = grant.version;
        actions.push(if parting {
            let why = "the shim was asked to stop before it received the grant".to_owned();
            Action::Decline { grant, why }
        } else if version > GRANT_VERSION {
            let why = format!("the grant has version {version}; this shim reads {GRANT_VERSION}");
            Action::Decline { grant, why }
        } else if grant.kind == GrantKind::Newer {
            let why = "the grant is of a kind that this shim does not know".to_owned();
            Action::Decline { grant, why }
        } else {
            Action::Begin(grant)
        });
    }

    fn awaits(&self, pull_id: &str) -> bool {
        match &self.work {
            Work::Pulling { pull_id: own } | Work::Parting { pull_id: own, .. } => own == pull_id,
            Work::Idle
            | Work::Beginning { .. }
            | Work::Live(_)
            | Work::Sealing { .. }
            | Work::Reporting { .. }
            | Work::Gone => false,
        }
    }
}
