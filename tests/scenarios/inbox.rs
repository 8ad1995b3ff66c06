//! The inbox: everything that waits for somebody is in one place, and each step that it names
//! settles its item unchanged.

use std::path::Path;
use std::process::Output;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::eventually::eventually;
use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

use crate::stuck;

fn words(output: &Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{out}\n{err}", output.status)
}

/// A project whose workers never start by themselves, except those of `plan`.
async fn quiet_bed() -> Bed {
    let bed = Bed::start().await;
    bed.project("shop", &["plan"]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    bed
}

/// That tickets were stopped is known; a question is news.
#[e2e::scenario]
async fn what_somebody_stopped_hides_no_question() {
    let bed = quiet_bed().await;
    for _ in 0..5 {
        let ticket = bed.ticket("shop", &["build"], "").await;
        bed.client.ok("stop", json!({"ticket_id": ticket})).await;
    }
    make(&bed, "question").await;
    let run = async |line: &[&str]| words(&bed.server.operate(line[0], &line[1..]).await);
    let said = run(&["inbox", "-n", "2"]).await;
    let place = |words: &str| said.find(words).unwrap_or_else(|| panic!("no {words} in {said}"));
    assert!(place("Red or blue?") < place("  operator"), "{said}");
    assert!(said.contains("2 of 6 are shown: 1 question, 5 stopped tickets"), "{said}");
    assert!(said.contains("--limit 6"), "{said}");
    let brief = run(&["inbox", "--brief"]).await;
    assert!(
        brief.contains("1 question, 5 stopped tickets; `vibe-ensemble inbox` lists"),
        "{brief}"
    );
    let status = run(&["status"]).await;
    assert!(status.find("Red or blue?") < status.find("  operator"), "{status}");
    let here = run(&["inbox", "--here"]).await;
    assert!(here.contains("belongs to no project"), "{here}");

    let all = bed.client.ok("list_inbox", json!({"limit": 1})).await;
    assert_eq!(all["items"][0]["kind"], "operator", "the oldest first: {all}");
    assert_eq!(all["counts"], json!({"operator": 5, "question": 1}), "{all}");
    let questions = bed.client.ok("list_inbox", json!({"kinds": ["question"]})).await;
    assert_eq!(questions["items"].as_array().map(Vec::len), Some(1), "{questions}");
    let refused = bed.client.refused("list_inbox", json!({"kinds": ["quest"]})).await;
    assert!(refused.contains("question") && refused.contains("kinds[0]"), "{refused}");
}

async fn items(bed: &Bed) -> Vec<Value> {
    bed.client.ok("list_inbox", json!({})).await["items"].as_array().cloned().expect("items")
}

/// A ticket whose first stage is done and has cost a cent; nobody works on its second stage.
async fn half_done(bed: &Bed) -> String {
    let ticket = bed.ticket("shop", &["plan", "build"], "").await;
    eventually("its first stage is done", || async {
        let found = bed.get(&ticket).await;
        if found["current_stage"] == "build" { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
    ticket
}

async fn project(bed: &Bed, change: Value) {
    let mut change = change;
    change["project"] = json!("shop");
    bed.client.ok("update_project", change).await;
}

/// Puts something into the inbox, whatever was in it before.
async fn make(bed: &Bed, kind: &str) {
    let ends = async |outcome: Value| {
        let ticket = bed.ticket("shop", &["build"], "").await;
        let mut ends = json!({"ticket_id": ticket, "stage": "build", "report": "r"});
        ends.as_object_mut().expect("one").extend(outcome.as_object().expect("one").clone());
        bed.client.ok("complete_ticket_stage", ends).await;
    };
    match kind {
        "question" => ends(json!({"outcome": "blocked", "question": "Red or blue?"})).await,
        "failures" => {
            bed.ticket("shop", &["plan"], "fake: plan#1: rework - not mine").await;
        }
        "operator" => {
            let first = bed.ticket("shop", &["build"], "").await;
            let waits = json!({"project": "shop", "title": "After it", "execution_plan": ["build"], "depends_on": [first]});
            bed.client.ok("create_ticket", waits).await;
            bed.client.ok("close_ticket", json!({"ticket_id": first})).await;
        }
        "configuration" => {
            bed.worker_type("shop", "extra", json!({"auto_spawn": false})).await;
            bed.ticket("shop", &["extra"], "").await;
            let gone = json!({"project": "shop", "worker_type": "extra", "force": true});
            bed.client.ok("delete_worker_type", gone).await;
        }
        "limit: dollars" => {
            let ticket = half_done(bed).await;
            let limit = json!({"ticket_id": ticket, "max_budget_usd": 0.01});
            bed.client.ok("update_ticket", limit).await;
        }
        "limit: attempts" => {
            half_done(bed).await;
            project(bed, json!({"max_attempts_per_ticket": 1})).await;
        }
        "project_paused: budget" => {
            half_done(bed).await;
            project(bed, json!({"max_budget_usd": 0.01})).await;
            bed.ticket("shop", &["plan"], "").await;
        }
        "project_paused: day" => {
            half_done(bed).await;
            project(bed, json!({"max_budget_usd_per_day": 0.01})).await;
            bed.ticket("shop", &["plan"], "").await;
        }
        "login" => {
            bed.ticket("shop", &["plan"], "fake: plan#1: api-error 401 authentication_failed")
                .await;
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

const KINDS: [&str; 12] = [
    "question",
    "operator",
    "failures",
    "configuration",
    "limit: dollars",
    "limit: attempts",
    "queue_paused",
    "project_paused",
    "project_paused: budget",
    "project_paused: day",
    "login",
    "server_paused",
];

#[derive(Clone, Copy, Debug)]
enum Reader {
    Model,
    Shell,
}

/// Performs a step to the letter.
async fn take(bed: &Bed, action: &Value, reader: Reader) {
    match reader {
        Reader::Model => {
            for call in [action, &action["then"]] {
                if let Some(tool) = call["tool"].as_str() {
                    bed.client.ok(tool, call["arguments"].clone()).await;
                }
            }
        }
        Reader::Shell => {
            let command = action["command"].as_str().expect("a command");
            let mut shell = bed.server.command_of(Path::new("sh"));
            shell.args(["-c", command]);
            // Another user may not be able to reach the programs of the build.
            let (copies, built) = (bed.server.path("bin"), e2e::binaries::directory());
            let path = format!("{}:{}:/usr/bin:/bin", copies.display(), built.display());
            shell.env("PATH", path);
            shell.env("VIBE_ENSEMBLE_URL", bed.client.url(""));
            shell.env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir());
            let ran = tokio::process::Command::from(shell).output().await.expect("it runs");
            assert!(ran.status.success(), "{command}: {}", words(&ran));
        }
    }
}

/// The only item, which has this kind.
async fn only(bed: &Bed, kind: &str) -> Value {
    eventually(&format!("{kind} is in the inbox, alone"), || async {
        match items(bed).await.as_slice() {
            [item] if item["kind"] == kind => Ok(item.clone()),
            found => Err(format!("{found:?}")),
        }
    })
    .await
}

async fn nothing_waits(bed: &Bed, after: &str) {
    eventually(&format!("nothing waits after {after}"), || async {
        let found = items(bed).await;
        if found.is_empty() { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

/// Creates an item again for each of its steps, and performs the step.
async fn each_step_settles(reader: Reader) {
    let bed = quiet_bed().await;
    for made in KINDS {
        let mut at = 0;
        loop {
            make(&bed, made).await;
            let item = only(&bed, made.split(':').next().expect("one")).await;
            let actions = item["actions"].as_array().expect("a list");
            let action = actions.get(at).unwrap_or_else(|| panic!("{made} has no step {at}"));
            take(&bed, action, reader).await;
            nothing_waits(&bed, &format!("{made}: {action}")).await;
            for ticket in bed.all("list_tickets", "tickets", json!({})).await {
                let close = json!({"ticket_id": ticket["ticket_id"]});
                // A ticket that the step let continue may end meanwhile.
                if let Err(refused) = bed.client.call("close_ticket", close).await {
                    assert!(format!("{refused:?}").contains("is closed"), "{refused:?}");
                }
            }
            let unlimited = json!({"max_budget_usd": 0, "max_budget_usd_per_day": 0, "max_attempts_per_ticket": 0});
            project(&bed, unlimited).await;
            at += 1;
            if at == actions.len() {
                break;
            }
        }
    }
}

#[e2e::scenario]
async fn each_step_settles_its_item_as_it_stands_for_a_model() {
    each_step_settles(Reader::Model).await;
}

#[e2e::scenario]
async fn each_step_settles_its_item_as_it_stands_in_a_shell() {
    each_step_settles(Reader::Shell).await;
}

#[e2e::scenario]
async fn each_step_settles_an_obstacle_to_a_merge_once_it_is_fixed() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &["build"], json!({"on_complete": "merge"})).await;
    let readme = repository.path.join("README.md");
    for (at, reader) in [Reader::Model, Reader::Shell, Reader::Model].into_iter().enumerate() {
        std::fs::write(&readme, "the user's change\n").expect("writable");
        let ticket = bed.ticket("shop", &["build"], "fake: build: write {ticket}.txt new").await;
        let item = only(&bed, "checkout").await;
        repository.git(&["checkout", "--quiet", "README.md"]);
        assert_eq!(item["actions"].as_array().map(Vec::len), Some(3), "{item}");
        take(&bed, &item["actions"][at], reader).await;
        nothing_waits(&bed, &item["actions"][at].to_string()).await;
        // A resumed ticket works on its branch again, and the user's next change would hold it.
        bed.ticket_is(&ticket, "closed").await;
    }
    for (at, reader) in [Reader::Shell, Reader::Model, Reader::Shell].into_iter().enumerate() {
        let go = bed.server.path(&format!("go-{at}"));
        let script = format!(
            "fake: build#1: wait-for {}\nfake: build#1: write README.md rival {at}\nfake: build#1: commit Its way",
            go.display()
        );
        let ticket = bed.ticket("shop", &["build"], &script).await;
        bed.called(&ticket, "build", 1).await;
        std::fs::write(&readme, format!("the user's {at}\n")).expect("writable");
        repository.git(&["commit", "--quiet", "-am", "Mine"]);
        std::fs::write(&go, "").expect("writable");
        let item = only(&bed, "conflict").await;
        let branch = format!("vibe-ensemble/{ticket}");
        repository.git(&["merge", "--quiet", "--no-edit", "-X", "ours", &branch]);
        assert_eq!(item["actions"].as_array().map(Vec::len), Some(3), "{item}");
        take(&bed, &item["actions"][at], reader).await;
        nothing_waits(&bed, &item["actions"][at].to_string()).await;
        // A resumed ticket works on its branch again, and the user's next change would hold it.
        bed.ticket_is(&ticket, "closed").await;
    }
}

#[e2e::scenario]
async fn work_in_the_middle_of_a_merge_is_settled_by_each_step() {
    let bed = Bed::start().await;
    bed.repository("shop", &["build"], json!({})).await;
    let script = "fake: build#1: run git checkout -q -b other-$$ && echo theirs >README.md && \
                  git -c user.name=A -c user.email=a@b commit -qam Theirs && git checkout -q - && echo ours >README.md && \
                  git -c user.name=A -c user.email=a@b commit -qam Ours; \
                  git -c user.name=A -c user.email=a@b merge other-$$; true\n\
                  fake: build#2: write README.md both";
    for reader in [Reader::Model, Reader::Shell] {
        for at in 0..3 {
            let ticket = bed.ticket("shop", &["build"], script).await;
            let item = only(&bed, "unfinished").await;
            assert_eq!(item["actions"].as_array().map(Vec::len), Some(3), "{item}");
            let action = &item["actions"][at];
            if action["tool"] == "complete_ticket_stage" {
                let worktree = bed.get(&ticket).await["worktree"].clone();
                let mut git = bed.server.command_of(Path::new("git"));
                git.args(["-C", worktree.as_str().expect("a path"), "merge", "--abort"]);
                let ran = git.output().expect("git is there");
                assert!(ran.status.success(), "{}", words(&ran));
            }
            take(&bed, action, reader).await;
            nothing_waits(&bed, &action.to_string()).await;
            bed.ticket_is(&ticket, "closed").await;
        }
    }
}

#[e2e::scenario(needs(Root))]
async fn a_stuck_attempt_is_settled_by_each_step() {
    let bed = stuck::of_a_user().await;
    bed.project("shop", &["build"]).await;
    for reader in [Reader::Model, Reader::Shell] {
        for at in 0..2 {
            let ticket = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
            let attempt = bed.called(&ticket, "build", 1).await.attempt;
            let worker = bed.worker_of(&ticket).await;
            let run_dir = bed.server.state_dir().join("attempts").join(attempt);
            stuck::unreadable(&run_dir.join("exit.json"));
            assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGKILL), "the shim was there");
            let item = only(&bed, "stuck").await;
            assert_eq!(item["actions"].as_array().map(Vec::len), Some(2), "{item}");
            take(&bed, &item["actions"][at], reader).await;
            nothing_waits(&bed, &item["actions"][at].to_string()).await;
            bed.ticket_is(&ticket, "closed").await;
        }
    }
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_shell_lists_the_inbox_and_sums_up_a_directory_in_one_line() {
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
    assert!(said.contains("1 question, 1 paused queue") && said.len() < 100, "{said}");
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
