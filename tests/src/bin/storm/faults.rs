//! The faults: what, whom, when.

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
enum Blow {
    Kill,
    Term,
    /// STOP, a pause, CONT.
    Stop,
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    target: Target,
    blow: Blow,
    pause: Duration,
    /// How long a stopped process stays so.
    held: Duration,
    /// Which of the processes that fit.
    pick: u64,
}

impl Fault {
    fn next(random: &mut Random, server_only: bool) -> Self {
        let target = match random.below(100) {
            _ if server_only => Target::Server,
            0..35 => Target::Server,
            35..65 => Target::Shim,
            65..85 => Target::Child,
            85..95 => Target::ServerAndShim,
            _ => Target::TreeMember,
        };
        let blow = match random.below(100) {
            0..70 => Blow::Kill,
            70..85 => Blow::Term,
            _ => Blow::Stop,
        };
        Self {
            target,
            blow,
            pause: Duration::from_millis(50 + random.below(350)),
            held: Duration::from_millis(50 + random.below(700)),
            pick: random.below(1 << 32),
        }
    }
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Made {
    counts: BTreeMap<(Target, Blow), u32>,
}

impl Made {
    pub(crate) fn total(&self) -> u32 {
        self.counts.values().sum()
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} faults:", self.total())?;
        for ((target, blow), count) in &self.counts {
            write!(f, " {target:?}/{blow:?} {count}")?;
        }
        Ok(())
    }
}

/// Makes faults until there were enough of them, or the time is over. Ends with nobody stopped.
pub(crate) async fn storm(
    kept: &Kept,
    seed: u64,
    kills: u32,
    server_only: bool,
    until: Instant,
) -> Made {
    let mut random = Random::new(seed);
    let mut made = Made::default();
    while made.total() < kills && Instant::now() < until {
        let fault = Fault::next(&mut random, server_only);
        tokio::time::sleep(fault.pause).await;
        if strike(kept, fault).await {
            *made.counts.entry((fault.target, fault.blow)).or_insert(0) += 1;
        }
    }
    made
}

/// Makes one fault; false when nobody fits it.
async fn strike(kept: &Kept, fault: Fault) -> bool {
    // A server that died of the fault before is back, as under any service manager.
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
    match fault.blow {
        Blow::Kill => send(Signal::SIGKILL),
        Blow::Term => send(Signal::SIGTERM),
        Blow::Stop => {
            let hit = send(Signal::SIGSTOP);
            tokio::time::sleep(fault.held).await;
            send(Signal::SIGCONT);
            hit
        }
    }
}
