//! The poll loop: waits for the next event, feeds it to the state machine, and performs the
//! actions.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use shim_evidence::boot;
use shim_evidence::cgroup;
use shim_evidence::descendants::descendants;
use shim_evidence::network;
use shim_evidence::process::Process;
use shim_protocol::frame::Decoded;
use shim_protocol::message::LaunchOrder;
use shim_protocol::message::ToServer;
use shim_protocol::message::Traces;
use shim_protocol::run_dir::Stream;

use crate::attempt::Attempt;
use crate::bootstrap::Inherited;
use crate::clock;
use crate::exit::Exit;
use crate::link;
use crate::link::Link;
use crate::link::LinkError;
use crate::log;
use crate::reap;
use crate::reap::Wait;
use crate::seal_key::SealKey;
use crate::signals::Asked;
use crate::signals::Signals;
use crate::state::Action;
use crate::state::Event;
use crate::state::Identity;
use crate::state::Machine;
use crate::state::Request;
use crate::state::Swept;
use crate::sweep::Left;
use crate::tree;

/// One buffer serves every read.
const BUFFER: usize = 64 << 10;

/// How long sending the last messages to the server may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Supervises until the state machine says to exit.
#[must_use]
pub fn run(order: LaunchOrder, inherited: Inherited, worker_lock: &File) -> Exit {
    let started = Signals::install().and_then(|signals| Ok((signals, nonce()?, SealKey::make()?)));
    let (signals, nonce, seal_key) = match started {
        Ok(started) => started,
        Err(error) => {
            log::note(&format!("could not start supervising: {}", log::chain(&error)));
            return Exit::CannotSpawn;
        }
    };
    let identity = Identity {
        worker_id: order.worker_id.clone(),
        token: order.token.clone(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        unit: cgroup::own_unit(),
        nonce,
        place_id: order.place_id.clone(),
        traces: traces(&inherited, worker_lock, &seal_key),
        network: network::own(),
    };
    let mut supervisor = Supervisor {
        machine: Machine::new(identity, clock::monotonic()),
        order,
        inherited,
        signals,
        seal_key,
        link: None,
        attempt: None,
        trouble: None,
        buffer: vec![0; BUFFER],
        leaving: None,
    };
    supervisor.apply(Event::Tick);
    loop {
        if let Some(exit) = supervisor.leaving {
            return supervisor.leave(exit);
        }
        supervisor.turn();
    }
}

struct Supervisor {
    machine: Machine,
    order: LaunchOrder,
    inherited: Inherited,
    signals: Signals,
    seal_key: SealKey,
    link: Option<Link>,
    attempt: Option<Attempt>,
    /// What keeps the current attempt from ending, as reported to the server.
    trouble: Option<String>,
    buffer: Vec<u8>,
    leaving: Option<Exit>,
}

/// What is ready after one poll.
#[derive(Clone, Copy, Debug, Default)]
struct Ready {
    link: bool,
    stdout: bool,
    stderr: bool,
}

impl Supervisor {
    /// Waits once and handles everything that is ready.
    fn turn(&mut self) {
        let ready = self.wait();
        for asked in self.signals.take() {
            self.obey(asked);
        }
        for (stream, ready) in [(Stream::Stdout, ready.stdout), (Stream::Stderr, ready.stderr)] {
            if ready {
                self.read(stream);
            }
        }
        // A wait costs less than distinguishing SIGCHLD, the pidfd and a lost race.
        self.reap();
        if ready.link {
            self.hear();
        }
        // Last: output that was waiting while this process slept must not look like silence.
        self.apply(Event::Tick);
    }

    /// Does what a signal asks for. An agent has no say in when its shim dials or exits; if it
    /// stops its own attempt, the record says so.
    fn obey(&mut self, asked: Asked) {
        let Asked { request, sender } = asked;
        if let Some(sender) = sender.as_ref().filter(|sender| sender.own) {
            log::note(&format!(
                "{request:?} was asked for by the agent's own process {}",
                sender.pid
            ));
            match request {
                Request::Redial | Request::Drain => return,
                Request::Restart | Request::Interrupt | Request::Cancel | Request::Kill => {}
            }
        }
        self.apply(Event::Request(request, sender));
    }

    fn wait(&self) -> Ready {
        let timeout = self.machine.deadline().map_or(PollTimeout::NONE, |at| {
            // Rounded up; otherwise the last part of a millisecond would be spent spinning.
            let left = at.saturating_sub(clock::monotonic()) + Duration::from_micros(999);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let mut add = |fd, flags| {
            fds.push(PollFd::new(fd, flags));
            fds.len() - 1
        };
        let link = self.link.as_ref().map(|link| {
            let out = if link.is_backed_up() { PollFlags::POLLOUT } else { PollFlags::empty() };
            add(link.as_fd(), PollFlags::POLLIN | out)
        });
        let child = self.attempt.as_ref().and_then(Attempt::child);
        let stdout = child.and_then(|child| child.stdout.as_ref());
        let stdout = stdout.map(|pipe| add(pipe.as_fd(), PollFlags::POLLIN));
        let stderr = child.and_then(|child| child.stderr.as_ref());
        let stderr = stderr.map(|pipe| add(pipe.as_fd(), PollFlags::POLLIN));
        if let Some(attempt) = &self.attempt
            && let Some(child) = attempt.child()
            && !attempt.has_status()
        {
            add(child.pidfd.as_fd(), PollFlags::POLLIN);
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            // Only memory can be short here; the next turn tries again.
            Err(error) => log::note(&format!("could not poll: {error}")),
        }
        let ready = |at: Option<usize>| {
            at.and_then(|at| fds.get(at)).and_then(PollFd::any).unwrap_or(false)
        };
        Ready { link: ready(link), stdout: ready(stdout), stderr: ready(stderr) }
    }

    fn read(&mut self, stream: Stream) {
        let Some(attempt) = &mut self.attempt else { return };
        let seen = attempt.read(stream, &mut self.buffer, clock::monotonic());
        if seen.result {
            faults::point!("shim.result_seen");
        }
        if seen.output {
            self.apply(Event::Output);
            self.apply(Event::Signs(seen.signs));
        }
    }

    /// Reaps the agent and, as they end, orphans of the tree: over days they would fill the process
    /// table.
    fn reap(&mut self) {
        loop {
            let agent_ended = match reap::next() {
                Wait::Reaped(reaped) => {
                    self.attempt.as_mut().is_some_and(|attempt| attempt.reaped(reaped))
                }
                Wait::Busy => return,
                Wait::Childless => {
                    // Without a child there is no agent, whichever process reaped it.
                    if self.attempt.as_ref().is_some_and(|attempt| attempt.child().is_some()) {
                        self.apply(Event::ChildExited);
                    }
                    return;
                }
            };
            if agent_ended {
                self.apply(Event::ChildExited);
            }
        }
    }

    /// Reads the link and feeds every message that arrived whole, including those before a break.
    fn hear(&mut self) {
        let Some(link) = &mut self.link else { return };
        let mut end = link.flush().and_then(|()| link.fill(&mut self.buffer));
        loop {
            // Handling a message may close the link.
            let Some(link) = &mut self.link else { return };
            match link.take() {
                Ok(Some(Decoded::Known(message))) => self.apply(Event::Message(message)),
                Ok(Some(Decoded::Unknown { kind })) => self.apply(Event::UnknownMessage { kind }),
                Ok(None) => break,
                Err(error) => {
                    end = Err(error);
                    break;
                }
            }
        }
        if let Err(error) = end {
            self.drop_link(&error);
            self.apply(Event::LinkLost);
        }
    }

    /// Feeds one event, and the outcomes of the actions it leads to.
    fn apply(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.machine.handle(event, clock::monotonic()) {
                events.extend(self.perform(action));
            }
        }
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Dial => return Some(self.dial()),
            Action::Hangup => self.link = None,
            Action::Send(message) => return self.send(&message),
            Action::Heartbeat => {
                return self.heartbeat();
            }
            Action::Begin(grant) => return Some(self.begin(*grant, None)),
            Action::Decline { grant, why } => return Some(self.begin(*grant, Some(why))),
            Action::SignalGroup(signal) => {
                if let Some(attempt) = &mut self.attempt {
                    attempt.signal_group(signal);
                }
            }
            Action::SignalTree(signal) => {
                for process in descendants(nix::unistd::getpid().as_raw()) {
                    // A process that has ended meanwhile needs no signal; the sweep reports one
                    // that must not be signalled.
                    let _gone = !tree::signal(&process, signal);
                }
            }
            Action::Sweep => return self.sweep(),
            Action::ReportStuck => {
                let stuck = self.attempt.as_ref()?.stuck();
                return self.complain(stuck);
            }
            Action::Seal(order) => {
                let attempt = self.attempt.as_mut()?;
                let record = attempt.concluded(&order, &mut self.buffer);
                return Some(match attempt.seal(&record, &self.seal_key) {
                    Ok(()) => {
                        self.trouble = None;
                        Event::Sealed(record)
                    }
                    Err(error) => Event::SealFailed { record, why: log::chain(&error) },
                });
            }
            Action::Complain(trouble) => return self.complain(trouble),
            Action::Forget => {
                faults::point!("shim.after_ack");
                self.trouble = None;
                self.attempt = None;
                log::of_no_attempt();
            }
            Action::Leave(exit) => self.leaving = Some(exit),
        }
        None
    }

    fn dial(&mut self) -> Event {
        let found = self.order.address_file.as_deref().and_then(link::address);
        let dialled = found.map(|socket| Link::dial(&socket));
        match dialled.and_then(Result::ok).map_or_else(|| Link::dial(&self.order.socket), Ok) {
            Ok(link) => {
                self.link = Some(link);
                Event::Connected
            }
            // Not logged: while the server is away, it would fill the journal.
            Err(_) => Event::LinkLost,
        }
    }

    fn send(&mut self, message: &ToServer) -> Option<Event> {
        let sides = crash_points(message);
        let link = self.link.as_mut()?;
        sides.before();
        if let ToServer::Completed { attempt_id, .. } = message {
            faults::trace!("reporting", attempt_id);
        }
        if let Err(error) = link.send(message) {
            self.drop_link(&error);
            return Some(Event::LinkLost);
        }
        sides.after();
        None
    }

    fn heartbeat(&mut self) -> Option<Event> {
        // A heartbeat that waits behind unsent messages tells the server nothing new.
        if self.link.as_ref().is_none_or(Link::is_backed_up) {
            return None;
        }
        let attempt = self.attempt.as_mut();
        let progress = attempt.and_then(|attempt| attempt.progress(clock::monotonic()));
        self.send(&ToServer::Heartbeat { progress, trouble: self.trouble.clone() })
    }

    /// Reports what keeps the attempt from ending. In the background nobody reads standard error, so the report goes to the
    /// server with every heartbeat, and immediately when it is new.
    fn complain(&mut self, trouble: String) -> Option<Event> {
        log::note(&trouble);
        self.trouble = Some(trouble);
        self.heartbeat()
    }

    fn drop_link(&mut self, error: &LinkError) {
        log::note(&log::chain(error));
        self.link = None;
    }

    fn begin(&mut self, grant: shim_protocol::grant::Grant, declined: Option<String>) -> Event {
        let dir = &self.order.attempts_dir;
        let (attempt, begun) = Attempt::begin(dir, grant, declined, &self.inherited);
        self.attempt = attempt;
        self.trouble = None;
        Event::Begun(begun)
    }

    fn sweep(&mut self) -> Option<Event> {
        let attempt = self.attempt.as_mut()?;
        faults::point!("shim.before_sweep");
        Some(Event::Swept(match attempt.sweep() {
            Left::Nothing => {
                faults::point!("shim.after_sweep");
                Swept::Clean
            }
            Left::Something => Swept::Left,
        }))
    }

    fn leave(&mut self, exit: Exit) -> Exit {
        if let Some(link) = &mut self.link
            && let Err(error) = link.flush_within(LAST_WORDS)
        {
            log::note(&format!(
                "the last messages to the server could not be sent: {}",
                log::chain(&error)
            ));
        }
        faults::point!("shim.before_exit");
        exit
    }
}

/// The crash points on both sides of a message. A message about the protocol itself has none: it changes nothing.
fn crash_points(message: &ToServer) -> faults::Sides {
    match message {
        ToServer::Hello(_) => faults::points!("shim.before_hello_sent", "shim.after_hello_sent"),
        ToServer::Pull { .. } => faults::points!("shim.before_pull_sent", "shim.after_pull_sent"),
        ToServer::Started { .. } => {
            faults::points!("shim.before_started_sent", "shim.after_started_sent")
        }
        ToServer::Heartbeat { .. } => {
            faults::points!("shim.before_heartbeat_sent", "shim.after_heartbeat_sent")
        }
        ToServer::Completed { .. } => {
            faults::points!("shim.before_completed_sent", "shim.after_completed_sent")
        }
        ToServer::Goodbye { .. } => {
            faults::points!("shim.before_goodbye_sent", "shim.after_goodbye_sent")
        }
        ToServer::Unsupported { .. } => faults::Sides::NONE,
    }
}

/// How the server recognizes this process, and its records, when there is no link over which to
/// ask.
fn traces(inherited: &Inherited, worker_lock: &File, seal_key: &SealKey) -> Traces {
    Traces {
        started_ticks: Process::read(nix::unistd::getpid().as_raw()).map(|own| own.started),
        boot_id: boot::id(),
        lock_inode: worker_lock.metadata().ok().map(|file| file.ino()),
        seal_key: Some(seal_key.public()),
        unit: inherited.place.clone(),
    }
}

/// Random bits that no other process has.
fn nonce() -> std::io::Result<u128> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u128::from_ne_bytes(bytes))
}
