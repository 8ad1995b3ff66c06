//! The store against a real file and the real migrations. Time is whatever a test says it is.

mod bill;
mod checks;
mod claims;
mod cleanup;
mod dearest;
mod ends;
mod events;
mod families;
mod files;
mod gates;
mod groups;
mod held;
mod history;
mod hold_kinds;
mod inbox;
mod ledger;
mod limits;
mod notifiers;
mod offline;
mod pages;
mod pauses;
mod planned;
mod plans;
mod portable;
mod stopping;
mod summaries;
mod sums;
mod tickets;
mod traces;
mod updates;
mod warnings;
mod workers;
mod worktrees;

use tempfile::TempDir;

use super::Beginning;
use super::Claim;
use super::EndReport;
use super::Ending;
use super::Error;
use super::Granted;
use super::Rules;
use super::Store;
use super::Work;
use crate::domain::attempt::Spent;
use crate::domain::checks::Kept;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::outcome::StageOutcome;
use crate::domain::outcome::StageResult;
use crate::domain::outcome::Verdict;
use crate::domain::pipeline::Policy;
use crate::domain::project::NewProject;
use crate::domain::project_limits::ProjectLimitsChange;
use crate::domain::refusal::Refusal;
use crate::domain::text::Name;
use crate::domain::ticket::NewTicket;
use crate::domain::ticket::Plan;
use crate::domain::ticket::Priority;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::domain::worktree::DiffStat;
use crate::domain::worktree::Head;
use crate::domain::worktree::Isolation;
use crate::domain::worktree::OnComplete;
use crate::domain::worktree::Worktree;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_000_000);
pub(super) const RULES: Rules = Rules {
    policy: Policy { max_rework: 3, retry: BACKOFF, overload: BACKOFF, again: BACKOFF },
    max_workers: 16,
    max_gates: 4,
    max_usd_per_day: None,
    budget_warning_percent: 80,
    max_descendants: 100,
};
const BACKOFF: crate::domain::retry::Backoff = crate::domain::retry::Backoff {
    first: std::time::Duration::from_secs(10),
    most: std::time::Duration::from_secs(60),
};

impl Store {
    /// [`Store::ticket_at`] for tests, whose time stands still.
    pub(crate) async fn ticket(&self, id: TicketId) -> super::Result<super::TicketDetail> {
        self.ticket_at(id, super::History::default(), NOW).await
    }
}

/// A store with the project `shop` and the worker types `plan`, `impl` and `review`.
pub(super) struct Bed {
    pub(super) store: Store,
    pub(super) dir: TempDir,
}

