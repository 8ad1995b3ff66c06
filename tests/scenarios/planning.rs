//! Planning as a stage: a result that carries tickets.

use e2e::bed::Bed;
use e2e::bed::text;
use serde_json::Value;
use serde_json::json;

/// A project with worker types as a user makes them who gives nothing but a prompt.
async fn planning() -> Bed {
    let bed = Bed::start().await;
    bed.project("shop", &["plan", "build", "review"]).await;
    bed
}

/// Every ticket, oldest first.
async fn tickets(bed: &Bed) -> Vec<Value> {
    let mut tickets = bed.all("list_tickets", "tickets", json!({"all": true})).await;
    tickets.reverse();
    tickets
}

#[e2e::scenario]
async fn a_planner_creates_two_tickets_that_run_in_their_order() {
    let bed = planning().await;
    let script = r#"fake: plan: tickets [{"key":"ui","title":"The page","execution_plan":["build","review"],"depends_on":["api"]},{"key":"api","title":"The service","description":"Mind the nutmeg.","execution_plan":["build"],"priority":"high"}]"#;
    let parent = bed.ticket("shop", &["plan"], script).await;

    let closed = bed.completed(&parent).await;
    bed.completed("T-2").await;
    bed.completed("T-3").await;

    let all = tickets(&bed).await;
    assert_eq!(all.len(), 3);
    assert_eq!(all[1]["title"], "The service");
    assert_eq!(all[1]["priority"], "high");
    assert_eq!(bed.get("T-3").await["depends_on"], json!(["T-2"]));
    assert!(bed.agents.only_call_of("T-2", "build").prompt.contains("Mind the nutmeg."));
    let listed = closed["comments"][1]["content"].as_str().unwrap();
    assert_eq!(listed, "Tickets created:\n- T-2 (api): The service\n- T-3 (ui): The page");
    let events = bed.events().await;
    let created: Vec<&Value> =
        events.iter().filter(|event| event["kind"] == "ticket_created").collect();
    assert_eq!(created.len(), 3);
    assert_eq!(created[1]["attempt_id"], closed["attempts"][0]["attempt_id"]);
    assert_eq!(created[1]["ticket_id"], "T-2");
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_ticket_that_would_be_refused_fails_the_attempt_which_is_tried_again_and_then_held() {
    let bed = planning().await;
    let script = r#"fake: plan#1: tickets [{"key":"api","title":"A","execution_plan":["build"]},{"key":"ui","title":"B","execution_plan":["deploy"]}]
fake: plan#2: tickets [{"key":"a","title":"A","execution_plan":["build"],"depends_on":["b"]},{"key":"b","title":"B","execution_plan":["build"],"depends_on":["a"]}]
fake: plan#3: tickets [{"key":"one","title":"A","execution_plan":["build"]},{"key":"one","title":"B","execution_plan":["build"]}]
fake: plan#4: tickets [{"key":"lone","title":"A","execution_plan":["build"],"depends_on":["nowhere"]}]
fake: plan#5: tickets [{"key":"api","title":"","execution_plan":["build"]}]"#;
    let often = json!({"project": "shop", "worker_type": "plan", "max_attempts": 5});
    bed.client.ok("update_worker_type", often).await;
    let parent = bed.ticket("shop", &["plan"], script).await;

    let held = bed.ticket_is(&parent, "on_hold").await;

    let attempts = held["attempts"].as_array().unwrap();
    let details = [
        ["\"ui\"", "execution_plan"],
        ["\"a\"", "circle"],
        ["\"one\"", "used by an earlier ticket"],
        ["\"lone\"", "\"nowhere\""],
        ["\"api\"", "title"],
    ];
    assert_eq!(attempts.len(), details.len());
    for (attempt, parts) in attempts.iter().zip(details) {
        assert_eq!(attempt["outcome"], "failed");
        assert_eq!(attempt["failure"], "malformed_result");
        let detail = text(attempt, "detail");
        assert!(parts.iter().all(|part| detail.contains(part)), "{detail}");
    }
    assert!(text(&held, "hold_reason").contains("\"api\""), "{held}");
    assert_eq!(tickets(&bed).await.len(), 1, "all or none");
    assert!(bed.agents.calls_of(&parent, "plan")[1].prompt.contains("deploy"), "it hears why");
}

#[e2e::scenario]
async fn a_type_that_may_not_create_tickets_is_neither_offered_nor_believed() {
    let bed = planning().await;
    let kind = json!({"project": "shop", "worker_type": "build", "may_create_tickets": false});
    bed.client.ok("update_worker_type", kind).await;
    let script = r#"fake: *: tickets [{"key":"api","title":"A","execution_plan":["build"]}]"#;
    let parent = bed.ticket("shop", &["build"], script).await;

    let held = bed.ticket_is(&parent, "on_hold").await;

    assert_eq!(held["attempts"][0]["failure"], "malformed_result");
    assert!(text(&held, "hold_reason").contains("may_create_tickets"), "{held}");
    assert_eq!(tickets(&bed).await.len(), 1);
    let call = &bed.agents.calls_of(&parent, "build")[0];
    assert!(!call.argument("--json-schema").unwrap().contains("tickets"));
    assert!(!call.prompt.contains("How to create tickets"));
}

#[e2e::scenario]
async fn a_planner_is_offered_the_schema_and_the_worker_types() {
    let bed = planning().await;
    bed.worker_type("shop", "deploy", json!({"description": "Brings it to production."})).await;
    let parent = bed.ticket("shop", &["plan"], "").await;
    bed.completed(&parent).await;

    let call = bed.agents.only_call_of(&parent, "plan");
    let schema: Value = serde_json::from_str(call.argument("--json-schema").unwrap()).unwrap();
    assert_eq!(schema["properties"]["tickets"]["type"], "array");
    assert_eq!(schema["required"], json!(["outcome", "report"]));
    assert!(call.prompt.contains("- `deploy`: Brings it to production."), "{}", call.prompt);
}

#[e2e::scenario]
async fn two_updates_at_once_are_both_kept() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    for round in 1..=20 {
        let update = |more: Value| {
            let mut arguments = json!({"project": "shop", "worker_type": "build"});
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            bed.client.ok("update_worker_type", arguments)
        };
        tokio::join!(
            update(json!({"max_workers": round})),
            update(json!({"timeout_seconds": round})),
            update(json!({"max_attempts": round})),
            update(json!({"description": format!("{round}")})),
        );
        let kind = json!({"project": "shop", "worker_type": "build"});
        let found = bed.client.ok("get_worker_type", kind).await;
        let kept = ["max_workers", "timeout_seconds", "max_attempts"].map(|f| found[f].clone());
        assert_eq!(kept, [round, round, round].map(Value::from), "round {round}");
        assert_eq!(found["description"], round.to_string());
    }
}

