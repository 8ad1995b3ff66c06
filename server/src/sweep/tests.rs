//! The jobs against a real store and real directories. Each test sets the time.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::fs::flock;

use super::*;
use crate::domain::attempt::Spent;
use crate::domain::checks::Kept;
use crate::domain::id::AttemptId;
use crate::domain::id::EventSeq;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::outcome::StageOutcome;
use crate::domain::outcome::StageResult;
use crate::domain::outcome::Verdict;
use crate::domain::pipeline::Policy;
use crate::domain::project::NewProject;
use crate::domain::project_limits::ProjectLimitsChange;
use crate::domain::retry::Backoff;
use crate::domain::stopping::Gone;
use crate::domain::text::Name;
use crate::domain::ticket::NewTicket;
use crate::domain::ticket::Plan;
use crate::domain::ticket::Priority;
use crate::domain::ticket::Resolution;
use crate::domain::time::Timestamp;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::domain::worktree::DiffStat;
use crate::domain::worktree::Head;
use crate::domain::worktree::Isolation;
use crate::domain::worktree::OnComplete;
use crate::domain::worktree::Worktree;
use crate::git::Repositories;
use crate::git::stand::Place;
use crate::store::Beginning;
use crate::store::Claim;
use crate::store::Ending;
use crate::store::EventMarks;
use crate::store::EventQuery;
use crate::store::EventScope;
use crate::store::Rules;
use crate::store::Store;
use crate::store::Work;

const DAY: Duration = Duration::from_secs(86_400);
const KEEP: Option<Duration> = Some(Duration::from_secs(30 * 86_400));
const THEN: Timestamp = Timestamp::from_millis(1_000_000);

/// A worktree without settings.
fn beginning(work: Worktree) -> Beginning {
    Beginning { work, kept: Kept::default(), busy_ports: Vec::new() }
}

struct Bed {
    store: Store,
    dir: tempfile::TempDir,
}

