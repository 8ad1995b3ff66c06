//! The planted bugs, as far as they cost nothing: whether they are caught is found out by the crash points.

use std::fs;
use std::path::Path;

use tokio::process::Command;

#[e2e::scenario]
async fn every_planted_bug_still_fits_the_source() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = tests.parent().expect("below the workspace");
    let plants = fs::read_dir(tests.join("plants")).expect("a directory");
    let mut found = 0;
    for plant in plants {
        let path = plant.expect("an entry").path();
        let checked = Command::new("git")
            .args(["-c", "safe.directory=*", "apply", "--check"])
            .arg(&path)
            .current_dir(root)
            .output()
            .await
            .expect("git runs");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{}: {said}", path.display());
        found += 1;
    }
    assert!(found >= 10, "{found} planted bugs");
}
