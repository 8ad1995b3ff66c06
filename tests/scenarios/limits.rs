//! Limits that are changed while work runs, and limits that killing an attempt does not bypass.

use std::fs;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::eventually::eventually;
use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

/// A ticket in a repository whose agent has done half of its work and waits.
async fn half_done(bed: &Bed) -> String {
    let script = "fake: build#1: write half.txt half\nfake: build#1: wait-for never\n\
                  fake: build#2: append half.txt  and the rest";
    let ticket = bed.ticket("shop", &["build"], script).await;
    let call = bed.called(&ticket, "build", 1).await;
    eventually("half of it is done", || {
        let there = call.cwd.join("half.txt").exists();
        std::future::ready(if there { Ok(()) } else { Err("not yet".to_owned()) })
    })
    .await;
    ticket
}

#[e2e::scenario]
async fn after_a_limit_is_lowered_a_running_session_continues_with_what_is_left() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({})).await;
    bed.client.ok("update_project", json!({"project": "shop", "max_budget_usd": 50})).await;
    let ticket = half_done(&bed).await;

    bed.client.ok("update_project", json!({"project": "shop", "max_budget_usd": 5})).await;

    let closed = bed.completed(&ticket).await;
    let attempts = closed["attempts"].as_array().expect("a list");
    assert_eq!(attempts.len(), 2, "{closed}");
    assert_eq!(
        (text(&attempts[0], "outcome"), &attempts[0]["budget_usd"]),
        ("interrupted".into(), &json!(50.0))
    );
    assert_eq!(attempts[0]["claude_session_id"], attempts[1]["claude_session_id"]);
    let again = bed.called(&ticket, "build", 2).await;
    assert_eq!(again.argument("--resume"), attempts[1]["claude_session_id"].as_str());
    // What the first attempt may have used and could not report is no longer available.
    let budget: f64 =
        again.argument("--max-budget-usd").expect("a budget").parse().expect("dollars");
    assert!(budget > 0.0 && budget < 5.0, "{budget}");
    let half = repository.file(&text(&closed, "head_commit"), "half.txt");
    assert_eq!(half.as_deref(), Some("half and the rest\n"));
    assert_eq!(closed["assumed_usd"], 0.0, "its session has paid: {closed}");
    let kinds = bed.event_kinds(&ticket).await;
    assert!(!kinds.contains(&"ticket_on_hold".to_owned()), "{kinds:?}");
}

#[e2e::scenario]
async fn a_ticket_that_a_limit_stopped_resumes_once_the_limit_is_raised() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["plan", "build"], json!({})).await;
    let first = bed.ticket("shop", &["plan", "build"], "fake: build: wait-for never").await;
    bed.called(&first, "build", 1).await;
    // The scripted agent reports that its plan cost a cent.
    let limit = |usd: f64| json!({"ticket_id": first, "max_budget_usd": usd});
    bed.client.ok("update_ticket", limit(0.01)).await;
    let held = bed.ticket_is(&first, "on_hold").await;
    assert!(text(&held, "hold_reason").contains("$0.01 has been spent"), "{held}");
    assert_eq!(held["attempts"][1]["outcome"], "interrupted");

    bed.client.ok("update_ticket", limit(100.0)).await;
    bed.client.ok("resume_ticket", json!({"ticket_id": first})).await;
    let again = bed.called(&first, "build", 2).await;
    assert_eq!(again.argument("--resume"), held["attempts"][1]["claude_session_id"].as_str());
    bed.client.ok("close_ticket", json!({"ticket_id": first})).await;
    bed.nothing_is_left().await;
    assert_eq!(repository.problems(), Vec::<String>::new());
}

#[e2e::scenario]
async fn an_attempt_whose_shim_is_killed_is_charged_by_its_transcript() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    bed.client.ok("update_project", json!({"project": "shop", "max_budget_usd": 50})).await;
    let script =
        "fake: build#1: say hello\nfake: build#1: touch said\nfake: build#1: wait-for never";
    let ticket = bed.ticket("shop", &["build"], script).await;
    let call = bed.called(&ticket, "build", 1).await;
    let transcript = bed.server.state_dir().join("attempts/A-1/stdout.000001.jsonl");
    eventually("it has said something", || {
        let kept = fs::read_to_string(&transcript).unwrap_or_default().contains("hello");
        let there = kept && call.cwd.join("said").exists();
        std::future::ready(if there { Ok(()) } else { Err("not yet".to_owned()) })
    })
    .await;
    let worker = bed.worker_of(&ticket).await;
    assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGKILL));

    let found = eventually("it is lost", || async {
        let found = bed.get(&ticket).await;
        if found["attempts"][0]["state"] == "ended" { Ok(found) } else { Err(found.to_string()) }
    })
    .await;
    assert_eq!(found["attempts"][0]["outcome"], "lost");
    assert_eq!(found["attempts"][0]["cost_usd"], Value::Null);
    assert_eq!(found["attempts"][0]["input_tokens"], 11, "{found}");
    let assumed = found["assumed_usd"].as_f64().expect("dollars");
    assert!(
        assumed > 0.1 && assumed < 5.0,
        "far less than it was allowed, and not nothing: {found}"
    );
    let usage = bed.client.ok("get_usage", json!({"group_by": "project"})).await;
    assert_eq!(usage["total"]["assumed_usd"], found["assumed_usd"], "{usage}");
    let printed = bed.server.operate("usage", &["--by", "ticket"]).await;
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(printed.contains("1 attempt ended without reporting a cost"), "{printed}");
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn concurrent_changes_do_not_undo_each_other() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    let change = |more: Value| {
        let mut arguments = json!({"project": "shop"});
        arguments
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("one").clone());
        bed.client.ok("update_project", arguments)
    };
    for round in 1..=20 {
        tokio::join!(
            change(json!({"max_workers": round})),
            change(json!({"max_budget_usd": round})),
            change(json!({"max_attempts_per_ticket": round})),
            change(json!({"rules": format!("round {round}")})),
        );
        let found = bed.client.ok("get_project", json!({"project": "shop"})).await;
        let limits = &found["limits"];
        assert_eq!(limits["max_workers"], round, "{found}");
        assert_eq!(limits["max_budget_usd"], f64::from(round), "{found}");
        assert_eq!(limits["max_attempts_per_ticket"], round, "{found}");
        assert_eq!(found["rules"], format!("round {round}"));
    }
    // An invalid limit leaves everything else unchanged too.
    let wrong = json!({"project": "shop", "rules": "new", "max_budget_usd": -1});
    let refused = bed.client.refused("update_project", wrong).await;
    assert!(refused.contains("max_budget_usd"), "{refused}");
    assert_eq!(bed.client.ok("get_project", json!({"project": "shop"})).await["rules"], "round 20");
}
