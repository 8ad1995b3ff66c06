//! `serve`: the composition root. The only place where the parts of the server meet.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::prctl;
use shim_protocol::grant;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::commands::activation::Listeners;
use crate::commands::activation::Passed;
use crate::commands::home;
use crate::commands::launcher;
use crate::commands::locate;
use crate::commands::restored;
use crate::commands::state;
use crate::commands::state::InstanceLock;
use crate::commands::state::Prepared;
use crate::commands::token::TokenFile;
use crate::commands::upkeep;
use crate::commands::upkeep::Upkeep;
use crate::commands::watched;
use crate::config;
use crate::config::Config;
use crate::config::Environment;
use crate::config::Settings;
use crate::config::TakesEffect;
use crate::disk::Guard;
use crate::dispatcher;
use crate::dispatcher::Brakes;
use crate::dispatcher::Dispatcher;
use crate::dispatcher::Places;
use crate::domain::pipeline::Policy;
use crate::domain::retry::Backoff;
use crate::domain::trace::Place;
use crate::exit::Exit;
use crate::fence::Fence;
use crate::git::Repositories;
use crate::journal;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::Request;
use crate::lifecycle::What;
use crate::mcp;
use crate::mcp::Access;
use crate::mcp::Auth;
use crate::mcp::Key;
use crate::mcp::Limits;
use crate::shim::launch::Launcher;
use crate::store::Checked;
use crate::store::Rules;
use crate::store::Store;
use crate::telemetry;
use crate::telemetry::chain;
use crate::templates::Templates;

/// Where shims dial in, in the runtime directory.
const SOCKET: &str = "shim.sock";

/// How often it is looked whether the lock files and the address are still there.
const MEND: Duration = Duration::from_secs(2);

/// Longest wait between retries that an overloaded model service asks for.
const OVERLOAD_BACKOFF_MAX: Duration = Duration::from_mins(30);

/// Runs the server until it is told to stop.
pub async fn run(
    mut config: Config,
    passed: Passed,
    mut lifecycle: Lifecycle,
) -> anyhow::Result<Exit> {
    close_memory(&config)?;
    let clock = Clock::system();
    let guard = Arc::new(Guard::new(&config.state_dir));
    guard.look_before_start();
    let Prepared { mut lock, token, attempt_key } = state::prepare(&config, clock.now())?;
    let launcher = launcher::choose(&config)?;
    let (store, checked, place) = open_store(&config, &clock, &guard).await?;
    let (checking, sound) = begin_check(&lifecycle, checked);
    let begun_at = store.newest_event().await?;
    let repositories = Repositories::default();
    faults::point!("server.serve.before_bind");
    let socket = config.runtime_dir.join(SOCKET);
    let listeners = passed.or_bind(&config, &socket, lock.listened()).await?;
    let Listeners { http, bound, http_is_passed, shims, socket } = listeners;
    faults::point!("server.serve.after_bind");
    faults::point!("server.serve.before_publish");
    lock.publish(bound)?;
    faults::point!("server.serve.after_publish");

    let fence = Fence::new(&attempt_key, store.server_id());
    let places = places(&config, place, socket, bound, fence.clone())?;
    let (attempts_dir, workers_dir) = (places.attempts_dir.clone(), places.workers_dir.clone());
    let stop = lifecycle.shutdown_token();
    let dispatcher = Dispatcher::new(
        store.clone(),
        clock.clone(),
        launcher.clone(),
        places,
        agent_settings(&config, config.environment()),
        Brakes { draining: lifecycle.drain(), room: guard.room(), sound },
        repositories.clone(),
        stop.clone(),
    );
    let service =
        mcp::Service::new(store.clone(), clock.clone(), attempts_dir.clone(), stop.clone())
            .with_room(guard.room())
            .with_templates(Templates::with_files_of(config.templates_dir.clone()))
            .with_draining(lifecycle.drain())
            .with_obstacles(dispatcher.obstacles());
    let (keys, key) = watch::channel(Key::new(token));
    let auth = auth(config.auth, key);
    let host = if http_is_passed { bound.ip() } else { config.listen.ip() };
    let access = Access::new(auth, bound, &host.to_string()).with_attempts(fence);
    let of_clients = limits_of_clients(&config);
    let router = mcp::router(service, access, of_clients);
    let serving = mcp::serve(http, router, of_clients.connections, stop.clone());
    let serving = lifecycle.spawn("http", serving);
    let listening = lifecycle.spawn("shim listener", dispatcher.clone().listen(shims));
    let dispatching = lifecycle.spawn("dispatcher", dispatcher.clone().run());
    let (limits, kept) = watch::channel(upkeep::limits(&config));
    let upkeep = Upkeep {
        store: store.clone(),
        clock,
        attempts_dir,
        workers_dir,
        guard,
        repositories,
        limits: kept,
    };
    let sweeping = upkeep::start(&lifecycle, &upkeep);
    let telling = watched::start(&lifecycle, &store, &dispatcher, begun_at, config.environment());
    announce(&config, bound, &launcher);
    faults::point!("server.serve.before_ready");
    lifecycle.ready();
    faults::point!("server.serve.after_ready");

    let mut drain = lifecycle.drain();
    let mut mend = mending();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = mend.tick() => lock.mend(),
            changed = drain.changed() => {
                let draining = changed.is_ok() && *drain.borrow_and_update();
                lock.set_draining(draining)?;
            }
            request = lifecycle.requests.recv() => {
                let Some(Request { what, done }) = request else { break };
                match what {
                    What::Reload => {
                        config = reload(config, &store, &dispatcher);
                        limits.send_replace(upkeep::limits(&config));
                        read_token_again(&config, &keys, &mut lock);
                    }
                    What::Dump => dump(&store, &dispatcher).await,
                }
                // Nobody waits for most of them.
                done.send(()).unwrap_or_default();
            }
        }
    }

    let ended = [serving, listening, dispatching, checking];
    for task in ended.into_iter().chain(sweeping).chain(telling) {
        task.await.context("a task of the server was lost")?;
    }
    store.close().await;
    // Whoever dials an address that systemd holds is served by the next server.
    if !http_is_passed {
        lock.withdraw()?;
    }
    tracing::info!("stopped; workers run on");
    Ok(lifecycle.exit())
}

