//! The kinds of a wait, with the names for programs.

use crate::domain::names::names;

names! {
    /// The kind of a wait, for programs.
    pub enum Cause {
        Running = "running",
        /// The setup of its worktree, or its gates, are under way.
        Gates = "gates",
        /// Every stage is completed, and its branch is being merged.
        Landing = "landing",
        /// Its shim is dead, and what it left is contradictory.
        Stuck = "stuck",
        OnHold = "on_hold",
        /// Other tickets must be completed first.
        Blocked = "blocked",
        /// A failed attempt is retried at a known time.
        Backoff = "backoff",
        NoWorkerType = "no_worker_type",
        ServerPaused = "server_paused",
        UsageLimit = "usage_limit",
        ProjectPaused = "project_paused",
        QueuePaused = "queue_paused",
        /// A dollar limit is reached.
        Budget = "budget",
        Draining = "draining",
        DiskLow = "disk_low",
        /// The server has just started, and checks the whole database before it starts anything.
        Checking = "checking",
        /// Attempts are running that a restored database does not know.
        Strangers = "strangers",
        /// Running attempts hold the rest of a dollar limit.
        BudgetReserved = "budget_reserved",
        /// Nothing launches workers of its type.
        NoWorker = "no_worker",
        /// Another attempt works in the directory of its project.
        DirectoryTaken = "directory_taken",
        /// Another git step works in its repository.
        RepositoryBusy = "repository_busy",
        /// Its worktree is being prepared.
        Unprepared = "unprepared",
        /// Every worker its type, its project or the server may have is busy.
        NoSlot = "no_slot",
        /// Workers cannot be launched; the server retries.
        LaunchFailing = "launch_failing",
        /// Other tickets are ahead of it in the queue.
        Behind = "behind",
        /// It is next, and a worker is free or being started.
        Next = "next",
    }
}
