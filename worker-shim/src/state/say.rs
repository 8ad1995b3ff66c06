//! The messages from the machine to the server, built from its state.

use shim_protocol::PROTOCOL_MAX;
use shim_protocol::PROTOCOL_MIN;
use shim_protocol::exit::ExitRecord;
use shim_protocol::grant::GrantKind;
use shim_protocol::message::Hello;
use shim_protocol::message::Network;
use shim_protocol::message::ToServer;
use shim_protocol::message::Traces;

use super::event::Action;
use super::live::Live;

/// The identity of this shim, for `Hello`.
#[derive(Clone, Debug)]
pub struct Identity {
    pub worker_id: String,
    pub token: String,
    pub build: String,
    pub pid: u32,
    pub unit: Option<String>,
    /// Random; makes this process's pull ids its own.
    pub nonce: u128,
    /// The state directory of its server, from the launch order.
    pub place_id: Option<String>,
    /// How the server recognizes this process without a link.
    pub traces: Traces,
    /// The network it is in, if that can be seen.
    pub network: Option<Network>,
}

/// Whether the shim continues after its current work. The value only ever grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Departure {
    Stay,
    /// The queue is empty.
    OutOfWork,
    /// Asked to finish its current work.
    Drained,
    /// Asked to exit; the report has a short time to get through.
    Told,
    /// The server does not know this shim; it collects records from disk.
    Refused,
}

pub(super) fn hello(
    identity: &Identity,
    live_attempt: Option<String>,
    child_pid: Option<u32>,
    departure: Departure,
) -> Action {
    Action::Send(ToServer::Hello(Hello {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL_MAX,
        build: identity.build.clone(),
        worker_id: identity.worker_id.clone(),
        token: identity.token.clone(),
        pid: identity.pid,
        live_attempt,
        child_pid,
        draining: departure != Departure::Stay,
        unit: identity.unit.clone(),
        place_id: identity.place_id.clone(),
        traces: Some(Box::new(identity.traces.clone())),
        kinds: GrantKind::RUN.map(str::to_owned).to_vec(),
        network: identity.network,
    }))
}

pub(super) fn started(live: &Live) -> Action {
    Action::Send(ToServer::Started {
        attempt_id: live.attempt_id.clone(),
        child_pid: live.pid,
        at_ms: live.started_at_ms,
    })
}

pub(super) fn completed(record: &ExitRecord) -> Action {
    reported(record, /* unsealed */ false)
}

/// A record that cannot be written; the server's commit makes it durable instead.
pub(super) fn unsealed(record: &ExitRecord) -> Action {
    reported(record, /* unsealed */ true)
}

fn reported(record: &ExitRecord, unsealed: bool) -> Action {
    let attempt_id = record.attempt_id.clone();
    Action::Send(ToServer::Completed { attempt_id, record: Box::new(record.clone()), unsealed })
}

pub(super) fn goodbye(departure: Departure) -> Action {
    let reason = match departure {
        Departure::Stay | Departure::OutOfWork => "the queue is empty",
        Departure::Drained => "drained",
        Departure::Told => "told to leave",
        Departure::Refused => "refused",
    };
    Action::Send(ToServer::Goodbye { reason: reason.to_owned() })
}
