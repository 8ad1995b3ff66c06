//! What happens around a kill: a ticket of three stages in a git repository, and everything needed
//! to reach the point.
//!
//! Each agent commits a line to one file and leaves a line in another; the ticket's branch is
//! merged at the end.

use std::fs;
use std::path::Path;

use e2e::clock_shift::ClockShift;
use e2e::eventually::eventually;
use e2e::kept::Kept;
use e2e::repository::Repository;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

use crate::oracle;
use crate::oracle::Told;
use crate::programs::Programs;

const PLAN: [&str; 3] = ["design", "build", "review"];
/// What each agent does first: accepted work is in the repository afterwards, other work is kept.
const WORK: &str = "fake: *: append work.txt {stage}\nfake: *: commit {ticket} does {stage}\n\
                    fake: *: append left.txt {stage}";
const FAILS_AND_IS_SENT_BACK: &str = "fake: build#1: exit 3\nfake: review#1: rework build not yet";
/// The first stage creates two more tickets, one of which waits for the other.
const PLANS: &str = r#"fake: design: tickets [{"key":"b","title":"second","execution_plan":["review"],"depends_on":["a"]},{"key":"a","title":"first","execution_plan":["build"]}]"#;

/// What the worktrees of the gated story need, and what judges the work there.
const GATES: &str = r#"
[worktree]
setup = [["sh", "-c", "echo built > deps"]]

[[gate]]
name = "test"
command = ["sh", "-c", "test -e deps && ! grep -q bad a.txt"]
retries = 1

[[gate]]
name = "old"
command = ["false"]
retries = 0
"#;

/// A gate that is always red; from its second run on, it waits for a sign in this directory. And a cleanup.
fn judged(signs: &Path) -> String {
    let signs = signs.display();
    let gate = format!(
        "test -e {signs}/first || {{ touch {signs}/first; exit 1; }}; \
         while ! test -e {signs}/judge; do sleep 0.05; done; exit 1"
    );
    let (gate, cleanup) = (
        json!(["sh", "-c", gate]),
        json!([["sh", "-c", format!("echo clean >> {signs}/cleaned")]]),
    );
    format!(
        "[worktree]\ncleanup = {cleanup}\n\n\
         [[gate]]\nname = \"test\"\ncommand = {gate}\nretries = 0\nbaseline = false\n"
    )
}

/// Long enough for a worktree to be due for removal.
const TWO_DAYS: i64 = 2 * 86_400;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Story {
    /// One stage fails once and is sent back once; the kill comes after everything was set up.
    Usual,
    /// The same, but the kill comes with the first start on an empty directory.
    FirstStart,
    /// The shim of the first stage is killed, and leaves a daemon behind.
    ShimDies,
    /// The server is killed, the first stage ends, its shim is killed, the server comes back.
    Collected,
    /// The ticket is closed while its shim is stopped, and then the shim is killed.
    Closed,
    /// The worktree is set up, and gates judge the work: one is red at first, one fails on the base commit too, and the
    /// base branch moves before the merge.
    Gated,
    /// A red gate puts the ticket on hold, runs once more because the coordinator asks, and is waived. Two days later, the
    /// worktree is cleaned up and removed.
    Judged,
    /// The coordinator does everything that it can do by itself, and repeats every call without an
    /// answer.
    Coordinated,
}

impl Story {
    /// The story that passes a point.
    pub(crate) fn of(point: &str) -> Self {
        let part = point.split('.').nth(1).unwrap_or_default();
        match (part, point) {
            ("open" | "serve", _) => Self::FirstStart,
            ("settle", _) => Self::Closed,
            ("check" | "check_claim" | "check_end" | "check_judged" | "check_planned", _)
            | (_, "server.land.before_judged") => Self::Gated,
            ("waive" | "run_gates" | "cleanup_begun" | "remove" | "worktree_removed", _) => {
                Self::Judged
            }
            (
                "pause" | "resume" | "resume_ticket" | "complete_stage" | "close" | "due"
                | "stop_worker" | "stop_work" | "mark",
                _,
            ) => Self::Coordinated,
            (_, "server.reconcile.before_collect" | "server.reconcile.after_collect") => {
                Self::Collected
            }
            ("reconcile" | "requeue", _) => Self::ShimDies,
            _ => Self::Usual,
        }
    }

