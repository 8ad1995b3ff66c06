//! The dashboard in real browsers: each promise is a script in `tests/browser`, and a server in a state that is worth
//! looking at.

use std::fmt::Write as _;
use std::fs;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::browser::Role;
use e2e::browser::Script;
use e2e::seed;
use e2e::server::Setup;
use e2e::showcase::night;
use serde_json::json;

/// Every page that needs no ticket.
const PAGES: &str = "/\n/board\n/tickets\n/tickets?state=closed\n/workers\n/queues\n/events\n/search?q=export\n/usage\n\
                     /usage?by=stage\n/failures\n/projects\n/settings\n/new/project\n/new/ticket\n";

/// What an agent may try with its words. Each line is one way to run, to hide or to lead elsewhere.
const HOSTILE: &str = concat!(
    "<script>window.owned.push(1)</script><img src=x onerror=\"window.owned.push(2)\">\n",
    "<svg onload=window.owned.push(3)></svg><iframe src=\"javascript:parent.owned.push(4)\"></iframe>\n",
    "[a link](javascript:window.owned.push(5)) [another](data:text/html,<script>owned.push(6)</script>)\n",
    "![a picture](https://example.invalid/beacon.png) <a href=\"//example.invalid\" style=\"position:fixed\">here</a>\n",
    "safe\u{202e}gpj.exe \u{200b}\u{feff}\u{2066}reordered\u{2069} \u{1b}[2J\u{1b}]0;title\u{7}\u{1b}[31mred\u{1b}[0m\n",
    "\"'><form action=https://example.invalid><button>Approve</button></form>&lt;b&gt;\n",
);

/// The pages of each ticket and attempt there is, up to ten.
async fn pages(bed: &Bed) -> String {
    let mut pages = PAGES.to_owned();
    let tickets = bed
        .all(
            "list_tickets",
            "tickets",
            json!({"state": ["closed", "on_hold", "running", "blocked"]}),
        )
        .await;
    for ticket in tickets.iter().take(10) {
        let id = text(ticket, "ticket_id");
        writeln!(pages, "/tickets/{id}").expect("a string");
        // One of each kind: what an agent wrote and what a gate printed are shown in different ways.
        let mut kinds = Vec::new();
        for attempt in bed.get(&id).await["attempts"].as_array().into_iter().flatten() {
            let kind = text(attempt, "kind");
            if !kinds.contains(&kind) {
                writeln!(pages, "/attempts/{}", text(attempt, "attempt_id")).expect("a string");
                kinds.push(kind);
            }
        }
    }
    for project in bed.all("list_projects", "projects", json!({})).await {
        writeln!(pages, "/projects/{}", text(&project, "name")).expect("a string");
    }
    pages
}

#[e2e::scenario(needs(Browser))]
async fn every_page_is_sound_when_there_is_nothing() {
    let bed = Bed::start().await;
    Script::new(&bed.server, "pages").with("PAGES", PAGES).run(Role::Full).await;
    Script::new(&bed.server, "firefox").with("PAGES", PAGES).run(Role::Full).await;
}

#[e2e::scenario(needs(Browser))]
async fn every_page_is_sound_with_ten_tickets() {
    let bed = night(Setup::default()).await;
    let pages = pages(&bed).await;
    let gates = bed.all("list_tickets", "tickets", json!({"project": "site"})).await;
    let held = format!("/tickets/{}\n", text(&gates[0], "ticket_id"));
    assert!(pages.contains(&held), "a ticket with a red gate is among them: {pages}");
    Script::new(&bed.server, "pages").with("PAGES", &pages).run(Role::Full).await;
    Script::new(&bed.server, "firefox").with("PAGES", &pages).run(Role::Full).await;
}

#[e2e::scenario(needs(Browser))]
async fn every_page_is_sound_with_ten_thousand_tickets() {
    let mut bed = Bed::start().await;
    bed.repository("shop", &["build"], json!({})).await;
    let title = "結帳時優惠券 and a title that is much longer than any column of any table is wide";
    let asks = json!({"title": title});
    bed.ticket_with("shop", &["build"], "fake: build: block Which date?", asks).await;
    bed.ticket_is("T-1", "on_hold").await;
    bed.nothing_is_left().await;
    bed.server.stop().await;
    seed::multiply(&bed.server.state_dir().join("vibe-ensemble.db"), 10_000).await.expect("copies");
    bed.launch().await;
    let pages = format!("{PAGES}/tickets/T-10000\n/projects/shop\n");
    Script::new(&bed.server, "pages").with("PAGES", pages).run(Role::Full).await;
}

#[e2e::scenario(needs(Browser))]
async fn the_keyboard_reaches_everything() {
    let bed = night(Setup::default()).await;
    Script::new(&bed.server, "keyboard").with("TICKET", "T-4").run(Role::Full).await;
}

#[e2e::scenario(needs(Browser))]
async fn a_page_follows_what_happens_and_disturbs_nobody() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let asks = json!({"ticket_id": ticket, "stage": "build", "outcome": "blocked", "report": "r", "question": "Red or blue?"});
    bed.client.ok("complete_ticket_stage", asks).await;
    Script::new(&bed.server, "hub").run(Role::Full).await;
    Script::new(&bed.server, "live").with("TICKET", ticket).run(Role::Full).await;
}

