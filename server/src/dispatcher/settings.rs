//! The settings that workers get from the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;

use shim_protocol::grant::Limits;

use crate::shim::program;

/// What workers receive. A reload replaces it; running attempts keep what they received.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The agent, as a path or as a name in PATH.
    pub agent_command: PathBuf,
    /// The server's `PATH`, in which a name is looked up.
    pub search_path: Option<String>,
    /// Variables that every agent gets.
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

/// A shim that can speak does so much more often than this.
const SPEAKS: Duration = Duration::from_secs(5);

impl Settings {
    /// After how much silence a shim can no longer be able to speak.
    pub(super) fn patience(&self) -> Duration {
        self.heartbeat.saturating_mul(3).saturating_add(SPEAKS)
    }

    /// The agent's program for a grant, looked up in the server's own `PATH`. A worker may be older
    /// than a change of it. A program that is not found is passed on by name: a worker's unit may
    /// see what the server does not.
    pub(super) fn program(&self) -> PathBuf {
        let found = program::find(&self.agent_command, self.search_path.as_deref());
        found.unwrap_or_else(|| self.agent_command.clone())
    }
}

/// The current settings. All clones see a replacement at once.
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
