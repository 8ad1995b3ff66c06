//! One try of one message.

use tokio::time::timeout;

use super::command;
use super::message::Outgoing;
use super::webhook;
use crate::domain::notify::Failed;
use crate::domain::notify::Notifier;
use crate::domain::notify::Target;
use crate::domain::time::Timestamp;
use crate::state::owned::Owners;

/// Sends the message, within the time that the notifier has for it.
pub(super) async fn deliver(
    notifier: &Notifier,
    message: &Outgoing,
    now: Timestamp,
) -> Result<(), Failed> {
    let sent = async {
        match &notifier.target {
            Target::Command(argv) => command::run(argv, message).await,
            Target::Webhook(to) => webhook::post(to, message, now).await,
        }
    };
    let late = || Failed::new(format!("it took longer than {} s", notifier.timeout.as_secs()));
    timeout(notifier.timeout, sent).await.unwrap_or_else(|_| Err(late()))
}

/// What keeps a notifier from sending anything, as far as that can be seen without sending.
#[must_use]
pub fn unusable(notifier: &Notifier, owners: Owners) -> Option<String> {
    match &notifier.target {
        Target::Command(_) => None,
        Target::Webhook(webhook) => webhook::key(webhook, owners).err(),
    }
}
