//! Who is notified of events.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::event::EventKind;
use crate::domain::notify::Notifier;
use crate::domain::notify::NotifierState;
use crate::domain::notify::Progress;
use crate::domain::text::Name;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct NotifierView {
    pub name: String,
    /// Where its messages go: a command, or the host of a webhook.
    pub target: String,
    /// The kinds of events that it passes on.
    #[schemars(extend("items" = {"type": "string", "enum": kinds()}))]
    pub events: Vec<String>,
    /// Only events of these projects; null for all.
    pub projects: Option<Vec<String>>,
    /// When its messages are held, in the time zone of the server.
    pub quiet_hours: Option<String>,
    #[schemars(extend("enum" = states()))]
    pub state: String,
    /// Every event up to this seq was delivered, or is none of its own.
    pub delivered_up_to: Option<i64>,
    /// When a message last arrived.
    pub delivered_at: Option<String>,
    /// Why the last try failed, in the words of its receiver.
    pub error: Option<String>,
    pub failing_since: Option<String>,
    /// Failed tries of the message under way.
    pub tries: u32,
    /// When it tries again by itself.
    pub next_try_at: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct Notifiers {
    pub notifiers: Vec<NotifierView>,
}

fn kinds() -> [&'static str; EventKind::ALL.len()] {
    EventKind::NAMES
}

fn states() -> [&'static str; NotifierState::ALL.len()] {
    NotifierState::NAMES
}

impl NotifierView {
    /// A configured notifier, and how far it is, if that is known yet.
    #[must_use]
    pub fn new(notifier: Notifier, progress: Option<&Progress>, is_quiet: bool) -> Self {
        let idle = if is_quiet { NotifierState::Quiet } else { NotifierState::Active };
        let state = progress.map_or(idle, |progress| progress.state(is_quiet));
        let failing = progress.filter(|progress| progress.failing_since.is_some());
        let next = failing.filter(|progress| progress.paused_at.is_none());
        let names = |names: Vec<Name>| names.into_iter().map(Name::into_string).collect();
        Self {
            target: notifier.target.shown(),
            name: notifier.name.into_string(),
            events: notifier.events.iter().map(|kind| kind.name().to_owned()).collect(),
            projects: notifier.projects.map(names),
            quiet_hours: notifier.quiet_hours.map(|hours| hours.to_string()),
            state: state.name().to_owned(),
            delivered_up_to: progress.map(|progress| progress.cursor.0),
            delivered_at: progress.and_then(|it| it.delivered_at).map(|at| at.to_string()),
            error: progress.and_then(|progress| progress.error.clone()),
            failing_since: failing.and_then(|it| it.failing_since).map(|at| at.to_string()),
            tries: progress.map_or(0, |progress| progress.tries),
            next_try_at: next.map(|progress| progress.not_before.to_string()),
        }
    }
}
