//! A person at a shell does what a coordinator does.

use std::process::Output;
use std::process::Stdio;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::terminal::Terminal;
use serde_json::Value;
use serde_json::json;

fn words(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}\n{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// Runs a command that must succeed, and returns its output.
async fn good(bed: &Bed, line: &[&str]) -> String {
    let output = bed.server.operate(line[0], &line[1..]).await;
    assert_eq!(output.status.code(), Some(0), "{line:?}: {}", words(&output));
    words(&output)
}

/// Runs a command that must be refused with this exit code, and returns its output.
async fn refused(bed: &Bed, code: i32, line: &[&str]) -> String {
    let output = bed.server.operate(line[0], &line[1..]).await;
    assert_eq!(output.status.code(), Some(code), "{line:?}: {}", words(&output));
    words(&output)
}

fn json_of(text: &str) -> Value {
    let end = text.rfind('}').expect("JSON") + 1;
    serde_json::from_str(&text[..end]).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[e2e::scenario]
async fn a_shell_runs_a_ticket_from_the_project_to_the_result() {
    let bed = Bed::start().await;
    let directory = bed.server.path("projects").join("shop");
    std::fs::create_dir(&directory).expect("writable");
    let directory = directory.to_str().expect("plain").to_owned();
    assert!(good(&bed, &["projects"]).await.contains("vibe-ensemble project create"));
    let said = good(&bed, &["project", "create", "shop", &directory]).await;
    assert!(said.contains("vibe-ensemble type create shop"), "{said}");
    assert!(good(&bed, &["type", "templates"]).await.contains("implementation"));
    for kind in ["build", "review"] {
        let prompt = format!("You {kind}.");
        good(&bed, &["type", "create", "shop", kind, "--system-prompt", &prompt]).await;
    }
    assert!(good(&bed, &["types", "list", "shop"]).await.contains("review"));
    good(&bed, &["type", "update", "shop", "build", "--max-workers", "2"]).await;

    let script = bed.server.path("script.md");
    std::fs::write(&script, "fake: build: block Red or blue?\n").expect("writable");
    let file = script.to_str().expect("plain").to_owned();
    let create = [
        "ticket",
        "create",
        "shop",
        "Paint it",
        "--plan",
        "build,review",
        "--file",
        &file,
        "--json",
    ];
    let ticket = text(&json_of(&good(&bed, &create).await), "ticket_id");
    let held = bed.ticket_is(&ticket, "on_hold").await;
    assert_eq!(held["hold_kind"], "question", "{held}");
    let why = good(&bed, &["why", &ticket]).await;
    assert!(why.contains("`vibe-ensemble "), "{why}");
    good(&bed, &["ticket", "update", &ticket, "--description", ""]).await;
    let said = good(&bed, &["answer", &ticket, "Blue."]).await;
    assert!(said.contains("Answered"), "{said}");
    bed.completed(&ticket).await;
    let shown = good(&bed, &["ticket", "show", &ticket]).await;
    assert!(shown.contains("Blue.") && shown.contains("Paint it"), "{shown}");

    let said = good(&bed, &["usage", "--by", "attempt", "-n", "1"]).await;
    assert!(said.contains("The first 1 of 3 is shown"), "{said}");
    let said = good(&bed, &["type", "show", "shop", "build", "--utc", "--no-pager"]).await;
    assert!(said.contains("You build."), "{said}");
    let created = said.lines().find(|line| line.starts_with("created at")).expect("an instant");
    assert!(created.ends_with('Z') && !created.contains('.'), "to the second: {created}");
    let said = refused(&bed, 1, &["answer", &ticket, "Red."]).await;
    assert!(said.contains("closed"), "{said}");
    good(&bed, &["ticket", "comment", &ticket, "Well done."]).await;
    good(&bed, &["project", "delete", "shop"]).await;
    assert!(!good(&bed, &["project", "list"]).await.contains("shop"));
}

#[e2e::scenario]
async fn a_stage_is_completed_a_ticket_resumed_and_one_closed_from_a_shell() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let first = bed.ticket("shop", &["build", "build"], "").await;
    let second = bed.ticket("shop", &["build"], "").await;
    let said = good(&bed, &["ticket", "complete", &first, "Did it manually."]).await;
    assert!(said.contains("Completed the stage build"), "{said}");
    good(&bed, &["ticket", "complete", &first, "Unclear.", "--outcome", "blocked"]).await;
    // The meaning is clear in spite of the case.
    let said = refused(&bed, 1, &["resume", &first.to_lowercase()]).await;
    assert!(said.contains(&format!("vibe-ensemble ticket resume {first}")), "{said}");
    bed.ticket_is(&first, "on_hold").await;
    good(&bed, &["ticket", "resume", &first.to_lowercase()]).await;
    bed.ticket_is(&first, "queued").await;
    good(&bed, &["ticket", "close", &second, "--comment", "Not needed."]).await;
    assert_eq!(bed.ticket_is(&second, "closed").await["resolution"], "cancelled");
    assert!(good(&bed, &["queue", "show", "shop", "build"]).await.contains(&first));
    good(&bed, &["queue", "empty", "shop", "build"]).await;
    bed.ticket_is(&first, "on_hold").await;
    let spawned = good(&bed, &["worker", "spawn", "shop", "build", "--json"]).await;
    assert!(json_of(&spawned)["workers"][0]["worker_id"].is_string(), "{spawned}");
    let fields = good(&bed, &["call", "get_ticket", "--fields"]).await;
    assert!(fields.contains("ticket_id (string, required)"), "{fields}");
    let called =
        good(&bed, &["call", "get_ticket", &format!(r#"{{"ticket_id": "{first}"}}"#)]).await;
    assert_eq!(json_of(&called)["ticket_id"], first.as_str());
    good(&bed, &["event", "mark", "--up-to-seq", "3", "--consumer", "shell"]).await;
}

#[e2e::scenario]
async fn a_pause_keeps_its_reason_and_a_started_server_says_that_it_is_paused() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    for place in [&[][..], &["shop"], &["shop", "build"]] {
        good(&bed, &[&["pause"][..], place, &["--reason", "We wait for Ann."]].concat()).await;
        let again = good(&bed, &[&["pause"][..], place].concat()).await;
        assert!(!again.contains("no reason"), "{place:?}: {again}");
    }
    let others = good(&bed, &["pause", "--reason", "We wait for Bob."]).await;
    assert!(others.contains("Bob") && !others.contains("Ann"), "{others}");
    bed.server.stop().await;
    bed.launch().await;
    for what in ["the server is still paused", "the project shop is still paused"] {
        eventually(what, || {
            let log = bed.server.log();
            std::future::ready(if log.contains(what) { Ok(()) } else { Err(log) })
        })
        .await;
    }
}

#[e2e::scenario]
async fn a_worker_type_that_is_not_there_is_named_where_nothing_is_found() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    for command in [&["tickets", "--stage"][..], &["usage", "--worker-type"]] {
        let said = good(&bed, &[command, &["bulid"]].concat()).await;
        assert!(said.contains("worker type bulid. Did you mean build?"), "{command:?}: {said}");
        let said = good(&bed, &[command, &["build", "--project", "shop"]].concat()).await;
        assert!(!said.contains("Did you mean"), "{command:?}: {said}");
    }
}

#[e2e::scenario]
async fn mistakes_in_a_shell_are_refused_in_the_words_of_a_shell() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    let too_long = "x".repeat(5 << 20);
    std::fs::write(bed.server.path("long.txt"), too_long).expect("writes");
    let nowhere = bed.server.path("nowhere.txt").display().to_string();
    let long = bed.server.path("long.txt").display().to_string();
    let cases: [(i32, &[&str], &str); 45] = [
        (2, &["tickets", "foo"], "T-42"),
        (2, &["why", "foo"], "T-42"),
        (2, &["tickets", "--state", "stuck"], "on_hold"),
        (1, &["tickets", "--project", "nope"], "vibe-ensemble project list"),
        (1, &["tickets", "T-99"], "vibe-ensemble ticket list"),
        (1, &["ticket", "show", "99"], "no ticket T-99"),
        (1, &["answer", &ticket, "no"], "is closed as completed"),
        (2, &["ticket", "create", "shop", "x", "--plan", "build", "--priority", "asap"], "normal"),
        (2, &["project", "create", "x", "/nonexistent/directory"], "DIR cannot be"),
        (
            2,
            &["type", "create", "shop", "x", "--system-prompt", "x", "--settings", "{"],
            "--settings",
        ),
        (2, &["create"], "vibe-ensemble ticket create"),
        (2, &["close", "T-1"], "vibe-ensemble ticket close T-1"),
        (2, &["pause", &ticket], "vibe-ensemble stop T-1"),
        (2, &["call", "get_tickt", "{}"], "get_ticket"),
        (2, &["diff", "foo"], "'<TICKET>': it must be the id of a ticket, such as T-42"),
        (2, &["why", "T-0"], "'<TICKET>': it must be the id of a ticket, such as T-42"),
        (2, &["ticket", "show", "x"], "'<TICKET>': it must be the id of a ticket, such as T-42"),
        (2, &["events", "--ticket", "x"], "it must be the id of a ticket, such as T-42"),
        (2, &["events", "--kinds", "foo"], "ticket_on_hold"),
        (2, &["events", "-n", "abc"], "it must be a whole number, 0 or more"),
        (2, &["inbox", "-n", "0"], "it must be a whole number from 1 to 10000"),
        (2, &["workers", "--state", "foo"], "launching"),
        (2, &["event", "mark"], "either those of --event-seqs, or all up to --up-to-seq"),
        (2, &["type", "create", "shop", "nope"], "--template implementation"),
        (2, &["project", "update", "shop"], "there is nothing to change"),
        (2, &["type", "update", "shop", "build"], "there is nothing to change"),
        (
            1,
            &["ticket", "create", "shop", "x", "--plan", "nope"],
            "nope --template implementation`",
        ),
        (
            2,
            &["type", "create", "shop", "x", "--template", "review", "--max-budget-usd", "-1"],
            "--max-budget-usd cannot be",
        ),
        (2, &["type", "create", "shop", "x", "--system-prompt", ""], "there is no system prompt"),
        (2, &["events", "--after", "-3"], "it must be a whole number, 0 or more"),
        (2, &["logs", &ticket, "-n", "-3"], "it must be a whole number, 0 or more"),
        (2, &["tickets", "-n", "-3"], "it must be a whole number, 1 or more"),
        (2, &["pause", "a b"], "the project cannot be"),
        (2, &["ticket", "comment", &ticket, "--file", &long], "1 MiB for one text"),
        (2, &["call", "nope"], "there is no tool \"nope\". "),
        (
            1,
            &["ticket", "create", "shop", "x", "--plan", "build", "--depends-on", "T-99"],
            "There is no ticket T-99 to depend on",
        ),
        (1, &["ticket", "create", "shop", "x", "--plan", "build", "--file", &nowhere], &nowhere),
        (1, &["project", "update", "a b", "--rules", "x"], "There is no project"),
        (1, &["project", "update", "nope", "--rules", "x"], "vibe-ensemble project create nope"),
        (2, &["completions", "tcsh"], "bash"),
        (2, &["serve", "--max-workers", "lots"], "max_workers (--max-workers)"),
        (2, &["check-config", "--json", "--max-workers", "lots"], "a whole number from 1"),
        (2, &["check-config", "--token-file", ""], "token_file (--token-file)"),
        (78, &["check-config", "--token-file", &nowhere], "does not exist"),
        (78, &["check-config", "--config", &nowhere], "does not exist"),
    ];
    for (code, line, part) in cases {
        let said = refused(&bed, code, line).await;
        assert!(said.contains(part), "{line:?}: {said}");
        for tool in
            ["list_projects", "list_tickets was", "call again", "the coordinator to", "a similar"]
        {
            assert!(!said.contains(tool) || line.contains(&"get_tickt"), "{line:?}: {said}");
        }
    }
    let said = refused(&bed, 2, &["ticket", "comment", &ticket]).await;
    assert!(said.contains("--file"), "{said}");
}

/// A variable of a shell that is not set is an empty argument, and no answer.
#[e2e::scenario]
async fn an_empty_answer_is_refused_and_changes_nothing() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: block Red or blue?").await;
    bed.ticket_is(&ticket, "on_hold").await;
    for empty in ["", "   "] {
        let said = refused(&bed, 2, &["answer", &ticket, empty]).await;
        assert!(said.contains("ANSWER is empty"), "{said}");
        let given = json!({"ticket_id": ticket, "comment": empty});
        let said = bed.client.refused("resume_ticket", given).await;
        assert!(said.contains("comment cannot be"), "{said}");
    }
    let said = refused(&bed, 1, &["resume", &ticket]).await;
    assert!(said.contains("Red or blue?") && said.contains("vibe-ensemble answer"), "{said}");
    let found = bed.get(&ticket).await;
    assert_eq!(found["state"], "on_hold", "{found}");
    let shown = good(&bed, &["ticket", "show", &ticket]).await;
    assert!(shown.contains("blocked") && !shown.contains("succeeded"), "{shown}");
    let said = good(&bed, &["pause", "shop", "--reason", "a release"]).await;
    assert!(said.contains("HOW") && said.contains("a release"), "{said}");
    let said = good(&bed, &["answer", &ticket, "Blue."]).await;
    assert!(said.contains("does not start yet") && said.contains("a release"), "{said}");
    let said = good(&bed, &["ticket", "update", &ticket, "--priority", "normal"]).await;
    assert!(said.contains("Nothing to change"), "{said}");
}

