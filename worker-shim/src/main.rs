//! The binary; everything it does is in the library.

use std::io::Write as _;
use std::process::ExitCode;

use vibe_ensemble_shim::Mode;
use vibe_ensemble_shim::exit::Exit;
use vibe_ensemble_shim::log;

const HELP: &str = "\
Supervises one headless Claude Code worker.

The Vibe-Ensemble server starts this program and hands it a launch order on
standard input. Users do not run it themselves.

Usage: vibe-ensemble-shim [--detach | --unit]

  --detach   detach from the parent and supervise in the background
  --unit     started by systemd: standard input is the server's connection
  --version  print the version
  --help     print this help
";

fn main() -> ExitCode {
    let mut mode = Mode::Foreground;
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("--detach") => mode = Mode::Detached,
            Some("--unit") => mode = Mode::Unit,
            Some("--help" | "-h") => return print(HELP),
            Some("--version" | "-V") => {
                return print(concat!("vibe-ensemble-shim ", env!("CARGO_PKG_VERSION"), "\n"));
            }
            _ => {
                log::note(&format!("unknown argument {}; see --help", argument.display()));
                return Exit::Usage.into();
            }
        }
    }
    vibe_ensemble_shim::run(mode).into()
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Done.into(),
        Err(_) => ExitCode::FAILURE,
    }
}
