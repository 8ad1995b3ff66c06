//! The shim: one small process per worker that runs headless agents for a server that may come and
//! go.
//!
//! It pulls an attempt from the server, runs the agent, and reports how the attempt ended. The
//! server may be restarted, upgraded or gone for a week meanwhile: the link is a convenience, and
//! every result is first written to the run directory. One thread and one `poll` loop
//! ([`supervise`]) turn what happens into events for a pure state machine ([`state`]), and its
//! actions into system calls.

pub mod attempt;
pub mod bootstrap;
pub mod child;
pub mod clock;
pub mod commands;
pub mod environment;
pub mod exit;
pub mod image;
pub mod link;
pub mod log;
pub mod memory;
pub mod output;
pub mod reap;
pub mod run_dir;
pub mod seal;
pub mod seal_key;
pub mod signals;
pub mod state;
pub mod stream;
pub mod supervise;
pub mod sweep;
pub mod tree;

use bootstrap::Side;
use exit::Exit;
use shim_protocol::message::LaunchAnswer;

/// How the shim was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As a child of any process.
    Foreground,
    /// By a server that must not be its parent.
    Detached,
    /// By systemd, in a unit of its own, with the server's connection as its standard input.
    Unit,
}

/// Runs the shim from start to end.
#[must_use]
pub fn run(mode: Mode) -> Exit {
    if mode == Mode::Unit {
        log::to_journal();
    }
    if mode == Mode::Detached {
        match bootstrap::detach() {
            Ok(Side::Parent) => return Exit::Done,
            Ok(Side::Child) => {}
            Err(error) => {
                log::note(&format!("could not detach: {}", log::chain(&error)));
                return Exit::CannotSpawn;
            }
        }
    }
    let inherited = match bootstrap::become_supervisor() {
        Ok(inherited) => inherited,
        Err(error) => return refuse(mode, &error, Exit::CannotSpawn),
    };
    let order = match bootstrap::read_order() {
        Ok(order) => order,
        Err(error) => {
            let exit = refuse(mode, &error, Exit::Usage);
            log::note(
                "this program is started by the Vibe-Ensemble server and cannot be used on its own",
            );
            return exit;
        }
    };
    log::of_worker(&order.worker_id);
    let worker_lock = match bootstrap::lock_worker(&order.worker_lock) {
        Ok(lock) => lock,
        Err(error) => return refuse(mode, &error, Exit::CannotRecord),
    };
    faults::point!("shim.after_lock");
    if mode == Mode::Unit {
        let unit = inherited.place.as_ref().map(|place| place.unit.clone());
        bootstrap::answer(&LaunchAnswer::Launched { pid: std::process::id(), unit });
    }
    if let Err(error) = bootstrap::silence(mode != Mode::Detached) {
        log::note(&format!("could not open /dev/null: {error}"));
        return Exit::CannotSpawn;
    }
    supervise::run(order, inherited, &worker_lock)
}

/// Reports why there will be no worker, in the log and to the server that waits for it.
fn refuse(mode: Mode, error: &dyn std::error::Error, exit: Exit) -> Exit {
    let reason = log::chain(error);
    log::note(&reason);
    if mode == Mode::Unit {
        bootstrap::answer(&LaunchAnswer::LaunchFailed { reason });
    }
    exit
}
