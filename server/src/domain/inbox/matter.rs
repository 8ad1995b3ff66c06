//! What waits: each item, what it is about, and its kind.

use crate::domain::bounds::Reached;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::limits::Account;
use crate::domain::names::names;
use crate::domain::outcome::Failure;
use crate::domain::pause::Pause;
use crate::domain::pause::Scope;
use crate::domain::text::Name;
use crate::domain::time::Timestamp;

names! {
    /// What waits that is not a ticket on hold, whose kind is that of its hold.
    pub enum OtherKind {
        /// Claude Code is not logged in, or its login is refused.
        Login = "login",
        QueuePaused = "queue_paused",
        ProjectPaused = "project_paused",
        ServerPaused = "server_paused",
        /// An attempt whose end cannot be accepted.
        Stuck = "stuck",
        /// A notifier whose messages do not arrive.
        Notification = "notification",
    }
}

/// Every kind of item, in the order of the declarations.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    HoldKind::NAMES.into_iter().chain(OtherKind::NAMES)
}

/// One thing that waits for somebody.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub since: Timestamp,
    /// The project it is in; `None` for the whole server.
    pub project: Option<Name>,
    pub matter: Matter,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Matter {
    /// A ticket on hold.
    Held(Held),
    Paused {
        pause: Pause,
        /// What paused a queue, when it was a failure.
        failure: Option<Failure>,
        /// The limit that paused a project, and what has been spent of it.
        limit: Option<Account>,
    },
    /// An attempt that keeps its ticket although it is over.
    Stuck {
        attempt: AttemptId,
        ticket: TicketId,
        worker: WorkerId,
        /// What its running shim reports; `None` when the shim is dead and what it left settles nothing.
        trouble: Option<String>,
    },
    /// A notifier that is paused because its messages do not arrive.
    Unheard {
        notifier: Name,
        /// Why its last try failed.
        error: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub ticket: TicketId,
    pub title: String,
    pub stage: Name,
    pub hold: Hold,
    /// The limit that would stop it again right after it is resumed.
    pub reached: Option<Reached>,
    /// Its stage has a worker type.
    pub has_type: bool,
    /// All its stages are completed but for what keeps this last one from counting.
    pub is_done: bool,
    /// The red gates that nobody has waived, when it is on hold for them.
    pub red: Vec<String>,
}

impl Item {
    /// What it is about, which is also what tells it apart: T-42, A-17, shop/implement, shop, or server.
    #[must_use]
    pub fn id(&self) -> String {
        match &self.matter {
            Matter::Held(held) => held.ticket.to_string(),
            Matter::Stuck { attempt, .. } => attempt.to_string(),
            Matter::Unheard { notifier, .. } => format!("notify:{notifier}"),
            Matter::Paused { pause, .. } => match &pause.scope {
                Scope::Everything => "server".to_owned(),
                Scope::Project(project) => project.to_string(),
                Scope::Queue { project, worker_type } => format!("{project}/{worker_type}"),
            },
        }
    }

    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.matter {
            Matter::Held(held) => held.hold.kind.name(),
            Matter::Stuck { .. } => OtherKind::Stuck.name(),
            Matter::Unheard { .. } => OtherKind::Notification.name(),
            Matter::Paused { failure: Some(Failure::Authentication), .. } => {
                OtherKind::Login.name()
            }
            Matter::Paused { pause, .. } => match &pause.scope {
                Scope::Everything => OtherKind::ServerPaused.name(),
                Scope::Project(_) => OtherKind::ProjectPaused.name(),
                Scope::Queue { .. } => OtherKind::QueuePaused.name(),
            },
        }
    }

    #[must_use]
    pub const fn ticket(&self) -> Option<TicketId> {
        match &self.matter {
            Matter::Held(held) => Some(held.ticket),
            Matter::Stuck { ticket, .. } => Some(*ticket),
            Matter::Paused { .. } | Matter::Unheard { .. } => None,
        }
    }
}
