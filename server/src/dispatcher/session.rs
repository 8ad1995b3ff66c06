//! One shim's conversation with the server, from hello to goodbye or a broken link.

use std::time::Duration;

use shim_protocol::PROTOCOL_MAX;
use shim_protocol::PROTOCOL_MIN;
use shim_protocol::exit::ExitRecord;
use shim_protocol::frame::Decoded;
use shim_protocol::message;
use shim_protocol::message::Hello;
use shim_protocol::message::ToServer;
use shim_protocol::message::ToShim;
use shim_protocol::message::Welcome;
use shim_protocol::negotiate;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Dispatcher;
use crate::domain::attempt::AttemptState;
use crate::domain::id::AttemptId;
use crate::domain::id::WorkerId;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::domain::worker::WorkerState;
use crate::shim::facts;
use crate::shim::link;
use crate::shim::link::LinkError;
use crate::shim::token;
use crate::store;
use crate::store::Claim;
use crate::telemetry::chain;
use crate::telemetry::outside;

/// A process that dials and says nothing is no shim.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Most connections that have not said hello yet. A shim says it at once.
const MOST_SILENT: usize = 1_000;
static SILENT: Semaphore = Semaphore::const_new(MOST_SILENT);

/// A pull that cannot be answered yet is looked at again after this long at the latest.
const HELD: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the shim did not say hello")]
    NoHello,
    #[error("a newer link of the same worker took over")]
    Replaced,
}

/// Serves one connection until it ends.
pub(super) async fn run(dispatcher: Dispatcher, stream: UnixStream) {
    let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
    let Ok(silent) = SILENT.try_acquire() else {
        tracing::warn!(
            most = MOST_SILENT,
            "too many connections to the shim socket say nothing; one more was dropped"
        );
        return;
    };
    let (mut receiver, mut sender) = link::split(stream);
    let hello = match tokio::time::timeout(HELLO_TIMEOUT, receiver.receive()).await {
        Ok(Ok(Some(Decoded::Known(ToServer::Hello(hello))))) => hello,
        Ok(Ok(None)) => return,
        Ok(Ok(Some(_))) | Err(_) => {
            tracing::warn!(error = %SessionError::NoHello, "a connection to the shim socket was dropped");
            return;
        }
        Ok(Err(error)) => {
            tracing::warn!(error = %chain(&error), "a connection to the shim socket was dropped");
            return;
        }
    };
    drop(silent);
    let own_place = &dispatcher.places.place.id;
    if hello.place_id.as_ref().is_some_and(|place| place != own_place) {
        // Of the server that this one's database was copied from, or of a copy: not ours to refuse, which would end its work.
        tracing::warn!(worker = %outside(&hello.worker_id), pid = hello.pid, "a worker of another state directory dialled");
        return;
    }
    let (worker, protocol) = match admit(&dispatcher, &hello, peer).await {
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
            // Not the shim's fault; it redials.
            tracing::error!(error = %chain(&error), "a shim could not be admitted");
            return;
        }
    };
    receiver.admitted();
    dispatcher.launched();
    faults::point!("server.hello.admitted");
    let id = worker.id;
    let (serial, inbox) = dispatcher.links.add(id);
    let mut session = Session {
        dispatcher: &dispatcher,
        worker,
        receiver,
        sender,
        inbox,
        pull: None,
        trouble: None,
        gone: false,
    };
    if let Err(error) = session.converse(protocol, &hello).await {
        tracing::info!(worker = %id, error = %chain(&error), "a shim's link ended");
    }
    dispatcher.links.remove(id, serial);
    dispatcher.bell.notify_one();
}

/// Checks who it is. The inner error is the reason of a refusal.
async fn admit(
    dispatcher: &Dispatcher,
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
        return Ok(Err("that is no worker id".to_owned()));
    };
    // One answer for an unknown worker and a wrong token: who guesses learns nothing.
    let kept = dispatcher.store.launch_of(id).await?;
    if !kept.is_some_and(|(_, hash)| token::matches(&hello.token, &hash)) {
        return Ok(Err("the token is not this worker's".to_owned()));
    }
    let worker = dispatcher.store.worker(id).await?;
    if worker.state == WorkerState::Stopped {
        let why = worker.stop_reason.unwrap_or_default();
        return Ok(Err(format!("{id} is stopped: {why}")));
    }
    if let Err(reason) = dispatcher.recognise(id, hello, peer).await? {
        return Ok(Err(reason.to_owned()));
    }
    let worker = dispatcher
        .store
        .worker_hello(id, i64::from(hello.pid), hello.unit.clone(), dispatcher.now())
        .await?;
    if hello.draining {
        dispatcher.store.worker_draining(id, dispatcher.now()).await?;
    }
    Ok(Ok((worker, protocol)))
}

