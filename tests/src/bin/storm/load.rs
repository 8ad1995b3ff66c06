//! The disturbed work: a steady supply of tickets, and the coordinator's own log of what it was
//! promised.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
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

use crate::attacks;
use crate::attacks::Attack;
use crate::attacks::Attackers;
use crate::gates;
use crate::random::Random;

pub(crate) type Plan = [&'static str; 3];

pub(crate) const STAGES: Plan = ["design", "build", "review"];
/// The plan of an attacker: the limits of the stage in the middle suit an attack.
const ATTACKERS_STAGES: Plan = ["design", attacks::STAGE, "review"];

/// Projects whose attempts take turns in their directory; this many work at once.
const SHARED: [&str; 6] = ["storm0", "storm1", "storm2", "storm3", "storm4", "storm5"];
/// The project that is a git repository.
const GIT: &str = "storm";
/// The same with setup and gates.
pub(crate) const GATED: &str = "gated";

/// How many tickets are open at once; more would only wait.
const OPEN: usize = 24;
/// Daemons that agents leave behind end by themselves after this time at the latest.
const DAEMON_SECONDS: u32 = 120;

/// The kind of the tickets' projects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Projects {
    /// One repository, in whose worktrees tickets run side by side; completed work is merged.
    Git,
    /// Two of them: in one, worktrees are set up and gates judge the work.
    Gated,
    /// A few directories, in which attempts take turns.
    Shared,
}

impl Projects {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Git => &[GIT],
            Self::Gated => &[GIT, GATED],
            Self::Shared => &SHARED,
        }
    }

    /// The projects that are git repositories.
    pub(crate) fn repositories(self) -> &'static [&'static str] {
        match self {
            Self::Git | Self::Gated => self.names(),
            Self::Shared => &[],
        }
    }
}

/// The repository in which attackers work.
pub(crate) fn repository(kept: &Kept) -> Repository {
    repository_of(kept, GIT)
}

/// The repository of a project.
pub(crate) fn repository_of(kept: &Kept, project: &str) -> Repository {
    Repository { path: kept.directory.join("projects").join(project) }
}

/// How honest agents behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Everything,
    /// No agent fails: each stage runs exactly as often as it is entered.
    Successful,
    /// Each leaves a daemon and a child behind.
    Daemons,
}

/// One ticket that the server acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) project: &'static str,
    pub(crate) plan: Plan,
    /// How often each stage runs without any fault.
    pub(crate) runs: [u32; 3],
    /// Attempts that fail by themselves.
    pub(crate) failures: usize,
    /// What its agent does to others, if it is an attacker.
    pub(crate) attack: Option<Attack>,
}

#[derive(Debug)]
pub(crate) struct Load {
    kept: Arc<Kept>,
    behaviour: Behaviour,
    projects: Projects,
    attackers: Mutex<Attackers>,
    random: Mutex<Random>,
    acknowledged: Mutex<BTreeMap<String, Promise>>,
    /// Closed, according to a consumer of events.
    pub(crate) closed: Mutex<BTreeSet<String>>,
    /// On hold, for which kind of reason and why, according to the same consumer.
    pub(crate) held: Mutex<BTreeMap<String, (String, String)>>,
    /// How often a hold for setup or gates was answered.
    pub(crate) answered: Mutex<BTreeMap<String, u32>>,
    /// Honest tickets that were put on hold.
    pub(crate) lost: Mutex<Vec<String>>,
}

/// How many tickets have at least this many attempts.
pub(crate) fn tickets_for(attempts: u32) -> u32 {
    attempts.div_ceil(3)
}

/// Makes the projects and their worker types.
pub(crate) async fn prepare(kept: &Kept, projects: Projects) {
    for project in projects.names() {
        match projects {
            Projects::Git | Projects::Gated => {
                let repository = kept.repository(project, "merge").await;
                if *project == GATED {
                    gates::prepare(kept, &repository);
                }
            }
            Projects::Shared => drop(kept.project(project).await),
        }
        for stage in STAGES {
            let limits = json!({"max_workers": 4, "max_attempts": 100, "max_gate_failures": 20});
            kept.worker_type_with(project, stage, limits).await;
        }
        let limits = json!({
            "max_workers": 4, "max_attempts": attacks::MAX_ATTEMPTS,
            "timeout_seconds": attacks::TIME_LIMIT,
        });
        kept.worker_type_with(project, attacks::STAGE, limits).await;
    }
}

impl Load {
    pub(crate) fn new(
        kept: Arc<Kept>,
        behaviour: Behaviour,
        projects: Projects,
        attackers: Attackers,
        seed: u64,
    ) -> Self {
        Self {
            kept,
            behaviour,
            projects,
            attackers: Mutex::new(attackers),
            random: Mutex::new(Random::new(!seed)),
            acknowledged: Mutex::default(),
            closed: Mutex::default(),
            held: Mutex::default(),
            answered: Mutex::default(),
            lost: Mutex::default(),
        }
    }

    /// The coordinator's log: every ticket whose creation was answered.
    pub(crate) fn acknowledged(&self) -> BTreeMap<String, Promise> {
        lock(&self.acknowledged).clone()
    }

