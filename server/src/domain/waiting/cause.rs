//! The kinds of a wait, by the names that programs know them by.

use crate::domain::names::names;

names! {
    /// The kind of a wait, for programs.
    pub enum Cause {
        Running = "running",
        /// Every stage is completed, and its branch is being merged.
        Landing = "landing",
        /// Its shim is dead, and what it left cannot be accounted for.
        Stuck = "stuck",
        OnHold = "on_hold",
        /// Other tickets must be completed first.
        Blocked = "blocked",
        /// A failed attempt is repeated at a time.
        Backoff = "backoff",
        NoWorkerType = "no_worker_type",
        ServerPaused = "server_paused",
        UsageLimit = "usage_limit",
        ProjectPaused = "project_paused",
        QueuePaused = "queue_paused",
        /// A limit in dollars is reached.
        Budget = "budget",
        Draining = "draining",
        DiskLow = "disk_low",
        /// The server has started, and looks at the whole database before it starts anything.
        Checking = "checking",
        /// Attempts run that a restored database knows nothing of.
        Strangers = "strangers",
        /// Running attempts hold the rest of a limit in dollars.
        BudgetReserved = "budget_reserved",
        /// Nothing launches workers of its type.
        NoWorker = "no_worker",
        /// Another attempt works in the directory of its project.
        DirectoryTaken = "directory_taken",
        /// Another git step works in its repository.
        RepositoryBusy = "repository_busy",
        /// Its worktree is being made ready.
        Unprepared = "unprepared",
        /// Every worker its type, its project or the server may have is busy.
        NoSlot = "no_slot",
        /// Workers cannot be launched, and it is tried again.
        LaunchFailing = "launch_failing",
        /// Other tickets of the queue go first.
        Behind = "behind",
        /// It is next, and a worker is free or being started.
        Next = "next",
    }
}
