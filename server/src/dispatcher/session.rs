//! One shim's conversation with the server, from its welcome to its goodbye or a broken link.

use std::time::Duration;

use shim_protocol::exit::ExitRecord;
use shim_protocol::frame::Decoded;
use shim_protocol::message;
use shim_protocol::message::Hello;
use shim_protocol::message::ToServer;
use shim_protocol::message::ToShim;
use shim_protocol::message::Welcome;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::background::Background;
use super::claims::Answer;
use super::claims::Claims;
use super::claims::Pull;
use super::completion::Completions;
use super::settings::Current;
use crate::clock::Clock;
use crate::domain::attempt::AttemptState;
use crate::domain::id::AttemptId;
use crate::domain::stopping::Gone;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::shim::facts;
use crate::shim::link;
use crate::shim::link::LinkError;
use crate::store;
use crate::store::Store;
use crate::telemetry::outside;

/// How long, at most, until an open pull is checked again.
const HELD: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("a newer link of the same worker took over")]
    Replaced,
}

/// What every session may use.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) settings: Current,
    pub(super) completions: Completions,
    pub(super) claims: Claims,
    pub(super) background: Background,
}

/// The conversation with one admitted shim.
pub(super) struct Session<'s> {
    pub(super) shared: &'s Shared,
    pub(super) worker: Worker,
    pub(super) receiver: link::Receiver,
    pub(super) sender: link::Sender,
    pub(super) inbox: UnboundedReceiver<ToShim>,
    pub(super) pull: Option<Pull>,
    /// What keeps its attempt from ending, according to its shim's last report.
    pub(super) trouble: Option<String>,
    pub(super) gone: bool,
}