    /// What the agent of a ticket does, for the analysis of a failure.
    pub(crate) fn describe(&self, ticket: &str) -> &'static str {
        let promise = lock(&self.acknowledged).get(ticket).cloned();
        promise.map_or("unknown", |promise| promise.attack.map_or("honest", |attack| attack.name))
    }

    /// Which ticket made which attack.
    pub(crate) fn describe_attackers(&self) -> String {
        let attackers: Vec<String> = lock(&self.acknowledged)
            .iter()
            .filter_map(|(id, promise)| Some(format!("{id} {}", promise.attack?.name)))
            .collect();
        format!("attackers: {}", attackers.join(", "))
    }

    pub(crate) fn is_over(&self) -> bool {
        let closed = lock(&self.closed).len();
        closed >= lock(&self.acknowledged).len()
    }

    /// Closes the tickets on hold, so that the others can be judged. Attackers' tickets are given
    /// up; an honest one counts as lost.
    pub(crate) async fn give_up_held(&self) {
        let held = lock(&self.held).clone();
        for (ticket, (kind, why)) in held {
            // The answer to its creation may not have arrived yet.
            let Some(promise) = lock(&self.acknowledged).get(&ticket).cloned() else { continue };
            let before = lock(&self.answered).get(&ticket).copied().unwrap_or(0);
            let is_answered = promise.project == GATED && matches!(kind.as_str(), "gate" | "setup");
            if is_answered && before < gates::HOLDS {
                gates::answer(&self.kept, &ticket, &kind, before).await;
                lock(&self.held).remove(&ticket);
                *lock(&self.answered).entry(ticket).or_default() += 1;
                continue;
            }
            let closing = json!({"ticket_id": ticket, "resolution": "cancelled"});
            // Refused if it was closed already and the answer was lost.
            drop(self.kept.call("close_ticket", closing).await);
            lock(&self.held).remove(&ticket);
            if promise.attack.is_none() {
                lock(&self.lost).push(why);
            }
        }
    }

    /// Creates tickets until there are enough, or no more faults are made.
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
            let (mut script, mut promise) = script(self.behaviour, lock(&self.random).below(100));
            let attack = lock(&self.attackers).next();
            if let Some((attack, attackers_script)) = attack {
                promise = Promise {
                    plan: ATTACKERS_STAGES,
                    attack: Some(attack),
                    ..Promise::every_stage_once()
                };
                script = format!("fake: *: sleep 0.1\n{attackers_script}");
            }
            if !self.projects.repositories().is_empty() {
                script = format!("{WORK}\n{script}");
            }
            let projects = self.projects.names();
            let project = projects[usize::try_from(number).unwrap_or(0) % projects.len()];
            // Attackers may ruin what judges them: theirs are judged by nothing but the oracle.
            let project = if promise.attack.is_some() { projects[0] } else { project };
            promise.project = project;
            if project == GATED {
                // Its gate is red once.
                promise.runs[1] += 1;
            }
            let arguments = json!({
                "project": project, "title": format!("work {number}"), "execution_plan": promise.plan,
                "description": script, "idempotency_key": format!("storm-{number}"),
            });
            // Repeated with the same key until it is answered.
            let ticket = self.kept.ok("create_ticket", arguments).await;
            let id = ticket["ticket_id"].as_str().expect("a ticket has an id").to_owned();
            lock(&self.acknowledged).insert(id, promise);
        }
    }
}

/// Every agent commits a line to its ticket's file and leaves a line in another, with the name of
/// its attempt: the repository afterwards shows whose work was accepted.
const WORK: &str = "fake: *: append {ticket}.txt {stage} {attempt}\nfake: *: commit {ticket} does {stage}\n\
                    fake: *: append left-{ticket}.txt {stage} {attempt}";

impl Promise {
    fn every_stage_once() -> Self {
        Self { project: GIT, plan: STAGES, runs: [1, 1, 1], failures: 0, attack: None }
    }
}

fn script(behaviour: Behaviour, roll: u64) -> (String, Promise) {
    let once = Promise::every_stage_once();
    let centiseconds = 5 + roll % 46;
    let sleeping = format!("fake: *: sleep 0.{centiseconds:02}");
    let daemons = format!("fake: *: daemonize {DAEMON_SECONDS}\nfake: *: fork {DAEMON_SECONDS}");
    match (behaviour, roll) {
        (Behaviour::Daemons, _) => (daemons, once),
        (Behaviour::Everything, 0..15) => {
            // It says nothing about its work until it is asked.
            (
                format!("{sleeping}\nfake: build#1: no-output"),
                Promise { runs: [1, 2, 1], failures: 1, ..once },
            )
        }
        (_, 15..30) => (
            format!("{sleeping}\nfake: review#1: rework build once more"),
            Promise { runs: [1, 2, 2], ..once },
        ),
        (_, 30..50) => (format!("{daemons}\n{sleeping}"), once),
        (_, 50..80) => (sleeping, once),
        _ => (String::new(), once),
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
