//! The exit codes of `vibe-ensemble`: what a script, a unit file or a person may rely on.

use std::process::ExitCode;

/// How a command ended. The numbers are part of the interface; a new meaning gets a new number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what was asked.
    Ok = 0,
    /// It understood what was asked and failed.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// No server answers there.
    Unreachable = 69,
    /// Another server holds the state or the runtime directory, or another program the port.
    Locked = 75,
    /// The configuration was refused.
    Config = 78,
    /// Ended by INT before it was done.
    Interrupted = 130,
    /// Ended by QUIT, after logging its state.
    Quit = 131,
}

impl Exit {
    /// The number a parent process sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_the_documented_ones() {
        let codes = [
            (Exit::Ok, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::Unreachable, 69),
            (Exit::Locked, 75),
            (Exit::Config, 78),
            (Exit::Interrupted, 130),
            (Exit::Quit, 131),
        ];
        for (exit, code) in codes {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }
}
