//! What a tool works with, and how it can fail.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::disk::Room;
use crate::domain::advice::Reader;
use crate::domain::id::AttemptId;
use crate::domain::id::InvalidId;
use crate::domain::id::TicketId;
use crate::domain::refusal::Refusal;
use crate::domain::text::Invalid;
use crate::domain::time::Present;
use crate::domain::time::Timestamp;
use crate::domain::waiting::Brakes;
use crate::domain::waiting::GitStep;
use crate::mcp::seats::Waiting;
use crate::notify::Notifiers;
use crate::obstacles::Obstacles;
use crate::store;
use crate::store::Store;
use crate::store::StoreError;
use crate::templates::Templates;

/// The parts of the server the tools use. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    attempts_dir: Arc<PathBuf>,
    shutdown: CancellationToken,
    templates: Templates,
    /// The free space on the disk, if it is watched.
    room: Option<watch::Receiver<Room>>,
    /// Whether the server is draining, if that is known.
    draining: Option<watch::Receiver<bool>>,
    obstacles: Obstacles,
    pub(crate) notifiers: Notifiers,
    /// The calls that wait.
    pub(crate) waiting: Waiting,
    /// Who reads the answer of this call.
    pub(crate) reader: Reader,
    /// The consumer of events of the session that calls, when it has one of its own.
    pub(crate) consumer: Option<String>,
}

impl Service {
    /// `attempts_dir` holds the run directories. `shutdown` ends waiting calls: they answer with what they have.
    #[must_use]
    pub fn new(
        store: Store,
        clock: Clock,
        attempts_dir: PathBuf,
        shutdown: CancellationToken,
    ) -> Self {
        let (templates, waiting) = (Templates::default(), Waiting::default());
        Self {
            store,
            clock,
            attempts_dir: Arc::new(attempts_dir),
            shutdown,
            templates,
            room: None,
            draining: None,
            obstacles: Obstacles::default(),
            notifiers: Notifiers::default(),
            waiting,
            reader: Reader::default(),
            consumer: None,
        }
    }

    /// The same, for a call whose answer `reader` reads, of a session with this consumer of events.
    pub(crate) fn for_call(&self, reader: Reader, consumer: Option<String>) -> Self {
        let store = match &consumer {
            Some(consumer) => self.store.caused_by(consumer),
            None => self.store.clone(),
        };
        Self { store, reader, consumer, ..self.clone() }
    }

    /// Adds the operator's templates to the built-in ones.
    #[must_use]
    pub fn with_templates(self, templates: Templates) -> Self {
        Self { templates, ..self }
    }

    /// Queries the templates. They are files, so this runs where waiting for a disk delays no other request.
    pub(crate) async fn templates<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Templates) -> T + Send + 'static,
    ) -> T {
        let templates = self.templates.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&templates)).await;
        asked.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    /// Sets how many calls of one client may wait.
    #[must_use]
    pub(crate) fn with_waiting_calls(self, most: usize) -> Self {
        Self { waiting: Waiting::new(most), ..self }
    }

    /// Adds the free space on the disk to the metrics.
    #[must_use]
    pub fn with_room(self, room: watch::Receiver<Room>) -> Self {
        Self { room: Some(room), ..self }
    }

    /// Lets the waits of tickets report that the server is draining.
    #[must_use]
    pub fn with_draining(self, draining: watch::Receiver<bool>) -> Self {
        Self { draining: Some(draining), ..self }
    }

    /// Lets the waits of tickets report the dispatcher's obstacles.
    #[must_use]
    pub fn with_obstacles(self, obstacles: Obstacles) -> Self {
        Self { obstacles, ..self }
    }

    /// Adds the notifiers.
    #[must_use]
    pub fn with_notifiers(self, notifiers: Notifiers) -> Self {
        Self { notifiers, ..self }
    }

    /// What keeps the whole server from starting anything.
    pub(crate) fn brakes(&self) -> Brakes {
        Brakes {
            draining: self.is_draining(),
            disk_low: self.room().is_some_and(|room| room.low),
            held_back: self.obstacles.held_back(),
            launches: self.obstacles.launches(),
            offline_launches: self.obstacles.offline_launches(),
            shim_too_old: self.obstacles.is_shim_too_old(),
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.as_ref().is_some_and(|draining| *draining.borrow())
    }

    /// What git is doing for a ticket.
    pub(crate) fn git_step(&self, ticket: TicketId) -> Option<GitStep> {
        self.obstacles.git(ticket)
    }

    pub(crate) fn room(&self) -> Option<Room> {
        self.room.as_ref().map(|room| *room.borrow())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The same, for limits on how long a process has been running.
    pub(crate) fn present(&self) -> Present {
        self.clock.present()
    }

    /// The run directory of an attempt, which need not exist.
    pub(crate) fn run_dir(&self, attempt: AttemptId) -> PathBuf {
        self.attempts_dir.join(attempt.to_string())
    }

    /// Returns when the server stops.
    pub(crate) async fn stopping(&self) {
        self.shutdown.cancelled().await;
    }
}

/// Why a tool did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Error {
    Refused(Refusal),
    Failed(StoreError),
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Refused(invalid.into())
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Refused(refusal) => Self::Refused(refusal),
            store::Error::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// Reads an id, or refuses the field it came in.
pub(crate) fn id<T: FromStr<Err = InvalidId>>(field: &str, given: &str) -> Result<T> {
    given.parse().map_err(|error: InvalidId| {
        let allowed = format!("the id of a {}, such as {}-42", error.noun, error.prefix);
        Error::Refused(Refusal::invalid(field, given, allowed))
    })
}
