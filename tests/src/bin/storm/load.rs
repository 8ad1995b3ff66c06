//! The work under the storm: tickets without end, and the coordinator's own log of what was promised.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use e2e::eventually::eventually_within;
use e2e::kept::Kept;
use e2e::repository::Repository;
use serde_json::json;

use crate::random::Random;

pub(crate) const STAGES: [&str; 3] = ["design", "build", "review"];

/// Projects whose attempts take turns in their directory; so many work at once.
const SHARED: [&str; 6] = ["storm0", "storm1", "storm2", "storm3", "storm4", "storm5"];
/// The project that is a git repository.
const GIT: &str = "storm";

/// Tickets open at once; more would only wait.
const OPEN: usize = 24;
/// What leaves daemons behind leaves them for no longer than this, should nobody end them.
const DAEMON_SECONDS: u32 = 120;

/// Where the work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// In one repository, in worktrees, merged in the end.
    Git,
    /// In a few directories, in turns.
    Shared,
}

impl Ground {
    fn projects(self) -> &'static [&'static str] {
        match self {
            Self::Git => &[GIT],
            Self::Shared => &SHARED,
        }
    }
}

/// The repository of [`Ground::Git`].
pub(crate) fn repository(kept: &Kept) -> Repository {
    Repository { path: kept.directory.join("projects").join(GIT) }
}

/// Which agents work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    Everything,
    /// No agent that fails: each stage runs exactly as often as it is entered.
    Peaceful,
    /// Each leaves a daemon and a child behind.
    Daemons,
}

/// One ticket that the server said it has.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    /// The runs of each stage without any kill.
    pub(crate) runs: [u32; 3],
    /// Attempts that fail by themselves.
    pub(crate) failures: usize,
}

#[derive(Debug)]
pub(crate) struct Load {
    kept: Arc<Kept>,
    mix: Mix,
    ground: Ground,
    random: Mutex<Random>,
    acknowledged: Mutex<BTreeMap<String, Promise>>,
    /// Closed, as a consumer of events has heard.
    pub(crate) closed: Mutex<std::collections::BTreeSet<String>>,
}

/// How many tickets have at least so many attempts.
pub(crate) fn tickets_for(attempts: u32) -> u32 {
    attempts.div_ceil(3)
}

/// Makes the project and its worker types.
pub(crate) async fn prepare(kept: &Kept, ground: Ground) {
    for project in ground.projects() {
        match ground {
            Ground::Git => drop(kept.repository(project, "merge").await),
            Ground::Shared => drop(kept.project(project).await),
        }
        for stage in STAGES {
            kept.worker_type(project, stage, 4).await;
        }
    }
}

impl Load {
    pub(crate) fn new(kept: Arc<Kept>, mix: Mix, ground: Ground, seed: u64) -> Self {
        Self {
            kept,
            mix,
            ground,
            random: Mutex::new(Random::new(!seed)),
            acknowledged: Mutex::default(),
            closed: Mutex::default(),
        }
    }

    /// The coordinator's log: every ticket whose creation was answered.
    pub(crate) fn acknowledged(&self) -> BTreeMap<String, Promise> {
        lock(&self.acknowledged).clone()
    }

    pub(crate) fn is_over(&self) -> bool {
        let closed = lock(&self.closed).len();
        closed >= lock(&self.acknowledged).len()
    }

    /// Creates tickets until there are enough, or the weather is over.
    pub(crate) async fn feed(self: Arc<Self>, count: Option<u32>, over: Arc<AtomicBool>) {
        for number in 0..count.unwrap_or(u32::MAX) {
            let what = "there is room for another ticket";
            let patience = std::time::Duration::from_mins(3);
            eventually_within(patience, what, || {
                let open = lock(&self.acknowledged).len().saturating_sub(lock(&self.closed).len());
                let ready = open < OPEN || (count.is_none() && over.load(Ordering::SeqCst));
                std::future::ready(if ready { Ok(()) } else { Err(format!("{open} are open")) })
            })
            .await;
            if count.is_none() && over.load(Ordering::SeqCst) {
                return;
            }
            let (mut script, promise) = script(self.mix, lock(&self.random).below(100));
            if self.ground == Ground::Git {
                script = format!("{WORK}\n{script}");
            }
            let projects = self.ground.projects();
            let project = projects[usize::try_from(number).unwrap_or(0) % projects.len()];
            let arguments = json!({
                "project": project, "title": format!("work {number}"), "execution_plan": STAGES,
                "description": script, "idempotency_key": format!("storm-{number}"),
            });
            // Repeated with the same key until it is answered.
            let ticket = self.kept.ok("create_ticket", arguments).await;
            let id = ticket["ticket_id"].as_str().expect("a ticket has an id").to_owned();
            lock(&self.acknowledged).insert(id, promise);
        }
    }
}

/// Every agent commits a line to its ticket's file and leaves a line in another, with the name of its attempt: what is
/// in the repository afterwards tells whose work was accepted.
const WORK: &str = "fake: *: append {ticket}.txt {stage} {attempt}\nfake: *: commit {ticket} does {stage}\n\
                    fake: *: append left-{ticket}.txt {stage} {attempt}";

fn script(mix: Mix, roll: u64) -> (String, Promise) {
    let once = Promise { runs: [1, 1, 1], failures: 0 };
    let centiseconds = 5 + roll % 46;
    let sleeping = format!("fake: *: sleep 0.{centiseconds:02}");
    let daemons = format!("fake: *: daemonize {DAEMON_SECONDS}\nfake: *: fork {DAEMON_SECONDS}");
    match (mix, roll) {
        (Mix::Daemons, _) => (daemons, once),
        (Mix::Everything, 0..15) => {
            // It says nothing of its work until it is asked.
            (
                format!("{sleeping}\nfake: build#1: no-output"),
                Promise { runs: [1, 2, 1], failures: 1 },
            )
        }
        (_, 15..30) => (
            format!("{sleeping}\nfake: review#1: rework build once more"),
            Promise { runs: [1, 2, 2], failures: 0 },
        ),
        (_, 30..50) => (format!("{daemons}\n{sleeping}"), once),
        (_, 50..80) => (sleeping, once),
        _ => (String::new(), once),
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
