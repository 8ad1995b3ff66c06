//! The one write connection, and the group commit.
//!
//! Writers send closures here. All closures that wait when the connection is free run in one `BEGIN IMMEDIATE`
//! transaction, and then one commit (one fsync) makes them all durable. A closure that refuses or fails is rolled back
//! alone: each closure but the first of a transaction runs in a savepoint.
//!
//! The closures run on a thread of their own. Each statement is a trip to SQLite's thread and back, and waking a
//! waiting thread costs less than waking a task of a runtime that is busy with requests (see [`drive`]).
//!
//! Invariant: a caller learns of success only after the commit has returned.
//! Invariant: closures await nothing but the connection that they are given; anything else would stop every writer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;

use sqlx::Connection as _;
use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;

use super::cause;
use super::drive;
use super::error;
use super::error::Error;
use super::error::Result;
use super::error::StoreError;

/// The most writes that share one commit. Above this, the latency of the first one grows for nothing.
const BATCH: usize = 64;

/// Writes that may wait; above this, callers wait for a place, which is the back-pressure.
const QUEUE: usize = 1024;

pub(crate) type Pending<'c, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'c>>;

#[derive(Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Message>,
    level: watch::Receiver<u64>,
    relief: Arc<OnceLock<Relief>>,
    /// Whose calls its writes are.
    cause: Option<Arc<str>>,
    #[cfg(test)]
    rows: Arc<Rows>,
}

/// How many rows writes changed, including those that triggers changed.
#[cfg(test)]
#[derive(Debug, Default)]
struct Rows {
    total: std::sync::atomic::AtomicI64,
    most: std::sync::atomic::AtomicI64,
}

/// What to do when the disk is full, before the next write is tried.
pub(crate) type Relief = Box<dyn Fn() + Send + Sync>;

/// Appends the one query with which a write begins.
pub(crate) type Question = Box<dyn FnOnce(&mut QueryBuilder<Sqlite>) + Send>;

enum Message {
    Run(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("level", &*self.level.borrow()).finish_non_exhaustive()
    }
}

impl Writer {
    /// Takes over the connection; it is the only one that may ever write.
    pub(crate) fn start(connection: SqliteConnection) -> std::result::Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (raise, level) = watch::channel(0);
        let relief = Arc::new(OnceLock::new());
        let writing = run(connection, queue, raise, Arc::clone(&relief));
        let runtime = tokio::runtime::Handle::current();
        // The thread ends when the last sender of jobs is gone, or with the connection.
        std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || {
                let _runtime = runtime.enter();
                drive::to_its_end(writing);
            })
            .map_err(StoreError::Thread)?;
        Ok(Self {
            jobs,
            level,
            relief,
            cause: None,
            #[cfg(test)]
            rows: Arc::default(),
        })
    }

    /// The same, for the calls of the session with this consumer of events.
    pub(crate) fn caused_by(&self, consumer: &str) -> Self {
        Self { cause: Some(consumer.into()), ..self.clone() }
    }

    /// Sets what to do when the disk is full; later calls change nothing.
    pub(crate) fn on_full(&self, relief: Relief) {
        // There is one caller, the composition root.
        drop(self.relief.set(relief));
    }

    pub(crate) fn level(&self) -> watch::Receiver<u64> {
        self.level.clone()
    }

    /// Runs `op` in a transaction and returns its result once that is committed; then the level rises, for callers that
    /// wait for a change. Use [`Writer::quietly`] for a write that nobody waits for.
    ///
    /// A caller that goes away does not undo its write: it may be committed all the same.
    pub(crate) async fn write<T, F>(&self, op: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Pending<'c, T> + Send + 'static,
    {
        self.at(faults::Points::NONE).write(op).await
    }

    /// Names the points at which a test may interrupt the write.
    pub(crate) fn at(&self, points: faults::Points) -> Write<'_> {
        Write { writer: self, points, is_quiet: false }
    }

    /// For a write that changes nothing that others wait for.
    pub(crate) fn quietly(&self) -> Write<'_> {
        self.at(faults::Points::NONE).quietly()
    }

    /// The most rows that one write has changed since the last call of this function.
    #[cfg(test)]
    pub(crate) fn most_rows(&self) -> i64 {
        self.rows.most.swap(0, std::sync::atomic::Ordering::Relaxed)
    }

    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Message::Close(done)).await.is_ok() {
            // A writer that is already gone has closed its connection.
            drop(closed.await);
        }
    }
}

/// How to make a write.
#[derive(Clone, Copy)]
pub(crate) struct Write<'w> {
    writer: &'w Writer,
    points: faults::Points,
    is_quiet: bool,
}