#[e2e::scenario(needs(Browser))]
async fn a_read_only_session_changes_nothing() {
    let bed = night(Setup::default()).await;
    let pages = pages(&bed).await;
    Script::new(&bed.server, "reader")
        .with("PAGES", pages)
        .with("TICKET", "T-4")
        .run(Role::ReadOnly)
        .await;
}

#[e2e::scenario(needs(Browser))]
async fn texts_of_agents_are_inert() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let whole = json!({"type": "assistant", "parent_tool_use_id": null, "message": {"id": "m", "role": "assistant", "content": [
        {"type": "text", "text": HOSTILE}, {"type": "thinking", "thinking": HOSTILE},
        {"type": "tool_use", "id": "c1", "name": "Bash", "input": {"command": HOSTILE, "description": HOSTILE}},
        {"type": "tool_use", "id": "c2", "name": "Edit", "input": {"file_path": HOSTILE, "old_string": HOSTILE, "new_string": "x"}},
        {"type": "tool_use", "id": "c3", "name": HOSTILE, "input": {HOSTILE: [HOSTILE, {"deep": HOSTILE}]}},
    ]}});
    let megabyte = "\u{202e}<b>".repeat(160_000);
    let results = json!({"type": "user", "parent_tool_use_id": null, "message": {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "c1", "content": HOSTILE, "is_error": true},
        {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": megabyte}]},
        {"type": "tool_result", "tool_use_id": "c3", "content": HOSTILE},
    ]}});
    let line = HOSTILE.replace('\n', " ");
    let question = line.replace(['\u{1b}', '\u{7}'], "");
    let title: String = question.chars().take(200).collect();
    let script = format!(
        "fake: build: raw {whole}\nfake: build: raw {results}\nfake: build: block {question}"
    );
    let ticket = bed.ticket_with("shop", &["build"], &script, json!({"title": title.trim()})).await;
    bed.client.ok("add_ticket_comment", json!({"ticket_id": ticket, "content": HOSTILE})).await;
    let held = bed.ticket_is(&ticket, "on_hold").await;
    let attempt = text(&held["attempts"][0], "attempt_id");
    let pages = format!(
        "/\n/board\n/tickets\n/events\n/search?q=safe\n/tickets/{ticket}\n/attempts/{attempt}\n"
    );
    Script::new(&bed.server, "hostile").with("PAGES", pages).run(Role::Full).await;
}

/// What an agent writes in an hour of work, again and again, until there is more than anybody reads.
fn long_transcript(bytes: usize) -> String {
    let mut written = String::with_capacity(bytes + (1 << 16));
    let output = "   Compiling something v0.1.0 (/work/something)\n".repeat(60);
    for turn in 0.. {
        let fails = turn % 97 == 5;
        let id = |kind: &str| format!("{kind}-{turn}");
        let says = |content: serde_json::Value| json!({"type": "assistant", "parent_tool_use_id": null, "message": {"id": id("m"), "role": "assistant", "content": [content]}});
        let heard = |call: String, content: &str, fails: bool| json!({"type": "user", "parent_tool_use_id": null, "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": content, "is_error": fails}]}});
        for message in [
            says(
                json!({"type": "thinking", "thinking": format!("Turn {turn}: what does the writer do when the disk is full?")}),
            ),
            says(json!({"type": "text", "text": format!("I look at the writer, turn {turn}.")})),
            says(
                json!({"type": "tool_use", "id": id("b"), "name": "Bash", "input": {"command": "cargo check", "description": "Check"}}),
            ),
            heard(id("b"), &output, fails),
            says(
                json!({"type": "tool_use", "id": id("e"), "name": "Edit", "input": {"file_path": "src/export.rs", "old_string": "let _ = flush();", "new_string": "flush()?;\nsync()?;"}}),
            ),
            heard(id("e"), "done", false),
            says(
                json!({"type": "tool_use", "id": id("r"), "name": "Read", "input": {"file_path": "src/export.rs"}}),
            ),
            heard(id("r"), "1 use std::io;", false),
        ] {
            writeln!(written, "{message}").expect("a string");
        }
        if written.len() >= bytes {
            break;
        }
    }
    written
}

#[e2e::scenario(needs(Browser))]
async fn a_transcript_of_a_hundred_megabytes_opens_and_scrolls() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let done = bed.completed(&ticket).await;
    let attempt = text(&done["attempts"][0], "attempt_id");
    let file = bed.server.state_dir().join("attempts").join(&attempt).join("stdout.000001.jsonl");
    fs::write(file, long_transcript(100 << 20)).expect("the attempt has a transcript");
    Script::new(&bed.server, "transcript").with("ATTEMPT", attempt).run(Role::Full).await;
}

#[e2e::scenario(needs(Browser))]
async fn whatever_a_person_can_do_is_done_with_buttons() {
    let bed = Bed::start().await;
    let directory = bed.server.path("projects").join("shop");
    fs::create_dir(&directory).expect("it is new");
    Script::new(&bed.server, "actions")
        .with("DIRECTORY", directory.display().to_string())
        .run(Role::Full)
        .await;
}