    /// `signs` is the directory in which the agents and this test signal each other.
    fn script(self, signs: &Path) -> String {
        let signs = signs.display();
        let what = match self {
            // Long enough for a heartbeat.
            Self::Usual | Self::FirstStart => {
                format!("fake: design: sleep 0.3\n{PLANS}\n{FAILS_AND_IS_SENT_BACK}")
            }
            Self::ShimDies => format!(
                "fake: design#1: daemonize 60\nfake: design#1: touch {signs}/up\n\
                 fake: design#1: wait-for {signs}/never"
            ),
            Self::Coordinated => format!(
                "fake: design#1: block which colour?\nfake: design#2: touch {signs}/up\n\
                 fake: design#2: wait-for {signs}/never\nfake: design#3: die KILL\n\
                 fake: build: block who does it?"
            ),
            Self::Gated => format!(
                "fake: build#1: write a.txt bad\nfake: build#1: touch {signs}/up\n\
                 fake: build#1: wait-for {signs}/go\nfake: build#2: write a.txt good"
            ),
            Self::Judged => String::new(),
            Self::Collected | Self::Closed => {
                format!(
                    "fake: design: touch {signs}/up\nfake: design: wait-for {signs}/go\n{PLANS}"
                )
            }
        };
        format!("{WORK}\n{what}")
    }

    fn plan(self) -> &'static [&'static str] {
        if matches!(self, Self::Gated | Self::Judged) { &PLAN[1..2] } else { &PLAN }
    }
}

