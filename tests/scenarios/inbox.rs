//! The inbox: what waits for somebody is found in one place, and each step that it names settles it as it stands.

use std::path::Path;
use std::process::Output;

use e2e::bed::Bed;
use serde_json::Value;
use serde_json::json;

fn words(output: &Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{out}\n{err}", output.status)
}

/// A project whose workers never start by themselves.
async fn quiet_bed() -> Bed {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    bed
}

async fn items(bed: &Bed) -> Vec<Value> {
    bed.client.ok("list_inbox", json!({})).await["items"].as_array().cloned().expect("items")
}

/// Puts something into the inbox, whatever was in it before.
async fn make(bed: &Bed, kind: &str) {
    match kind {
        "question" => {
            let ticket = bed.ticket("shop", &["build"], "").await;
            let asks = json!({"ticket_id": ticket, "stage": "build", "outcome": "blocked", "report": "r",
                              "question": "Red or blue?"});
            bed.client.ok("complete_ticket_stage", asks).await;
        }
        "operator" => {
            let first = bed.ticket("shop", &["build"], "").await;
            let waits = json!({"project": "shop", "title": "After it", "execution_plan": ["build"], "depends_on": [first]});
            bed.client.ok("create_ticket", waits).await;
            bed.client.ok("close_ticket", json!({"ticket_id": first})).await;
        }
        "queue_paused" => {
            bed.client.ok("pause", json!({"project": "shop", "worker_type": "build"})).await;
        }
        "project_paused" => {
            bed.client.ok("pause", json!({"project": "shop"})).await;
        }
        _ => {
            bed.client.ok("pause", json!({})).await;
        }
    }
}

const KINDS: [&str; 5] =
    ["question", "operator", "queue_paused", "project_paused", "server_paused"];

/// Those whose commands there are.
const IN_A_SHELL: [&str; 3] = ["queue_paused", "project_paused", "server_paused"];

#[e2e::scenario]
async fn each_step_settles_its_item_as_it_stands_for_a_model() {
    let bed = quiet_bed().await;
    for kind in KINDS {
        let mut at = 0;
        loop {
            make(&bed, kind).await;
            let found = items(&bed).await;
            let [item] = found.as_slice() else { panic!("{kind}: {found:?}") };
            assert_eq!(item["kind"], kind, "{item}");
            let Some(action) = item["actions"].as_array().and_then(|actions| actions.get(at))
            else {
                let settled = &item["actions"][0];
                bed.client
                    .ok(settled["tool"].as_str().unwrap(), settled["arguments"].clone())
                    .await;
                break;
            };
            let tool = action["tool"].as_str().expect("a tool");
            bed.client.ok(tool, action["arguments"].clone()).await;
            assert_eq!(items(&bed).await, Vec::<Value>::new(), "{kind}: {action}");
            at += 1;
        }
        assert!(at > 0, "{kind} has no step");
    }
}

#[e2e::scenario]
async fn each_step_settles_its_item_as_it_stands_in_a_shell() {
    let bed = quiet_bed().await;
    let programs = e2e::binaries::directory();
    for kind in IN_A_SHELL {
        let mut at = 0;
        loop {
            make(&bed, kind).await;
            let found = items(&bed).await;
            let [item] = found.as_slice() else { panic!("{kind}: {found:?}") };
            let count = item["actions"].as_array().map_or(0, Vec::len);
            let command =
                item["actions"][at.min(count - 1)]["command"].as_str().expect("a command");
            let mut shell = bed.server.command_of(Path::new("sh"));
            shell.args(["-c", command]);
            shell.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
            shell.env("VIBE_ENSEMBLE_URL", bed.client.url(""));
            shell.env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir());
            let ran = tokio::process::Command::from(shell).output().await.expect("it runs");
            assert!(ran.status.success(), "{command}: {}", words(&ran));
            assert_eq!(items(&bed).await, Vec::<Value>::new(), "{kind}: {command}");
            at += 1;
            if at >= count {
                break;
            }
        }
    }
}

#[e2e::scenario]
async fn a_shell_lists_it_and_says_in_one_line_what_waits_in_a_directory() {
    let bed = quiet_bed().await;
    let brief = async |place: &str| {
        let mut command = bed.server.command("inbox");
        command.args(["--here", "--brief"]).env("CLAUDE_PROJECT_DIR", place);
        command.env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir());
        command.env("VIBE_ENSEMBLE_RUNTIME_DIR", bed.server.runtime_dir());
        let ran = tokio::process::Command::from(command).output().await.expect("it runs");
        assert!(ran.status.success(), "{}", words(&ran));
        String::from_utf8(ran.stdout).expect("text")
    };
    let path = bed.client.ok("get_project", json!({"project": "shop"})).await;
    let path = path["path"].as_str().expect("a path").to_owned();
    assert_eq!(brief(&path).await, "", "nothing waits");
    make(&bed, "question").await;
    make(&bed, "queue_paused").await;

    let said = brief(&path).await;
    assert!(said.contains("1 question, 1 queue paused") && said.len() < 100, "{said}");
    assert_eq!(brief("/").await, "", "a directory of no project");

    let listed = bed.server.operate("inbox", &["--json"]).await;
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(listed["items"], json!(items(&bed).await));
    let page = words(&bed.server.operate("inbox", &["--project", "shop"]).await);
    assert!(
        page.contains("Red or blue?") && page.contains("vibe-ensemble resume shop build"),
        "{page}"
    );
    bed.client.ok("close_ticket", json!({"ticket_id": "T-1"})).await;
    let said = brief(&path).await;
    assert!(!said.contains("question"), "{said}");
}
