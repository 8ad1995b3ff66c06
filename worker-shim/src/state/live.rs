//! A running child, from its start to the moment when nothing of its tree is left.

use std::time::Duration;

use nix::sys::signal::Signal;
use shim_protocol::exit::Stop;
use shim_protocol::exit::StopReason;
use shim_protocol::grant::Limits;

use super::event::Action;
use super::event::SealOrder;
use super::event::Swept;
use crate::stream::Signs;

/// The pause between two stretches of a sweep that met something unkillable; doubled up to the cap.
const FIRST_SWEEP_PAUSE: Duration = Duration::from_millis(1);
const SWEEP_PAUSE_CAP: Duration = Duration::from_millis(50);
/// After this long, the processes are reported to the server and the checks slow down. A process that can be killed is
/// gone within milliseconds.
const SWEEP_PATIENCE: Duration = Duration::from_secs(10);
const STUCK_PAUSE: Duration = Duration::from_secs(1);

/// The phase of the attempt. Every way out leads through the sweep.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// The agent has reported its outcome and does nothing any more; the child should end by
    /// itself.
    Lingering {
        until: Duration,
    },
    /// The child's group has received SIGTERM.
    Grace {
        until: Duration,
    },
    /// Every descendant has received SIGTERM.
    Insisting {
        until: Duration,
    },
    /// The child is gone or must go now; everything below the shim is killed.
    Sweeping {
        next_at: Duration,
        pause: Duration,
        since: Duration,
        reported: bool,
    },
}

#[derive(Debug)]
pub(super) struct Live {
    pub(super) attempt_id: String,
    pub(super) pid: u32,
    pub(super) started_at_ms: i64,
    limits: Limits,
    phase: Phase,
    stop: Option<Stop>,
    began: Duration,
    last_output: Duration,
    signs: Signs,
}

impl Live {
    pub(super) fn new(
        attempt_id: String,
        limits: Limits,
        pid: u32,
        started_at_ms: i64,
        now: Duration,
    ) -> Self {
        Self {
            attempt_id,
            pid,
            started_at_ms,
            limits,
            phase: Phase::Running,
            stop: None,
            began: now,
            last_output: now,
            signs: Signs::default(),
        }
    }

    /// True until the child is known to be gone or is being killed.
    pub(super) fn has_child(&self) -> bool {
        !matches!(self.phase, Phase::Sweeping { .. })
    }

    pub(super) fn output(&mut self, now: Duration) {
        self.last_output = now;
    }

    /// Takes what the stream shows, and stops a child that makes no progress.
    pub(super) fn heard(&mut self, signs: Signs, now: Duration, actions: &mut Vec<Action>) {
        self.signs = signs;
        match self.phase {
            Phase::Running if signs.concluded => {
                self.phase = Phase::Lingering { until: after(now, self.limits.result_linger_ms) };
            }
            // It was woken, by a task of its own that ended or by a prompt of its own making, and
            // continues to work.
            Phase::Lingering { .. } if !signs.concluded => self.phase = Phase::Running,
            // More results of an agent that does nothing buy no time.
            Phase::Running
            | Phase::Lingering { .. }
            | Phase::Grace { .. }
            | Phase::Insisting { .. }
            | Phase::Sweeping { .. } => {}
        }
        self.judge(now, actions);
    }

    /// Takes new limits, for the whole attempt rather than only for the rest of it.
    pub(super) fn limit(&mut self, limits: Limits, now: Duration, actions: &mut Vec<Action>) {
        self.limits = limits;
        self.judge(now, actions);
    }

    fn judge(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let over = |count: u32, most: Option<u32>| most.is_some_and(|most| count > most);
        let reason = if self.phase != Phase::Running {
            None
        } else if self.signs.refused.is_some() {
            self.signs.refused
        } else if over(self.signs.turns, self.limits.max_turns) {
            Some(StopReason::MaxTurns)
        } else if over(self.signs.repeats.saturating_add(1), self.limits.max_repeats) {
            Some(StopReason::NoProgress)
        } else {
            None
        };
        if let Some(reason) = reason {
            self.stop(Stop::of(reason), now, actions);
        }
    }

    pub(super) fn child_exited(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.has_child() {
            self.sweep(now, actions);
        }
    }

