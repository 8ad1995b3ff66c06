//! A command that changed nothing does not say that it did.

use std::process::Output;

use e2e::bed::Bed;
use serde_json::json;

fn words(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}\n{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// Runs a command that must succeed, and returns its output.
async fn good(bed: &Bed, line: &[&str]) -> String {
    let output = bed.server.operate(line[0], &line[1..]).await;
    assert_eq!(output.status.code(), Some(0), "{line:?}: {}", words(&output));
    words(&output)
}

#[e2e::scenario]
async fn an_update_to_what_is_there_already_says_so() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: block Red or blue?").await;
    bed.ticket_is(&ticket, "on_hold").await;
    let updates: [&[&str]; 9] = [
        &["project", "update", "shop", "--rules", "Be kind."],
        &["project", "update", "shop", "--max-budget-usd", "5"],
        &["project", "update", "shop", "--max-workers", "3", "--rules", "Be brief."],
        &["project", "update", "shop", "--gates", r#"[{"name":"lint","command":["true"]}]"#],
        &["type", "update", "shop", "build", "--max-turns", "5"],
        &["type", "update", "shop", "build", "--allowed-tools", "Read,Bash(git log:*)"],
        &["type", "update", "shop", "build", "--system-prompt", "You build."],
        &["ticket", "update", &ticket, "--priority", "high"],
        &["ticket", "update", &ticket, "--description", "Another one."],
    ];
    for update in updates {
        let said = good(&bed, update).await;
        assert!(said.starts_with("Changed"), "{update:?}: {said}");
        let said = good(&bed, update).await;
        assert!(said.starts_with("Nothing to change in"), "{update:?}: {said}");
    }
    let project = bed.client.ok("get_project", json!({"project": "shop"})).await;
    assert_eq!(project["limits"]["max_workers"], 3, "{project}");
    let said = good(&bed, &["project", "update", "shop", "--max-workers", "-1"]).await;
    assert!(said.starts_with("Changed"), "{said}");
    let said = good(&bed, &["project", "update", "shop", "--max-workers", "-1"]).await;
    assert!(said.starts_with("Nothing to change in"), "{said}");
}

#[e2e::scenario]
async fn a_resume_of_what_was_not_paused_says_so() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    for scope in [&["shop"][..], &["shop", "build"], &[]] {
        let line = [&["resume"], scope].concat();
        let said = good(&bed, &line).await;
        assert!(said.contains("was not paused, and nothing in it is."), "{line:?}: {said}");
        good(&bed, &[&["pause"], scope].concat()).await;
        let said = good(&bed, &line).await;
        assert!(said.contains("is running again; nothing in it is paused."), "{line:?}: {said}");
    }
    good(&bed, &["pause", "shop", "build", "--reason", "a release"]).await;
    let said = good(&bed, &["resume", "shop"]).await;
    assert!(said.contains("shop was not paused.") && said.contains("a release"), "{said}");
}

#[e2e::scenario]
async fn a_ticket_that_is_resumed_into_a_pause_says_that_it_does_not_start() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    bed.ticket_is(&ticket, "running").await;
    good(&bed, &["stop", &ticket]).await;
    bed.ticket_is(&ticket, "on_hold").await;
    good(&bed, &["pause", "shop", "--reason", "a release"]).await;
    let said = good(&bed, &["resume", &ticket]).await;
    assert!(said.contains("does not start yet") && said.contains("a release"), "{said}");
}
