//! The life of the server process: signals, notifications to systemd, and how it ends.
//!
//! Stopping has two steps. The shutdown token asks every task to finish; at the deadline, [`Lifecycle::ended`] gives up
//! waiting. Nothing that was committed depends on either.
//!
//! Invariant: no signal to the server stops a worker.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use sd_notify::NotifyState;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::journal;
use crate::telemetry::chain;

/// From the request to stop to the end of waiting. Stopping is promised to take at most ten seconds.
const STOPPING: Duration = Duration::from_secs(9);
/// How long QUIT waits for the dump it asked for.
const LAST_DUMP: Duration = Duration::from_secs(2);

/// How often systemd is asked for more time during a long start, and for how much. A start that hangs ends because
/// nothing asks for more time.
const SIGN: Duration = Duration::from_secs(1);
const MORE: Duration = Duration::from_secs(30);
/// How often the log reports a long start.
const LOGGED: Duration = Duration::from_secs(5);

/// What an operator's signal asks of the composition root.
#[derive(Debug)]
pub struct Request {
    pub what: What,
    /// Sent or dropped when it is done, whether it worked or not.
    pub done: oneshot::Sender<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Read the configuration again (HUP).
    Reload,
    /// Log the state (USR1, QUIT).
    Dump,
}

impl What {
    const fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Dump => "dump",
        }
    }
}

/// A signal, named by what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Stop,
    Interrupt,
    Reload,
    Dump,
    ToggleDrain,
    Quit,
}

/// Owned by the composition root.
#[derive(Debug)]
pub struct Lifecycle {
    /// Handled one after the other by the composition root.
    pub requests: mpsc::Receiver<Request>,
    control: Control,
}

/// What the signal handler and every task share.
#[derive(Clone, Debug)]
struct Control {
    shutdown: CancellationToken,
    drain: watch::Sender<bool>,
    ended: watch::Sender<Option<Exit>>,
    requests: mpsc::Sender<Request>,
    died: Arc<AtomicBool>,
}

/// What an operator may send to a server; see [`Lifecycle`].
const HANDLED: [Signal; 6] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGQUIT,
];

/// Signals that wait until [`Lifecycle::start`] has handlers for them.
#[derive(Debug)]
pub struct HeldSignals(SigSet);

/// Lets signals wait. Until there are handlers HUP, USR1 and USR2 would end the process, and a service manager may send
/// one as soon as it has a pid. Call it before there is a second thread: threads inherit the held signals, and threads
/// that start later leave signals to this one. Programs started from any of them hold nothing: the standard library
/// sees to that.
pub fn hold_signals() -> io::Result<HeldSignals> {
    let held: SigSet = HANDLED.into_iter().collect();
    held.thread_block()?;
    Ok(HeldSignals(held))
}