impl Write<'_> {
    /// Leaves the level unchanged: the write changes nothing that others wait for.
    pub(crate) fn quietly(self) -> Self {
        Self { is_quiet: true, ..self }
    }

    /// [`Writer::write`].
    pub(crate) async fn write<T, F>(self, op: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Pending<'c, T> + Send + 'static,
    {
        self.write_raising_if(op, if self.is_quiet { |_| false } else { |_| true }).await
    }

    /// A write whose result says whether it changed anything. A search that finds nothing must not wake callers that
    /// would only search again.
    pub(crate) async fn write_raising_if<T, F>(
        self,
        op: F,
        raises_level: fn(&T) -> bool,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Pending<'c, T> + Send + 'static,
    {
        self.ask_then_write(None, asking_nothing(op), raises_level).await
    }

    /// A write that may begin with a question. Question and transaction reach SQLite's thread in one trip; `op` gets the
    /// rows, which are none without a question.
    pub(crate) async fn ask_then_write<T, F>(
        self,
        question: Option<Question>,
        op: F,
        raises_level: fn(&T) -> bool,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection, Vec<SqliteRow>) -> Pending<'c, T>
            + Send
            + 'static,
    {
        #[cfg(test)]
        let op = self.writer.rows.count(op);
        let (reply, answer) = oneshot::channel();
        let points = self.points;
        let cause = self.writer.cause.clone();
        let op = Some(op);
        let job = TypedJob { question, op, outcome: None, reply, raises_level, points, cause };
        let sent = self.writer.jobs.send(Message::Run(Box::new(job))).await;
        sent.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

/// A write that asked nothing gets no answer.
fn asking_nothing<T, F>(
    op: F,
) -> impl for<'c> FnOnce(&'c mut SqliteConnection, Vec<SqliteRow>) -> Pending<'c, T> + Send + 'static
where
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> Pending<'c, T> + Send + 'static,
{
    move |connection, _| op(connection)
}

#[cfg(test)]
impl Rows {
    /// Runs `op` and records how many rows it changed.
    fn count<T, F>(
        self: &Arc<Self>,
        op: F,
    ) -> impl for<'c> FnOnce(&'c mut SqliteConnection, Vec<SqliteRow>) -> Pending<'c, T> + Send + 'static
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection, Vec<SqliteRow>) -> Pending<'c, T>
            + Send
            + 'static,
    {
        use std::sync::atomic::Ordering::Relaxed;

        let rows = Arc::clone(self);
        move |connection: &mut SqliteConnection, found: Vec<SqliteRow>| -> Pending<'_, T> {
            Box::pin(async move {
                let outcome = op(connection, found).await;
                let total: i64 = sqlx::query_scalar("SELECT total_changes()")
                    .fetch_one(&mut *connection)
                    .await?;
                let changed = total - rows.total.swap(total, Relaxed);
                rows.most.fetch_max(changed, Relaxed);
                outcome
            })
        }
    }
}

/// A write whose result type the batch need not know.
trait Job: Send {
    /// What the write asks before anything else.
    fn question(&mut self) -> Option<Question>;

    /// Runs the closure with the answer to the question and keeps its outcome; `false` rolls it back.
    fn run<'c>(
        &'c mut self,
        connection: &'c mut SqliteConnection,
        found: Vec<SqliteRow>,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'c>>;

    /// Whether a commit of this write changes what others wait for.
    fn raises_level(&self) -> bool;

    fn points(&self) -> faults::Points;

    /// Whether it failed because the disk is full.
    fn met_full_disk(&self) -> bool;

    /// Sends the caller its result; `broken` replaces a success whose transaction was not committed.
    fn finish(self: Box<Self>, broken: Option<StoreError>);
}

struct TypedJob<F, T> {
    question: Option<Question>,
    op: Option<F>,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
    raises_level: fn(&T) -> bool,
    points: faults::Points,
    cause: Option<Arc<str>>,
}

impl<F, T> Job for TypedJob<F, T>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection, Vec<SqliteRow>) -> Pending<'c, T> + Send + 'static,
{
    fn question(&mut self) -> Option<Question> {
        self.question.take()
    }

    fn run<'c>(
        &'c mut self,
        connection: &'c mut SqliteConnection,
        found: Vec<SqliteRow>,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'c>> {
        Box::pin(async move {
            let Some(op) = self.op.take() else { return false };
            let outcome = cause::scope(self.cause.clone(), op(connection, found)).await;
            let keep = outcome.is_ok();
            self.outcome = Some(outcome);
            keep
        })
    }

    fn raises_level(&self) -> bool {
        matches!(&self.outcome, Some(Ok(value)) if (self.raises_level)(value))
    }

    fn points(&self) -> faults::Points {
        self.points
    }

    fn met_full_disk(&self) -> bool {
        matches!(&self.outcome, Some(Err(Error::Failed(failure))) if failure.is_full())
    }

    fn finish(self: Box<Self>, broken: Option<StoreError>) {
        let outcome = match (self.outcome, broken) {
            // A write that was refused or failed by itself keeps its own reason.
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(_)) | None, Some(broken)) => Err(Error::Failed(broken)),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => Err(Error::Failed(StoreError::Closed)),
        };
        // The caller may have gone away; its write is kept.
        drop(self.reply.send(outcome));
    }
}

