//! Projects with setup and gates: what judges the work there, and whether every verdict counted once and at its own commit.
//!
//! One gate passes, one is red until the agent has worked a second time, which it does when it reads that, and one is slow. Each
//! that passes leaves a line in a log, which no fault reaches: it shows which commit was really judged.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use e2e::bed::text;
use e2e::kept::Kept;
use e2e::repository::Repository;
use serde_json::Value;
use serde_json::json;

use crate::load::GATED;
use crate::load::Load;
use crate::load::lock;
use crate::oracle::Found;

/// The gates, each with the stages after which it runs.
const GATES: [(&str, &[&str]); 3] =
    [("passing", &["design", "build", "review"]), ("told", &["build"]), ("slow", &["build"])];
/// Verdicts that let the work pass.
const PASSES: [&str; 3] = ["passed", "flaky", "known_failure"];
/// A gate that was killed too often puts its ticket on hold. The coordinator of this storm then has it run again this often.
pub(crate) const HOLDS: u32 = 12;

fn log(kept: &Kept) -> PathBuf {
    kept.directory.join("gates.log")
}

/// Commits the file that says what is set up and what judges.
pub(crate) fn prepare(kept: &Kept, repository: &Repository) {
    if repository.path.join(".vibe-ensemble.toml").exists() {
        return;
    }
    let log = log(kept);
    // The canary knows what was there before.
    fs::write(&log, "").expect("writable");
    let log = log.display().to_string();
    let note =
        |what: &str| format!("echo {what} $VIBE_ENSEMBLE_TICKET $(git rev-parse HEAD) >> {log}");
    let shell = |line: String| json!(["sh", "-c", line]).to_string();
    let setup = shell("sleep 0.1; echo built > deps".to_owned());
    let cleanup = shell(format!("test -e deps; {}", note("cleanup")));
    let passing = shell(format!("test -e deps && {}", note("passing")));
    let lines = "test $(grep -c '^build ' $VIBE_ENSEMBLE_TICKET.txt) -ge 2";
    let told = shell(format!("{lines} || {{ echo once more; exit 1; }}; {}", note("told")));
    let slow = shell(format!("sleep 0.4; {}", note("slow")));
    let file = format!(
        "[worktree]\nsetup = [{setup}]\ncleanup = [{cleanup}]\nports = 2\n\n\
         [[gate]]\nname = \"passing\"\ncommand = {passing}\nretries = 1\n\n\
         [[gate]]\nname = \"told\"\ncommand = {told}\nstages = [\"build\"]\nretries = 0\nbaseline = false\n\n\
         [[gate]]\nname = \"slow\"\ncommand = {slow}\nstages = [\"build\"]\nretries = 1\nbaseline = false\n"
    );
    fs::write(repository.path.join(".vibe-ensemble.toml"), file).expect("writable");
    fs::write(repository.path.join(".gitignore"), "deps\n").expect("writable");
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "-m", "Say what judges the work"]);
}

/// What a coordinator does about a hold for setup or gates.
pub(crate) async fn answer(kept: &Kept, ticket: &str, kind: &str, before: u32) {
    // A gate that was killed runs again; one that is red in the same way twice needs the agent again.
    let tool =
        if kind == "gate" && before.is_multiple_of(2) { "run_gates" } else { "resume_ticket" };
    // Refused if it was done already and the answer was lost.
    drop(kept.call(tool, json!({"ticket_id": ticket})).await);
}

/// How often each gate has let each commit of each ticket pass, by the gates' own log.
fn passed(kept: &Kept) -> BTreeMap<(String, String, String), usize> {
    let mut counts = BTreeMap::new();
    for line in fs::read_to_string(log(kept)).unwrap_or_default().lines() {
        if let [gate, ticket, commit] = line.split(' ').collect::<Vec<_>>()[..] {
            *counts.entry((ticket.to_owned(), gate.to_owned(), commit.to_owned())).or_default() +=
                1;
        }
    }
    counts
}

/// A ticket's gates as the server shows them.
struct Judged<'j> {
    id: &'j str,
    gates: Vec<&'j Value>,
    /// By attempt: the numbers of the events with its verdict.
    verdicts: BTreeMap<String, Vec<i64>>,
}

impl Judged<'_> {
    /// Whether a gate had let a commit pass before an event.
    fn had_passed(&self, gate: &str, commit: &str, before: i64) -> bool {
        self.gates.iter().any(|attempt| {
            let seqs = self.verdicts.get(&text(attempt, "attempt_id"));
            text(attempt, "gate") == gate
                && text(attempt, "commit") == commit
                && attempt["verdict"].as_str().is_some_and(|verdict| PASSES.contains(&verdict))
                && seqs.is_some_and(|seqs| seqs.iter().all(|seq| *seq < before))
        })
    }
}

