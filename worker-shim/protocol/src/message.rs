//! What server and shim say to each other.
//!
//! A shim dials the server's socket, says [`ToServer::Hello`] and is welcomed or refused. Then it
//! pulls: the server answers with a grant as soon as it has committed one, or says that the queue
//! is empty. The link may break at any byte; every message can be repeated on a new link without
//! harm, and no message is the only copy of a fact.

use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exit::ExitRecord;
use crate::exit::UsageLimit;
use crate::grant::Grant;
use crate::grant::Limits;
use crate::run_dir::UnitPlace;

/// The names of the kinds in a set of messages. They distinguish an unknown message from a
/// malformed one.
pub trait Kinds: DeserializeOwned {
    const KINDS: &'static [&'static str];
}

/// The launch order: the one frame that a shim reads from its standard input. It carries the
/// secret, so that no secret is ever on a command line or in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Launch {
    Launch(LaunchOrder),
}

impl Kinds for Launch {
    const KINDS: &'static [&'static str] = &["launch"];
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchOrder {
    /// The worker that this shim is, `W-7`.
    pub worker_id: String,
    /// Proves to the server that this process is the one that it launched.
    pub token: String,
    /// The server's socket for shims.
    pub socket: PathBuf,
    /// Where run directories are made, one per attempt.
    pub attempts_dir: PathBuf,
    /// A file on which the shim holds an exclusive `flock` for its whole life. While the lock is
    /// held the worker is alive, whatever its process id says.
    pub worker_lock: PathBuf,
    /// A file with the path of the server's socket, read before each dial: a restarted server may
    /// have another runtime directory. Absent from older servers; then, and while the file cannot
    /// be read, `socket` is dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_file: Option<PathBuf>,
    /// The state directory that this worker belongs to; the hello repeats it. Absent from older
    /// servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place_id: Option<String>,
}

/// A shim's answer on the connection on which its order came, if that leads both ways: in a systemd
/// unit.
///
/// Without it the server could not tell a shim that has its order from a connection that systemd
/// closed at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LaunchAnswer {
    /// The shim has its order and its worker's lock, and will dial.
    Launched { pid: u32, unit: Option<String> },
    /// It cannot work, and exits.
    LaunchFailed { reason: String },
}

impl Kinds for LaunchAnswer {
    const KINDS: &'static [&'static str] = &["launched", "launch_failed"];
}

/// What a shim says to the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToServer {
    /// The first message on every link.
    Hello(Hello),
    /// Asks for one attempt. Repeating a `pull_id` returns the same grant: a shim that never saw
    /// the answer repeats it.
    Pull { pull_id: String },
    /// The child of a granted attempt is running.
    Started { attempt_id: String, child_pid: u32, at_ms: i64 },
    /// The shim is alive; sent every few seconds whether or not a child runs.
    Heartbeat {
        progress: Option<Progress>,
        /// What keeps the shim from ending the live attempt, in words for people: processes that do
        /// not die, a record that cannot be written. Absent if nothing does, and from older shims.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trouble: Option<String>,
    },
    /// An attempt ended. Repeated until acknowledged.
    Completed {
        attempt_id: String,
        record: Box<ExitRecord>,
        /// True if the record could not be written to disk: what the server commits is then the
        /// only copy.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unsealed: bool,
    },
    /// The shim exits for good; it holds no unreported work.
    Goodbye { reason: String },
    /// Answers a message of a kind that this version does not know.
    Unsupported { unsupported: String },
}

