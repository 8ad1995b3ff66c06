//! What gates are compared with: their own second run, the base commit, and what the base branch has by the time of a merge.

use std::fs;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::eventually::eventually;
use serde_json::Value;
use serde_json::json;

use crate::gates::count;
use crate::gates::events_of;
use crate::gates::gate;
use crate::gates::project;

/// The summaries of a ticket's events of a kind.
async fn said(bed: &Bed, ticket: &str, kind: &str) -> Vec<String> {
    let events = events_of(bed, ticket).await;
    events
        .iter()
        .filter(|event| event["kind"] == kind)
        .map(|event| text(event, "summary"))
        .collect()
}

#[e2e::scenario]
async fn a_gate_that_fails_and_then_passes_is_flaky_and_lets_the_work_pass() {
    let bed = Bed::start().await;
    let marker = bed.server.path("marker");
    let line = format!("test -e {0} || {{ touch {0}; echo chance; exit 1; }}", marker.display());
    let file = gate("test", &line).replace("retries = 0", "retries = 1");
    project(&bed, &["build"], &file, json!({})).await;
    let id = bed.ticket("shop", &["build"], "fake: build: write a.txt {ticket}").await;
    bed.completed(&id).await;
    let said = said(&bed, &id, "gate_passed").await;
    assert!(said.len() == 1 && said[0].contains("flaky"), "{said:?}");
    assert_eq!(count(&bed, &id, "gate_failed").await, 0);
    assert_eq!(bed.agents.calls_of(&id, "build").len(), 1);
}

#[e2e::scenario]
async fn what_fails_on_the_base_commit_too_is_not_the_tickets_fault_and_runs_there_once() {
    let bed = Bed::start().await;
    let ran = bed.server.path("ran");
    let line = format!("git rev-parse HEAD >> {}; echo old trouble; exit 1", ran.display());
    let file = gate("test", &line).replace("baseline = false", "baseline = true");
    let file = format!("{file}\n[worktree]\nsetup = [[\"sh\", \"-c\", \"echo built > deps\"]]\n");
    let repository = project(&bed, &["build"], &file, json!({})).await;
    let base = repository.commit("main");
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(bed.ticket("shop", &["build"], "fake: build: write a.txt {ticket}").await);
    }
    for id in &ids {
        bed.completed(id).await;
        let said = said(&bed, id, "gate_passed").await;
        assert!(said.len() == 1 && said[0].contains("base commit"), "{said:?}");
    }
    let ran = fs::read_to_string(&ran).expect("it ran");
    assert_eq!(ran.lines().filter(|commit| **commit == base).count(), 1, "{ran}");
    assert_eq!(ran.lines().count(), 4, "{ran}");
    bed.nothing_is_left().await;
    let branches = repository.ask(&["branch", "--list", "*-base"]);
    assert_eq!(branches, "", "nothing of the comparison is left");
}

#[e2e::scenario]
async fn single_tests_are_compared_and_only_the_new_failures_are_told() {
    let bed = Bed::start().await;
    let line = "cp report.xml out.xml; ! grep -q failure out.xml";
    let file = format!(
        "{}junit = \"out.xml\"\n",
        gate("test", line).replace("baseline = false", "baseline = true")
    );
    let repository = project(&bed, &["build"], &file, json!({})).await;
    let case = |name: &str, fails: bool| {
        let inside = if fails { "<failure/>" } else { "" };
        format!("<testcase classname=\"shop\" name=\"{name}\">{inside}</testcase>")
    };
    let report = |cases: &[(&str, bool)]| {
        let cases: String = cases.iter().map(|(name, fails)| case(name, *fails)).collect();
        format!("<testsuite>{cases}</testsuite>")
    };
    let old = report(&[("old_trouble", true), ("fine", false)]);
    fs::write(repository.path.join("report.xml"), old).expect("writable");
    fs::write(repository.path.join(".gitignore"), "deps\nout.xml\n").expect("writable");
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "-m", "An old failure"]);
    let script = format!(
        "fake: build#1: write report.xml {}\nfake: build#2: write report.xml {}",
        report(&[("old_trouble", true), ("fine", true)]),
        report(&[("old_trouble", true), ("fine", false), ("another", false)]),
    );
    let id = bed.ticket("shop", &["build"], &script).await;
    bed.completed(&id).await;
    let second = bed.called(&id, "build", 2).await;
    let told = second.prompt.split("New failures:").nth(1).expect("they are named");
    let told = told.split("The end").next().unwrap_or_default();
    assert!(told.contains("fine") && !told.contains("old_trouble"), "{}", second.prompt);
    assert_eq!(count(&bed, &id, "gate_failed").await, 1);
}

