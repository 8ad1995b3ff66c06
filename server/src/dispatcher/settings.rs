//! What workers get from the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;

use shim_protocol::grant::Limits;

use crate::shim::program;

/// What workers are given. A reload replaces it; running attempts keep what they got.
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

/// A shim that can speak says something much more often.
const SPEAKS: Duration = Duration::from_secs(5);

impl Settings {
    /// After which silence a shim that can speak would have said that it lives.
    pub(super) fn patience(&self) -> Duration {
        self.heartbeat.saturating_mul(3).saturating_add(SPEAKS)
    }

    /// The agent's program for a grant: where it is by the server's own `PATH`. A worker may be older than a change of it.
    /// One that is not found goes out as it is named: a worker's unit may see what the server does not.
    pub(super) fn program(&self) -> PathBuf {
        let found = program::find(&self.agent_command, self.search_path.as_deref());
        found.unwrap_or_else(|| self.agent_command.clone())
    }
}

/// The settings as they are now. All clones see a replacement at once.
#[derive(Clone, Debug)]
pub(super) struct Current {
    settings: Arc<RwLock<Settings>>,
}

impl Current {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(RwLock::new(settings)) }
    }

    pub(super) fn get(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn replace(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }
}
