//! Turns queued tickets into running attempts, and their ends into the next stage.
//!
//! The dispatcher is a loop over a level: whenever something was committed, or a tick has passed, it looks at the
//! database and does what is to be done. It holds no queue of its own, so a crash at any point costs one more look.
//! Each connected shim has a [`session`], which claims for it and takes its reports.
//!
//! Invariant: an attempt is committed before its grant leaves, and its end is committed before the ack leaves.
//! Invariant: an attempt is given up only on evidence (see [`reconcile`]), never because time passed.

mod agent;
mod completion;
mod gate;
mod grant;
mod heard;
mod launches;
mod links;
mod looks;
mod orders;
mod proof;
mod pulse;
mod reconcile;
mod session;
mod silent;
mod strangers;
mod worktrees;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::RwLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use shim_protocol::grant::Limits;
use tokio::sync::Notify;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::disk::Room;
use crate::dispatcher::gate::Gate;
use crate::dispatcher::heard::Heard;
use crate::dispatcher::links::Links;
use crate::dispatcher::pulse::Pulse;
use crate::dispatcher::worktrees::Tended;
use crate::domain::time::Timestamp;
use crate::domain::trace::Place;
use crate::domain::waiting::HeldBack;
use crate::fence::Fence;
use crate::git::Repositories;
use crate::obstacles::Obstacles;
use crate::shim::launch::Launcher;
use crate::shim::listener::Listener;
use crate::store::Result;
use crate::store::Store;

/// Passes are at least this far apart, so that a thousand commits a second cost a hundred looks and not a thousand.
const PASS_GAP: Duration = Duration::from_millis(10);
/// Without any commit the dispatcher looks this often; a lost wake-up costs this much and no more.
const TICK: Duration = Duration::from_secs(5);
/// While a worker is without a link, its locks are looked at this often.
const WATCHFUL_TICK: Duration = Duration::from_millis(500);

/// What workers are given. A reload replaces it; attempts that run keep what they got.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The agent, as a path or a name in PATH.
    pub agent_command: PathBuf,
    /// The server's `PATH`, in which a name is looked up.
    pub search_path: Option<String>,
    /// Set for every agent.
    pub env: BTreeMap<String, String>,
    /// Names of further variables that agents inherit.
    pub env_pass: Vec<String>,
    /// The bounds of every attempt; timeout and stall come from the worker type.
    pub limits: Limits,
    /// Share of the account's usage limit, 0 to 1, that workers leave to the coordinator.
    pub usage_reserve: f64,
    /// How long an idle worker waits for the next ticket.
    pub linger: Duration,
    pub heartbeat: Duration,
}

/// Where the shims of this server find things.
#[derive(Clone, Debug)]
pub struct Places {
    pub socket: PathBuf,
    /// The file that says where the socket is, for shims that outlive a change of it.
    pub address_file: PathBuf,
    /// The state directory itself, which tells this database from a copy of it.
    pub place: Place,
    /// Run directories, one per attempt.
    pub attempts_dir: PathBuf,
    /// One lock file per worker.
    pub workers_dir: PathBuf,
    /// One worktree per ticket, by project. Without symbolic links, because git writes its paths so.
    pub worktrees_dir: PathBuf,
    /// Where agents reach this server.
    pub url: String,
    /// What lets them in.
    pub fence: Fence,
}

/// What keeps new work from being started; work that runs goes on.
#[derive(Clone, Debug)]
pub struct Brakes {
    /// True while an operator drains the server.
    pub draining: watch::Receiver<bool>,
    /// Whether the disk has room for more.
    pub room: watch::Receiver<Room>,
    /// True once every page of the database was looked at.
    pub sound: watch::Receiver<bool>,
}