impl Session<'_> {
    /// Speaks until one side ends the link.
    pub(super) async fn converse(
        &mut self,
        protocol: u16,
        hello: &Hello,
    ) -> Result<(), SessionError> {
        let heartbeat_ms =
            u64::try_from(self.shared.settings.get().heartbeat.as_millis()).unwrap_or(u64::MAX);
        let build = env!("CARGO_PKG_VERSION").to_owned();
        self.sender.send(&ToShim::Welcome(Welcome { protocol, build, heartbeat_ms })).await?;
        faults::point!("server.hello.welcomed");
        self.adopt(hello).await?;
        // Requests for this worker may have come while it had no link.
        self.shared.background.look_again();
        let mut level = self.shared.store.level();
        let mut held_back = self.shared.claims.brakes.held_back();
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

    /// A shim that arrives with an attempt keeps it, unless something else has ended that attempt
    /// meanwhile.
    async fn adopt(&mut self, hello: &Hello) -> Result<(), SessionError> {
        let Some(live) = &hello.live_attempt else { return Ok(()) };
        let found = match live.parse::<AttemptId>() {
            Ok(id) => self.shared.store.attempt(id).await?,
            Err(_) => None,
        };
        match found.filter(|attempt| attempt.worker == self.worker.id).map(|attempt| attempt.state)
        {
            Some(AttemptState::Granted | AttemptState::Running) => {
                tracing::info!(worker = %self.worker.id, attempt = %outside(live), "a running worker was adopted with its attempt");
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
        let store = &self.shared.store;
        match message {
            ToServer::Pull { pull_id } => {
                let patience = Instant::now() + self.shared.settings.get().linger;
                self.pull = Some(Pull::new(pull_id, patience));
            }
            ToServer::Started { attempt_id, child_pid, at_ms } => {
                if let Ok(attempt) = attempt_id.parse()
                    && self.holds(attempt).await?
                {
                    let at = Timestamp::from_millis(at_ms);
                    let now = self.shared.clock.now();
                    store.attempt_started(attempt, i64::from(child_pid), at, now).await?;
                }
            }
            ToServer::Heartbeat { progress, trouble } => {
                let told = progress.as_ref().and_then(|progress| {
                    let attempt = progress.attempt_id.parse().ok()?;
                    Some((attempt, facts::usage_limit(progress.usage_limit.as_ref()?)))
                });
                if let Some((attempt, told)) = told {
                    let told = told.believed(self.shared.clock.now());
                    self.shared.completions.heed_usage_limit(attempt, &told).await?;
                }
                let memory = progress.and_then(|p| i64::try_from(p.memory_bytes?).ok());
                let trouble = trouble.filter(|said| !said.is_empty());
                if trouble != self.trouble {
                    if let Some(trouble) = &trouble {
                        tracing::error!(worker = %self.worker.id, trouble, "a shim reports that it cannot end its attempt");
                    }
                    self.trouble.clone_from(&trouble);
                }
                let now = self.shared.clock.now();
                store.worker_heartbeat(self.worker.id, memory, trouble, now).await?;
            }
            // The record need not be on disk at the shim: what is committed here is on disk here.
            ToServer::Completed { attempt_id, record, unsealed } => {
                if unsealed {
                    tracing::warn!(worker = %self.worker.id, attempt = %outside(&attempt_id), "a result that could not be written to disk was taken over the link");
                }
                self.take_report(attempt_id, &record).await?;
            }
            ToServer::Goodbye { reason } => {
                let why = Gone::Said(reason);
                store.worker_stopped(self.worker.id, why, self.shared.clock.now()).await?;
                self.gone = true;
            }
            ToServer::Hello(_) => {
                tracing::warn!(worker = %self.worker.id, "a shim said hello twice on one link");
            }
            ToServer::Unsupported { unsupported } => {
                tracing::warn!(worker = %self.worker.id, kind = %outside(&unsupported), "a shim does not know a kind of message; it is too old for it");
            }
        }
        Ok(())
    }

    /// Whether an attempt belongs to this worker or is unknown: a restored database may have
    /// forgotten it.
    async fn holds(&self, attempt: AttemptId) -> store::Result<bool> {
        let found = self.shared.store.attempt(attempt).await?;
        let holds = found.is_none_or(|found| found.worker == self.worker.id);
        if !holds {
            tracing::error!(worker = %self.worker.id, %attempt, "a worker spoke for an attempt of another worker; it was ignored");
        }
        Ok(holds)
    }

    /// Commits a completion, then acknowledges it. If it cannot be committed, the link is dropped:
    /// the shim keeps its record and repeats it on the next link.
    async fn take_report(
        &mut self,
        attempt_id: String,
        record: &ExitRecord,
    ) -> Result<(), SessionError> {
        let ours = record.server_id == self.shared.store.server_id()
            && record.attempt_id == attempt_id
            && record.worker_id == self.worker.id.to_string();
        let verdict = match attempt_id.parse::<AttemptId>() {
            Ok(attempt) if ours && self.holds(attempt).await? => {
                match self.shared.completions.complete(attempt, record).await {
                    Ok(verdict) => verdict,
                    Err(error) => {
                        // Without a pause, a full disk would make the shim redial in a tight loop.
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        return Err(error.into());
                    }
                }
            }
            Ok(_) | Err(_) => {
                tracing::warn!(worker = %self.worker.id, attempt = %outside(&attempt_id), "a report that does not belong to this worker was set aside");
                message::AckVerdict::Parked
            }
        };
        faults::point!("server.ack.before_sent");
        faults::trace!("ack-sent", attempt_id);
        self.sender.send(&ToShim::Ack { attempt_id, verdict }).await?;
        faults::point!("server.ack.after_sent");
        Ok(())
    }

    /// Claims for the open pull, or answers that there is no work.
    async fn answer_pull(&mut self) -> Result<(), SessionError> {
        let Some(mut pull) = self.pull.take() else { return Ok(()) };
        let linger = self.shared.settings.get().linger;
        match self.shared.claims.answer(&self.worker, &mut pull).await? {
            Answer::HeldBack => pull.patience = Instant::now() + linger.max(HELD),
            Answer::Wait => {}
            Answer::Grant(grant) => {
                faults::point!("server.grant.before_sent");
                self.sender.send(&ToShim::Grant { pull_id: pull.id, grant }).await?;
                faults::point!("server.grant.after_sent");
                return Ok(());
            }
            Answer::Nothing => {
                return Ok(self.sender.send(&ToShim::Empty { pull_id: pull.id }).await?);
            }
        }
        self.pull = Some(pull);
        Ok(())
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
