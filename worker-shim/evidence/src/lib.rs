//! What the kernel shows about workers and their processes: locks, `/proc`, control groups.
//!
//! The shim, the server, its git steps and the tests all ask the same questions: is this process
//! still the one we mean, what runs below it, which attempt does it belong to, who holds this lock?
//! They must get the same answers, because an answer decides whether a process is killed and
//! whether a ticket runs a second time.
//!
//! - [`process`]: one process, as `/proc` shows it; every process; the work that one has done so far.
//! - [`descendants`]: the processes below another.
//! - [`environment`]: the variables with which a process was started; they mark the processes of an attempt.
//! - [`pinned`]: handles that cannot come to mean another process, and signals to exactly one process.
//! - [`locks`]: whether a lock is held, and by whom.
//! - [`cgroup`]: the control group of a worker's unit.
//! - [`network`]: the network that this process is in.
//! - [`boot`]: which boot of the machine this is, and how long ago it began.
//!
//! Nothing here decides anything: it returns facts, and "it could not be examined" is a fact of its
//! own.

pub mod boot;
pub mod cgroup;
pub mod descendants;
pub mod environment;
pub mod locks;
pub mod network;
pub mod pinned;
pub mod process;
