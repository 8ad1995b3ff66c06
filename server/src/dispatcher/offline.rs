//! Gates that must have no network: whether this server can start workers without one.

use crate::domain::gates::offline::Unkept;
use crate::shim::launch::Launcher;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Offline {
    pub(super) launcher: Launcher,
}

impl Offline {
    /// Why no worker without a network can be launched now, as far as that can be seen beforehand.
    pub(super) fn missing(&self) -> Option<Unkept> {
        match &self.launcher {
            Launcher::Plain { .. } => Some(Unkept::Launcher),
            Launcher::Unit { .. } if self.launcher.has_gate_socket() => None,
            Launcher::Unit { .. } => Some(Unkept::Inactive),
        }
    }
}
