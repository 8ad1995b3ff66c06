//! Named points at which a test may kill the server, on both sides of every durable step.
//!
//! Without the feature `crash-points` they compile to nothing. With it, a process whose environment has
//! `VIBE_ENSEMBLE_CRASH_AT=name` (or `name:N`, for the Nth time) kills itself there with SIGKILL, so that nothing gets
//! a chance to clean up. With `VIBE_ENSEMBLE_CRASH_ONCE=path` it does so only if it is the one that makes that file:
//! the process started in its place passes the point unharmed.

/// Every point of the server.
#[cfg(any(test, feature = "crash-points"))]
pub const POINTS: &[&str] = &[
    "server.open.after_migrate",
    "server.open.after_identify",
    "server.serve.before_bind",
    "server.serve.after_bind",
    "server.serve.before_publish",
    "server.serve.after_publish",
    "server.serve.before_ready",
    "server.serve.after_ready",
    "server.create_ticket.before_begin",
    "server.create_ticket.before_commit",
    "server.create_ticket.after_commit",
    "server.plan_launches.before_begin",
    "server.plan_launches.before_commit",
    "server.plan_launches.after_commit",
    "server.launched.before_begin",
    "server.launched.before_commit",
    "server.launched.after_commit",
    "server.launch.before",
    "server.launch.after",
    "server.hello.before_begin",
    "server.hello.before_commit",
    "server.hello.after_commit",
    "server.hello.admitted",
    "server.hello.welcomed",
    "server.worktree_begun.before_begin",
    "server.worktree_begun.before_commit",
    "server.worktree_begun.after_commit",
    "server.worktree.before_made",
    "server.worktree.after_made",
    "server.worktree.before_put_back",
    "server.worktree.after_put_back",
    "server.worktree_ready.before_begin",
    "server.worktree_ready.before_commit",
    "server.worktree_ready.after_commit",
    "server.claim.before_begin",
    "server.claim.before_commit",
    "server.claim.after_commit",
    "server.grant.before_sent",
    "server.grant.after_sent",
    "server.started.before_begin",
    "server.started.before_commit",
    "server.started.after_commit",
    "server.work.before_accepted",
    "server.work.after_accepted",
    "server.work.before_put_aside",
    "server.work.after_put_aside",
    "server.end.before_begin",
    "server.end.before_commit",
    "server.end.after_commit",
    "server.land.before",
    "server.land.after",
    "server.landed.before_begin",
    "server.landed.before_commit",
    "server.landed.after_commit",
    "server.ack.before_sent",
    "server.ack.after_sent",
    "server.worker_stopped.before_begin",
    "server.worker_stopped.before_commit",
    "server.worker_stopped.after_commit",
    "server.reconcile.before_collect",
    "server.reconcile.after_collect",
    "server.reconcile.before_stop_tree",
    "server.reconcile.after_stop_tree",
    "server.reconcile.before_lost",
    "server.reconcile.after_lost",
    "server.requeue.before_begin",
    "server.requeue.before_commit",
    "server.requeue.after_commit",
    "server.settle.before_begin",
    "server.settle.before_commit",
    "server.settle.after_commit",
    "server.pause.before_begin",
    "server.pause.before_commit",
    "server.pause.after_commit",
    "server.resume.before_begin",
    "server.resume.before_commit",
    "server.resume.after_commit",
    "server.resume_ticket.before_begin",
    "server.resume_ticket.before_commit",
    "server.resume_ticket.after_commit",
    "server.complete_stage.before_begin",
    "server.complete_stage.before_commit",
    "server.complete_stage.after_commit",
    "server.close.before_begin",
    "server.close.before_commit",
    "server.close.after_commit",
    "server.due.before_begin",
    "server.due.before_commit",
    "server.due.after_commit",
    "server.stop_worker.before_begin",
    "server.stop_worker.before_commit",
    "server.stop_worker.after_commit",
    "server.mark.before_begin",
    "server.mark.before_commit",
    "server.mark.after_commit",
];

/// The points around one kind of write. Has no size without the feature.
#[derive(Clone, Copy, Debug)]
pub struct Points {
    #[cfg(feature = "crash-points")]
    names: Option<[&'static str; 3]>,
}

#[cfg(not(feature = "crash-points"))]
impl Points {
    /// A write without points.
    pub const NONE: Self = Self {};

