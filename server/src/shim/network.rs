//! The networks of a shim and of this server, in the domain's words.

use shim_protocol::message;

use crate::domain::gates::offline::Network;

/// What a shim says of its own.
#[must_use]
pub fn of(said: message::Network) -> Network {
    let message::Network { namespace, leads_out } = said;
    Network { namespace, leads_out }
}

/// This server's; `None` if it cannot be seen.
#[must_use]
pub fn own() -> Option<Network> {
    shim_evidence::network::own().map(of)
}
