//! The real `claude` and red gates: one message into the same session, or a new one when that is gone.

use std::path::Path;

use e2e::bed::Bed;
use e2e::claude;
use e2e::claude::real_claude;
use e2e::messages_api::Ask;
use e2e::messages_api::MessagesApi;
use e2e::messages_api::Turn;
use e2e::server::Setup;
use serde_json::json;

use crate::gates::count;
use crate::gates::gate;
use crate::gates::project;

fn said(ask: &Ask) -> String {
    ask.body["messages"].to_string()
}

/// Writes something bad, hears what the gate says of it, and writes something good.
fn turn(ask: &Ask) -> Turn {
    let bash = |command: &str| Turn::Use {
        tool: "Bash".to_owned(),
        input: json!({"command": command, "description": "do the work"}),
    };
    let done = |report: &str| Turn::Use {
        tool: "StructuredOutput".to_owned(),
        input: json!({"outcome": "completed", "report": report}),
    };
    let messages = said(ask);
    if ask.tools.is_empty() {
        return Turn::Say("ok".to_owned());
    }
    match (
        messages.contains("the file is bad"),
        messages.contains("printf good"),
        messages.contains("printf poor"),
    ) {
        (true, true, _) => done("It is good now."),
        (true, false, _) => bash("printf good > a.txt"),
        (false, _, true) => done("There it is."),
        (false, _, false) => bash("printf poor > a.txt"),
    }
}

async fn bed(api: &MessagesApi) -> Bed {
    let mut setup = Setup { agent: Some(real_claude()), ..Setup::default() };
    for (name, value) in claude::environment(api) {
        setup = setup.env(name, value);
    }
    Bed::with(setup).await
}

/// Runs a ticket whose gate finds the first result bad, and also runs `also` then.
async fn run(also: impl Fn(&Path) -> String) -> (Bed, MessagesApi, serde_json::Value) {
    let api = MessagesApi::start(turn).await;
    let bed = bed(&api).await;
    let also = also(&bed.server.path(""));
    // The prompt shows the command of the gate, which must not read like what it prints when it fails.
    let line = format!("grep -q good a.txt || {{ echo the file is ba''d; {also} exit 7; }}");
    project(&bed, &["build"], &gate("test", &line), json!({})).await;
    let id = bed.ticket("shop", &["build"], "Write the file, please.").await;
    let closed = bed.completed(&id).await;
    assert_eq!(count(&bed, &id, "gate_failed").await, 1);
    assert_eq!(count(&bed, &id, "gate_passed").await, 1);
    (bed, api, closed)
}

#[e2e::scenario(needs(Claude))]
async fn a_red_gate_reaches_the_session_that_did_the_work_and_its_second_result_is_checked() {
    let (bed, api, closed) = run(|_| String::new()).await;
    let asks = api.asks();
    let told =
        asks.iter().find(|ask| said(ask).contains("the file is bad")).expect("it heard of it");
    assert!(said(told).contains("printf poor"), "the session knows what it did before");
    assert!(closed["comments"].to_string().contains("It is good now."));
    bed.nothing_is_left().await;
}

#[e2e::scenario(needs(Claude))]
async fn a_session_whose_file_is_gone_begins_anew_and_is_told_the_same() {
    // The gate removes the transcripts of claude, wherever below the harness's directory they are.
    let (_bed, api, _) = run(|root| {
        format!("find {} -name '*.jsonl' -path '*/projects/*' -delete;", root.display())
    })
    .await;
    let asks = api.asks();
    let told =
        asks.iter().find(|ask| said(ask).contains("the file is bad")).expect("it heard of it");
    assert!(said(told).contains("Write the file, please."), "with the whole assignment");
    assert!(!said(told).contains("printf poor"), "nothing is left of the old session");
}
