//! One notifier at work: it reads what comes after its cursor, sends it, and moves the cursor.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::deliver::deliver;
use super::message;
use super::message::Outgoing;
use super::notifiers::quiet_minutes;
use crate::clock::Clock;
use crate::domain::notify::After;
use crate::domain::notify::Message;
use crate::domain::notify::Notifier;
use crate::domain::notify::Progress;
use crate::domain::notify::after_failure;
use crate::domain::text;
use crate::journal;
use crate::store::Result;
use crate::store::Store;
use crate::telemetry::chain;

/// The most events of one message.
const MOST: i64 = 100;
/// Messages are at least this far apart: of many events, the first arrives at once and the others together.
const APART: Duration = Duration::from_secs(1);
/// Looks are at least this far apart, however many commits there are.
const LOOKS_APART: Duration = Duration::from_millis(200);
/// Without any commit, it looks this often; a lost wake-up costs this much. The clocks of its place may be set meanwhile.
const TICK: Duration = Duration::from_mins(1);
/// How long until it looks again after the database failed.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// A cursor that is this far behind the log moves although nothing is sent: retention keeps what is after it.
const BEHIND: i64 = 1000;

pub(super) struct Consumer {
    pub(super) notifier: Notifier,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) stop: CancellationToken,
    /// When the next message may leave.
    pub(super) next: Instant,
}

impl Consumer {
    /// Works until it is stopped. A try under way is given up then; the same message is sent again later.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        let mut level = self.store.level();
        loop {
            level.mark_unchanged();
            let looked = Instant::now();
            let wait = match self.once().await {
                Ok(wait) => wait,
                Err(error) => {
                    let notifier = self.notifier.name.as_str();
                    tracing::error!(notifier, error = %chain(&error), "a notifier could not use the database; it tries again");
                    tokio::time::sleep(AFTER_ERROR).await;
                    continue;
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = level.changed() => if changed.is_err() { return },
            }
            tokio::time::sleep_until(looked + LOOKS_APART).await;
        }
    }

    /// Sends at most one message. Returns how long to wait if nothing changes.
    async fn once(&mut self) -> Result<Duration> {
        let name = &self.notifier.name;
        let Some(progress) = self.store.notifier(name).await? else { return Ok(TICK) };
        let now = self.clock.now();
        if progress.paused_at.is_some() || !progress.is_configured {
            return Ok(TICK);
        }
        if progress.not_before > now {
            return Ok(progress.not_before.since(now).min(TICK));
        }
        if let Some(minutes) = quiet_minutes(&self.notifier, now) {
            return Ok(Duration::from_mins(u64::from(minutes)).min(TICK));
        }
        let early = self.next.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            return Ok(early);
        }
        let (message, tries) = match progress.sending.clone() {
            Some(message) => (message, progress.tries),
            None => match self.begin(&progress).await? {
                Some(message) => (message, 0),
                None => return Ok(TICK),
            },
        };
        self.send(&message, tries).await?;
        Ok(Duration::ZERO)
    }

    /// Puts the next message together, and keeps which it is before its first try.
    async fn begin(&self, progress: &Progress) -> Result<Option<Message>> {
        let Notifier { name, events, projects, .. } = &self.notifier;
        let cursor = progress.cursor;
        let next = self.store.next_events(cursor, events, projects.as_deref(), MOST).await?;
        let (Some(first), Some(last)) = (next.events.first(), next.events.last()) else {
            if next.last_seq.0 - cursor.0 >= BEHIND {
                self.store.skip_events(name, cursor, next.last_seq).await?;
            }
            return Ok(None);
        };
        let id = format!("msg_{}_{}_{}-{}", self.store.server_id(), progress.key, first.0, last.0);
        let message = Message { id, events: next.events };
        let begun = self.store.begin_message(name, cursor, &message).await?;
        Ok(begun.then_some(message))
    }

    async fn send(&mut self, message: &Message, tries: u32) -> Result<()> {
        let name = &self.notifier.name;
        let events = self.store.events_numbered(&message.events).await?;
        // Retention has removed what nobody received for too long.
        let is_empty = events.is_empty();
        let outgoing = Outgoing { id: message.id.clone(), body: message::body(events) };
        faults::point!("server.notify.before_send");
        let now = self.clock.now();
        let sent = if is_empty { Ok(()) } else { deliver(&self.notifier, &outgoing, now).await };
        faults::point!("server.notify.after_send");
        let now = self.clock.now();
        let failed = match sent {
            Ok(()) => {
                self.next = Instant::now() + APART;
                if tries > 0 {
                    tracing::info!(
                        notifier = name.as_str(),
                        "a message of a notifier arrived after all"
                    );
                }
                return self.store.message_delivered(name, message, now).await;
            }
            Err(failed) => failed,
        };
        let why = text::shown(&failed.why);
        let after = after_failure(&failed, tries.saturating_add(1), self.notifier.max_tries, now);
        self.store.message_failed(name, message, &why, after, now).await?;
        match after {
            After::Pause => {
                tracing::error!(
                    name: journal::NOTIFIER_PAUSED,
                    notifier = name.as_str(),
                    why,
                    "a notifier is paused: its message could not be delivered"
                );
            }
            After::Retry(at) if tries == 0 => {
                tracing::warn!(notifier = name.as_str(), why, next = %at, "a message of a notifier could not be delivered; it is tried again");
            }
            After::Retry(at) => {
                tracing::debug!(notifier = name.as_str(), why, next = %at, "a message of a notifier could not be delivered; it is tried again");
            }
        }
        Ok(())
    }
}