/// A pull that has no answer yet.
#[derive(Debug)]
struct Pull {
    id: String,
    /// Claimed for once already. From then on a cheap look comes first: the first claim alone must be unconditional,
    /// because it may be the repetition of one that was granted.
    asked: bool,
    /// Becomes the claude session of the attempt, if there is one.
    claude_session_id: String,
    /// When the worker is told that nothing came.
    patience: Instant,
}

struct Session<'d> {
    dispatcher: &'d Dispatcher,
    worker: Worker,
    receiver: link::Receiver,
    sender: link::Sender,
    inbox: tokio::sync::mpsc::UnboundedReceiver<ToShim>,
    pull: Option<Pull>,
    /// What keeps its attempt from its end, as it was last told.
    trouble: Option<String>,
    gone: bool,
}

impl Session<'_> {
    async fn converse(&mut self, protocol: u16, hello: &Hello) -> Result<(), SessionError> {
        let heartbeat_ms =
            u64::try_from(self.dispatcher.settings().heartbeat.as_millis()).unwrap_or(u64::MAX);
        let build = env!("CARGO_PKG_VERSION").to_owned();
        self.sender.send(&ToShim::Welcome(Welcome { protocol, build, heartbeat_ms })).await?;
        faults::point!("server.hello.welcomed");
        self.adopt(hello).await?;
        // What was asked of this worker while it had no link.
        self.dispatcher.bell.notify_one();
        let mut level = self.dispatcher.store.level();
        let mut held_back = self.dispatcher.held_back.subscribe();
        while !self.gone {
            if self.pull.is_some() {
                level.mark_unchanged();
                self.answer_pull().await?;
            }
            let patience = self.pull.as_ref().map(|pull| pull.patience);
            tokio::select! {
                message = self.receiver.receive() => match message? {
                    Some(Decoded::Known(message)) => self.hear(message).await?,
                    Some(Decoded::Unknown { kind }) => {
                        self.sender.send(&ToShim::Unsupported { unsupported: kind }).await?;
                    }
                    None => return Ok(()),
                },
                order = self.inbox.recv() => match order {
                    Some(order) => self.sender.send(&order).await?,
                    None => return Err(SessionError::Replaced),
                },
                changed = level.changed(), if patience.is_some() => {
                    if changed.is_err() { return Ok(()) }
                }
                changed = held_back.changed(), if patience.is_some() => {
                    if changed.is_err() { return Ok(()) }
                }
                () = sleep_until(patience), if patience.is_some() => {}
            }
        }
        Ok(())
    }

    /// A shim that comes with an attempt keeps it, unless something else has ended that attempt meanwhile.
    async fn adopt(&mut self, hello: &Hello) -> Result<(), SessionError> {
        let Some(live) = &hello.live_attempt else { return Ok(()) };
        let found = match live.parse::<AttemptId>() {
            Ok(id) => self.dispatcher.store.attempt(id).await?,
            Err(_) => None,
        };
        match found.filter(|attempt| attempt.worker == self.worker.id).map(|attempt| attempt.state)
        {
            Some(AttemptState::Granted | AttemptState::Running) => {
                tracing::info!(worker = %self.worker.id, attempt = %outside(live), "a running worker was adopted");
            }
            Some(AttemptState::Ended(_)) | None => {
                let attempt_id = live.clone();
                let stop = ToShim::Stop { attempt_id, mode: message::StopMode::Cancel };
                self.sender.send(&stop).await?;
            }
        }
        Ok(())
    }

    async fn hear(&mut self, message: ToServer) -> Result<(), SessionError> {
        let store = &self.dispatcher.store;
        match message {
            ToServer::Pull { pull_id } => {
                self.pull = Some(Pull {
                    id: pull_id,
                    asked: false,
                    claude_session_id: uuid::Uuid::new_v4().to_string(),
                    patience: Instant::now() + self.dispatcher.settings().linger,
                });
            }
            ToServer::Started { attempt_id, child_pid, at_ms } => {
                if let Ok(attempt) = attempt_id.parse()
                    && self.holds(attempt).await?
                {
                    let at = Timestamp::from_millis(at_ms);
                    let now = self.dispatcher.now();
                    store.attempt_started(attempt, i64::from(child_pid), at, now).await?;
                }
            }
            ToServer::Heartbeat { progress, trouble } => {
                let told = progress.as_ref().and_then(|progress| {
                    let attempt = progress.attempt_id.parse().ok()?;
                    Some((attempt, facts::usage_limit(progress.usage_limit.as_ref()?)))
                });
                if let Some((attempt, told)) = told {
                    let told = told.believed(self.dispatcher.now());
                    self.dispatcher.heed_usage_limit(attempt, &told).await?;
                }
                let memory = progress.and_then(|p| i64::try_from(p.memory_bytes?).ok());
                let trouble = trouble.filter(|said| !said.is_empty());
                if trouble != self.trouble {
                    if let Some(trouble) = &trouble {
                        tracing::error!(worker = %self.worker.id, trouble, "a shim cannot end its attempt");
                    }
                    self.trouble.clone_from(&trouble);
                }
                let now = self.dispatcher.now();
                store.worker_heartbeat(self.worker.id, memory, trouble, now).await?;
            }
            // Whether it is on disk is all the same: what is committed here is.
            ToServer::Completed { attempt_id, record, unsealed } => {
                if unsealed {
                    tracing::warn!(worker = %self.worker.id, attempt = %outside(&attempt_id), "a result that could not be written on disk came over the link");
                }
                self.take_report(attempt_id, &record).await?;
            }
            ToServer::Goodbye { reason } => {
                store.worker_stopped(self.worker.id, &reason, self.dispatcher.now()).await?;
                self.gone = true;
            }
            ToServer::Hello(_) => {
                tracing::warn!(worker = %self.worker.id, "a shim said hello twice on one link");
            }
            ToServer::Unsupported { unsupported } => {
                tracing::warn!(worker = %self.worker.id, kind = %outside(&unsupported), "a shim does not know a message");
            }
        }
        Ok(())
    }

    /// Whether an attempt is this worker's, or nobody's: one that a restored database has forgotten.
    async fn holds(&self, attempt: AttemptId) -> store::Result<bool> {
        let found = self.dispatcher.store.attempt(attempt).await?;
        let holds = found.is_none_or(|found| found.worker == self.worker.id);
        if !holds {
            tracing::error!(worker = %self.worker.id, %attempt, "a worker spoke for an attempt of another; it counts for nothing");
        }
        Ok(holds)
    }

    /// Commits a completion, then acks it. When it cannot be committed the link is dropped: the shim keeps its record
    /// and repeats it on the next one.
    async fn take_report(
        &mut self,
        attempt_id: String,
        record: &ExitRecord,
    ) -> Result<(), SessionError> {
        let ours = record.server_id == self.dispatcher.store.server_id()
            && record.attempt_id == attempt_id
            && record.worker_id == self.worker.id.to_string();
        let verdict = match attempt_id.parse::<AttemptId>() {
            Ok(attempt) if ours && self.holds(attempt).await? => {
                match self.dispatcher.complete(attempt, record).await {
                    Ok(verdict) => verdict,
                    Err(error) => {
                        // Without a pause a full disk would make the shim redial in a tight loop.
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        return Err(error.into());
                    }
                }
            }
            Ok(_) | Err(_) => {
                tracing::warn!(worker = %self.worker.id, attempt = %outside(&attempt_id), "a report that is not this worker's was put aside");
                message::AckVerdict::Parked
            }
        };
        faults::point!("server.ack.before_sent");
        faults::trace!("ack-sent", attempt_id);
        self.sender.send(&ToShim::Ack { attempt_id, verdict }).await?;
        faults::point!("server.ack.after_sent");
        Ok(())
    }

    /// Claims for the waiting pull, or tells the worker that nothing came.
    async fn answer_pull(&mut self) -> Result<(), SessionError> {
        let Some(mut pull) = self.pull.take() else { return Ok(()) };
        if *self.dispatcher.held_back.borrow() {
            pull.patience = Instant::now() + self.dispatcher.settings().linger.max(HELD);
            self.pull = Some(pull);
            return Ok(());
        }
        let patient = Instant::now() < pull.patience;
        if !self.dispatcher.may_start() {
            return self.nothing(pull).await;
        }
        let failing = self.dispatcher.obstacles.failing_git();
        let store = &self.dispatcher.store;
        if pull.asked && patient && !store.has_work(&self.worker, &failing).await? {
            self.pull = Some(pull);
            return Ok(());
        }
        pull.asked = true;
        let claim = self
            .dispatcher
            .store
            .claim_but(
                self.worker.id,
                &pull.id,
                pull.claude_session_id.clone(),
                &failing,
                self.dispatcher.now(),
            )
            .await?;
        match claim {
            Claim::Granted(granted) => {
                let grant = Box::new(self.dispatcher.grant(&granted));
                tracing::debug!(
                    worker = %self.worker.id,
                    attempt = %granted.attempt.id,
                    ticket = %granted.ticket.id,
                    stage = %granted.attempt.stage,
                    "attempt granted"
                );
                faults::point!("server.grant.before_sent");
                self.sender.send(&ToShim::Grant { pull_id: pull.id, grant }).await?;
                faults::point!("server.grant.after_sent");
                Ok(())
            }
            Claim::Nothing if patient => {
                self.pull = Some(pull);
                Ok(())
            }
            Claim::Nothing | Claim::Leave => self.nothing(pull).await,
        }
    }

    async fn nothing(&mut self, pull: Pull) -> Result<(), SessionError> {
        Ok(self.sender.send(&ToShim::Empty { pull_id: pull.id }).await?)
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