/// When to look whether somebody removed what lies beside a running server.
fn mending() -> tokio::time::Interval {
    let mut mend = tokio::time::interval(MEND);
    mend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    mend
}

fn auth(wanted: config::Auth, key: watch::Receiver<Key>) -> Auth {
    match wanted {
        config::Auth::Token => Auth::Token(key),
        config::Auth::None => Auth::None,
    }
}

/// Keeps the token in this process's memory from the agents of a service, whose units close its file to them, though their
/// user is the same. Without units the file is theirs to read, and whoever develops the server wants to look into it.
fn close_memory(config: &Config) -> anyhow::Result<()> {
    if launcher::is_started_by_systemd(config.environment()) {
        prctl::set_dumpable(false).context("could not close its memory to other processes")?;
    }
    Ok(())
}

/// Opens the database and takes nothing in it for granted that a crash or a restored backup may have made untrue.
async fn open_store(
    config: &Config,
    clock: &Clock,
    guard: &Arc<Guard>,
) -> anyhow::Result<(Store, Checked, Place)> {
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

/// Goes on with the check of the database; what is received says when it is through.
fn begin_check(lifecycle: &Lifecycle, checked: Checked) -> (JoinHandle<()>, watch::Receiver<bool>) {
    let (sound, told) = watch::channel(false);
    let stop = lifecycle.shutdown_token();
    (lifecycle.spawn("database check", check(checked, sound, stop)), told)
}

/// Waits until every page of the database was looked at, and lets work begin. Returns early only when it is damaged,
/// which ends the server: results wait on disk, and nothing more is built on what cannot be trusted.
async fn check(checked: Checked, sound: watch::Sender<bool>, stop: CancellationToken) {
    if let Checked::Partly(rest) = checked {
        tracing::info!(
            "the database is large; it is checked while serving, and nothing new is started before that"
        );
        match stop.run_until_cancelled(rest.finish()).await {
            None => return,
            Some(Ok(())) => tracing::info!("the database is sound"),
            Some(Err(error)) => {
                tracing::error!(error = %chain(&error), "the database cannot be served from");
                return;
            }
        }
    }
    sound.send_replace(true);
    stop.cancelled().await;
}

fn places(
    config: &Config,
    place: Place,
    socket: PathBuf,
    bound: SocketAddr,
    fence: Fence,
) -> anyhow::Result<Places> {
    state::publish_socket(&config.state_dir, &socket)?;
    let worktrees_dir = config.state_dir.join(state::WORKTREES).canonicalize();
    Ok(Places {
        socket,
        address_file: config.state_dir.join(state::SHIM_ADDRESS),
        place,
        attempts_dir: config.state_dir.join(state::ATTEMPTS),
        workers_dir: config.state_dir.join(state::WORKERS),
        worktrees_dir: worktrees_dir.context("could not tell the real path of the worktrees")?,
        url: format!("http://{}/mcp", reachable(bound)),
        fence,
    })
}

/// The bound address as agents on this machine reach it: one that stands for all of them is none to dial.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let loopback = match bound.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(loopback, bound.port())
}

fn announce(config: &Config, bound: SocketAddr, launcher: &Launcher) {
    tracing::info!(
        name: journal::SERVER_STARTED,
        version = env!("CARGO_PKG_VERSION"),
        url = %format!("http://{bound}/mcp"),
        state_dir = %config.state_dir.display(),
        launcher = launcher.name(),
        "ready"
    );
    if matches!(launcher, Launcher::Plain { .. })
        && launcher::is_started_by_systemd(config.environment())
    {
        tracing::warn!(
            socket = %config.runtime_dir.join(launcher::WORKER_SOCKET).display(),
            "workers run inside this server's unit, and stopping it stops them, unless it has KillMode=process; start \
             vibe-ensemble-worker.socket, then restart"
        );
    }
    if let Some(missing) = locate::missing_agent(&config.agent_command, config.environment()) {
        tracing::warn!("{missing}");
    }
    if config.auth == config::Auth::None {
        tracing::warn!(
            "authentication is off: whoever reaches the port can run commands as this user"
        );
    }
}