#[e2e::scenario]
async fn two_tickets_that_pass_alone_and_fail_together_are_caught_and_keep_nobody_waiting() {
    let bed = Bed::start().await;
    let file = gate("test", "! { test -e one.txt && test -e two.txt; }");
    let repository = project(&bed, &["build"], &file, json!({"on_complete": "merge"})).await;
    let go = bed.server.path("go");
    let script = |name: &str| {
        format!("fake: build: wait-for {}\nfake: build: write {name}.txt {{ticket}}", go.display())
    };
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        let id = bed.ticket("shop", &["build"], &script(name)).await;
        // All of them begin from the same commit.
        bed.called(&id, "build", 1).await;
        ids.push(id);
    }
    fs::write(&go, "").expect("writable");
    let settled = |id: String| {
        let bed = &bed;
        async move {
            eventually(&format!("{id} is settled"), || async {
                let found = bed.get(&id).await;
                match text(&found, "state").as_str() {
                    "closed" | "on_hold" => Ok(found),
                    _ => Err(found.to_string()),
                }
            })
            .await
        }
    };
    let mut found = Vec::new();
    for id in &ids {
        found.push(settled(id.clone()).await);
    }
    assert_eq!(found[2]["state"], "closed", "{}", found[2]);
    let held: Vec<&Value> = found.iter().filter(|ticket| ticket["state"] == "on_hold").collect();
    let [held] = held[..] else { panic!("one of the two: {found:?}") };
    assert_eq!(text(held, "hold_kind"), "gate");
    let reason = text(held, "hold_reason");
    assert!(
        reason.contains("together with what is in main") && reason.contains("test"),
        "{reason}"
    );
    let tree = repository.ask(&["ls-tree", "--name-only", "main"]);
    let has = |name: &str| tree.lines().any(|line| line == name);
    assert!(has("one.txt") != has("two.txt") && has("three.txt"), "{tree}");
    // Once it is waived, it is merged.
    let id = text(held, "ticket_id");
    assert!(held["merged_commit"].is_null());
    assert_eq!(count(&bed, &id, "ticket_closed").await, 0);
}

#[e2e::scenario]
async fn branches_are_merged_one_after_the_other_in_the_order_in_which_they_were_completed() {
    let bed = Bed::start().await;
    let go = bed.server.path("go");
    // Alone each passes at once; what is judged for a merge of the first one waits.
    let line = format!(
        "git log -1 --format=%s | grep -q ^Merge || exit 0; while ! test -e {}; do sleep 0.05; done",
        go.display()
    );
    let repository =
        project(&bed, &["build"], &gate("test", &line), json!({"on_complete": "merge"})).await;
    let begin = bed.server.path("begin");
    let mut ids = Vec::new();
    for number in 0..3 {
        let script = format!(
            "fake: build: wait-for {}-{number}\nfake: build: write {number}.txt {{ticket}}",
            begin.display()
        );
        let id = bed.ticket("shop", &["build"], &script).await;
        bed.called(&id, "build", 1).await;
        ids.push(id);
    }
    // The base branch moves, so that every merge is one that has to be judged.
    repository.git(&["commit", "--quiet", "--allow-empty", "-m", "Of the user"]);
    let order = [2, 0, 1];
    for number in order {
        fs::write(format!("{}-{number}", begin.display()), "").expect("writable");
        let id = &ids[number];
        eventually("its stage is completed", || async {
            let count = count(&bed, id, "ticket_stage_completed").await;
            if count == 1 { Ok(()) } else { Err(count.to_string()) }
        })
        .await;
    }
    let waits = bed.get(&ids[2]).await;
    assert_eq!(waits["state"], "running", "{waits}");
    // Each of the others waits behind the one that was completed before it.
    for (id, before) in [(&ids[0], &ids[2]), (&ids[1], &ids[0])] {
        let found = bed.get(id).await;
        let why = text(&found, "waiting_for");
        let told = format!("after the branch of {before}");
        assert!(found["waiting_cause"] == "landing" && why.contains(&told), "{found}");
    }
    fs::write(&go, "").expect("writable");
    for id in &ids {
        bed.completed(id).await;
    }
    let log = repository.ask(&["log", "--first-parent", "--reverse", "--format=%s", "main"]);
    let merged: Vec<String> = log
        .lines()
        .filter_map(|line| line.strip_prefix("Merge vibe-ensemble/"))
        .filter_map(|rest| rest.split_once(':').map(|(id, _)| id.to_owned()))
        .collect();
    let expected: Vec<String> = order.iter().map(|number| ids[*number].clone()).collect();
    assert_eq!(merged, expected, "{log}");
}
