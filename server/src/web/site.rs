//! What pages are made from.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Mutex;
use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::mcp::Access;
use crate::mcp::Desk;
use crate::mcp::desk::DeskResult;
use crate::web::hub::Hub;
use crate::web::jobs::Jobs;
use crate::wire::inbox::Inbox;
use crate::wire::status::ServerStatus;

/// One setting of the server, as it is in effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub name: &'static str,
    pub value: Value,
    /// Where it comes from.
    pub source: String,
    pub doc: String,
}

/// How to run the checks of `doctor` for this very server.
#[derive(Clone, Debug)]
pub struct Doctor {
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

/// What only the composition root knows.
#[derive(Clone, Debug)]
pub struct About {
    pub settings: watch::Receiver<Vec<Setting>>,
    pub doctor: Doctor,
}

/// Everything that a page may need. One for the server.
pub(crate) struct Site {
    pub(crate) desk: Desk,
    pub(crate) access: Access,
    pub(crate) about: About,
    pub(crate) hub: Hub,
    pub(crate) jobs: Jobs,
    /// Bodies of forms that are read at a time.
    pub(crate) bodies: Semaphore,
    /// Looks into repositories, transcripts and programs at a time: each may wait for a disk.
    pub(crate) looks: Semaphore,
    kept: Mutex<Option<Kept>>,
}

/// Bodies that are read at a time; with the size of one they bound the memory.
const BODIES: usize = 16;
/// Slow looks at a time.
const LOOKS: usize = 8;

/// What every page shows of the server.
#[derive(Debug)]
pub(crate) struct Now {
    pub(crate) status: ServerStatus,
    pub(crate) inbox: Inbox,
    /// The newest event at the time.
    pub(crate) seq: i64,
}

impl Now {
    /// How many items wait: the number, with a plus where there are more.
    pub(crate) fn waiting(&self) -> String {
        let more = if self.inbox.next_cursor.is_some() { "+" } else { "" };
        format!("{}{more}", self.inbox.items.len())
    }

    /// The pause of everything, if there is one.
    pub(crate) fn is_paused(&self) -> bool {
        self.status.pauses.iter().any(|pause| pause.scope == "everything")
    }
}

struct Kept {
    level: u64,
    at: Instant,
    now: Arc<Now>,
}

/// How old what is not in the database may be.
const FRESH: std::time::Duration = std::time::Duration::from_secs(1);

impl Site {
    pub(crate) fn new(desk: Desk, access: Access, about: About) -> Self {
        Self {
            hub: Hub::new(),
            jobs: Jobs::default(),
            bodies: Semaphore::new(BODIES),
            looks: Semaphore::new(LOOKS),
            kept: Mutex::new(None),
            desk,
            access,
            about,
        }
    }

    /// What the server is doing. Read once for as many pages as ask for it until something changes.
    pub(crate) async fn now(&self) -> DeskResult<Arc<Now>> {
        let mut kept = self.kept.lock().await;
        // The level first: what is committed while we read makes the next page read again.
        let level = *self.desk.level().borrow();
        if let Some(kept) = kept.as_ref()
            && kept.level == level
            && kept.at.elapsed() < FRESH
        {
            return Ok(Arc::clone(&kept.now));
        }
        let seq = self.desk.newest_event().await?;
        let status = self.desk.status().await?;
        let inbox = self.desk.ask("list_inbox", serde_json::json!({"limit": 200})).await?;
        let now = Arc::new(Now { status, inbox, seq });
        *kept = Some(Kept { level, at: Instant::now(), now: Arc::clone(&now) });
        Ok(now)
    }
}