/// Runs a story of these programs, with or without a kill at a point, and examines the result.
pub(crate) async fn tell(story: Story, point: Option<&str>, programs: &Programs) -> Told {
    let setup = Setup::default()
        .programs(programs.directory())
        .env("VIBE_ENSEMBLE_LINGER_MS", "200")
        .env("VIBE_ENSEMBLE_HEARTBEAT_MS", "100");
    let clock = ClockShift::build();
    let kept = Kept::prepare(match story {
        Story::Judged => clock
            .applied_to(setup)
            .env("VIBE_ENSEMBLE_SWEEP_AFTER_MS", "1")
            .env("VIBE_ENSEMBLE_KEEP_WORKTREES_DAYS", "1"),
        Story::Usual
        | Story::FirstStart
        | Story::ShimDies
        | Story::Collected
        | Story::Closed
        | Story::Gated
        | Story::Coordinated => setup,
    });
    let config = kept.directory.join("config.toml");
    fs::write(&config, notifier(&oracle::notified_file(&kept))).expect("the directory is writable");
    kept.server().await.set_env("VIBE_ENSEMBLE_CONFIG", config.display().to_string());
    let fired = kept.directory.join("fired");
    let arm = async || {
        let mut server = kept.server().await;
        server.set_env("VIBE_ENSEMBLE_TEST_TRACE", oracle::trace_file(&kept).display().to_string());
        if let Some(point) = point {
            server.set_env("VIBE_ENSEMBLE_CRASH_AT", point.to_owned());
            server.set_env("VIBE_ENSEMBLE_CRASH_ONCE", fired.display().to_string());
        }
    };
    if story == Story::FirstStart {
        arm().await;
    }
    let repository = kept.repository("shop", "merge").await;
    let directory = kept.directory.clone();
    write_gates(story, &repository, &directory);
    for stage in PLAN {
        kept.worker_type("shop", stage, 1).await;
    }
    if story == Story::Judged {
        let at_once = json!({"project": "shop", "worker_type": "build", "max_gate_failures": 1});
        kept.ok("update_worker_type", at_once).await;
    }
    if story != Story::FirstStart {
        let status = kept.server().await.stop().await;
        assert!(status.success(), "{status}");
        arm().await;
    }
    let ticket = kept
        .ok(
            "create_ticket",
            json!({
                "project": "shop", "title": "a piece of work", "execution_plan": story.plan(),
                "description": story.script(&directory), "idempotency_key": "the one",
            }),
        )
        .await;
    let ticket = ticket["ticket_id"].as_str().expect("a ticket has an id").to_owned();
    match story {
        Story::Usual | Story::FirstStart => {}
        Story::ShimDies => {
            appears(&kept, &directory.join("up")).await;
            kill_shims(&kept, Signal::SIGKILL);
        }
        Story::Collected => {
            appears(&kept, &directory.join("up")).await;
            collect(&kept, &directory).await;
        }
        Story::Closed => {
            appears(&kept, &directory.join("up")).await;
            kill_shims(&kept, Signal::SIGSTOP);
            kept.ok("close_ticket", json!({"ticket_id": ticket})).await;
            kill_shims(&kept, Signal::SIGKILL);
        }
        Story::Gated => {
            appears(&kept, &directory.join("up")).await;
            repository.git(&["commit", "--quiet", "--allow-empty", "-m", "Of the user"]);
            fs::write(directory.join("go"), "").expect("the directory is writable");
        }
        Story::Judged => judge(&kept, &ticket, &directory, &clock).await,
        Story::Coordinated => coordinate(&kept, &ticket, &directory).await,
    }
    let mut told = oracle::look(&kept, &ticket, point.map(|_| fired.as_path())).await;
    if story == Story::Judged {
        let cleaned = fs::read_to_string(directory.join("cleaned")).unwrap_or_default();
        if cleaned != "clean\n" {
            told.accuse(format!("it was not cleaned up once: {cleaned:?}"));
        }
    }
    told
}

/// Commits what the gates of a story are, if it has any.
fn write_gates(story: Story, repository: &Repository, directory: &Path) {
    let gates = match story {
        Story::Gated => GATES.to_owned(),
        Story::Judged => judged(directory),
        Story::Usual
        | Story::FirstStart
        | Story::ShimDies
        | Story::Collected
        | Story::Closed
        | Story::Coordinated => return,
    };
    for (name, text) in [(".vibe-ensemble.toml", gates.as_str()), (".gitignore", "deps\n")] {
        fs::write(repository.path.join(name), text).expect("the directory is writable");
    }
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "-m", "Say what must hold"]);
}

