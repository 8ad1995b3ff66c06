//! What a person sees: real terminals of several sizes, and pipes.

use std::process::Output;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::seed;
use e2e::server::Setup;
use e2e::terminal::PROMPT;
use e2e::terminal::Terminal;
use serde_json::json;

/// Titles in the scripts and symbols of the world, some longer than any screen.
const TITLES: [&str; 5] = [
    "期限切れのクーポンを拒否し、その理由を利用者に説明し、記録に残す。値引きの計算は変えないこと",
    "Refuse an expired coupon 🙂 at the till, with a reason that the customer understands and the shop can look up",
    "쿠폰이 만료되면 거부한다",
    "Short",
    "Ein sehr-langes-zusammengesetztes-Wort-ohne-Zwischenraum-das-in-keine-Spalte-passt-und-doch-hinein-muss",
];

pub(crate) fn out(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Tickets in every state: closed with a result, on hold with a question, running, queued, failed.
pub(crate) async fn busy_bed() -> Bed {
    let bed = Bed::with(Setup::default().max_workers(3)).await;
    bed.repository("shop", &["build", "review"], json!({})).await;
    bed.project("warehouse-of-the-shop", &["an-uncommonly-long-name-of-a-stage"]).await;
    let create = async |project: &str, plan: &[&str], title: &str, script: &str| {
        let ticket = json!({"project": project, "title": title, "execution_plan": plan, "description": script});
        text(&bed.client.ok("create_ticket", ticket).await, "ticket_id")
    };
    let work = "fake: build: write coupon.txt refused\nfake: build: say I look at the till.";
    let closed = create("shop", &["build", "review"], TITLES[0], work).await;
    bed.completed(&closed).await;
    let asks = "fake: build: block Which date counts: that of the order, that of the payment, or that of the delivery?";
    let held = create("shop", &["build"], TITLES[1], asks).await;
    bed.ticket_is(&held, "on_hold").await;
    let stage = "an-uncommonly-long-name-of-a-stage";
    let waits = format!("fake: {stage}: wait-for go");
    let running = create("warehouse-of-the-shop", &[stage], TITLES[2], &waits).await;
    bed.ticket_is(&running, "running").await;
    for title in [TITLES[3], TITLES[4]] {
        create("warehouse-of-the-shop", &[stage], title, "").await;
    }
    let pause = json!({"project": "shop", "worker_type": "review", "reason": "The reviewers are on holiday."});
    bed.client.ok("pause", pause).await;
    bed
}

#[e2e::scenario(needs(Tmux))]
async fn every_screen_fits_terminals_of_80_120_and_200_columns() {
    let bed = busy_bed().await;
    for columns in [80, 120, 200] {
        let terminal = Terminal::open(&bed.server, columns, 50).await;
        let commands = [
            "tickets",
            "tickets --all",
            "tickets --utc",
            "tickets T-1",
            "tickets T-2",
            "tickets T-3",
            "status",
            "workers",
            "usage",
            "usage --by attempt",
            "events",
            "logs T-1",
            "diff T-1 --stat",
            "top --help",
            "inbox",
            "project list",
            "type list shop",
            "type templates",
            "queue list",
            "queue show warehouse-of-the-shop an-uncommonly-long-name-of-a-stage",
            "check-config 2>/dev/null",
        ];
        for command in commands {
            let has_pager =
                !["--help", "show", "check-config"].iter().any(|it| command.contains(it));
            let paged = if has_pager { " --no-pager" } else { "" };
            let lines = terminal.run(&format!("vibe-ensemble {command}{paged}")).await;
            assert!(lines.len() > 1, "{columns}, {command}: {lines:#?}");
            // The lines that are copied into a shell stay whole.
            let copied = lines.iter().filter(|line| line.contains(" git -C ")).count();
            let allowed = if command == "tickets T-1" { copied } else { 0 };
            let wrapped = terminal.wrapped();
            assert!(wrapped <= allowed, "{columns}, {command}:\n{}", lines.join("\n"));
        }
        let list = terminal.run("vibe-ensemble tickets --all").await.join("\n");
        assert!(list.contains("期限切れ") && list.contains("T-5"), "{list}");
        let first = list.find("T-5").zip(list.find("T-1 ")).expect("both are listed");
        assert!(first.0 < first.1, "the newest first:\n{list}");
        let status = terminal.run("vibe-ensemble status").await.join("\n");
        for expected in
            ["RUNNING", "Waiting for you", "answer T-2", "The reviewers are on holiday", "today"]
        {
            assert!(status.contains(expected), "{columns}: no {expected} in\n{status}");
        }
    }
}

#[e2e::scenario(needs(Tmux))]
async fn a_terminal_has_colours_and_a_pipe_has_everything() {
    let bed = busy_bed().await;
    let terminal = Terminal::open(&bed.server, 80, 50).await;
    terminal.run("vibe-ensemble tickets --all").await;
    assert!(terminal.coloured().contains("\u{1b}["), "{}", terminal.coloured());
    for plain in ["NO_COLOR=1 vibe-ensemble tickets", "vibe-ensemble tickets --color never"] {
        terminal.run(plain).await;
        assert!(!terminal.coloured().contains("\u{1b}["), "{plain}: {}", terminal.coloured());
    }
    let piped = out(&bed.server.operate("tickets", &["--all"]).await);
    assert!(TITLES.iter().all(|title| piped.contains(title)), "nothing is shortened:\n{piped}");
    assert!(!piped.contains('\u{1b}') && piped.contains("Z  "), "exact times:\n{piped}");
    let coloured = out(&bed.server.operate("tickets", &["--color", "always"]).await);
    assert!(coloured.contains("\u{1b}["), "{coloured}");
}

#[e2e::scenario(needs(Tmux))]
async fn an_empty_server_and_one_with_three_thousand_tickets_both_fit_a_screen() {
    let mut bed = Bed::start().await;
    let empty = Terminal::open(&bed.server, 80, 24).await;
    let none = empty.run("vibe-ensemble tickets").await.join("\n");
    assert!(none.contains("No open ticket"), "{none}");
    empty.run("vibe-ensemble status").await;
    assert_eq!(empty.wrapped(), 0);
    drop(empty);

    bed.project("shop", &["build"]).await;
    let asks = json!({
        "project": "shop", "title": TITLES[1], "execution_plan": ["build"], "description": "fake: build: block Which date?",
    });
    bed.client.ok("create_ticket", asks).await;
    bed.ticket_is("T-1", "on_hold").await;
    bed.nothing_is_left().await;
    bed.server.stop().await;
    let database = bed.server.state_dir().join("vibe-ensemble.db");
    seed::multiply(&database, 3_000).await.expect("copies");
    bed.launch().await;

    let terminal = Terminal::open(&bed.server, 80, 24).await;
    let list = terminal.run("vibe-ensemble tickets --no-pager").await;
    assert!(list.iter().any(|line| line.starts_with("T-3000")), "{list:#?}");
    assert!(list.len() <= 102, "a hundred and what shows more: {}", list.len());
    assert!(list.join("\n").contains("--limit 1000"), "{list:#?}");
    let status = terminal.run("vibe-ensemble status").await;
    assert!(status.len() < 60, "{} lines", status.len());
    assert!(status.join("\n").contains("and 2990 more"), "{status:#?}");
    assert_eq!(terminal.wrapped(), 0);
    // The pager shows output that is longer than the screen, and restores the screen.
    terminal.begin("vibe-ensemble tickets -n 3000");
    terminal.shows("a pager", |screen| screen.lines().last().is_some_and(|line| line == ":")).await;
    terminal.press(&["C-c"]);
    // The pager forgets what is typed while it handles the interrupt.
    let reached = |screen: &str| {
        terminal.press(&["G"]);
        screen.contains("T-1 ")
    };
    terminal.shows("the end of the list", reached).await;
    terminal.press(&["q"]);
    terminal.shows("the shell", |screen| screen.trim_end().ends_with(PROMPT)).await;
    // Output that fits is printed directly.
    let few = terminal.run("vibe-ensemble tickets -n 3").await;
    assert!(few.iter().filter(|line| line.starts_with("T-")).count() == 3, "{few:#?}");
}

#[e2e::scenario(needs(Tmux))]
async fn a_full_screen_gives_the_terminal_back_however_it_is_left() {
    let bed = busy_bed().await;
    let mut terminal = Terminal::open(&bed.server, 120, 30).await;
    terminal.run("stty -a > before").await;
    let ways = [
        ("vibe-ensemble top", "sort:", "C-c"),
        ("vibe-ensemble top", "sort:", "q"),
        ("vibe-ensemble status --watch", "RUNNING", "C-c"),
        ("vibe-ensemble status --watch", "RUNNING", "Escape"),
    ];
    for (command, sign, key) in ways {
        terminal.begin(command);
        terminal.shows(sign, |screen| screen.contains(sign) && screen.contains("T-3")).await;
        terminal.press(&[key]);
        terminal.shows("the shell", |screen| screen.trim_end().ends_with(PROMPT)).await;
        let differs = terminal.run("stty -a > after; cmp before after").await;
        assert_eq!(
            differs.iter().filter(|line| line.contains("differ")).count(),
            0,
            "{command} {key}"
        );
    }
    // A signal, as a closing session sends it.
    terminal.run_to("timeout --foreground 2 vibe-ensemble top", 124).await;
    terminal.run("stty -a > after; cmp before after").await;
    terminal.begin("vibe-ensemble top");
    terminal.shows("top", |screen| screen.contains("sort:")).await;
    terminal.resize(70, 20);
    let small = terminal.shows("a smaller top", |screen| {
        screen.contains("W-")
            && !screen.contains("PROJECT")
            && screen.lines().last().is_some_and(|line| line.starts_with("sort:"))
    });
    let small = small.await;
    assert_eq!(terminal.wrapped(), 0, "{small}");
    terminal.press(&["q"]);
    terminal.shows("the shell", |screen| screen.trim_end().ends_with(PROMPT)).await;
}

#[e2e::scenario]
async fn top_in_a_pipe_prints_one_table_with_what_each_worker_does() {
    let bed = busy_bed().await;
    let table = out(&bed.server.operate("top", &[]).await);
    let busy = table.lines().find(|line| line.contains("T-3")).expect("it is busy");
    assert!(busy.contains('%') && busy.contains("an-uncommonly-long-name-of-a-stage"), "{table}");
}

#[e2e::scenario]
async fn an_agents_words_act_on_no_terminal() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let nasty = "block \u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}desrever\u{9b}31m";
    let ticket = json!({
        "project": "shop", "title": "t", "execution_plan": ["build"], "description": format!("fake: build: {nasty}"),
    });
    let ticket = text(&bed.client.ok("create_ticket", ticket).await, "ticket_id");
    bed.ticket_is(&ticket, "on_hold").await;
    let commands: [(&str, &[&str]); 7] = [
        ("tickets", &[&ticket]),
        ("tickets", &[]),
        ("status", &[]),
        ("logs", &[&ticket]),
        ("events", &[]),
        ("top", &[]),
        ("logs", &[&ticket, "--raw"]),
    ];
    for (command, arguments) in commands {
        for colour in ["never", "always"] {
            let printed =
                bed.server.operate(command, &[arguments, &["--color", colour]].concat()).await;
            let printed = out(&printed);
            let is_ours = |rest: &str| {
                rest.starts_with('[') && rest[1..].find('m').is_some_and(|end| end < 6)
            };
            for (at, _) in printed.match_indices('\u{1b}') {
                assert!(is_ours(&printed[at + 1..]), "{command}: {printed:?}");
            }
            assert!(!printed.contains(['\u{202e}', '\u{9b}', '\u{7}']), "{command}: {printed:?}");
        }
    }
}
