//! What a ticket waits for, cause by cause: the answer names a step, and that step is taken here and helps.

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

/// Waits until the ticket waits for this with a sentence that names each of the steps, and returns it.
async fn waits(bed: &Bed, ticket: &str, cause: &str, steps: &[&str]) -> String {
    let what = format!("{ticket} waits for {cause}, {}", steps.join(" and "));
    let why = eventually(&what, || async {
        let found = bed.get(ticket).await;
        let why = found["waiting_for"].as_str().unwrap_or_default();
        if found["waiting_cause"] == cause && steps.iter().all(|step| why.contains(step)) {
            Ok(why.to_owned())
        } else {
            Err(found.to_string())
        }
    })
    .await;
    assert!(!why.contains(".."), "{why}");
    why
}

fn queue(worker_type: &str) -> Value {
    json!({"project": "shop", "worker_type": worker_type})
}

#[tokio::test]
async fn a_type_that_may_have_no_worker_wants_a_higher_limit() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"max_workers": 0})).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let why = waits(&bed, &ticket, "no_worker", &["update_worker_type"]).await;
    assert!(!why.contains("spawn_worker"), "{why}");
    // Who asks all the same is told the one step that helps.
    let refused = bed.client.refused("spawn_worker", queue("build")).await;
    assert_eq!(
        refused,
        "Worker type build may have 0 workers and has 0, so 1 more is refused. Raise max_workers with \
         update_worker_type."
    );
    let more = json!({"project": "shop", "worker_type": "build", "max_workers": 1});
    bed.client.ok("update_worker_type", more).await;
    bed.completed(&ticket).await;
}

#[tokio::test]
async fn a_project_that_may_have_no_worker_wants_a_higher_limit() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    bed.worker_type("shop", "manual", json!({"auto_spawn": false})).await;
    bed.client.ok("update_project", json!({"project": "shop", "max_workers": 0})).await;
    let (ticket, manual) =
        (bed.ticket("shop", &["build"], "").await, bed.ticket("shop", &["manual"], "").await);
    for ticket in [&ticket, &manual] {
        waits(&bed, ticket, "no_worker", &["update_project"]).await;
    }
    // By hand no more may live than by themselves.
    let refused = bed.client.refused("spawn_worker", queue("manual")).await;
    assert_eq!(
        refused,
        "Project shop may have 0 workers and has 0, so 1 more is refused. Raise max_workers with update_project."
    );
    bed.client.ok("update_project", json!({"project": "shop", "max_workers": 1})).await;
    bed.completed(&ticket).await;
    waits(&bed, &manual, "no_worker", &["by itself; start one with spawn_worker"]).await;
    bed.client.ok("spawn_worker", queue("manual")).await;
    bed.completed(&manual).await;
}

#[tokio::test]
async fn a_type_that_is_started_by_hand_needs_a_slot_first_where_all_are_taken() {
    let bed = Bed::with(Setup::default().max_workers(1)).await;
    bed.repository("shop", &["build"], json!({})).await;
    bed.worker_type("shop", "manual", json!({"auto_spawn": false})).await;
    let busy = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    bed.called(&busy, "build", 1).await;
    let ticket = bed.ticket("shop", &["manual"], "").await;
    waits(&bed, &ticket, "no_worker", &["stop_worker", "spawn_worker"]).await;
    let refused = bed.client.refused("spawn_worker", queue("manual")).await;
    assert!(refused.contains("stop_worker") && !refused.contains("at most 0"), "{refused}");
    let worker = text(&bed.worker_of(&busy).await, "worker_id");
    bed.client.ok("stop_worker", json!({"worker_id": worker, "mode": "cancel"})).await;
    bed.ticket_is(&busy, "on_hold").await;
    waits(&bed, &ticket, "no_worker", &["by itself; start one with spawn_worker"]).await;
    bed.client.ok("spawn_worker", queue("manual")).await;
    bed.completed(&ticket).await;
}

#[tokio::test]
async fn a_ticket_whose_worker_type_is_gone_wants_it_back_or_another_stage() {
    let bed = Bed::start().await;
    bed.project("shop", &["build", "test"]).await;
    bed.client.ok("pause", json!({})).await;
    let only = bed.ticket("shop", &["build"], "").await;
    let more = bed.ticket("shop", &["build", "test"], "").await;
    let gone = json!({"project": "shop", "worker_type": "build", "force": true});
    bed.client.ok("delete_worker_type", gone).await;
    bed.client.ok("resume", json!({})).await;
    let why = waits(&bed, &only, "on_hold", &["create_worker_type", "close_ticket"]).await;
    assert!(!why.contains("another stage"), "{why}");
    waits(&bed, &more, "on_hold", &["create_worker_type", "stage test", "resume_ticket"]).await;
    // Without a type of its stage a resume is refused, so nothing may advise it.
    bed.client.refused("resume_ticket", json!({"ticket_id": only})).await;
    bed.client.ok("resume_ticket", json!({"ticket_id": more, "stage": "test"})).await;
    bed.completed(&more).await;
    bed.worker_type("shop", "build", json!({})).await;
    waits(&bed, &only, "on_hold", &["Move it with resume_ticket"]).await;
    bed.client.ok("resume_ticket", json!({"ticket_id": only})).await;
    bed.completed(&only).await;
}

#[tokio::test]
async fn every_slot_that_is_taken_names_the_limit_to_raise() {
    let bed = Bed::with(Setup::default().max_workers(1)).await;
    bed.repository("shop", &["build", "test"], json!({})).await;
    bed.client.ok("update_project", json!({"project": "shop", "max_workers": 1})).await;
    let script = "fake: *: wait-for go";
    let first = bed.ticket("shop", &["build"], script).await;
    let call = bed.called(&first, "build", 1).await;
    let second = bed.ticket("shop", &["build"], "").await;
    let other = bed.ticket("shop", &["test"], "").await;
    waits(&bed, &second, "no_slot", &["update_worker_type"]).await;
    let more = json!({"project": "shop", "worker_type": "build", "max_workers": 2});
    bed.client.ok("update_worker_type", more).await;
    waits(&bed, &second, "no_slot", &["update_project"]).await;
    bed.client.ok("update_project", json!({"project": "shop", "max_workers": 2})).await;
    waits(&bed, &second, "no_slot", &["--max-workers"]).await;
    waits(&bed, &other, "no_slot", &["--max-workers"]).await;
    std::fs::write(call.cwd.join("go"), "").expect("the worktree is writable");
    for ticket in [&first, &second, &other] {
        bed.completed(ticket).await;
    }
}

#[tokio::test]
async fn every_pause_ends_with_the_resume_that_it_names() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let scopes = [
        (json!({}), "server_paused"),
        (json!({"project": "shop"}), "project_paused"),
        (queue("build"), "queue_paused"),
    ];
    for (scope, _) in &scopes {
        bed.client.ok("pause", scope.clone()).await;
    }
    let ticket = bed.ticket("shop", &["build"], "").await;
    for (scope, cause) in scopes {
        waits(&bed, &ticket, cause, &["resume"]).await;
        bed.client.ok("resume", scope).await;
    }
    bed.completed(&ticket).await;
}
