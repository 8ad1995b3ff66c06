//! The state machine, driven by made-up events.

use std::time::Duration;

use nix::sys::signal::Signal;
use shim_protocol::exit::ExitRecord;
use shim_protocol::exit::ExitStatus;
use shim_protocol::exit::Stop;
use shim_protocol::exit::StopReason;
use shim_protocol::grant::Grant;
use shim_protocol::grant::GrantKind;
use shim_protocol::grant::Limits;
use shim_protocol::message::AckVerdict;
use shim_protocol::message::Hello;
use shim_protocol::message::StopMode;
use shim_protocol::message::ToServer;
use shim_protocol::message::ToShim;
use shim_protocol::message::Welcome;

use super::*;
use crate::exit::Exit;

mod child;
mod link;
mod record;
mod signals;
mod stop;

const PID: u32 = 4711;

/// A machine and a clock that moves only on request.
struct Shim {
    machine: Machine,
    now: Duration,
}

impl Shim {
    fn new() -> Self {
        let identity = Identity {
            worker_id: "W-7".into(),
            token: "secret".into(),
            build: "test".into(),
            pid: 42,
            unit: None,
            nonce: 0xabc,
            place_id: None,
            traces: shim_protocol::message::Traces::default(),
            network: Some(shim_protocol::message::Network { namespace: 7, leads_out: true }),
        };
        let now = Duration::from_secs(1000);
        Self { machine: Machine::new(identity, now), now }
    }

    fn feed(&mut self, event: Event) -> Vec<Action> {
        self.machine.handle(event, self.now)
    }

    fn pass(&mut self, time: Duration) -> Vec<Action> {
        self.now += time;
        self.feed(Event::Tick)
    }

    fn hear(&mut self, message: ToShim) -> Vec<Action> {
        self.feed(Event::Message(message))
    }

    /// Dials and is welcomed; returns what the welcome led to.
    fn connect(&mut self) -> Vec<Action> {
        self.feed(Event::Connected);
        self.hear(ToShim::Welcome(Welcome { protocol: 1, build: "s".into(), heartbeat_ms: 10_000 }))
    }

    fn pulling() -> Self {
        let mut shim = Self::new();
        assert_eq!(shim.feed(Event::Tick), [Action::Dial]);
        assert_eq!(shim.connect(), [pull(1)]);
        shim
    }

    fn running(limits: Limits) -> Self {
        let mut shim = Self::pulling();
        let grant = granted(1, limits);
        let [Action::Begin(_)] = shim.hear(grant)[..] else { panic!("begins") };
        assert_eq!(shim.feed(begun()), [started()]);
        shim
    }

    /// The tree is gone; returns the stop with which the record is sealed.
    fn sealed(&mut self) -> Option<Stop> {
        let actions = self.feed(Event::Swept(Swept::Clean));
        let [Action::Seal(order)] = &actions[..] else { panic!("seals: {actions:?}") };
        order.stop.clone()
    }

    fn reporting() -> Self {
        let mut shim = Self::running(Limits::default());
        assert_eq!(shim.feed(Event::ChildExited), [Action::Sweep]);
        assert_eq!(shim.sealed(), None);
        assert_eq!(shim.feed(Event::Sealed(record())), [completed()]);
        shim
    }

    fn ack(&mut self) -> Vec<Action> {
        self.hear(ToShim::Ack { attempt_id: "A-1".into(), verdict: AckVerdict::Accepted })
    }
}

fn limits() -> Limits {
    Limits { grace_ms: 30_000, kill_after_ms: 5_000, ..Limits::default() }
}

fn granted(pull: u32, limits: Limits) -> ToShim {
    ToShim::Grant { pull_id: format!("{:032x}-{pull}", 0xabc), grant: Box::new(grant(limits)) }
}

fn grant(limits: Limits) -> Grant {
    Grant {
        version: 1,
        server_id: "db".into(),
        attempt_id: "A-1".into(),
        ticket_id: "T-1".into(),
        project: "p".into(),
        stage: "build".into(),
        worker_id: "W-7".into(),
        claude_session_id: "s".into(),
        program: "/bin/true".into(),
        args: Vec::new(),
        prompt: String::new(),
        cwd: "/".into(),
        env: std::collections::BTreeMap::new(),
        env_pass: Vec::new(),
        files: std::collections::BTreeMap::new(),
        limits,
        kind: GrantKind::Agent,
        commands: Vec::new(),
        extra: serde_json::Map::new(),
    }
}

fn record() -> Box<ExitRecord> {
    Box::new(ExitRecord {
        version: 1,
        server_id: "db".into(),
        attempt_id: "A-1".into(),
        worker_id: "W-7".into(),
        build: "test".into(),
        status: ExitStatus::Exited { code: 0 },
        stop: None,
        result: None,
        last_error: None,
        session_id: None,
        stderr_tail: String::new(),
        turns: 0,
        started_at_ms: Some(5),
        ended_at_ms: 6,
        swept: 0,
        max_rss_kib: None,
        oom_kills: None,
        tasks_refused: None,
        peak_memory_bytes: None,
        usage_limit: None,
        mcp_failed: Vec::new(),
        stream_usage: None,
        told: None,
        unreadable: None,
        commands: Vec::new(),
        extra: serde_json::Map::new(),
    })
}

fn begun() -> Event {
    Event::Begun(Begun::Running { pid: PID, at_ms: 5 })
}

fn pull(number: u32) -> Action {
    Action::Send(ToServer::Pull { pull_id: format!("{:032x}-{number}", 0xabc) })
}

fn started() -> Action {
    Action::Send(ToServer::Started { attempt_id: "A-1".into(), child_pid: PID, at_ms: 5 })
}

fn completed() -> Action {
    reported(/* unsealed */ false)
}

fn reported(unsealed: bool) -> Action {
    Action::Send(ToServer::Completed { attempt_id: "A-1".into(), record: record(), unsealed })
}

fn goodbye(reason: &str) -> Action {
    Action::Send(ToServer::Goodbye { reason: reason.into() })
}

fn stop(mode: StopMode) -> ToShim {
    ToShim::Stop { attempt_id: "A-1".into(), mode }
}

fn polite() -> [Action; 2] {
    [Action::SignalGroup(Signal::SIGTERM), Action::SignalGroup(Signal::SIGCONT)]
}

fn insisting() -> [Action; 2] {
    [Action::SignalTree(Signal::SIGTERM), Action::SignalTree(Signal::SIGCONT)]
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
