//! The faults: which process is hit, how, and when.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use std::time::Instant;

use e2e::kept::Kept;
use e2e::kept::is_shim;
use e2e::processes::Process;
use nix::sys::signal::Signal;

use crate::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Server,
    Shim,
    Child,
    ServerAndShim,
    TreeMember,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Method {
    Kill,
    Term,
    /// SIGSTOP, a pause, SIGCONT.
    Stop,
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    target: Target,
    method: Method,
    pause: Duration,
    /// How long a stopped process stays stopped.
    held: Duration,
    /// Chooses among the processes that fit.
    pick: u64,
}

impl Fault {
    fn next(random: &mut Random, server_only: bool, gated: bool) -> Self {
        let target = match random.below(100) {
            _ if server_only => Target::Server,
            0..35 => Target::Server,
            35..65 => Target::Shim,
            65..85 => Target::Child,
            // Commands of setups and gates are members of a tree.
            85..90 if gated => Target::ServerAndShim,
            85..95 if !gated => Target::ServerAndShim,
            _ => Target::TreeMember,
        };
        let method = match random.below(100) {
            0..70 => Method::Kill,
            70..85 => Method::Term,
            _ => Method::Stop,
        };
        Self {
            target,
            method,
            pause: Duration::from_millis(50 + random.below(350)),
            held: Duration::from_millis(50 + random.below(700)),
            pick: random.below(1 << 32),
        }
    }
}

/// How many faults of each kind were made.
#[derive(Debug, Default)]
pub(crate) struct FaultsMade {
    counts: BTreeMap<(Target, Method), u32>,
}

impl FaultsMade {
    pub(crate) fn total(&self) -> u32 {
        self.counts.values().sum()
    }
}

impl fmt::Display for FaultsMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} faults:", self.total())?;
        for ((target, method), count) in &self.counts {
            write!(f, " {target:?}/{method:?} {count}")?;
        }
        Ok(())
    }
}

/// Makes faults until there are enough of them, or the time is over. No process is left stopped.
pub(crate) async fn make(
    kept: &Kept,
    seed: u64,
    wanted: u32,
    server_only: bool,
    gated: bool,
    until: Instant,
) -> FaultsMade {
    let mut random = Random::new(seed);
    let mut made = FaultsMade::default();
    while made.total() < wanted && Instant::now() < until {
        let fault = Fault::next(&mut random, server_only, gated);
        tokio::time::sleep(fault.pause).await;
        if inject(kept, fault).await {
            *made.counts.entry((fault.target, fault.method)).or_insert(0) += 1;
        }
    }
    made
}

/// Makes one fault; returns false if no process fits.
async fn inject(kept: &Kept, fault: Fault) -> bool {
    // A server that died of the previous fault is back, as under any service manager.
    kept.up().await;
    let server = kept.server().await.running_pid();
    let alive = kept.family.alive();
    let one = |fits: &dyn Fn(&Process) -> bool| {
        let fitting: Vec<i32> = alive.iter().filter(|p| fits(p)).map(|p| p.pid).collect();
        let count = u64::try_from(fitting.len()).unwrap_or(1).max(1);
        fitting.get(usize::try_from(fault.pick % count).unwrap_or(0)).copied()
    };
    let shim = one(&is_shim);
    let is_agent =
        |process: &Process| process.attempt.is_some() && process.command.contains("fake-claude");
    let victims: Vec<i32> = match fault.target {
        Target::Server => server.into_iter().collect(),
        Target::Shim => shim.into_iter().collect(),
        Target::Child => one(&is_agent).into_iter().collect(),
        Target::ServerAndShim => server.into_iter().chain(shim).collect(),
        Target::TreeMember => {
            one(&|process| process.attempt.is_some() && !is_agent(process)).into_iter().collect()
        }
    };
    let send =
        |signal| victims.iter().filter(|pid| kept.family.signal(**pid, signal).is_ok()).count() > 0;
    match fault.method {
        Method::Kill => send(Signal::SIGKILL),
        Method::Term => send(Signal::SIGTERM),
        Method::Stop => {
            let hit = send(Signal::SIGSTOP);
            tokio::time::sleep(fault.held).await;
            send(Signal::SIGCONT);
            hit
        }
    }
}
