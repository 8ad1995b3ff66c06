//! Connections of shims: decides which are admitted.

use std::time::Duration;

use shim_protocol::PROTOCOL_MAX;
use shim_protocol::PROTOCOL_MIN;
use shim_protocol::frame::Decoded;
use shim_protocol::message::Hello;
use shim_protocol::message::ToServer;
use shim_protocol::message::ToShim;
use shim_protocol::negotiate;
use tokio::net::UnixStream;

use super::hellos::Hellos;
use super::hellos::Place;
use super::launches::Launches;
use super::links::Links;
use super::proof::Proof;
use super::session::Session;
use super::session::Shared;
use crate::domain::gates::offline::Unkept;
use crate::domain::id::WorkerId;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerKind;
use crate::domain::worker::WorkerState;
use crate::shim::link;
use crate::shim::listener::Listener;
use crate::shim::network;
use crate::shim::token;
use crate::store;
use crate::telemetry::chain;
use crate::telemetry::outside;

/// A process that dials and stays silent is not a shim.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Admits shims. Cheap to clone; each connection has its own.
#[derive(Clone, Debug)]
pub struct Sessions {
    pub(super) shared: Shared,
    pub(super) links: Links,
    pub(super) proof: Proof,
    pub(super) launches: Launches,
}

impl Sessions {
    /// Accepts shims until the server stops.
    pub async fn listen(self, mut listener: Listener) {
        let hellos = Hellos::default();
        while let Some(stream) = self.shared.background.until_shutdown(listener.accept()).await {
            // In the order of arrival, whichever of them runs first.
            let place = hellos.begin();
            // If the server's end breaks the link, the shim dials again.
            self.shared.background.spawn_until_shutdown(self.clone().serve(stream, place));
        }
    }

    /// Serves one connection until it ends.
    async fn serve(self, stream: UnixStream, place: Place) {
        let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
        let (mut receiver, mut sender) = link::split(stream);
        let said = tokio::select! {
            // A hello that has arrived is read, even if others want the place.
            biased;
            said = tokio::time::timeout(HELLO_TIMEOUT, receiver.receive()) => said,
            () = place.lost() => return,
        };
        let hello = match said {
            Ok(Ok(Some(Decoded::Known(ToServer::Hello(hello))))) => hello,
            Ok(Ok(None)) => return,
            Ok(Ok(Some(_))) | Err(_) => {
                tracing::warn!("a connection to the shim socket did not say hello and was closed");
                return;
            }
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "a connection to the shim socket was closed");
                return;
            }
        };
        drop(place);
        let own_place = &self.proof.places.place.id;
        if hello.place_id.as_ref().is_some_and(|place| place != own_place) {
            // It belongs to the server from which this database was copied, or to a copy. A refusal
            // would end its work.
            tracing::warn!(worker = %outside(&hello.worker_id), pid = hello.pid, "a worker of another state directory dialled this server; it is left alone");
            return;
        }
        let (worker, protocol) = match self.admit(&hello, peer).await {
            Ok(Ok(admitted)) => admitted,
            Ok(Err(reason)) => {
                let worker = outside(&hello.worker_id);
                tracing::warn!(%worker, pid = hello.pid, reason, "a shim was refused");
                let refused = sender.send(&ToShim::Refused { reason }).await;
                if let Err(error) = refused {
                    tracing::debug!(error = %chain(&error), "the refused shim did not hear it");
                }
                return;
            }
            Err(error) => {
                // Not the shim's fault; it dials again.
                tracing::error!(error = %chain(&error), "a shim could not be admitted; it will dial again");
                return;
            }
        };
        receiver.admitted();
        self.launches.succeeded(&worker);
        faults::point!("server.hello.admitted");
        let id = worker.id;
        let (serial, inbox) = self.links.add(id);
        let mut session = Session {
            shared: &self.shared,
            worker,
            receiver,
            sender,
            inbox,
            pull: None,
            trouble: None,
            gone: false,
        };
        if let Err(error) = session.converse(protocol, &hello).await {
            tracing::info!(worker = %id, error = %chain(&error), "the link of a shim ended");
        }
        self.links.remove(id, serial);
        // Its worker may need attention.
        self.shared.background.look_again();
    }

    /// Checks the identity of a shim. The inner error is the reason for a refusal.
    async fn admit(
        &self,
        hello: &Hello,
        peer: Option<i32>,
    ) -> store::Result<Result<(Worker, u16), String>> {
        let Some(protocol) = negotiate(hello.protocol_min, hello.protocol_max) else {
            return Ok(Err(format!(
                "this server speaks the shim protocols {PROTOCOL_MIN} to {PROTOCOL_MAX}, the shim {} to {}",
                hello.protocol_min, hello.protocol_max
            )));
        };
        let Ok(id) = hello.worker_id.parse::<WorkerId>() else {
            return Ok(Err("that is not a worker id".to_owned()));
        };
        // One answer for an unknown worker and a wrong token, so that a stranger that guesses
        // learns nothing.
        let kept = self.shared.store.launch_of(id).await?;
        if !kept.is_some_and(|(_, hash)| token::matches(&hello.token, &hash)) {
            return Ok(Err("the token does not belong to this worker".to_owned()));
        }
        let worker = self.shared.store.worker(id).await?;
        if worker.state == WorkerState::Stopped {
            let why = worker.stop_reason.unwrap_or_default();
            return Ok(Err(format!("{id} is stopped: {why}")));
        }
        let can_run = |kind| hello.kinds.iter().any(|own| own == kind);
        if worker.kind == WorkerKind::Check && !(can_run("setup") && can_run("gate")) {
            let why = "its shim is of a version that runs no setup and no gate";
            self.shared.store.worker_never_came(id, why, self.shared.clock.now()).await?;
            self.launches.is_too_old();
            return Ok(Err(why.to_owned()));
        }
        let unkept = if worker.has_network {
            None
        } else {
            Unkept::of_worker(hello.network.map(network::of), network::own())
        };
        if let Some(why) = unkept {
            let reason = "it must have no network, and did not show that it has none";
            let now = self.shared.clock.now();
            self.shared.store.worker_never_came(id, reason, now).await?;
            self.shared.store.offline_refused(worker.project, why, now).await?;
            return Ok(Err(reason.to_owned()));
        }
        if let Err(reason) = self.proof.recognise(id, hello, peer).await? {
            return Ok(Err(reason.to_owned()));
        }
        let (pid, unit) = (i64::from(hello.pid), hello.unit.clone());
        let worker = self.shared.store.worker_hello(id, pid, unit, self.shared.clock.now()).await?;
        if hello.draining {
            self.shared.store.worker_draining(id, self.shared.clock.now()).await?;
        }
        Ok(Ok((worker, protocol)))
    }
}