impl Bed {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let backoff = Backoff { first: Duration::from_secs(10), most: Duration::from_secs(60) };
        let policy = Policy { max_rework: 3, retry: backoff, overload: backoff, again: backoff };
        let rules = Rules {
            policy,
            max_workers: 100,
            max_gates: 4,
            max_usd_per_day: None,
            budget_warning_percent: 80,
            max_descendants: 100,
        };
        let store = Store::open(&dir.path().join("test.db"), rules, THEN).await.unwrap();
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
        store.create_project(new, THEN).await.unwrap();
        let settings = WorkerTypeSettings {
            max_workers: 100,
            ..WorkerTypeSettings::with_prompt("Do.".into())
        };
        store.create_worker_type("shop", name("impl"), settings, THEN).await.unwrap();
        for part in ["attempts", "workers"] {
            fs::create_dir(dir.path().join(part)).unwrap();
        }
        Self { store, dir }
    }

    fn attempts(&self) -> PathBuf {
        self.dir.path().join("attempts")
    }

    fn workers(&self) -> PathBuf {
        self.dir.path().join("workers")
    }

    async fn ticket(&self) -> TicketId {
        let new = NewTicket {
            project: name("shop"),
            title: "Fix it".into(),
            description: String::new(),
            plan: Plan::new(vec![name("impl")]).unwrap(),
            priority: Priority::Normal,
            depends_on: Vec::new(),
            idempotency_key: None,
        };
        self.store.create_ticket(new, THEN).await.unwrap().id
    }

    /// A worktree of the repository in this directory, which need not exist.
    fn worktree(&self, ticket: TicketId) -> Worktree {
        let path = |name: &str| self.dir.path().join(name).to_str().unwrap().to_owned();
        Worktree {
            repository: path("user/.git"),
            path: path(&format!("worktrees/{ticket}")),
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

    /// A ticket whose one stage is running, with the files that its shim would have made.
    async fn running(&self) -> (TicketId, AttemptId, WorkerId) {
        let ticket = self.ticket().await;
        self.store.begin_worktree(ticket, beginning(self.worktree(ticket))).await.unwrap();
        self.store.worktree_ready(ticket, None, None, Timestamp::from_millis(0)).await.unwrap();
        let worker = self.store.request_workers("shop", "impl", 1, THEN).await.unwrap()[0].id;
        assert!(self.store.mark_launched(worker, "f".repeat(64), THEN).await.unwrap());
        self.store.worker_hello(worker, 4711, None, THEN).await.unwrap();
        let claim = self.store.claim(worker, &ticket.to_string(), "s".into(), THEN).await.unwrap();
        let Claim::Granted(granted) = claim else { panic!("expected a grant, got {claim:?}") };
        self.run_dir(granted.attempt.id);
        fs::write(self.lock(worker), "4711\n").unwrap();
        (ticket, granted.attempt.id, worker)
    }

    fn run_dir(&self, attempt: AttemptId) -> PathBuf {
        let path = self.attempts().join(attempt.to_string());
        fs::create_dir(&path).unwrap();
        fs::write(path.join("exit.json"), "{}").unwrap();
        path
    }

    fn lock(&self, worker: WorkerId) -> PathBuf {
        self.workers().join(format!("{worker}.lock"))
    }

    /// Like [`Bed::running`], but over: ticket closed, worker stopped.
    async fn over(&self) -> (AttemptId, WorkerId) {
        let (_, attempt, worker) = self.running().await;
        self.end(attempt, StageOutcome::Completed).await;
        self.store.worker_stopped(worker, Gone::Said("done".into()), THEN).await.unwrap();
        (attempt, worker)
    }

    async fn end(&self, attempt: AttemptId, outcome: StageOutcome) {
        let ending = Ending {
            attempt,
            verdict: Verdict::Succeeded(StageResult {
                outcome,
                report: "done".into(),
                tickets: Vec::new(),
            }),
            exit_code: Some(0),
            signal: None,
            spent: Spent::default(),
            usage: None,
            had_session: true,
            last_words: None,
            record: Some("{}".into()),
            work: Work::None,
            cancelled: false,
        };
        self.store.end_attempt(ending, THEN).await.unwrap();
    }

    async fn run_dirs(&self, keep: Option<Duration>, now: Timestamp) -> Swept {
        run_dirs::run_once(&self.store, &self.attempts(), keep, now).await.unwrap()
    }

    async fn locks(&self, now: Timestamp) -> Swept {
        worker_locks::run_once(&self.store, &self.workers(), KEEP, now).await.unwrap()
    }

    async fn seqs(&self) -> Vec<i64> {
        let query = EventQuery {
            after: None,
            include_processed: true,
            scope: EventScope::default(),
            consumer: "test".into(),
            limit: 10_000,
        };
        let page = self.store.events(query).await.unwrap();
        page.events.iter().map(|event| event.seq.0).collect()
    }
}

fn name(text: &str) -> Name {
    Name::from_row(text.to_owned())
}

fn after(days: u32) -> Timestamp {
    THEN.after(DAY * days)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn marked_events_are_removed_up_to_the_first_unmarked_and_all_after_four_times_as_long() {
    let bed = Bed::new().await;
    for _ in 0..4 {
        bed.ticket().await;
    }
    let marks = EventMarks::UpTo(EventSeq(2));
    bed.store.mark_events("coordinator", EventScope::default(), marks, THEN).await.unwrap();
    let single = EventMarks::Seqs(vec![EventSeq(4)]);
    bed.store.mark_events("coordinator", EventScope::default(), single, THEN).await.unwrap();
    // Another consumer's marks keep nothing and release nothing.
    bed.store
        .mark_events("other", EventScope::default(), EventMarks::UpTo(EventSeq(3)), THEN)
        .await
        .unwrap();

    let sweep = |now| events::run_once(&bed.store, KEEP, now);
    assert_eq!(sweep(after(29)).await.unwrap().removed, 0);
    assert_eq!(sweep(after(31)).await.unwrap().removed, 2);
    assert_eq!(bed.seqs().await, [3, 4], "the log has no gaps");
    assert_eq!(sweep(after(119)).await.unwrap().removed, 0);
    assert_eq!(sweep(after(121)).await.unwrap().removed, 2);
    bed.ticket().await;
    assert_eq!(bed.seqs().await, [5], "a number is never used again");
}

#[tokio::test]
async fn many_events_go_in_batches_and_all_of_them() {
    let bed = Bed::new().await;
    for _ in 0..1201 {
        bed.ticket().await;
    }
    let swept = events::run_once(&bed.store, KEEP, after(121)).await.unwrap();
    assert_eq!(swept, Swept { removed: 1201, unknown: 0 });
    assert_eq!(bed.seqs().await, Vec::<i64>::new());
}

#[tokio::test]
async fn run_directories_go_when_attempt_and_ticket_are_long_over() {
    let bed = Bed::new().await;
    let (over, _) = bed.over().await;
    let (_, live, _) = bed.running().await;
    let (held_ticket, held, _) = bed.running().await;
    bed.end(held, StageOutcome::Blocked { question: Some("which?".into()) }).await;
    let (suspect_ticket, suspect, _) = bed.running().await;
    bed.store.attempt_suspect(suspect).await.unwrap();
    bed.store.close_ticket(suspect_ticket, Resolution::Cancelled, None, THEN).await.unwrap();
    let (locked, _) = bed.over().await;
    let lock = File::create(bed.attempts().join(locked.to_string()).join("tree.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let (last, _) = bed.over().await;

    assert_eq!(bed.run_dirs(KEEP, after(29)).await, Swept::default());
    assert_eq!(bed.run_dirs(None, after(9999)).await, Swept::default());
    assert_eq!(bed.run_dirs(KEEP, after(31)).await, Swept { removed: 1, unknown: 0 });
    let left = [live, held, suspect, locked, last].map(|attempt| attempt.to_string());
    assert_eq!(names(&bed.attempts()), left, "{over} is gone and nothing else");
    drop(lock);
    assert_eq!(bed.run_dirs(KEEP, after(31)).await, Swept { removed: 1, unknown: 0 });
    assert!(bed.store.attempt(over).await.unwrap().is_some(), "its row stays");
    assert_eq!(bed.store.ticket(held_ticket).await.unwrap().attempts.len(), 1);
}

#[tokio::test]
async fn directories_the_database_does_not_know_are_counted_and_kept() {
    let bed = Bed::new().await;
    bed.over().await;
    bed.run_dir(AttemptId::from_key(70));
    fs::create_dir(bed.attempts().join("notes")).unwrap();
    fs::create_dir_all(bed.attempts().join(".going.A-9/deep")).unwrap();
    assert_eq!(bed.run_dirs(KEEP, after(31)).await, Swept { removed: 1, unknown: 1 });
    assert_eq!(names(&bed.attempts()), ["A-70", "notes"]);
}

#[tokio::test]
async fn lock_files_of_stopped_workers_go_unless_they_are_held() {
    let bed = Bed::new().await;
    let (_, gone) = bed.over().await;
    let (_, held) = bed.over().await;
    let (_, _, live) = bed.running().await;
    let (_, last) = bed.over().await;
    fs::write(bed.workers().join("W-70.lock.swp"), "").unwrap();
    let lock = File::open(bed.lock(held)).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();

    assert_eq!(bed.locks(after(29)).await, Swept::default());
    assert_eq!(bed.locks(after(31)).await, Swept { removed: 1, unknown: 0 });
    assert!(!bed.lock(gone).exists());
    for kept in [held, live, last] {
        assert!(bed.lock(kept).exists(), "{kept}");
    }
    assert_eq!(bed.store.worker(gone).await.unwrap().id, gone, "its row stays");
}

/// Runs a git command of the user; returns what it printed.
fn git(place: &std::path::Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .args([
            "-c",
            "user.name=User",
            "-c",
            "user.email=user@localhost",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(arguments)
        .current_dir(place)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

#[tokio::test]
async fn worktrees_of_closed_tickets_are_removed_unless_they_hold_the_only_copy_of_work() {
    let bed = Bed::new().await;
    let user = bed.dir.path().join("user");
    fs::create_dir(&user).unwrap();
    git(&user, &["init", "--quiet", "--initial-branch=main"]);
    git(&user, &["commit", "--quiet", "--allow-empty", "-m", "Begin"]);
    let base = git(&user, &["rev-parse", "HEAD"]);
    let repositories = Repositories::default();
    let mut works = Vec::new();
    for _ in 0..4 {
        let ticket = bed.ticket().await;
        let head = Head { commit: base.clone(), stat: DiffStat::default() };
        let work = Worktree { base_commit: base.clone(), head, ..bed.worktree(ticket) };
        bed.store.begin_worktree(ticket, beginning(work.clone())).await.unwrap();
        let repository = repositories.open(&user.join(".git")).await.unwrap();
        repository.stand_up(&work, Place::New).await.unwrap();
        works.push((ticket, PathBuf::from(work.path)));
    }
    let path = |index: usize| works[index].1.clone();
    git(&path(1), &["commit", "--quiet", "--allow-empty", "-m", "Of this branch alone"]);
    fs::write(path(2).join("left.txt"), "left").unwrap();
    for (ticket, _) in &works[..3] {
        bed.store.close_ticket(*ticket, Resolution::Cancelled, None, THEN).await.unwrap();
    }
    let swept = async |keep, now| {
        worktrees::run_once(&bed.store, &repositories, keep, now).await.unwrap().removed
    };
    assert_eq!(swept(None, THEN.after(DAY * 1000)).await, 0, "kept for ever");
    assert_eq!(swept(Some(DAY), THEN.after(DAY)).await, 0, "not yet");
    assert_eq!(swept(Some(DAY), THEN.after(DAY * 2)).await, 2);
    assert_eq!(swept(Some(DAY), THEN.after(DAY * 2)).await, 0);
    let there: Vec<bool> = works.iter().map(|(_, path)| path.is_dir()).collect();
    assert_eq!(there, [false, false, true, true], "uncommitted changes and open tickets stay");
    let branches =
        git(&user, &["for-each-ref", "--format=%(refname:lstrip=3)", "refs/heads/vibe-ensemble"]);
    assert_eq!(branches.lines().collect::<Vec<_>>(), ["T-2", "T-3", "T-4"]);
    assert!(bed.store.ticket(works[0].0).await.unwrap().ticket.work.unwrap().removed);
}
