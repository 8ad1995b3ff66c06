//! What happens around a kill: a ticket of three stages in a git repository, and everything needed
//! to reach the point.
//!
//! Each agent commits a line to one file and leaves a line in another; the ticket's branch is
//! merged at the end.

use std::fs;
use std::path::Path;

use e2e::eventually::eventually;
use e2e::kept::Kept;
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
    /// The coordinator does everything that it can do by itself, and repeats every call without an
    /// answer.
    Coordinated,
}

impl Story {
    pub(crate) const ALL: [Self; 7] = [
        Self::Usual,
        Self::FirstStart,
        Self::ShimDies,
        Self::Collected,
        Self::Closed,
        Self::Gated,
        Self::Coordinated,
    ];

    /// The story that passes a point.
    pub(crate) fn of(point: &str) -> Self {
        let part = point.split('.').nth(1).unwrap_or_default();
        match (part, point) {
            ("open" | "serve", _) => Self::FirstStart,
            ("settle", _) => Self::Closed,
            ("check" | "check_claim" | "check_end" | "check_judged" | "check_planned", _)
            | (_, "server.land.before_judged") => Self::Gated,
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
            Self::Collected | Self::Closed => {
                format!(
                    "fake: design: touch {signs}/up\nfake: design: wait-for {signs}/go\n{PLANS}"
                )
            }
        };
        format!("{WORK}\n{what}")
    }

    fn plan(self) -> &'static [&'static str] {
        if self == Self::Gated { &PLAN[1..2] } else { &PLAN }
    }
}

/// Runs a story of these programs, with or without a kill at a point, and examines the result.
pub(crate) async fn tell(story: Story, point: Option<&str>, programs: &Programs) -> Told {
    let kept = Kept::prepare(
        Setup::default()
            .programs(programs.directory())
            .env("VIBE_ENSEMBLE_LINGER_MS", "200")
            .env("VIBE_ENSEMBLE_HEARTBEAT_MS", "100"),
    );
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
    if story == Story::Gated {
        for (name, text) in [(".vibe-ensemble.toml", GATES), (".gitignore", "deps\n")] {
            fs::write(repository.path.join(name), text).expect("the directory is writable");
        }
        repository.git(&["add", "."]);
        repository.git(&["commit", "--quiet", "-m", "Say what must hold"]);
    }
    let directory = kept.directory.clone();
    for stage in PLAN {
        kept.worker_type("shop", stage, 1).await;
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
        Story::Coordinated => coordinate(&kept, &ticket, &directory).await,
    }
    oracle::look(&kept, &ticket, point.map(|_| fired.as_path())).await
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