/// Asks for the gates of a ticket that one of them holds, waives that one, and waits until the worktree is gone.
async fn judge(kept: &Kept, ticket: &str, directory: &Path, clock: &ClockShift) {
    let found = async || kept.ok("get_ticket", json!({"ticket_id": ticket})).await;
    let red = async |times: usize| {
        eventually(&format!("the gate of {ticket} is red for the {times}. time"), || async {
            let events = kept.events(Some(ticket)).await;
            let count = events.iter().filter(|event| event["kind"] == "gate_failed").count();
            let found = found().await;
            let is_held = found["state"] == "on_hold" && count == times;
            if is_held { Ok(()) } else { Err(format!("{count}: {found}")) }
        })
        .await;
    };
    red(1).await;
    drop(kept.call("run_gates", json!({"ticket_id": ticket})).await);
    fs::write(directory.join("judge"), "").expect("the directory is writable");
    red(2).await;
    let reason = "It is red for everybody.";
    let waiver = json!({"ticket_id": ticket, "gate": "test", "reason": reason});
    drop(kept.call("waive_gate", waiver).await);
    let closed = eventually(&format!("{ticket} is closed"), || async {
        let found = found().await;
        if found["state"] == "closed" { Ok(found) } else { Err(found.to_string()) }
    })
    .await;
    let worktree = closed["worktree"].as_str().expect("it has one").to_owned();
    let mut server = kept.server().await;
    if server.is_running() {
        server.stop().await;
    }
    drop(server);
    clock.set(TWO_DAYS);
    eventually("the worktree is gone, and the database knows it", || async {
        let found = found().await;
        let is_gone = found["worktree"].is_null() && !Path::new(&worktree).exists();
        if is_gone { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
}

/// A notifier that appends each message to a file, as one line.
fn notifier(file: &Path) -> String {
    let kinds = oracle::NOTIFIED.map(|kind| format!("{kind:?}")).join(", ");
    let append = format!("cat >> {0} && echo >> {0}", file.display());
    format!(
        "[[notify]]\nname = \"file\"\nevents = [{kinds}]\ncommand = [\"sh\", \"-c\", \"{append}\"]\n"
    )
}

/// Everything a coordinator does to a ticket. A call that died with its server is repeated, and may
/// be refused then, because it had been received; the test waits for its effect.
async fn coordinate(kept: &Kept, ticket: &str, directory: &Path) {
    let say = async |tool: &str, arguments: Value| drop(kept.call(tool, arguments).await);
    let held = async |question: &str| {
        let what = format!("{ticket} asks {question}");
        eventually(&what, || async {
            let found = kept.ok("get_ticket", json!({"ticket_id": ticket})).await;
            let reason = found["hold_reason"].as_str().unwrap_or_default().to_owned();
            if reason.contains(question) { Ok(()) } else { Err(found.to_string()) }
        })
        .await;
    };
    held("which colour").await;
    say("resume_ticket", json!({"ticket_id": ticket})).await;
    appears(kept, &directory.join("up")).await;
    let busy = eventually("a worker is busy", || async {
        let busy = kept.ok("list_workers", json!({"state": "busy"})).await;
        let id = busy["workers"][0]["worker_id"].as_str().map(str::to_owned);
        id.ok_or_else(|| busy.to_string())
    })
    .await;
    say("stop_worker", json!({"worker_id": busy, "mode": "interrupt"})).await;
    held("who does it").await;
    say("pause", json!({"project": "shop", "reason": "a break"})).await;
    let done = json!({
        "ticket_id": ticket, "stage": "build", "outcome": "completed", "report": "done manually",
    });
    say("complete_ticket_stage", done).await;
    let unwanted = json!({
        "project": "shop", "title": "unwanted", "execution_plan": ["review"], "idempotency_key": "other",
    });
    let unwanted = kept.ok("create_ticket", unwanted).await;
    say("stop", json!({"ticket_id": unwanted["ticket_id"]})).await;
    say("close_ticket", json!({"ticket_id": unwanted["ticket_id"]})).await;
    say("resume", json!({"project": "shop"})).await;
    say("mark_events_processed", json!({"event_seqs": [1, 2, 3]})).await;
}

/// Lets the first stage end while there is no server, and kills its shim.
async fn collect(kept: &Kept, directory: &Path) {
    let mut server = kept.server().await;
    server.kill().await;
    fs::write(directory.join("go"), "").expect("the directory is writable");
    let record = kept.state_dir.join("attempts/A-1/exit.json");
    eventually("the record is there", || {
        let there = record.exists();
        std::future::ready(if there { Ok(()) } else { Err("no record yet".to_owned()) })
    })
    .await;
    kill_shims(kept, Signal::SIGKILL);
}

async fn appears(kept: &Kept, path: &Path) {
    eventually(&format!("{} appears", path.display()), || async {
        kept.up().await;
        if path.exists() { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
}

pub(crate) fn kill_shims(kept: &Kept, signal: Signal) {
    for shim in kept.shims() {
        // It does not matter if it has ended meanwhile.
        kept.family.signal(shim, signal).unwrap_or_default();
    }
}