#[e2e::scenario]
async fn planners_that_plan_planners_end_at_the_limit_of_their_family() {
    let bed = planning().await;
    let limit = json!({"project": "shop", "max_descendants": 7});
    let changed = bed.client.ok("update_project", limit).await;
    assert_eq!(changed["limits"]["max_descendants"], 7);
    let again = json!({"project": "shop", "worker_type": "plan", "max_workers": 4});
    bed.client.ok("update_worker_type", again).await;
    // Each of its tickets would do the same.
    let innermost = r#"fake: plan: tickets [{\"key\":\"a\",\"title\":\"A\",\"execution_plan\":[\"build\"]},{\"key\":\"b\",\"title\":\"B\",\"execution_plan\":[\"build\"]}]"#;
    let script = format!(
        r#"fake: plan: tickets [{{"key":"a","title":"A","execution_plan":["plan"],"description":"{innermost}"}},{{"key":"b","title":"B","execution_plan":["plan"],"description":"{innermost}"}},{{"key":"c","title":"C","execution_plan":["plan"],"description":"{innermost}"}}]"#
    );
    let parent = bed.ticket("shop", &["plan"], &script).await;
    bed.completed(&parent).await;

    // Three tickets, two more and two more: there is no room for those of the third planner.
    let held =
        e2e::eventually::eventually("one planner is held and all others are done", || async {
            let all = tickets(&bed).await;
            let closed = all.iter().filter(|ticket| ticket["state"] == "closed").count();
            let held: Vec<&Value> =
                all.iter().filter(|ticket| ticket["state"] == "on_hold").collect();
            match held[..] {
                [held] if closed == 7 => Ok(held.clone()),
                _ => Err(format!("{all:?}")),
            }
        })
        .await;
    let id = text(&held, "ticket_id");
    let why = text(&bed.get(&id).await, "waiting_for");
    assert!(why.contains("T-1, which it comes from, has become 7 tickets"), "{why}");
    assert!(why.contains("(max_descendants of the project)"), "{why}");
    let attempts = bed.get(&id).await["attempts"].clone();
    assert_eq!(attempts[0]["failure"], "too_many_tickets", "{attempts}");

    // Its planners read an agent's words between marks.
    let call = bed.agents.only_call_of("T-2", "plan");
    let mark = call.prompt.lines().find(|line| line.starts_with("<said-")).expect("a fence");
    let other = bed.agents.only_call_of("T-3", "plan");
    assert!(!other.prompt.contains(mark), "each prompt has a mark of its own");
    assert!(
        call.prompt.contains(&format!("{mark}\n{}", innermost.replace('\\', ""))),
        "{}",
        call.prompt
    );

    let more = json!({"project": "shop", "max_descendants": -1});
    let changed = bed.client.ok("update_project", more).await;
    assert_eq!(changed["limits"]["max_descendants"], 100, "what the server says");
    bed.client.ok("resume_ticket", json!({"ticket_id": id})).await;
    bed.completed(&id).await;
}
