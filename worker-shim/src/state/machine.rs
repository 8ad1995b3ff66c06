//! The machine itself: the work, the link, and what each event does to both.

use std::time::Duration;

use nix::libc;
use shim_protocol::PROTOCOL_MAX;
use shim_protocol::PROTOCOL_MIN;
use shim_protocol::exit::ExitRecord;
use shim_protocol::exit::Sender;
use shim_protocol::exit::Stop;
use shim_protocol::exit::StopReason;
use shim_protocol::grant::Grant;
use shim_protocol::grant::Limits;
use shim_protocol::message::StopMode;
use shim_protocol::message::ToServer;
use shim_protocol::message::ToShim;
use shim_protocol::message::Welcome;

use super::dial::Dialer;
use super::dial::Due;
use super::event::Action;
use super::event::Begun;
use super::event::Event;
use super::event::NotStarted;
use super::event::Request;
use super::event::SealOrder;
use super::live::Live;
use super::report::REPEAT_AFTER;
use super::say;
use super::say::Departure;
use super::say::Identity;
use crate::exit::Exit;

/// The newest format of a grant that this version can run.
const GRANT_VERSION: u16 = 1;
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

#[derive(Debug)]
pub(super) enum Work {
    Idle,
    Pulling {
        pull_id: String,
    },
    /// Goodbye has been said, and a grant for this pull may be on its way.
    Parting {
        pull_id: String,
        until: Duration,
    },
    /// The loop is making the run directory; its answer is the next event.
    Beginning {
        attempt_id: String,
        limits: Limits,
        stop: Option<Stop>,
    },
    Live(Live),
    /// Everything of the tree is gone; the record is being written.
    Sealing {
        attempt_id: String,
        order: SealOrder,
        retry_at: Duration,
        give_up_at: Duration,
        /// The record that could not be written so far. The server knows about it, and is offered
        /// the record itself.
        unsealed: Option<Box<ExitRecord>>,
        repeat_at: Duration,
    },
    /// The record is on disk and not acknowledged.
    Reporting {
        record: Box<ExitRecord>,
        since: Duration,
        repeat_at: Duration,
    },
    Gone,
}

#[derive(Debug)]
pub struct Machine {
    identity: Identity,
    pub(super) dialer: Dialer,
    pub(super) work: Work,
    departure: Departure,
    /// The stop with which an attempt that is granted from now on is sealed.
    parting: Option<Stop>,
    pub(super) exit: Exit,
    pulls: u64,
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

    fn message(&mut self, message: ToShim, now: Duration, actions: &mut Vec<Action>) {
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
        } else {
            Action::Begin(grant)
        });
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

    /// Continues when there is no work: pulls, or exits.
    fn settle(&mut self, now: Duration, actions: &mut Vec<Action>) {
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
    fn patience_ends(&self) -> Option<Duration> {
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

    pub(super) fn leave(&mut self, actions: &mut Vec<Action>) {
        self.work = Work::Gone;
        actions.push(Action::Leave(self.exit));
    }

    fn depart(&mut self, how: Departure) {
        self.departure = self.departure.max(how);
    }

    fn drain(&mut self, signal: Option<i32>, sender: Option<Sender>) {
        self.depart(Departure::Drained);
        let interrupt = Stop { reason: StopReason::Interrupt, signal, sender };
        self.parting.get_or_insert(interrupt);
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

    fn with_live(&mut self, act: impl FnOnce(&mut Live)) {
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