#[derive(Clone, Debug)]
pub struct Dispatcher {
    store: Store,
    clock: Clock,
    /// What was launched before this was launched by a server that is dead.
    started_at: Timestamp,
    launcher: Launcher,
    places: Places,
    settings: Arc<RwLock<Settings>>,
    /// True while nothing new may be granted.
    draining: watch::Receiver<bool>,
    /// While it is low nothing new is granted either.
    room: watch::Receiver<Room>,
    /// Before it is true nothing new is granted either.
    sound: watch::Receiver<bool>,
    links: Links,
    /// Shut for a while after launches failed.
    gate: Arc<Gate>,
    /// What agents said about the account.
    heard: Arc<Heard>,
    /// Answers those who ask whether the loop still turns.
    pulse: Pulse,
    repositories: Repositories,
    tended: Tended,
    obstacles: Obstacles,
    /// Whether everybody was told that the disk has no room.
    told_of_room: Arc<AtomicBool>,
    /// True while nothing may be granted yet: processes of attempts the database does not know may be left (see
    /// [`strangers`]), or the database was not looked at as a whole.
    held_back: watch::Sender<bool>,
    /// Rung by sessions that end: their worker needs a look.
    bell: Arc<Notify>,
    /// What ends with the server: sessions and launches under way.
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Dispatcher {
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "the composition root hands over each part once")]
    pub fn new(
        store: Store,
        clock: Clock,
        launcher: Launcher,
        places: Places,
        settings: Settings,
        brakes: Brakes,
        repositories: Repositories,
        shutdown: CancellationToken,
    ) -> Self {
        let Brakes { draining, room, sound } = brakes;
        Self {
            store,
            started_at: clock.now(),
            clock,
            launcher,
            places,
            settings: Arc::new(RwLock::new(settings)),
            draining,
            room,
            sound,
            links: Links::default(),
            gate: Arc::default(),
            heard: Arc::default(),
            pulse: Pulse::default(),
            repositories,
            tended: Tended::default(),
            obstacles: Obstacles::default(),
            told_of_room: Arc::default(),
            held_back: watch::Sender::new(true),
            bell: Arc::new(Notify::new()),
            tasks: TaskTracker::new(),
            shutdown,
        }
    }

    /// Whether new work may be started.
    fn may_start(&self) -> bool {
        !*self.draining.borrow() && !self.room.borrow().low
    }

    /// Replaces the settings for grants to come.
    pub fn set_settings(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(std::sync::PoisonError::into_inner) = settings;
        // There may be room for more workers now.
        self.bell.notify_one();
    }

    fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// What is in the way of tickets, for those who are asked.
    #[must_use]
    pub fn obstacles(&self) -> Obstacles {
        self.obstacles.clone()
    }

    /// Workers with a link right now, for the state dump and the status line.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.links.count()
    }

    /// Returns once the loop has made a whole pass that began after this call. A loop that is stuck never answers.
    pub async fn probe(&self) {
        self.pulse.probe().await;
    }

    /// Accepts shims until the server stops.
    pub async fn listen(self, mut listener: Listener) {
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                stream = listener.accept() => {
                    let session = session::run(self.clone(), stream);
                    self.tasks.spawn(self.shutdown.clone().run_until_cancelled_owned(session));
                }
            }
        }
    }

    /// Looks and acts until the server stops.
    pub async fn run(self) {
        let mut level = self.store.level();
        let mut room = self.room.clone();
        let mut draining = self.draining.clone();
        let mut sound = self.sound.clone();
        let mut questions = self.pulse.questions();
        let mut reconciler = reconcile::Reconciler::default();
        let mut strangers = strangers::Strangers::default();
        let mut silent = silent::Silent::default();
        let mut lookout = agent::Lookout::default();
        loop {
            level.mark_unchanged();
            let question = *questions.borrow_and_update();
            let wait = match self
                .pass(&mut reconciler, &mut strangers, &mut silent, &mut lookout)
                .await
            {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(error = %crate::telemetry::chain(&error), "a dispatcher pass failed");
                    Duration::from_secs(1)
                }
            };
            self.pulse.answer(question);
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
                Ok(()) = questions.changed() => {}
                () = self.bell.notified() => {}
                changed = level.changed() => if changed.is_err() { break },
                Ok(()) = room.changed() => {}
                Ok(()) = draining.changed() => {}
                Ok(()) = sound.changed() => {}
            }
            tokio::time::sleep(PASS_GAP).await;
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// One look at everything. Returns how long there is nothing to do unless something is committed.
    async fn pass(
        &self,
        reconciler: &mut reconcile::Reconciler,
        strangers: &mut strangers::Strangers,
        silent: &mut silent::Silent,
        lookout: &mut agent::Lookout,
    ) -> Result<Duration> {
        let present = self.clock.present();
        let now = present.now;
        let due = self.store.queue_due_tickets(now).await?;
        let looking = self.look_for_agents(lookout).await?;
        self.tell_of_room(now).await;
        let pause_ends = self.store.lift_due_pauses(now).await?;
        let due = due.into_iter().chain(pause_ends).min();
        self.stop_over_limit(now).await?;
        self.deliver_limits().await?;
        let workers = self.store.live_workers().await?;
        self.deliver_orders(&workers).await?;
        let dying =
            self.kill_silent(silent, &workers).await? | self.end_overdue(silent, &present).await?;
        let unlinked = self.reconcile(reconciler, &workers, now).await?;
        let strangers = self.await_strangers(strangers, now).await?;
        let held_back = HeldBack::first(*self.sound.borrow(), strangers);
        self.obstacles.set_held_back(held_back);
        let waiting = held_back.is_some();
        self.held_back.send_if_modified(|before| std::mem::replace(before, waiting) != waiting);
        let may_start = !waiting && self.may_start();
        self.tend_worktrees(may_start).await?;
        if may_start {
            self.launch(&workers, now).await?;
        }
        let tick = if unlinked || waiting || dying || looking { WATCHFUL_TICK } else { TICK };
        let tick = self.gate.opens_in(Instant::now()).map_or(tick, |opens| opens.min(tick));
        Ok(due.map_or(tick, |due| due.since(now).min(tick)))
    }

    /// Says once, in an event, that nothing new is started for want of room on the disk, and once that it is over. A disk
    /// that is too full for the event is told of with the next look.
    async fn tell_of_room(&self, now: Timestamp) {
        let low = self.room.borrow().low;
        if self.told_of_room.load(Ordering::Relaxed) == low {
            return;
        }
        match self.store.tell_of_room(low, now).await {
            Ok(()) => self.told_of_room.store(low, Ordering::Relaxed),
            Err(error) => {
                tracing::debug!(error = %crate::telemetry::chain(&error), "nobody was told of the disk");
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
