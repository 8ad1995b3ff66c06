//! What a server has before its parts are put together: its directories and locks, its database and its listeners.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::prctl;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::disk::Guard;
use crate::domain::id::EventSeq;
use crate::domain::trace::Place;
use crate::lifecycle;
use crate::lifecycle::Lifecycle;
use crate::serve::activation::Listeners;
use crate::serve::activation::Passed;
use crate::serve::alone::Alone;
use crate::serve::home;
use crate::serve::launcher;
use crate::serve::restored;
use crate::serve::settings::rules;
use crate::shim::launch::Launcher;
use crate::state;
use crate::state::InstanceLock;
use crate::state::Prepared;
use crate::store::Checked;
use crate::store::Store;
use crate::telemetry::chain;

/// Where shims dial in, in the runtime directory.
const SOCKET: &str = "shim.sock";

/// What a server has once it is the only one on its directories and can be dialled.
pub(super) struct Opened {
    pub(super) clock: Clock,
    pub(super) guard: Arc<Guard>,
    pub(super) lock: InstanceLock,
    /// The coordinator's token.
    pub(super) token: String,
    /// What the tokens of attempts are made with.
    pub(super) attempt_key: String,
    pub(super) launcher: Launcher,
    pub(super) store: Store,
    /// Where the database is used.
    pub(super) place: Place,
    /// Keeps servers of copies away.
    pub(super) alone: Alone,
    /// The newest event of earlier runs.
    pub(super) begun_at: EventSeq,
    pub(super) checking: JoinHandle<()>,
    /// True once every page of the database has been checked.
    pub(super) sound: watch::Receiver<bool>,
    pub(super) listeners: Listeners,
}

/// Takes the directories, opens the database, and listens.
pub(super) async fn open(
    config: &Config,
    passed: Passed,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Opened> {
    close_memory(config)?;
    let clock = Clock::system();
    let guard = Arc::new(Guard::new(&config.state_dir));
    guard.look_before_start();
    let Prepared { mut lock, token, attempt_key } = state::prepare(config, clock.now())?;
    let launcher = launcher::choose(config)?;
    // A database of another version is checked and migrated first, which takes minutes for a large one.
    let opening = open_store(config, &clock, &guard);
    let (store, checked, (place, alone)) =
        lifecycle::starting("opening the database", opening).await?;
    let (checking, sound) = begin_check(lifecycle, checked);
    let begun_at = store.newest_event().await?;
    faults::point!("server.serve.before_bind");
    let socket = config.runtime_dir.join(SOCKET);
    let listeners = passed.or_bind(config, &socket, lock.listened()).await?;
    faults::point!("server.serve.after_bind");
    faults::point!("server.serve.before_publish");
    lock.publish(listeners.bound)?;
    faults::point!("server.serve.after_publish");
    Ok(Opened {
        clock,
        guard,
        lock,
        token,
        attempt_key,
        launcher,
        store,
        place,
        alone,
        begun_at,
        checking,
        sound,
        listeners,
    })
}

/// Keeps the token in this process's memory from the agents of a service, whose units deny them its file, although
/// their user is the same. Without units they can read the file, and developers of the server want to examine its
/// memory.
fn close_memory(config: &Config) -> anyhow::Result<()> {
    if launcher::is_started_by_systemd(config.environment()) {
        prctl::set_dumpable(false).context("could not protect its memory from other processes")?;
    }
    Ok(())
}

/// Opens the database, and takes nothing for granted that a crash or a restored backup may have made untrue.
async fn open_store(
    config: &Config,
    clock: &Clock,
    guard: &Arc<Guard>,
) -> anyhow::Result<(Store, Checked, (Place, Alone))> {
    let path = config.state_dir.join(state::DATABASE);
    let patience = Some(Duration::from_millis(config.start_check_ms));
    let (store, checked) = Store::open_within(&path, rules(config), clock.now(), patience).await?;
    let place = home::take(&store, &config.state_dir).await?;
    if let Some(newest) = store.newest_event_at().await? {
        clock.resume_after(newest);
    }
    let relief = Arc::clone(guard);
    store.on_full(move || relief.relieve());
    let below = |name| config.state_dir.join(name);
    restored::resume_numbers(&store, &below(state::ATTEMPTS), &below(state::WORKERS)).await?;
    store.distrust_worktrees().await?;
    Ok((store, checked, place))
}

/// Continues the check of the database; the receiver turns true when it has finished.
fn begin_check(lifecycle: &Lifecycle, checked: Checked) -> (JoinHandle<()>, watch::Receiver<bool>) {
    let (sound, told) = watch::channel(false);
    let stop = lifecycle.shutdown_token();
    (lifecycle.spawn("database check", check(checked, sound, stop)), told)
}

/// Waits until every page of the database has been checked, and lets work begin. Returns early only if the database is
/// damaged, which ends the server: results wait on disk, and nothing more is stored in a file that cannot be trusted.
async fn check(checked: Checked, sound: watch::Sender<bool>, stop: CancellationToken) {
    if let Checked::Partly(rest) = checked {
        tracing::info!(
            "the database is large, so its check continues while the server runs; nothing new starts before it has finished"
        );
        match stop.run_until_cancelled(rest.finish()).await {
            None => return,
            Some(Ok(())) => tracing::info!("the check of the database found no damage"),
            Some(Err(error)) => {
                tracing::error!(error = %chain(&error), "the database is damaged; the server stops");
                return;
            }
        }
    }
    sound.send_replace(true);
    stop.cancelled().await;
}