#[e2e::scenario]
async fn long_texts_come_from_standard_input() {
    use std::io::Write as _;
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    let mut child = bed
        .server
        .command("ticket")
        .args(["comment", &ticket, "-"])
        .env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir())
        .env("VIBE_ENSEMBLE_RUNTIME_DIR", bed.server.runtime_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it can be started");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"Two lines,\nof text.\n").expect("it reads");
    drop(input);
    assert!(child.wait().expect("our own child").success());
    let found = bed.get(&ticket).await;
    let comments = found["comments"].as_array().expect("a list");
    let last = comments.last().expect("one");
    assert_eq!(last["content"].as_str().map(str::trim), Some("Two lines,\nof text."), "{found}");
}

/// Nobody types a description between quotes.
#[e2e::scenario(needs(Tmux))]
async fn long_texts_are_written_in_the_editor_at_a_terminal() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let terminal = Terminal::open(&bed.server, 100, 30).await;
    // Each is given the file as its last argument, as by git.
    let writes = |text: &str| format!("EDITOR='sed -i \"1s/^/{text}/\"'");
    let edits = |from: &str, to: &str| format!("VISUAL='sed -i s/{from}/{to}/' EDITOR=false");
    let create =
        format!("{} vibe-ensemble ticket create shop Coupons --plan build", writes("# Refuse"));
    terminal.run(&create).await;
    let description = async || text(&bed.get("T-1").await, "description");
    assert_eq!(description().await, "# Refuse", "a heading is text");
    terminal.run(&format!("{} vibe-ensemble ticket update T-1", edits("Refuse", "Accept"))).await;
    assert_eq!(description().await, "# Accept");
    let comment = format!("{} vibe-ensemble ticket comment T-1", writes("A remark."));
    terminal.run(&comment).await;
    assert_eq!(bed.get("T-1").await["comments"][0]["content"], "A remark.");

    // An editor that fails, one in which nothing was written, and none.
    terminal.run_to("EDITOR=false vibe-ensemble ticket comment T-1", 1).await;
    terminal.run_to("EDITOR=true vibe-ensemble ticket comment T-1", 2).await;
    terminal.run_to("vibe-ensemble ticket update T-1", 2).await;
    assert_eq!(bed.get("T-1").await["comments"].as_array().map(Vec::len), Some(1));
    assert_eq!(description().await, "# Accept");
}
