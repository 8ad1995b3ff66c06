//! What the composition root hands over, and what it gets in return.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::agent::Lookout;
use super::background::Background;
use super::brakes::Brakes;
use super::claims::Claims;
use super::completion::Completions;
use super::disk_notice::DiskNotice;
use super::grant::Grants;
use super::idle::Idle;
use super::launches::Launches;
use super::links::Links;
use super::offline::Offline;
use super::orders::Orders;
use super::pass::Pass;
use super::pass::Steps;
use super::places::Places;
use super::proof::Proof;
use super::pulse::Pulse;
use super::reconcile::Reconciler;
use super::session::Shared;
use super::sessions::Sessions;
use super::settings::Current;
use super::settings::Settings;
use super::silent::Silent;
use super::started::Started;
use super::strangers::Strangers;
use super::worktrees::Worktrees;
use crate::clock::Clock;
use crate::git::Repositories;
use crate::obstacles::Obstacles;
use crate::shim::launch::Launcher;
use crate::store::Store;

/// Everything from which the dispatcher is assembled.
#[derive(Debug)]
pub struct Parts {
    pub store: Store,
    pub clock: Clock,
    pub launcher: Launcher,
    pub places: Places,
    pub settings: Settings,
    pub brakes: Brakes,
    pub repositories: Repositories,
    /// Cancelled when the server stops.
    pub shutdown: CancellationToken,
}

/// The dispatcher, ready to run. Its loop and its sessions are tasks of the server.
#[derive(Debug)]
pub struct Assembled {
    pub dispatcher: Dispatcher,
    pub pass: Pass,
    pub sessions: Sessions,
}

/// The interface of the dispatcher to the rest of the server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    settings: Current,
    links: Links,
    obstacles: Obstacles,
    pulse: Pulse,
    background: Background,
}

impl Parts {
    /// Puts the parts together. Nothing runs yet.
    #[must_use]
    pub fn assemble(self) -> Assembled {
        let Self { store, clock, launcher, places, settings, brakes, repositories, shutdown } =
            self;
        let places = Arc::new(places);
        let settings = Current::new(settings);
        let background = Background::new(shutdown);
        let (links, obstacles, pulse) = (Links::default(), Obstacles::default(), Pulse::default());
        // Anything older than this was launched, or last heard, by a server that is dead by now.
        let started_at = clock.now();

        let proof = Proof { store: store.clone(), places: places.clone() };
        let grants = Grants {
            server_id: store.server_id().to_owned(),
            settings: settings.clone(),
            places: places.clone(),
            is_launcher_plain: matches!(launcher, Launcher::Plain { .. }),
        };
        let offline = Offline { launcher: launcher.clone() };
        let launches = Launches {
            store: store.clone(),
            clock: clock.clone(),
            launcher,
            offline: offline.clone(),
            places: places.clone(),
            too_old_until: Arc::default(),
            gate: Arc::default(),
            offline_gate: Arc::default(),
            started: Started::default(),
            obstacles: obstacles.clone(),
            background: background.clone(),
        };
        let worktrees = Worktrees::new(
            (store.clone(), clock.clone(), offline),
            places.worktrees_dir.clone(),
            repositories,
            obstacles.clone(),
            brakes.clone(),
            background.clone(),
        );
        let completions = Completions {
            store: store.clone(),
            clock: clock.clone(),
            settings: settings.clone(),
            heard: Arc::default(),
            worktrees: worktrees.clone(),
        };
        let claims = Claims {
            store: store.clone(),
            clock: clock.clone(),
            brakes: brakes.clone(),
            obstacles: obstacles.clone(),
            grants: grants.clone(),
            worktrees: worktrees.clone(),
        };
        let sessions = Sessions {
            shared: Shared {
                store: store.clone(),
                clock: clock.clone(),
                settings: settings.clone(),
                completions: completions.clone(),
                claims,
                background: background.clone(),
            },
            links: links.clone(),
            proof: proof.clone(),
            launches: launches.clone(),
        };
        let steps = Steps {
            lookout: Lookout::new(store.clone(), settings.clone()),
            disk_notice: DiskNotice::new(store.clone(), brakes.clone()),
            orders: Orders { store: store.clone(), links: links.clone(), grants },
            silent: Silent::new(store.clone(), settings.clone(), proof.clone(), started_at),
            idle: Idle {
                store: store.clone(),
                settings: settings.clone(),
                links: links.clone(),
                proof: proof.clone(),
                started_at,
                tried: HashMap::new(),
            },
            reconciler: Reconciler::new(
                store.clone(),
                links.clone(),
                proof.clone(),
                launches.clone(),
                completions,
                started_at,
            ),
            strangers: Strangers::new(store.clone(), proof),
            worktrees,
            launches,
        };
        let dispatcher = Dispatcher {
            settings,
            links,
            obstacles: obstacles.clone(),
            pulse: pulse.clone(),
            background: background.clone(),
        };
        let pass = Pass { store, clock, brakes, obstacles, pulse, background, steps };
        Assembled { dispatcher, pass, sessions }
    }
}

impl Dispatcher {
    /// Replaces the settings for future grants.
    pub fn set_settings(&self, settings: Settings) {
        self.settings.replace(settings);
        // There may be room for more workers now.
        self.background.look_again();
    }

    /// What is in the way of tickets.
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
}
