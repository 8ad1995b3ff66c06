//! Commands as a person runs them: those that query a server, and those that read the whole file.

use std::time::Instant;

use anyhow::ensure;
use e2e::bed::Bed;

use super::table::Table;

/// Commands that show something to a person; each should answer within a tenth of a second.
const LOOKS: [(&str, &[&str]); 9] = [
    ("status", &[]),
    ("tickets", &[]),
    ("tickets", &["--all"]),
    ("tickets", &["T-1"]),
    ("workers", &[]),
    ("usage", &["--since", "7d"]),
    ("events", &["-n", "20"]),
    ("logs", &["T-1"]),
    ("why", &["T-1"]),
];

/// Times each of them, `rounds` times.
pub(super) fn looks(
    small: &Bed,
    large: &Bed,
    rounds: usize,
    table: &mut Table,
) -> anyhow::Result<()> {
    for (name, arguments) in LOOKS {
        let command = format!("`{}`", [&[name], arguments].concat().join(" "));
        eprintln!("  {command}");
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..rounds.min(20) {
            for (side, bed) in [small, large].into_iter().enumerate() {
                let mut run = bed.server.command(name);
                run.args(arguments)
                    .env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir())
                    .env("VIBE_ENSEMBLE_RUNTIME_DIR", bed.server.runtime_dir());
                let begun = Instant::now();
                let output = run.output()?;
                took[side].push(begun.elapsed().as_secs_f64() * 1000.0);
                let said = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.success(), "{command}: {said}");
            }
        }
        table.two(&command, &took);
    }
    Ok(())
}

pub(super) fn measure(small: &Bed, large: &Bed, table: &mut Table) -> anyhow::Result<()> {
    for name in ["doctor", "backup"] {
        eprintln!("  {name}");
        let mut took = [0.0; 2];
        for (side, bed) in [small, large].into_iter().enumerate() {
            let mut command = bed.server.command(name);
            command.arg("--state-dir").arg(bed.server.state_dir());
            if name == "backup" {
                command.arg(bed.server.path("copy.db"));
            } else {
                command.arg("--runtime-dir").arg(bed.server.runtime_dir());
            }
            let begun = Instant::now();
            let output = command.output()?;
            took[side] = begun.elapsed().as_secs_f64() * 1000.0;
            // The doctor finds some problem on most machines.
            let fine = output.status.success() || name == "doctor";
            ensure!(fine, "{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
        table.pair(&format!("{name} (reads everything)"), &took[..1], &took[1..]);
    }
    Ok(())
}