async fn run(
    mut connection: SqliteConnection,
    mut queue: mpsc::Receiver<Message>,
    raise: watch::Sender<u64>,
    relief: Arc<OnceLock<Relief>>,
) {
    while let Some(message) = queue.recv().await {
        let closing = match message {
            Message::Run(first) => {
                let ended = batch(&mut connection, first, &mut queue, &raise).await;
                if ended.full
                    && let Some(relief) = relief.get()
                {
                    relief();
                }
                ended.closing
            }
            Message::Close(done) => Some(done),
        };
        if let Some(done) = closing {
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "closing the database failed");
            }
            // The caller may have given up waiting.
            done.send(()).unwrap_or_default();
            return;
        }
    }
}

/// How a batch ended.
struct Ended {
    /// A request to close that arrived meanwhile.
    closing: Option<oneshot::Sender<()>>,
    /// Whether the disk had no room for part of it.
    full: bool,
}

/// Which part of a batch is open in SQLite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Nothing,
    /// A transaction in which every write succeeded, the last one in a savepoint or not.
    Holds {
        savepoint: bool,
    },
}

/// The statements that run before a write, between writes and at the end. Each is one trip to the connection's thread,
/// on which a small write spends most of its time; so everything that fits into one trip is sent in one.
const BEGIN: &str = "BEGIN IMMEDIATE";
const FIRST_SAVEPOINT: &str = "SAVEPOINT op";
const NEXT_SAVEPOINT: &str = "RELEASE op; SAVEPOINT op";
const UNDO: &str = "ROLLBACK TO op";
const UNDO_ALL: &str = "ROLLBACK";
const COMMIT: &str = "COMMIT";

/// Runs `first` and whatever else waits in one transaction.
async fn batch(
    connection: &mut SqliteConnection,
    first: Box<dyn Job>,
    queue: &mut mpsc::Receiver<Message>,
    raise: &watch::Sender<u64>,
) -> Ended {
    let mut closing = None;
    let mut jobs = Vec::new();
    let mut open = Open::Nothing;
    let mut broken = None;
    let mut next = Some(first);
    while let Some(mut job) = next.take() {
        job.points().before_begin();
        match run_one(connection, &mut job, open).await {
            Ok(now) => open = now,
            Err(error) => broken = Some(error),
        }
        jobs.push(job);
        if jobs.len() < BATCH && broken.is_none() && closing.is_none() {
            match queue.try_recv() {
                Ok(Message::Run(job)) => next = Some(job),
                Ok(Message::Close(done)) => closing = Some(done),
                Err(mpsc::error::TryRecvError::Empty | mpsc::error::TryRecvError::Disconnected) => {
                }
            }
        }
    }
    if broken.is_none() {
        for job in &jobs {
            job.points().before_commit();
        }
        if open != Open::Nothing {
            // This releases the savepoint as well.
            broken = execute(connection, COMMIT).await.err();
        }
    }
    if let Some(error) = broken {
        let full = error::is_full(&error) || jobs.iter().any(|job| job.met_full_disk());
        let error = Arc::new(error);
        tracing::error!(error = %error, writes = jobs.len(), "a group commit failed; none of its writes was stored");
        // SQLite may have rolled back already (a full disk does that); then there is nothing left to roll back.
        drop(execute(connection, UNDO_ALL).await);
        for job in jobs {
            job.finish(Some(StoreError::Commit(Arc::clone(&error))));
        }
        return Ended { closing, full };
    }
    for job in &jobs {
        job.points().after_commit();
    }
    let full = jobs.iter().any(|job| job.met_full_disk());
    if jobs.iter().any(|job| job.raises_level()) {
        raise.send_modify(|level| *level += 1);
    }
    for job in jobs {
        job.finish(None);
    }
    Ended { closing, full }
}

/// Runs one write so that it can be undone without the writes before it, and returns what is open afterwards. The first
/// write of a transaction needs no savepoint: nothing is lost when it is rolled back whole.
async fn run_one(
    connection: &mut SqliteConnection,
    job: &mut Box<dyn Job>,
    open: Open,
) -> std::result::Result<Open, sqlx::Error> {
    let before = match open {
        Open::Nothing => BEGIN,
        Open::Holds { savepoint: false } => FIRST_SAVEPOINT,
        Open::Holds { savepoint: true } => NEXT_SAVEPOINT,
    };
    let found = if let Some(question) = job.question() {
        let mut sql = QueryBuilder::new(before);
        sql.push("; ");
        question(&mut sql);
        sql.build().fetch_all(&mut *connection).await?
    } else {
        execute(connection, before).await?;
        Vec::new()
    };
    let savepoint = open != Open::Nothing;
    if job.run(connection, found).await {
        return Ok(Open::Holds { savepoint });
    }
    if savepoint {
        execute(connection, UNDO).await?;
        return Ok(Open::Holds { savepoint });
    }
    execute(connection, UNDO_ALL).await?;
    Ok(Open::Nothing)
}

/// Through the cache of statements, which a bare string would not use.
async fn execute(
    connection: &mut SqliteConnection,
    sql: &'static str,
) -> std::result::Result<(), sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(drop)
}