impl Lifecycle {
    /// Takes over the signals of the process, beginning with those that were held. Needs a runtime, on the thread that
    /// held them.
    pub fn start(held: &HeldSignals) -> io::Result<Self> {
        let lifecycle = Self::without_signals();
        let handled = [
            (SignalKind::terminate(), Asked::Stop),
            (SignalKind::interrupt(), Asked::Interrupt),
            (SignalKind::hangup(), Asked::Reload),
            (SignalKind::user_defined1(), Asked::Dump),
            (SignalKind::user_defined2(), Asked::ToggleDrain),
            (SignalKind::quit(), Asked::Quit),
        ];
        for (kind, asked) in handled {
            let mut stream = signal(kind)?;
            let control = lifecycle.control.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    control.on(asked);
                }
            });
        }
        held.0.thread_unblock()?;
        Ok(lifecycle)
    }

    fn without_signals() -> Self {
        let (sender, requests) = mpsc::channel(16);
        let control = Control {
            shutdown: CancellationToken::new(),
            drain: watch::Sender::new(false),
            ended: watch::Sender::new(None),
            requests: sender,
            died: Arc::default(),
        };
        Self { requests, control }
    }

    /// Cancelled when the server is to stop: finish what you do, begin nothing.
    #[must_use]
    pub fn shutdown_token(&self) -> CancellationToken {
        self.control.shutdown.clone()
    }

    /// True while the server grants nothing new. That it drains already is a change, too: the signal may have come
    /// while the server was starting, and `vibe-ensemble drain` waits until it is signed.
    #[must_use]
    pub fn drain(&self) -> watch::Receiver<bool> {
        let mut drain = self.control.drain.subscribe();
        if *drain.borrow() {
            drain.mark_changed();
        }
        drain
    }

    /// Runs a task that the server cannot do without. When it panics, or returns before the server is stopping, the
    /// server stops and its exit code says that something failed.
    pub fn spawn<F>(&self, task: &'static str, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let control = self.control.clone();
        tokio::spawn(async move {
            match tokio::spawn(future).await {
                Ok(()) if control.shutdown.is_cancelled() => {}
                Ok(()) => control.died(task, "it returned"),
                Err(error) => control.died(task, &chain(&error)),
            }
        })
    }

    /// Tells systemd that the server serves. Called after migration and binding, without waiting for any worker.
    pub fn ready(&self) {
        notify(&[NotifyState::Ready]);
    }

    /// How the process should end, as far as is known here.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.control.exit()
    }

    /// Resolves when waiting is over although the composition root has not returned.
    ///
    /// The future owns what it needs, so `main` can race it against the composition root.
    pub fn ended(&self) -> impl Future<Output = Exit> + Send + use<> {
        let mut ended = self.control.ended.subscribe();
        let control = self.control.clone();
        async move {
            let exit = ended.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
            exit.unwrap_or_else(|| control.exit())
        }
    }
}

impl Control {
    fn on(&self, asked: Asked) {
        match asked {
            Asked::Interrupt if self.shutdown.is_cancelled() => self.end(Exit::Interrupted),
            Asked::Interrupt | Asked::Stop => self.stop(),
            Asked::Reload => self.reload(),
            Asked::Dump => drop(self.request(What::Dump)),
            Asked::ToggleDrain => {
                self.drain.send_modify(|draining| *draining = !*draining);
                let draining = *self.drain.borrow();
                tracing::info!(draining, "the drain was toggled by a signal");
            }
            Asked::Quit => self.quit(),
        }
    }

    /// Begins to stop; a second call changes nothing.
    fn stop(&self) {
        if self.shutdown.is_cancelled() {
            return;
        }
        tracing::info!(name: journal::SERVER_STOPPING, "the server is stopping; its workers keep running");
        notify(&[NotifyState::Stopping]);
        self.shutdown.cancel();
        let control = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(STOPPING).await;
            tracing::warn!(
                "some tasks had not finished when the time for stopping was over; the server ends without them"
            );
            control.end(control.exit());
        });
    }

    fn reload(&self) {
        let Some(done) = self.request(What::Reload) else { return };
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(error = chain(&error), "systemd could not be notified"),
        }
        tokio::spawn(async move {
            // Sent and dropped both mean done.
            drop(done.await);
            notify(&[NotifyState::Ready]);
        });
    }

    fn quit(&self) {
        let dumped = self.request(What::Dump);
        let control = self.clone();
        tokio::spawn(async move {
            if let Some(dumped) = dumped {
                drop(tokio::time::timeout(LAST_DUMP, dumped).await);
            }
            control.end(Exit::Quit);
        });
    }

    /// Asks the composition root; `None` if it is busy or gone.
    fn request(&self, what: What) -> Option<oneshot::Receiver<()>> {
        let (done, wait) = oneshot::channel();
        if self.requests.try_send(Request { what, done }).is_err() {
            tracing::warn!(
                asked = what.name(),
                "a signal was ignored because earlier ones are still being handled; send it again later"
            );
            return None;
        }
        Some(wait)
    }

    fn died(&self, task: &'static str, reason: &str) {
        tracing::error!(task, reason, "a task of the server died; the server stops");
        self.died.store(true, Ordering::Relaxed);
        self.stop();
    }

    fn exit(&self) -> Exit {
        if self.died.load(Ordering::Relaxed) { Exit::Failed } else { Exit::Ok }
    }

    /// The first reason to end is kept.
    fn end(&self, exit: Exit) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(exit);
            first
        });
    }
}