    /// The points before its transaction begins, before it is committed, and before its caller hears of that.
    #[must_use]
    pub const fn around(
        _before_begin: &'static str,
        _before_commit: &'static str,
        _after_commit: &'static str,
    ) -> Self {
        Self {}
    }

    #[inline]
    pub fn before_begin(self) {}

    #[inline]
    pub fn before_commit(self) {}

    #[inline]
    pub fn after_commit(self) {}

    #[inline]
    #[must_use]
    pub const fn is_claim(self) -> bool {
        false
    }
}

#[cfg(feature = "crash-points")]
impl Points {
    /// A write without points.
    pub const NONE: Self = Self { names: None };

    /// The points before its transaction begins, before it is committed, and before its caller hears of that.
    #[must_use]
    pub const fn around(
        before_begin: &'static str,
        before_commit: &'static str,
        after_commit: &'static str,
    ) -> Self {
        Self { names: Some([before_begin, before_commit, after_commit]) }
    }

    pub fn before_begin(self) {
        self.names.iter().for_each(|[name, _, _]| point(name));
    }

    pub fn before_commit(self) {
        self.names.iter().for_each(|[_, name, _]| point(name));
    }

    pub fn after_commit(self) {
        self.names.iter().for_each(|[_, _, name]| point(name));
    }

    /// Whether these are the points of the claim; a planted bug needs to know.
    #[must_use]
    pub fn is_claim(self) -> bool {
        self.names.is_some_and(|[name, _, _]| name == "server.claim.before_begin")
    }
}

/// Dies here when a test asked for it.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn point(_name: &'static str) {}

/// Dies here when a test asked for it.
#[cfg(feature = "crash-points")]
pub fn point(name: &'static str) {
    use std::sync::LazyLock;
    use std::sync::Mutex;
    use std::sync::PoisonError;

    static LEFT: LazyLock<Mutex<Option<Armed>>> = LazyLock::new(|| Mutex::new(Armed::read()));

    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(armed) = left.as_mut().filter(|armed| armed.at == name) else { return };
    armed.times = armed.times.saturating_sub(1);
    if armed.times == 0 && armed.is_first() {
        tracing::warn!(name, "crash point");
        let own = rustix::process::getpid();
        if let Err(error) = rustix::process::kill_process(own, rustix::process::Signal::KILL) {
            tracing::error!(%error, "the crash point did not fire");
        }
    }
}

#[cfg(feature = "crash-points")]
struct Armed {
    at: String,
    times: u32,
    once: Option<std::path::PathBuf>,
}

#[cfg(feature = "crash-points")]
impl Armed {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test arms the process; this is in no build that anybody runs, and no setting"
    )]
    fn read() -> Option<Self> {
        let value = std::env::var("VIBE_ENSEMBLE_CRASH_AT").ok()?;
        let once = std::env::var_os("VIBE_ENSEMBLE_CRASH_ONCE").map(Into::into);
        let (at, times) = match value.split_once(':') {
            Some((name, times)) => (name.to_owned(), times.parse().unwrap_or(1)),
            None => (value, 1),
        };
        Some(Self { at, times, once })
    }

    /// Whether no process died here before.
    fn is_first(&self) -> bool {
        self.once.as_ref().is_none_or(|path| std::fs::File::create_new(path).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_point_is_listed_and_in_the_code_exactly_once() {
        let mut placed = Vec::new();
        collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut placed);
        placed.sort();
        let mut listed: Vec<String> = POINTS.iter().copied().map(String::from).collect();
        listed.sort();
        assert_eq!(placed, listed);
        assert!(listed.is_sorted_by(|a, b| a < b), "a name is listed twice");
    }

    /// The string literals that look like a point, in every file but this one.
    fn collect(path: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.file_name().is_some_and(|name| name != "crash.rs") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let names = text.split('"').filter(|part| {
                    part.strip_prefix("server.").is_some_and(|rest| rest.contains('.'))
                        && part.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b))
                });
                found.extend(names.map(str::to_owned));
            }
        }
    }
}
