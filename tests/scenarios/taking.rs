//! Looking at the result of a ticket, and taking it.

use std::fs;
use std::path::Path;

use e2e::bed::Bed;
use serde_json::json;

use super::terminals::out;

#[e2e::scenario]
async fn the_lines_under_a_closed_ticket_look_at_its_result_and_take_it() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: write coupon.txt refused").await;
    bed.completed(&ticket).await;
    let shown = out(&bed.server.operate("tickets", &[&ticket]).await);
    assert!(shown.contains("coupon.txt"), "{shown}");
    let line_of = |name: &str| {
        let line = shown.lines().find_map(|line| line.trim_start().strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in\n{shown}")).trim().to_owned()
    };
    let look = run_in_shell(&bed, &line_of("look at it"));
    assert!(look.contains("+refused"), "{look}");
    run_in_shell(&bed, &line_of("take it"));
    let taken = fs::read_to_string(repository.path.join("coupon.txt")).expect("it was merged");
    assert_eq!(taken.trim_end(), "refused");

    let difference = out(&bed.server.operate("diff", &[&ticket]).await);
    assert!(
        difference.contains("+refused") && difference.starts_with("diff --git"),
        "{difference}"
    );
    let files = out(&bed.server.operate("diff", &[&ticket, "--stat"]).await);
    assert!(files.contains("coupon.txt") && !files.contains("+refused"), "{files}");
    let open = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    bed.ticket_is(&open, "running").await;
    let nothing = bed.server.operate("diff", &[&open]).await;
    assert!(nothing.status.success() && nothing.stdout.is_empty(), "{nothing:?}");
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("at work"), "{nothing:?}");
}

fn run_in_shell(bed: &Bed, line: &str) -> String {
    let mut shell = bed.server.command_of(Path::new("/bin/sh"));
    shell.env("GIT_AUTHOR_NAME", "n").env("GIT_AUTHOR_EMAIL", "n@example.org");
    shell.env("GIT_COMMITTER_NAME", "n").env("GIT_COMMITTER_EMAIL", "n@example.org");
    out(&shell.args(["-c", line]).output().expect("a shell"))
}

#[e2e::scenario]
async fn a_repository_that_configures_programs_for_diffs_has_none_of_them_run() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    let ran = bed.server.path("ran");
    let program = format!("touch {}", ran.display());
    repository.git(&["config", "diff.external", &program]);
    repository.git(&["config", "diff.trap.textconv", &program]);
    repository.git(&["config", "diff.trap.command", &program]);
    repository.git(&["config", "core.pager", &program]);
    let script =
        "fake: build: write .gitattributes * diff=trap\nfake: build: write coupon.txt refused";
    let ticket = bed.ticket("shop", &["build"], script).await;
    bed.completed(&ticket).await;
    let difference = out(&bed.server.operate("diff", &[&ticket]).await);
    assert!(difference.contains("+refused"), "{difference}");
    out(&bed.server.operate("tickets", &[&ticket]).await);
    assert!(!ran.exists(), "a program of the repository was run");
}