impl Bed {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(&dir.path().join("test.db"), RULES, NOW).await.expect("opens");
        let new = NewProject {
            name: name("shop"),
            path: "/srv/shop".into(),
            directory: "/srv/shop".into(),
            isolation: Isolation::Worktree,
            on_complete: OnComplete::Keep,
            description: String::new(),
            rules: String::new(),
            patterns: String::new(),
            limits: ProjectLimitsChange::default(),
        };
        store.create_project(new, NOW).await.expect("a project");
        for kind in ["plan", "impl", "review"] {
            let settings = WorkerTypeSettings {
                max_workers: 8,
                ..WorkerTypeSettings::with_prompt("Do.".into())
            };
            store.create_worker_type("shop", name(kind), settings, NOW).await.expect("a type");
        }
        Self { store, dir }
    }

    pub(super) fn new_ticket(plan: &[&str]) -> NewTicket {
        NewTicket {
            project: name("shop"),
            title: "Fix it".into(),
            description: String::new(),
            plan: Plan::new(plan.iter().map(|stage| name(stage)).collect()).expect("a plan"),
            priority: Priority::Normal,
            depends_on: Vec::new(),
            idempotency_key: None,
        }
    }

    pub(super) async fn ticket(&self, plan: &[&str]) -> Ticket {
        self.store.create_ticket(Self::new_ticket(plan), NOW).await.expect("a ticket")
    }

    pub(super) async fn read(&self, id: TicketId) -> Ticket {
        self.store.ticket(id).await.expect("the ticket").ticket
    }

    /// A worker that has said hello.
    pub(super) async fn worker(&self, kind: &str) -> WorkerId {
        let id = self.store.request_workers("shop", kind, 1, NOW).await.expect("a worker")[0].id;
        assert!(self.store.mark_launched(id, "f".repeat(64), NOW).await.expect("launched"));
        self.store.worker_hello(id, 4711, None, NOW).await.expect("hello");
        id
    }

    /// Says of every worktree that it is ready, as the dispatcher does once git has made it.
    pub(super) async fn prepare(&self) {
        for ticket in self.store.unprepared().await.expect("a list") {
            let found =
                self.store.unprepared_ticket(ticket).await.expect("a look").expect("listed");
            if found.ticket.work.is_none() {
                self.store
                    .begin_worktree(ticket, beginning(worktree(ticket)))
                    .await
                    .expect("begun");
            }
            self.store.worktree_ready(ticket, None, None, NOW).await.expect("ready");
        }
    }

    pub(super) async fn claim(&self, worker: WorkerId, pull: &str) -> Claim {
        self.prepare().await;
        self.store.claim(worker, pull, format!("session-{pull}"), NOW).await.expect("a claim")
    }

    pub(super) async fn granted(&self, worker: WorkerId, pull: &str) -> Granted {
        let claim = self.claim(worker, pull).await;
        let Claim::Granted(granted) = claim else { panic!("expected a grant, got {claim:?}") };
        *granted
    }

    pub(super) async fn end(&self, attempt: AttemptId, verdict: Verdict) -> EndReport {
        self.store.end_attempt(ending(attempt, verdict), NOW).await.expect("an end")
    }

    /// A connection that bypasses the store.
    pub(super) async fn raw(&self) -> sqlx::SqliteConnection {
        use sqlx::ConnectOptions as _;

        sqlx::sqlite::SqliteConnectOptions::new()
            .filename(self.dir.path().join("test.db"))
            .busy_timeout(std::time::Duration::from_secs(5))
            .disable_statement_logging()
            .connect()
            .await
            .expect("a connection")
    }

    /// How many events of a kind there are.
    pub(super) async fn count_of(&self, kind: crate::domain::event::EventKind) -> usize {
        let sql = "SELECT COUNT(*) FROM event WHERE kind = ?1";
        let count: i64 = sqlx::query_scalar(sql)
            .bind(kind.name())
            .fetch_one(&mut self.raw().await)
            .await
            .expect("a count");
        usize::try_from(count).expect("a count")
    }

    pub(super) async fn kinds(&self) -> Vec<&'static str> {
        let query = super::EventQuery {
            after: None,
            include_processed: true,
            scope: super::EventScope::default(),
            consumer: "test".into(),
            limit: 1000,
        };
        let page = self.store.events(query).await.expect("events");
        page.events.iter().map(|event| event.kind.name()).collect()
    }
}

pub(super) fn name(text: &str) -> Name {
    Name::from_row(text.to_owned())
}

pub(super) fn worktree(ticket: TicketId) -> Worktree {
    Worktree {
        repository: "/srv/shop/.git".into(),
        path: format!("/state/worktrees/shop/{ticket}"),
        prefix: String::new(),
        branch: format!("vibe-ensemble/{ticket}"),
        base_branch: Some("refs/heads/main".into()),
        base_commit: "b".repeat(40),
        head: Head { commit: "b".repeat(40), stat: DiffStat::default() },
        owed: None,
        landing: false,
        merged_commit: None,
        removed: false,
        set_up: false,
        directory: None,
    }
}

/// A worktree without settings.
pub(super) fn beginning(work: Worktree) -> Beginning {
    Beginning { work, kept: Kept::default(), busy_ports: Vec::new() }
}

pub(super) fn ending(attempt: AttemptId, verdict: Verdict) -> Ending {
    Ending {
        attempt,
        verdict,
        exit_code: Some(0),
        signal: None,
        spent: Spent { cost_usd: Some(0.25), num_turns: Some(3), ..Spent::default() },
        had_session: true,
        last_words: None,
        usage: None,
        record: Some("{}".into()),
        work: Work::None,
        cancelled: false,
    }
}

pub(super) fn completed() -> Verdict {
    said(StageOutcome::Completed)
}

pub(super) fn said(outcome: StageOutcome) -> Verdict {
    Verdict::Succeeded(StageResult { outcome, report: "the report".into(), tickets: Vec::new() })
}

pub(super) fn refusal<T: std::fmt::Debug>(result: super::Result<T>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}