impl Kinds for ToServer {
    const KINDS: &'static [&'static str] =
        &["hello", "pull", "started", "heartbeat", "completed", "goodbye", "unsupported"];
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub protocol_min: u16,
    pub protocol_max: u16,
    /// The shim's version, for people.
    pub build: String,
    pub worker_id: String,
    pub token: String,
    /// The shim's own process id.
    pub pid: u32,
    /// The attempt that this shim holds: granted and not yet acknowledged. If it is present, the
    /// server adopts a running attempt.
    #[serde(default)]
    pub live_attempt: Option<String>,
    /// The live attempt's child, if one is running.
    #[serde(default)]
    pub child_pid: Option<u32>,
    /// True once the shim will take no more work (an operator drained it).
    #[serde(default)]
    pub draining: bool,
    /// The systemd unit in which this shim runs, if it runs in one.
    #[serde(default)]
    pub unit: Option<String>,
    /// As in the launch order, if that contained it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place_id: Option<String>,
    /// How the server recognizes this very process and its records without a link. Absent from
    /// older shims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<Box<Traces>>,
    /// The kinds of grants that this shim can run. Absent from older shims, which run only agents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// The network that this shim, and so its child, is in. Absent from older shims, and where it
    /// cannot be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
}

/// A network, as a process in it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The inode of its namespace: on one machine, two processes with the same number are in the
    /// same network.
    pub namespace: u64,
    /// Whether it has an interface that leads anywhere else.
    pub leads_out: bool,
}

/// What distinguishes one shim from every other process and file. It is sent once over the link
/// that the shim's token has opened, because any process of the same user can remove, replace or
/// forge everything on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traces {
    /// When the process was started, in clock ticks since boot; together with its id and the boot,
    /// an identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ticks: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The inode of the lock file it holds. While it is held, no other file has this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_inode: Option<u64>,
    /// The Ed25519 public key with which its exit records are signed, in hexadecimal digits. The
    /// private key never leaves the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal_key: Option<String>,
    /// The control group of its unit, if it has a unit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitPlace>,
}

/// How far the running child has come, as its own stream shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub attempt_id: String,
    /// Assistant messages so far.
    pub turns: u32,
    /// Milliseconds since the child last wrote anything.
    pub quiet_ms: u64,
    /// Bytes of output so far, dropped segments included.
    pub output_bytes: u64,
    /// Resident memory of the whole tree in bytes, if it could be read.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// The stream's last report about the account's usage limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_limit: Option<UsageLimit>,
}

/// What the server says to a shim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToShim {
    /// Answers `Hello`. From here on both sides speak `protocol`.
    Welcome(Welcome),
    /// Answers `Hello` if this shim may not work: wrong token, a worker that was stopped, no common
    /// protocol. A shim without a live attempt exits; one with a live attempt ends it first.
    Refused { reason: String },
    /// Answers `Pull`. The attempt is committed; the shim may start the child.
    Grant { pull_id: String, grant: Box<Grant> },
    /// Answers `Pull` if there was no work in this queue. The shim says goodbye and exits.
    Empty { pull_id: String },
    /// Answers `Completed` once the outcome is committed. Only now may the shim forget the attempt.
    Ack { attempt_id: String, verdict: AckVerdict },
    /// Ends the live attempt through the stop ladder.
    Stop { attempt_id: String, mode: StopMode },
    /// Replaces the limits of the live attempt, counted from its start.
    Limits { attempt_id: String, limits: Box<Limits> },
    /// Finish the live attempt, then exit.
    Drain {},
    /// Answers a message of a kind that this version does not know.
    Unsupported { unsupported: String },
}

impl Kinds for ToShim {
    const KINDS: &'static [&'static str] =
        &["welcome", "refused", "grant", "empty", "ack", "stop", "limits", "drain", "unsupported"];
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub protocol: u16,
    /// The server's version, for people.
    pub build: String,
    /// How often the shim sends heartbeats, in milliseconds.
    pub heartbeat_ms: u64,
}

/// What happened to a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckVerdict {
    /// This report ended the attempt.
    Accepted,
    /// The same report had been accepted earlier.
    Duplicate,
    /// Something else ended the attempt first; the report is kept and changes nothing.
    Parked,
}

/// Why an attempt is stopped; decides what happens to its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopMode {
    /// The work is still wanted: the ticket is requeued uncharged.
    Interrupt,
    /// The work is not wanted: the ticket goes on hold (or was closed).
    Cancel,
    /// Like `Interrupt`, without grace.
    Kill,
}
