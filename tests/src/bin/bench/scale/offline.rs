//! Commands that read the whole file.

use std::time::Instant;

use anyhow::ensure;
use e2e::bed::Bed;

use super::table::Table;

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
            // The doctor has something to say about most machines.
            let fine = output.status.success() || name == "doctor";
            ensure!(fine, "{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
        table.pair(&format!("{name} (reads everything)"), &took[..1], &took[1..]);
    }
    Ok(())
}
