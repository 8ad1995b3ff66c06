//! Stopping agents and keeping them stopped, with a server and without one.

use std::process::Output;

use e2e::bed::Bed;
use e2e::eventually::eventually;
use e2e::processes::Process;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

fn words(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}\n{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

async fn good(bed: &Bed, line: &[&str]) -> String {
    let output = bed.server.operate(line[0], &line[1..]).await;
    assert_eq!(output.status.code(), Some(0), "{line:?}: {}", words(&output));
    words(&output)
}

/// Waits until no process that a scenario started is left but the server.
async fn no_agent_is_left(bed: &Bed) {
    eventually("every agent is gone", || async {
        let left: Vec<Process> = bed.server.descendants();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
    })
    .await;
}

#[e2e::scenario]
async fn stop_ends_a_ticket_a_project_or_everything_and_says_how_to_resume() {
    let bed = Bed::start().await;
    bed.repository("shop", &["build"], json!({})).await;
    bed.client
        .ok(
            "update_worker_type",
            json!({"project": "shop", "worker_type": "build", "max_workers": 3}),
        )
        .await;
    let script = "fake: build: wait-for go";
    let mut tickets = Vec::new();
    for _ in 0..3 {
        let ticket = bed.ticket("shop", &["build"], script).await;
        bed.called(&ticket, "build", 1).await;
        tickets.push(ticket);
    }
    let said = good(&bed, &["stop", &tickets[0]]).await;
    assert!(said.contains(&format!("vibe-ensemble ticket resume {}", tickets[0])), "{said}");
    let held = bed.ticket_is(&tickets[0], "on_hold").await;
    assert_eq!(held["hold_kind"], "operator", "{held}");
    assert_eq!(bed.get(&tickets[1]).await["state"], "running", "the others run on");

    let worker = bed.worker_of(&tickets[1]).await;
    good(&bed, &["stop", worker["worker_id"].as_str().expect("an id")]).await;
    bed.ticket_is(&tickets[1], "on_hold").await;

    let said = good(&bed, &["stop", "shop"]).await;
    assert!(said.contains("vibe-ensemble resume shop"), "{said}");
    bed.ticket_is(&tickets[2], "on_hold").await;
    no_agent_is_left(&bed).await;
    let waiting = bed.ticket("shop", &["build"], "").await;
    assert_eq!(bed.get(&waiting).await["waiting_cause"], "project_paused");

    good(&bed, &["stop", "--all"]).await;
    assert_eq!(bed.get(&waiting).await["waiting_cause"], "server_paused");
    let said = good(&bed, &["resume"]).await;
    assert!(said.contains("Still paused") && said.contains("vibe-ensemble resume shop"), "{said}");
    good(&bed, &["resume", "--all"]).await;
    for ticket in &tickets {
        let call = bed.called(ticket, "build", 2).await;
        std::fs::write(call.cwd.join("go"), "").expect("writable");
        bed.completed(ticket).await;
    }
    bed.completed(&waiting).await;
}

#[e2e::scenario]
async fn without_a_server_workers_are_listed_and_stopped_and_stay_stopped() {
    let setup = Setup::default().arg("--stop-grace-ms").arg("500");
    let mut bed = Bed::with(setup).await;
    bed.repository("shop", &["build"], json!({})).await;
    bed.repository("app", &["build"], json!({})).await;
    let first = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let second =
        bed.ticket("app", &["build"], "fake: build: ignore-term\nfake: build: wait-for go").await;
    bed.called(&first, "build", 1).await;
    bed.called(&second, "build", 1).await;
    bed.server.stop().await;
    let log = bed.server.log();
    assert!(log.contains("vibe-ensemble stop --all") && log.contains("cost_usd"), "{log}");

    let listed = good(&bed, &["workers", "--json"]).await;
    let end = listed.rfind('}').expect("JSON") + 1;
    let listed: Value = serde_json::from_str(&listed[..end]).expect("JSON");
    assert_eq!(listed["workers"].as_array().map(Vec::len), Some(2), "{listed}");
    assert!(good(&bed, &["workers"]).await.contains("No server is running"));

    let said = good(&bed, &["stop", &first]).await;
    assert!(said.contains("next start finds this"), "{said}");
    eventually("one agent is left", || async {
        let calls = bed.agents.calls_of(&first, "build");
        let gone =
            calls.iter().all(|call| !bed.server.descendants().iter().any(|it| it.pid == call.pid));
        if gone { Ok(()) } else { Err(format!("{calls:?}")) }
    })
    .await;
    assert!(!bed.server.descendants().is_empty(), "the other one runs on");
    let said = good(&bed, &["stop", "--all", "--reason", "the bill"]).await;
    assert!(said.contains("Stopped W-2.") || said.contains("Stopped W-1."), "one of them: {said}");
    no_agent_is_left(&bed).await;
    let said = good(&bed, &["stop", "--all", "--reason", "the bill"]).await;
    assert!(said.contains("No agent was running."), "{said}");
    assert!(good(&bed, &["workers"]).await.contains("no workers are running"));

    bed.launch().await;
    for ticket in [&first, &second] {
        let held = bed.ticket_is(ticket, "on_hold").await;
        assert_eq!(held["hold_kind"], "operator", "{held}");
    }
    let status = good(&bed, &["status"]).await;
    assert!(status.contains("the bill"), "{status}");
    assert_eq!(bed.agents.calls_of(&first, "build").len(), 1, "nothing began anew");
    good(&bed, &["resume", "--all"]).await;
    let call = bed.called(&first, "build", 2).await;
    std::fs::write(call.cwd.join("go"), "").expect("writable");
    bed.completed(&first).await;
}

#[e2e::scenario]
async fn without_a_server_only_what_is_proven_to_be_a_shim_is_signalled() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    bed.called(&ticket, "build", 1).await;
    bed.server.kill().await;
    let output = bed.server.operate("stop", &["W-77"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(words(&output).contains("error: There is no worker W-77."), "{}", words(&output));
    let output = bed.server.operate("stop", &["elsewhere"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    let said = words(&output);
    assert!(
        said.contains("There is no project \"elsewhere\". List the projects with `vibe-ensemble"),
        "{said}"
    );
    assert!(!bed.server.descendants().is_empty(), "nothing was stopped");
    good(&bed, &["stop", "shop"]).await;
    no_agent_is_left(&bed).await;
}
