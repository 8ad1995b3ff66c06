//! The machine itself: the work, the link, and what each event does to both.

use std::time::Duration;

use nix::libc;
use shim_protocol::exit::Sender;
use shim_protocol::exit::Stop;
use shim_protocol::exit::StopReason;
use shim_protocol::message::ToServer;

use super::dial::Dialer;
use super::dial::Due;
use super::event::Action;
use super::event::Begun;
use super::event::Event;
use super::event::NotStarted;
use super::event::Request;
use super::event::SealOrder;
use super::live::Live;
use super::say;
use super::say::Departure;
use super::say::Identity;
use super::work::REPEAT_AFTER;
use super::work::Work;
use crate::exit::Exit;

#[derive(Debug)]
pub struct Machine {
    pub(super) identity: Identity,
    pub(super) dialer: Dialer,
    pub(super) work: Work,
    pub(super) departure: Departure,
    /// The stop with which an attempt that is granted from now on is sealed.
    pub(super) parting: Option<Stop>,
    pub(super) exit: Exit,
    pub(super) pulls: u64,
}

impl Machine {
    #[must_use]
    pub fn new(identity: Identity, now: Duration) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "any part of the nonce is random")]
        let seed = identity.nonce as u64;
        Self {
            identity,
            dialer: Dialer::new(seed, now),
            work: Work::Idle,
            departure: Departure::Stay,
            parting: None,
            exit: Exit::Done,
            pulls: 0,
        }
    }

    /// When to feed [`Event::Tick`] if nothing else happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let work = match &self.work {
            Work::Live(live) => live.deadline(),
            Work::Parting { until, .. } => Some(*until),
            Work::Sealing { retry_at, .. } => Some(*retry_at),
            Work::Reporting { repeat_at, .. } if self.dialer.is_up() => Some(*repeat_at),
            Work::Idle
            | Work::Pulling { .. }
            | Work::Beginning { .. }
            | Work::Reporting { .. }
            | Work::Gone => None,
        };
        [work, self.dialer.deadline(), self.patience_ends()].into_iter().flatten().min()
    }

    /// Takes one event and returns the actions, in their order.
    #[must_use]
    pub fn handle(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        if !matches!(self.work, Work::Gone) {
            self.take(event, now, &mut actions);
            self.settle(now, &mut actions);
        }
        actions
    }

    fn take(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => self.tick(now, actions),
            Event::Request(request, sender) => self.request(request, sender, now, actions),
            Event::Connected => {
                self.dialer.connected(now);
                actions.push(self.hello());
            }
            Event::LinkLost => {
                self.dialer.lost(now);
                if matches!(self.work, Work::Parting { .. }) {
                    self.leave(actions);
                }
            }
            Event::Message(message) => self.message(message, now, actions),
            Event::UnknownMessage { kind } => {
                actions.push(Action::Send(ToServer::Unsupported { unsupported: kind }));
            }
            Event::Begun(begun) => self.begun(begun, now, actions),
            Event::Output => self.with_live(|live| live.output(now)),
            Event::Signs(signs) => self.with_live(|live| live.heard(signs, now, actions)),
            Event::ChildExited => self.with_live(|live| live.child_exited(now, actions)),
            Event::Swept(outcome) => {
                if let Work::Live(live) = &mut self.work
                    && let Some(order) = live.swept(outcome, now, actions)
                {
                    let attempt_id = live.attempt_id.clone();
                    self.seal(attempt_id, order, now, actions);
                }
            }
            Event::Sealed(record) => self.report(record, now, actions),
            Event::SealFailed { record, why } => self.seal_failed(record, &why, now, actions),
        }
    }

    fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.dialer.due(now) {
            Due::Nothing => {}
            Due::Dial => actions.push(Action::Dial),
            Due::GiveUp => {
                actions.push(Action::Hangup);
                self.dialer.lost(now);
            }
            Due::Heartbeat => actions.push(Action::Heartbeat),
        }
        match &mut self.work {
            Work::Live(live) => live.tick(now, actions),
            Work::Parting { until, .. } if *until <= now => self.leave(actions),
            Work::Sealing { order, retry_at, unsealed, repeat_at, .. } if *retry_at <= now => {
                actions.push(Action::Seal(order.clone()));
                if let Some(record) = unsealed.as_ref().filter(|_| *repeat_at <= now)
                    && self.dialer.is_up()
                {
                    *repeat_at = now + REPEAT_AFTER;
                    actions.push(say::unsealed(record));
                }
            }
            Work::Reporting { record, repeat_at, .. }
                if self.dialer.is_up() && *repeat_at <= now =>
            {
                *repeat_at = now + REPEAT_AFTER;
                actions.push(say::completed(record));
            }
            Work::Idle
            | Work::Pulling { .. }
            | Work::Parting { .. }
            | Work::Beginning { .. }
            | Work::Sealing { .. }
            | Work::Reporting { .. }
            | Work::Gone => {}
        }
    }

    fn request(
        &mut self,
        request: Request,
        sender: Option<Sender>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        match request {
            Request::Redial => {
                if self.dialer.redial(now) {
                    actions.push(Action::Hangup);
                    self.tick(now, actions);
                }
            }
            Request::Drain => self.drain(Some(libc::SIGUSR2), sender.clone()),
            Request::Restart => {}
            Request::Interrupt | Request::Cancel | Request::Kill => {
                self.depart(Departure::Told);
                self.parting = request.stop(sender.clone());
            }
        }
        if let Some(stop) = request.stop(sender) {
            self.with_live(|live| live.stop(stop, now, actions));
        }
    }

    fn begun(&mut self, begun: Begun, now: Duration, actions: &mut Vec<Action>) {
        let Work::Beginning { attempt_id, limits, stop } = &mut self.work else { return };
        let (attempt_id, limits) = (std::mem::take(attempt_id), std::mem::take(limits));
        let stop = stop.take();
        match begun {
            Begun::Running { pid, at_ms } => {
                let live = Live::new(attempt_id, limits, pid, at_ms, now);
                if self.dialer.is_up() {
                    actions.push(say::started(&live));
                }
                self.work = Work::Live(live);
            }
            Begun::NotStarted(not_started) => {
                if not_started.machinery {
                    self.exit = Exit::CannotSpawn;
                    self.depart(Departure::Told);
                }
                let stop = stop_of(stop, &not_started);
                let order = SealOrder { stop, not_started: Some(not_started) };
                self.seal(attempt_id, order, now, actions);
            }
            Begun::Unrecordable => {
                self.exit = Exit::CannotRecord;
                self.leave(actions);
            }
        }
    }

    pub(super) fn leave(&mut self, actions: &mut Vec<Action>) {
        self.work = Work::Gone;
        actions.push(Action::Leave(self.exit));
    }

    pub(super) fn depart(&mut self, how: Departure) {
        self.departure = self.departure.max(how);
    }

    pub(super) fn drain(&mut self, signal: Option<i32>, sender: Option<Sender>) {
        self.depart(Departure::Drained);
        let interrupt = Stop { reason: StopReason::Interrupt, signal, sender };
        self.parting.get_or_insert(interrupt);
    }

    pub(super) fn with_live(&mut self, act: impl FnOnce(&mut Live)) {
        if let Work::Live(live) = &mut self.work {
            act(live);
        }
    }

    fn hello(&self) -> Action {
        let (live_attempt, child_pid) = match &self.work {
            Work::Live(live) => {
                (Some(live.attempt_id.clone()), live.has_child().then_some(live.pid))
            }
            Work::Beginning { attempt_id, .. } | Work::Sealing { attempt_id, .. } => {
                (Some(attempt_id.clone()), None)
            }
            Work::Reporting { record, .. } => (Some(record.attempt_id.clone()), None),
            Work::Idle | Work::Pulling { .. } | Work::Parting { .. } | Work::Gone => (None, None),
        };
        say::hello(&self.identity, live_attempt, child_pid, self.departure)
    }
}

/// The stop with which an attempt that never started is sealed.
fn stop_of(parting: Option<Stop>, not_started: &NotStarted) -> Option<Stop> {
    parting.or_else(|| not_started.stop.map(Stop::of))
}