/// Shows one line in `systemctl status`.
pub fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

/// Waits for a step of the start that may take longer than systemd waits for a start: while it runs, systemd is asked
/// for more time, and the log says every few seconds which step is running.
pub async fn starting<T>(what: &str, step: impl Future<Output = T>) -> T {
    let mut step = pin!(step);
    let begun = Instant::now();
    let mut signs = tokio::time::interval_at(begun + SIGN, SIGN);
    let mut told = begun;
    loop {
        tokio::select! {
            biased;
            ended = &mut step => return ended,
            _ = signs.tick() => {
                let seconds = begun.elapsed().as_secs();
                let more = u32::try_from(MORE.as_micros()).unwrap_or(u32::MAX);
                let line = format!("{what} since {seconds} s");
                notify(&[NotifyState::ExtendTimeoutUsec(more), NotifyState::Status(&line)]);
                if told.elapsed() >= LOGGED {
                    told = Instant::now();
                    tracing::info!(seconds, "still {what}");
                }
            }
        }
    }
}

/// How long systemd waits for a sign of life before it acts; `None` when it does not watch this process.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())
}

/// The sign of life.
pub fn feed_watchdog() {
    notify(&[NotifyState::Watchdog]);
}

/// Notifies systemd, if it listens. If that fails, a line in the log is enough.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(error = chain(&error), "systemd could not be notified");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stopping_asks_tasks_to_finish_and_ends_within_ten_seconds() {
        let lifecycle = Lifecycle::without_signals();
        let begun = tokio::time::Instant::now();
        lifecycle.control.on(Asked::Stop);
        assert!(lifecycle.shutdown_token().is_cancelled());
        assert_eq!(lifecycle.ended().await, Exit::Ok);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_interrupt_ends_at_once() {
        let lifecycle = Lifecycle::without_signals();
        let begun = tokio::time::Instant::now();
        lifecycle.control.on(Asked::Interrupt);
        lifecycle.control.on(Asked::Interrupt);
        assert_eq!(lifecycle.ended().await, Exit::Interrupted);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_dies_stops_the_server_and_is_remembered() {
        let lifecycle = Lifecycle::without_signals();
        lifecycle.spawn("early", async {}).await.expect("the guard does not panic");
        assert!(lifecycle.shutdown_token().is_cancelled());
        assert_eq!(lifecycle.exit(), Exit::Failed);
        assert_eq!(lifecycle.ended().await, Exit::Failed);

        let lifecycle = Lifecycle::without_signals();
        let token = lifecycle.shutdown_token();
        let task = lifecycle.spawn("good", async move { token.cancelled().await });
        lifecycle.control.on(Asked::Stop);
        task.await.expect("the guard does not panic");
        assert_eq!(lifecycle.exit(), Exit::Ok);
    }

    #[tokio::test(start_paused = true)]
    async fn drain_toggles_and_requests_reach_the_root() {
        let mut lifecycle = Lifecycle::without_signals();
        let drain = lifecycle.drain();
        lifecycle.control.on(Asked::ToggleDrain);
        assert!(*drain.borrow());
        lifecycle.control.on(Asked::ToggleDrain);
        assert!(!*drain.borrow());
        lifecycle.control.on(Asked::Reload);
        lifecycle.control.on(Asked::Dump);
        assert_eq!(lifecycle.requests.recv().await.map(|r| r.what), Some(What::Reload));
        assert_eq!(lifecycle.requests.recv().await.map(|r| r.what), Some(What::Dump));
    }

    #[tokio::test(start_paused = true)]
    async fn quit_dumps_first_and_does_not_wait_for_ever() {
        let mut lifecycle = Lifecycle::without_signals();
        lifecycle.control.on(Asked::Quit);
        let request = lifecycle.requests.recv().await.expect("a request");
        assert_eq!(request.what, What::Dump);
        // Kept and never answered: the end comes all the same.
        assert_eq!(lifecycle.ended().await, Exit::Quit);
        drop(request);
    }
}
