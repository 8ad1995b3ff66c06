//! What the kernel says about workers and their processes: locks, `/proc`, control groups.
//!
//! The shim, the server, its git steps and the tests all ask the same questions: is this process still the one we mean,
//! what runs below it, whose attempt does it belong to, who holds this lock? They must get the same answers, because an
//! answer decides whether a process is killed and whether a ticket runs a second time.
//!
//! - [`process`]: one process, as `/proc` shows it; every process; what one has done so far.
//! - [`descendants`]: the processes below another.
//! - [`environment`]: the variables a process was started with, which mark the processes of an attempt.
//! - [`pinned`]: handles that cannot come to mean another process, and signals to exactly one process.
//! - [`locks`]: whether a lock is held, and by whom.
//! - [`cgroup`]: the control group of a worker's unit.
//! - [`boot`]: which boot of the machine this is, and how long ago it was.
//!
//! Nothing here decides anything: facts are returned, and "it could not be looked at" is a fact of its own.

pub mod boot;
pub mod cgroup;
pub mod descendants;
pub mod environment;
pub mod locks;
pub mod pinned;
pub mod process;
