//! The real `claude` as the worker, against a stub of the Messages API: only the model is missing.

use std::path::PathBuf;

use e2e::bed::Bed;
use e2e::claude;
use e2e::claude::real_claude;
use e2e::eventually::eventually;
use e2e::messages_api::MessagesApi;
use e2e::messages_api::Turn;
use e2e::server::Setup;
use serde_json::json;

/// A server whose workers are the real claude, talking to the stub.
async fn bed_with(claude: PathBuf, api: &MessagesApi) -> Bed {
    let mut setup = Setup { agent: Some(claude), ..Setup::default() };
    for (name, value) in claude::environment(api) {
        setup = setup.env(name, value);
    }
    Bed::with(setup).await
}

fn bash(command: &str) -> Turn {
    let input = json!({"command": command, "description": "do the work"});
    Turn::Use { tool: "Bash".to_owned(), input }
}

fn done(report: &str) -> Turn {
    let input = json!({"outcome": "completed", "report": report});
    Turn::Use { tool: "StructuredOutput".to_owned(), input }
}

#[tokio::test]
async fn it_writes_a_file_with_its_own_bash_and_its_report_closes_the_ticket() {
    let Some(claude) = real_claude() else { return };
    let api = MessagesApi::play(vec![
        bash("mkdir -p made && printf 'by a real agent' > made/file.txt"),
        done("The file is there."),
    ])
    .await;
    let bed = bed_with(claude, &api).await;
    let directory = bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "Write the file, please.").await;

    let closed = bed.completed(&ticket).await;

    let file = directory.join("made/file.txt");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "by a real agent");
    assert_eq!(closed["comments"][0]["content"], "The file is there.");
    let attempt = &closed["attempts"][0];
    assert_eq!(attempt["outcome"], "succeeded");
    assert!(attempt["cost_usd"].as_f64().unwrap() > 0.0, "{attempt}");
    assert!(closed["cost_usd"].as_f64().unwrap() > 0.0, "{closed}");
    assert!(attempt["claude_session_id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    assert!(attempt["num_turns"].as_i64().unwrap() >= 2, "{attempt}");

    let asked = api.asks().into_iter().find(|ask| ask.offers("StructuredOutput")).unwrap();
    let (system, messages) = (asked.body["system"].to_string(), asked.body["messages"].to_string());
    assert!(messages.contains("Write the file, please."), "the prompt arrived");
    assert!((system + &messages).contains("You are the build worker."), "the role arrived");
    for tool in ["ScheduleWakeup", "CronCreate", "Monitor", "Workflow"] {
        assert!(!asked.offers(tool), "{tool} stalls a headless run");
    }
    bed.nothing_is_left().await;
}

#[tokio::test]
async fn two_stages_of_it_hand_on_the_report() {
    let Some(claude) = real_claude() else { return };
    let api = MessagesApi::start(|ask| {
        if ask.tools.is_empty() {
            Turn::Say("ok".to_owned())
        } else if ask.body["messages"].to_string().contains("four legs") {
            done("It stands.")
        } else {
            done("A table with four legs.")
        }
    })
    .await;
    let bed = bed_with(claude, &api).await;
    bed.project("shop", &["design", "build"]).await;
    let ticket = bed.ticket("shop", &["design", "build"], "Make a table.").await;

    let closed = bed.completed(&ticket).await;

    let contents = [0, 1].map(|index| closed["comments"][index]["content"].clone());
    assert_eq!(contents, ["A table with four legs.", "It stands."]);
}

#[tokio::test]
async fn an_agent_that_never_gives_a_result_fails_and_is_not_believed() {
    let Some(claude) = real_claude() else { return };
    let api = MessagesApi::play(vec![Turn::Say("All done, trust me.".to_owned())]).await;
    let bed = bed_with(claude, &api).await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"max_attempts": 1})).await;
    let ticket = bed.ticket("shop", &["build"], "Make a table.").await;

    let held = bed.ticket_is(&ticket, "on_hold").await;

    assert_eq!(held["attempts"][0]["outcome"], "failed");
}

#[tokio::test]
async fn a_refused_login_pauses_the_queue() {
    let Some(claude) = real_claude() else { return };
    let refusal = Turn::Fail { status: 401, kind: "authentication_error".to_owned() };
    let api = MessagesApi::start(move |_| refusal.clone()).await;
    let bed = bed_with(claude, &api).await;
    bed.project("shop", &["build"]).await;
    bed.ticket("shop", &["build"], "Make a table.").await;

    eventually("the queue is paused", || async {
        let events = bed.events().await;
        let told = events.iter().any(|event| event["kind"] == "queue_paused");
        if told { Ok(()) } else { Err(format!("{events:?}")) }
    })
    .await;
}
