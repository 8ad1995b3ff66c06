//! The shim's own exit codes. The child's fate is in the exit record, never here.

use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything it was given is supervised and recorded, whatever the child did.
    Done = 0,
    /// The command line is wrong, or no launch order arrived.
    Usage = 2,
    /// The machinery for starting children failed: no process, no memory, no descriptor.
    CannotSpawn = 71,
    /// An exit record could not be written, or the worker's lock is held by another shim.
    CannotRecord = 74,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