/// Adds everything that is wrong with setups and gates to what was found.
pub(crate) async fn judge(kept: &Kept, load: &Load, exactly_once: bool, found: &mut Found) {
    let repository = crate::load::repository_of(kept, GATED);
    let (log, held) = (passed(kept), lock(&load.answered).clone());
    let (mut rounds, mut red) = (0, 0);
    for (id, _) in load.acknowledged().into_iter().filter(|(_, promise)| promise.project == GATED) {
        let Ok(ticket) = kept.whole_ticket(&id).await else { continue };
        let events = kept.events(Some(&id)).await;
        let attempts = ticket["attempts"].as_array().cloned().unwrap_or_default();
        let mut verdicts: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for event in &events {
            if matches!(event["kind"].as_str(), Some("gate_passed" | "gate_failed")) {
                let seq = event["seq"].as_i64().unwrap_or_default();
                verdicts.entry(text(event, "attempt_id")).or_default().push(seq);
            }
        }
        let is_gate = |attempt: &&Value| attempt["kind"] == "gate" && attempt["on_base"] != true;
        let judged = Judged { id: &id, gates: attempts.iter().filter(is_gate).collect(), verdicts };
        rounds += judged.gates.len();
        red += events.iter().filter(|event| event["kind"] == "gate_failed").count();
        counted_once(&judged, held.contains_key(&id), found);
        really_ran(&judged, &log, exactly_once, found);
        if ticket["resolution"] == "completed" {
            moved_on_what_passed(&judged, &ticket, &events, &repository, found);
        }
    }
    println!("{rounds} runs of gates, {red} red verdicts");
    if rounds == 0 || red == 0 {
        found.wrong.push("no gate ran, or none was red".to_owned());
    }
}

/// Each run has one verdict at most, and a gate that has let a commit pass is not run at it again, unless somebody asked.
fn counted_once(judged: &Judged<'_>, asked: bool, found: &mut Found) {
    for (attempt, seqs) in judged.verdicts.iter().filter(|(_, seqs)| seqs.len() > 1) {
        found.twice.push(format!("the verdict of {attempt} counted in the events {seqs:?}"));
    }
    let mut let_pass = BTreeSet::new();
    for attempt in &judged.gates {
        let verdict = attempt["verdict"].as_str();
        let key = (text(attempt, "gate"), text(attempt, "commit"));
        let passes = verdict.is_some_and(|verdict| PASSES.contains(&verdict));
        if passes && !let_pass.insert(key.clone()) && !asked {
            found.twice.push(format!("{} let {key:?} pass twice: {attempt}", judged.id));
        }
        if verdict.is_some() && !judged.verdicts.contains_key(&text(attempt, "attempt_id")) {
            found.lost.push(format!("the verdict of {attempt} has no event"));
        }
    }
}

/// What is said to have passed has run at that very commit.
fn really_ran(
    judged: &Judged<'_>,
    log: &BTreeMap<(String, String, String), usize>,
    exactly_once: bool,
    found: &mut Found,
) {
    for attempt in &judged.gates {
        let (gate, commit) = (text(attempt, "gate"), text(attempt, "commit"));
        let passed = attempt["verdict"] == "passed";
        let runs = log.get(&(judged.id.to_owned(), gate, commit)).copied().unwrap_or(0);
        if passed && (runs == 0 || (exactly_once && runs > 1)) {
            found.wrong.push(format!("{attempt} of {} ran {runs} times to its end", judged.id));
        }
    }
}

/// Each stage moved on, and the branch was merged, with a commit that all of its gates had let pass before.
fn moved_on_what_passed(
    judged: &Judged<'_>,
    ticket: &Value,
    events: &[Value],
    repository: &Repository,
    found: &mut Found,
) {
    let id = judged.id;
    let range = format!("{}..{}", text(ticket, "base_commit"), text(ticket, "head_commit"));
    let format = "--format=%H %(trailers:key=Vibe-Ensemble-Attempt,valueonly,separator=%x20)";
    let history = repository.ask(&["log", "--first-parent", format, &range]);
    // The newest commit of each attempt: the one that was accepted.
    let mut accepted: BTreeMap<&str, &str> = BTreeMap::new();
    for (commit, attempt) in history.lines().filter_map(|line| line.split_once(' ')) {
        accepted.entry(attempt.trim()).or_insert(commit);
    }
    let seq = |event: &Value| event["seq"].as_i64().unwrap_or_default();
    for event in events.iter().filter(|event| event["kind"] == "ticket_stage_completed") {
        let (stage, attempt) = (text(event, "stage"), text(event, "attempt_id"));
        let Some(commit) = accepted.get(attempt.as_str()) else {
            found.wrong.push(format!("{id} has no commit of {attempt}: {history}"));
            continue;
        };
        for (gate, _) in GATES.iter().filter(|(_, stages)| stages.contains(&stage.as_str())) {
            if !judged.had_passed(gate, commit, seq(event)) {
                found.wrong.push(format!("{id} moved past {gate} in {stage} with {commit}"));
            }
        }
    }
    let merged = text(ticket, "merged_commit");
    let closed = events.iter().find(|event| event["kind"] == "ticket_closed").map_or(0, seq);
    for (gate, _) in GATES {
        if !judged.had_passed(gate, &merged, closed) {
            let gates = &judged.gates;
            found.wrong.push(format!("{id} was merged as {merged} past {gate}: {gates:?}"));
        }
    }
}

/// Whether the cleanup of each worktree that is gone has run there.
pub(crate) fn judge_cleanups(kept: &Kept, load: &Load, found: &mut Found) {
    let log = fs::read_to_string(log(kept)).unwrap_or_default();
    let cleaned: BTreeSet<&str> =
        log.lines().filter_map(|line| line.strip_prefix("cleanup ")?.split(' ').next()).collect();
    let gated = load.acknowledged().into_iter().filter(|(_, promise)| promise.project == GATED);
    for (id, _) in gated.filter(|(id, _)| !cleaned.contains(id.as_str())) {
        let place = kept.state_dir.join("worktrees").join(GATED).join(&id);
        if !place.exists() {
            found.wrong.push(format!("the worktree of {id} was removed without its cleanup"));
        }
    }
}
