//! The parts of a server, put together and started.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::dispatcher;
use crate::dispatcher::Assembled;
use crate::dispatcher::Brakes;
use crate::dispatcher::Dispatcher;
use crate::dispatcher::Places;
use crate::domain::notify::Notifier;
use crate::domain::trace::Place;
use crate::fence::Fence;
use crate::git::Repositories;
use crate::lifecycle::Lifecycle;
use crate::locate;
use crate::mcp;
use crate::mcp::Access;
use crate::mcp::Desk;
use crate::mcp::Key;
use crate::notify;
use crate::notify::Notifiers;
use crate::serve::about;
use crate::serve::activation::Listeners;
use crate::serve::alone::Alone;
use crate::serve::announce::announce;
use crate::serve::open::Opened;
use crate::serve::settings;
use crate::serve::upkeep;
use crate::serve::upkeep::Upkeep;
use crate::serve::watched;
use crate::sessions::Sessions;
use crate::state;
use crate::state::InstanceLock;
use crate::store::Store;
use crate::templates::Templates;
use crate::web;

/// A running server.
pub(super) struct Server {
    pub(super) config: Config,
    pub(super) lifecycle: Lifecycle,
    pub(super) lock: InstanceLock,
    /// Held until the database is closed.
    pub(super) alone: Alone,
    pub(super) store: Store,
    pub(super) dispatcher: Dispatcher,
    /// Hands a new token to the checks of requests.
    pub(super) keys: watch::Sender<Key>,
    /// Hands new limits to the periodic jobs.
    pub(super) limits: watch::Sender<upkeep::Limits>,
    /// Hands a changed list of notifiers to the room that runs them.
    pub(super) notifiers: watch::Sender<Vec<Notifier>>,
    /// Hands the configuration in effect to the page that shows it.
    pub(super) shown: watch::Sender<Vec<web::Setting>>,
    /// Whether the HTTP listener outlives this process.
    pub(super) http_is_passed: bool,
    /// What ends before the server does.
    pub(super) tasks: Vec<JoinHandle<()>>,
}

/// Builds each part from what was opened, starts them, and reports that the server is ready.
pub(super) fn assemble(
    config: Config,
    opened: Opened,
    lifecycle: Lifecycle,
) -> anyhow::Result<Server> {
    let Opened { clock, guard, lock, alone, store, launcher, sound, begun_at, .. } = opened;
    let Listeners { http, bound, http_is_passed, shims, socket } = opened.listeners;
    let repositories = Repositories::of_server(store.server_id(), &opened.place.id);
    let fence = Fence::new(&opened.attempt_key, store.server_id());
    let places = places(&config, opened.place, socket, bound, fence.clone())?;
    let (attempts_dir, workers_dir) = (places.attempts_dir.clone(), places.workers_dir.clone());
    let stop = lifecycle.shutdown_token();
    let parts = dispatcher::Parts {
        store: store.clone(),
        clock: clock.clone(),
        launcher: launcher.clone(),
        places,
        settings: settings::agent_settings(&config, config.environment()),
        brakes: Brakes::new(lifecycle.drain(), guard.room(), sound),
        repositories: repositories.clone(),
        shutdown: stop.clone(),
    };
    let Assembled { dispatcher, pass, sessions } = parts.assemble();
    let (notifiers, told) = watch::channel(config.notifiers.clone());
    let room = notify::Room::new(store.clone(), clock.clone(), told.clone(), stop.clone());
    let service =
        mcp::Service::new(store.clone(), clock.clone(), attempts_dir.clone(), stop.clone())
            .with_room(guard.room())
            .with_templates(Templates::with_files_of(config.templates_dir.clone()))
            .with_draining(lifecycle.drain())
            .with_obstacles(dispatcher.obstacles())
            .with_notifiers(Notifiers::new(told.clone()));
    let (keys, key) = watch::channel(Key::new(opened.token));
    let auth = settings::auth(config.auth, key);
    let host = if http_is_passed { bound.ip() } else { config.listen.ip() };
    let browsers = Sessions::open(
        config.state_dir.join(state::SESSIONS),
        Duration::from_hours(u64::from(config.session_hours)),
    );
    let access = Access::new(auth, bound, &host.to_string())
        .with_attempts(fence)
        .with_hosts(&config.allowed_hosts)
        .with_sessions(browsers, clock.clone());
    let of_clients = settings::limits_of_clients(&config);
    let (shown, settings) = watch::channel(about::settings(&config));
    let about = web::About { settings, doctor: about::doctor(&config)? };
    let (pages, following) = web::dashboard(Desk::new(service.clone()), access.clone(), about);
    let router = mcp::router(service, access, of_clients, pages);
    let serving = mcp::serve(http, router, of_clients.connections, stop.clone());
    let mut tasks = vec![
        lifecycle.spawn("http", serving),
        lifecycle.spawn("dashboard", following),
        lifecycle.spawn("shim listener", sessions.listen(shims)),
        lifecycle.spawn("dispatcher", pass.run()),
        lifecycle.spawn("notifiers", room.run()),
        opened.checking,
    ];
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
    tasks.extend(upkeep::start(&lifecycle, &upkeep));
    let environment = config.environment();
    tasks.extend(watched::start(&lifecycle, &store, &dispatcher, begun_at, environment));
    announce(&config, bound, &launcher);
    faults::point!("server.serve.before_ready");
    lifecycle.ready();
    faults::point!("server.serve.after_ready");
    Ok(Server {
        config,
        lifecycle,
        lock,
        alone,
        store,
        dispatcher,
        keys,
        limits,
        notifiers,
        shown,
        http_is_passed,
        tasks,
    })
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
        url: format!("http://{}/mcp", locate::reachable(bound)),
        fence,
    })
}
