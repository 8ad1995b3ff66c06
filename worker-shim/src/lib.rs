//! The shim: one small process per worker that runs headless agents for a server which may come and go.
//!
//! It pulls an attempt from the server, runs the agent, and reports how that ended. The server may be restarted,
//! upgraded or gone for a week meanwhile: the link is a convenience, and what counts is written into the run directory
//! first. One thread and one `poll` loop ([`supervise`]) turn what happens into events for a pure state machine
//! ([`state`]), and its actions into system calls.

pub mod attempt;
pub mod bootstrap;
pub mod child;
pub mod clock;
pub mod crash;
pub mod environment;
pub mod exit;
pub mod link;
pub mod log;
pub mod output;
mod pidfd;
pub mod plant;
pub mod reap;
pub mod run_dir;
pub mod seal;
pub mod signals;
pub mod state;
pub mod stream;
pub mod supervise;
pub mod sweep;
pub mod tree;

use bootstrap::Side;
use exit::Exit;

/// The shim from start to end.
#[must_use]
pub fn run(detach: bool) -> Exit {
    if detach {
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
        Err(error) => {
            log::note(&log::chain(&error));
            return Exit::CannotSpawn;
        }
    };
    let order = match bootstrap::read_order() {
        Ok(order) => order,
        Err(error) => {
            log::note(&log::chain(&error));
            log::note("the Vibe-Ensemble server starts this program; it is not for use by hand");
            return Exit::Usage;
        }
    };
    let _worker_lock = match bootstrap::lock_worker(&order.worker_lock) {
        Ok(lock) => lock,
        Err(error) => {
            log::note(&log::chain(&error));
            return Exit::CannotRecord;
        }
    };
    crash::point("shim.after_lock");
    if let Err(error) = bootstrap::silence(!detach) {
        log::note(&format!("could not open /dev/null: {error}"));
        return Exit::CannotSpawn;
    }
    supervise::run(order, inherited)
}