fn rules(settings: &Settings) -> Rules {
    let backoff = |first, most: Duration| Backoff { first: Duration::from_millis(first), most };
    Rules {
        policy: Policy {
            max_rework: i64::from(settings.max_rework),
            retry: backoff(
                settings.retry_backoff_ms,
                Duration::from_millis(settings.retry_backoff_max_ms),
            ),
            overload: backoff(settings.overload_backoff_ms, OVERLOAD_BACKOFF_MAX),
            again: Policy::default().again,
        },
        max_workers: i64::from(settings.max_workers),
        max_usd_per_day: Some(settings.max_usd_per_day).filter(|usd| *usd > 0.0),
        max_descendants: i64::from(settings.max_descendants),
    }
}

fn agent_settings(settings: &Settings, environment: &Environment) -> dispatcher::Settings {
    dispatcher::Settings {
        agent_command: settings.agent_command.clone(),
        search_path: environment.get("PATH").map(str::to_owned),
        env: settings.env.clone(),
        env_pass: settings.env_pass.clone(),
        limits: grant::Limits {
            timeout_ms: None,
            stall_ms: None,
            result_linger_ms: settings.result_linger_ms,
            grace_ms: settings.stop_grace_ms,
            kill_after_ms: settings.kill_after_ms,
            segment_bytes: settings.transcript_segment_bytes,
            segments: settings.transcript_segments,
            start_ms: Some(settings.start_timeout_ms).filter(|ms| *ms > 0),
            max_turns: None,
            max_repeats: Some(settings.max_repeated_calls).filter(|calls| *calls > 0),
        },
        usage_reserve: f64::from(settings.usage_reserve_percent) / 100.0,
        linger: Duration::from_millis(settings.linger_ms),
        heartbeat: Duration::from_millis(settings.heartbeat_ms),
    }
}

/// Reads the configuration again. A file that is wrong changes nothing and is told.
fn reload(config: Config, store: &Store, dispatcher: &Dispatcher) -> Config {
    let new = match config.reload() {
        Ok(new) => new,
        Err(problems) => {
            tracing::error!(%problems, "the configuration was not reloaded");
            return config;
        }
    };
    for (option, effect) in config.changes(&new) {
        match effect {
            TakesEffect::Reload => tracing::info!(option, "changed"),
            TakesEffect::Restart => tracing::warn!(option, "changed; it counts after a restart"),
        }
    }
    store.set_rules(rules(&new));
    dispatcher.set_settings(agent_settings(&new, new.environment()));
    if let Err(error) = telemetry::set_filter(&new.log) {
        tracing::error!(%error, "the log filter was not changed");
    }
    tracing::info!("configuration reloaded");
    new
}

/// Takes the token that is in its file now. A file that holds none changes nothing: to lock everybody out is not what a
/// slip of an editor should do.
fn read_token_again(config: &Config, keys: &watch::Sender<Key>, lock: &mut InstanceLock) {
    let file = TokenFile::of(config);
    match file.read() {
        Ok(token) => {
            if let Err(error) = lock.set_token(file) {
                tracing::error!(error = %chain(&error), "clients are not told where the token is now");
            }
            if Key::replace(keys, token) {
                tracing::info!("the coordinator's token was changed; the old one no longer counts");
            }
        }
        Err(error) => {
            tracing::error!(error = %chain(&error), "the token was not read; the old one still counts");
        }
    }
}

fn limits_of_clients(settings: &Settings) -> Limits {
    Limits {
        requests_per_second: NonZeroU32::new(settings.max_requests_per_second),
        waiting_calls: usize::try_from(settings.max_waiting_calls).unwrap_or(usize::MAX),
        connections: usize::try_from(settings.max_connections).unwrap_or(usize::MAX),
    }
}

/// Logs where everything stands.
async fn dump(store: &Store, dispatcher: &Dispatcher) {
    let connected = dispatcher.connected();
    match store.counts().await {
        Ok(counts) => tracing::info!(?counts, connected, "state"),
        Err(error) => tracing::error!(%error, connected, "the state could not be read"),
    }
    match store.live_workers().await {
        Ok(workers) => {
            for w in workers {
                tracing::info!(
                    worker = %w.id,
                    queue = %w.worker_type,
                    state = w.state.name(),
                    attempt = w.attempt.map(tracing::field::display),
                    pid = w.pid,
                    "worker"
                );
            }
        }
        Err(error) => tracing::error!(%error, "the workers could not be read"),
    }
}