    /// Stops the child. Of several requests the record keeps the one that says most about the work,
    /// while force only grows.
    pub(super) fn stop(&mut self, stop: Stop, now: Duration, actions: &mut Vec<Action>) {
        if !self.has_child() && self.stop.is_none() {
            // It ended by itself, and nobody stopped it.
            return;
        }
        let reason = stop.reason;
        if self.stop.as_ref().is_none_or(|known| weight(known.reason) < weight(reason)) {
            self.stop = Some(stop);
        }
        match self.phase {
            Phase::Sweeping { .. } => {}
            _ if reason == StopReason::Kill => self.sweep(now, actions),
            Phase::Running | Phase::Lingering { .. } => {
                // A stopped process acts on SIGTERM only once it continues.
                actions.push(Action::SignalGroup(Signal::SIGTERM));
                actions.push(Action::SignalGroup(Signal::SIGCONT));
                self.phase = Phase::Grace { until: after(now, self.limits.grace_ms) };
            }
            Phase::Grace { .. } | Phase::Insisting { .. } => {}
        }
    }

    pub(super) fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Running => {
                if let Some(reason) = self.overdue(now) {
                    self.stop(Stop::of(reason), now, actions);
                }
            }
            Phase::Lingering { until } if until <= now => {
                let reason = StopReason::HungAfterResult;
                self.stop(Stop::of(reason), now, actions);
            }
            Phase::Grace { until } if until <= now => {
                actions.push(Action::SignalTree(Signal::SIGTERM));
                actions.push(Action::SignalTree(Signal::SIGCONT));
                self.phase = Phase::Insisting { until: after(now, self.limits.kill_after_ms) };
            }
            Phase::Insisting { until } if until <= now => self.sweep(now, actions),
            Phase::Sweeping { ref mut next_at, pause, .. } if *next_at <= now => {
                *next_at = now + pause;
                actions.push(Action::Sweep);
            }
            Phase::Lingering { .. }
            | Phase::Grace { .. }
            | Phase::Insisting { .. }
            | Phase::Sweeping { .. } => {}
        }
    }

    /// Takes a sweep's outcome; returns what to seal once the tree is gone.
    pub(super) fn swept(
        &mut self,
        outcome: Swept,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> Option<SealOrder> {
        let Phase::Sweeping { next_at, pause, since, reported } = &mut self.phase else {
            return None;
        };
        match outcome {
            Swept::Clean => {
                return Some(SealOrder { stop: self.stop.clone(), not_started: None });
            }
            Swept::Left if now.saturating_sub(*since) >= SWEEP_PATIENCE => {
                if !*reported {
                    actions.push(Action::ReportStuck);
                    *reported = true;
                }
                *pause = STUCK_PAUSE;
            }
            Swept::Left => *pause = (*pause * 2).min(SWEEP_PAUSE_CAP),
        }
        *next_at = now + *pause;
        None
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.phase {
            Phase::Running => {
                [self.timeout_at(), self.stall_at(), self.start_at()].into_iter().flatten().min()
            }
            Phase::Lingering { until } | Phase::Grace { until } | Phase::Insisting { until } => {
                Some(until)
            }
            Phase::Sweeping { next_at, .. } => Some(next_at),
        }
    }

    fn overdue(&self, now: Duration) -> Option<StopReason> {
        let passed = |at: Option<Duration>| at.is_some_and(|at| at <= now);
        if passed(self.timeout_at()) {
            Some(StopReason::Timeout)
        } else if passed(self.start_at()) {
            Some(StopReason::HangAtStart)
        } else if passed(self.stall_at()) {
            Some(StopReason::Stall)
        } else {
            None
        }
    }

    fn timeout_at(&self) -> Option<Duration> {
        self.limits.timeout_ms.map(|ms| after(self.began, ms))
    }

    /// When a child that has announced no session is given up.
    fn start_at(&self) -> Option<Duration> {
        self.limits.start_ms.filter(|_| !self.signs.session).map(|ms| after(self.began, ms))
    }

    fn stall_at(&self) -> Option<Duration> {
        self.limits.stall_ms.map(|ms| after(self.last_output, ms))
    }

    fn sweep(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let pause = FIRST_SWEEP_PAUSE;
        self.phase = Phase::Sweeping { next_at: now + pause, pause, since: now, reported: false };
        actions.push(Action::Sweep);
    }
}

/// How much a reason says about the fate of the work. "Not wanted" outweighs every way of wanting
/// it again, and an attempt that had its result, or used up its time, did so whatever came later.
fn weight(reason: StopReason) -> u8 {
    match reason {
        StopReason::Newer => 0,
        StopReason::Restart => 1,
        StopReason::Interrupt => 2,
        StopReason::Kill => 3,
        StopReason::Timeout
        | StopReason::Stall
        | StopReason::HangAtStart
        | StopReason::MaxTurns
        | StopReason::NoProgress
        | StopReason::Authentication
        | StopReason::Billing => 4,
        StopReason::Cancel => 5,
        StopReason::HungAfterResult => 6,
        StopReason::Unrecordable => 7,
    }
}

fn after(now: Duration, ms: u64) -> Duration {
    now.saturating_add(Duration::from_millis(ms))
}
