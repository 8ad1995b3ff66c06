//! Gates that must have no network: why this server cannot keep one away from it.
//!
//! Such a gate is never run with a network instead. Its ticket waits for somebody.

use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;

/// The unit whose instances have no network is started by it.
pub const SOCKET: &str = "vibe-ensemble-gate.socket";

/// Why a gate cannot be kept away from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unkept {
    /// Workers are processes and not units.
    Launcher,
    /// The units of workers without a network are not active.
    Inactive,
    /// The shim of such a worker does not say whether it has a network.
    Unsaid,
    /// Such a worker is in a network nevertheless.
    Connected,
}

/// A network, as a process in it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The same for two processes in one network.
    pub namespace: u64,
    /// Whether it has an interface that leads out of it.
    pub leads_out: bool,
}

impl Unkept {
    /// What is wrong with a worker that must have no network, if anything is, by what its shim says of its own network.
    /// `server` is that of this server. A network with nothing but a loopback interface is none only if it is another one:
    /// in the machine's own, programs listen, this server among them.
    #[must_use]
    pub fn of_worker(said: Option<Network>, server: Option<Network>) -> Option<Self> {
        let Some(said) = said else { return Some(Self::Unsaid) };
        let is_apart = server.is_some_and(|server| server.namespace != said.namespace);
        (!is_apart || said.leads_out).then_some(Self::Connected)
    }

    /// What is wrong, as the rest of a sentence about a server or a worker.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Launcher => "this server cannot keep a gate away from it: its workers are processes, not units of systemd".to_owned(),
            Self::Inactive => format!(
                "{SOCKET}, which starts workers without one, is not active. Enable that unit (`systemctl enable --now \
                 {SOCKET}`, with --user for your own services)"
            ),
            Self::Unsaid => format!(
                "the shim that {SOCKET} started does not say whether it has one. Install the shim of this version"
            ),
            Self::Connected => format!(
                "the worker that {SOCKET} started is in one all the same: systemd on this machine ignores PrivateNetwork=, or \
                 a drop-in of vibe-ensemble-gate@.service switches it off"
            ),
        }
    }

    /// Puts a ticket on hold that is at such a gate.
    #[must_use]
    pub fn hold(self, gate: &str) -> Hold {
        let otherwise = match self {
            Self::Launcher | Self::Connected => "Set",
            Self::Inactive | Self::Unsaid => "Or set",
        };
        let why = format!(
            "its gate {gate} must have no network, and {}. {otherwise} network of that gate to true, or waive the gate. \
             Then resume the ticket",
            self.words()
        );
        Hold::new(HoldKind::Configuration, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_no_network_only_in_a_network_of_its_own_that_leads_nowhere() {
        let network = |namespace, leads_out| Some(Network { namespace, leads_out });
        let of = |said| Unkept::of_worker(said, network(1, true));
        assert_eq!(of(network(2, false)), None);
        assert_eq!(of(network(2, true)), Some(Unkept::Connected));
        assert_eq!(of(network(1, true)), Some(Unkept::Connected));
        assert_eq!(of(None), Some(Unkept::Unsaid));
        let machine = network(1, false);
        let same = Unkept::of_worker(machine, machine);
        assert_eq!(same, Some(Unkept::Connected), "a machine without a network has this server");
        assert_eq!(Unkept::of_worker(network(2, false), None), Some(Unkept::Connected));
    }
}
