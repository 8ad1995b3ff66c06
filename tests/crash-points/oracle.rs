//! What is left of a story, and whether two runs of it had the same result.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::kept::Kept;
use e2e::repository::Repository;
use serde_json::Value;
use serde_json::json;

/// Points after which the end of the attempt is on disk: killing a shim there costs no second run.
const SEALED: [&str; 10] = [
    "shim.exit_named",
    "shim.after_seal",
    "shim.before_completed_sent",
    "shim.after_completed_sent",
    "shim.after_ack",
    "shim.before_goodbye_sent",
    "shim.after_goodbye_sent",
    "shim.before_exit",
    // There is no attempt yet.
    "shim.after_lock",
    "shim.before_hello_sent",
];

/// Everything that must be the same however often something was killed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    /// The fields of the ticket that describe its end.
    ticket: Value,
    /// Author, stage and content.
    comments: Vec<Value>,
    /// Attempt, stage and outcome.
    attempts: Vec<(String, String, String)>,
    /// Title, state, plan and dependencies of every ticket, including those that a stage created.
    tickets: Vec<Value>,
    /// Attempt, if any, kind and stage of the ticket's events.
    events: Vec<(String, String, String)>,
    /// Kinds of the events about pauses, and the numbers of the marked ones.
    pauses: Vec<String>,
    marked: Vec<i64>,
    /// How often the agent ran for each stage.
    runs: BTreeMap<String, u32>,
    /// The files on the base branch and the commits that brought them there.
    work: Vec<String>,
    /// How many attempts left changes that were not accepted.
    kept: usize,
    /// Everything that must never happen and did.
    wrong: Vec<String>,
}

impl Told {
    /// Adds something that must never happen and did.
    pub(crate) fn accuse(&mut self, wrong: String) {
        self.wrong.push(wrong);
    }

    /// Without the attempts that were lost to a kill, and their events.
    fn without_the_killed(&self) -> Self {
        let killed: Vec<&String> = self
            .attempts
            .iter()
            .filter(|(_, _, outcome)| outcome == "lost" || outcome == "interrupted")
            .map(|(id, _, _)| id)
            .collect();
        let mut told = self.clone();
        told.attempts.retain(|(id, _, _)| !killed.contains(&id));
        told.events.retain(|(id, kind, _)| {
            !(killed.contains(&id)
                && ["ticket_attempt_failed", "ticket_stage_started"].contains(&kind.as_str()))
        });
        told.runs.clear();
        told.kept = 0;
        told.renamed()
    }

    /// With attempts numbered in their order: numbers may be skipped.
    fn renamed(mut self) -> Self {
        for (position, (id, _, _)) in self.attempts.iter_mut().enumerate() {
            let name = format!("{}th", position + 1);
            for (attempt, _, _) in self.events.iter_mut().filter(|(attempt, _, _)| attempt == id) {
                attempt.clone_from(&name);
            }
            *id = name;
        }
        self
    }
}

/// Whether a run with a kill had the same result as a run without one.
pub(crate) fn compare(point: &str, expected: &Told, told: &Told) -> Result<(), String> {
    if !told.wrong.is_empty() {
        return Err(told.wrong.join("; "));
    }
    let mut told = told.clone();
    // A killed launch is reported, and its queue resumes by itself.
    if point.starts_with("shim.") && told.pauses == ["queue_paused", "queue_resumed"] {
        told.pauses.clear();
    }
    let exactly = point.starts_with("server.") || SEALED.contains(&point);
    let (expected, told) = if exactly {
        (expected.clone().renamed(), told.renamed())
    } else {
        (expected.without_the_killed(), told.without_the_killed())
    };
    if expected == told {
        Ok(())
    } else {
        Err(format!("not the same\n  without the kill: {expected:?}\n  with it: {told:?}"))
    }
}

pub(crate) fn trace_file(kept: &Kept) -> PathBuf {
    kept.directory.join("trace")
}

/// Waits until everything has ended, and examines it.
pub(crate) async fn look(kept: &Kept, ticket: &str, fired: Option<&Path>) -> Told {
    let mut wrong = Vec::new();
    let closed = eventually(&format!("{ticket} is closed"), || async {
        let found = kept.ok("get_ticket", json!({"ticket_id": ticket})).await;
        if found["state"] == "closed" { Ok(found) } else { Err(found.to_string()) }
    })
    .await;
    let tickets = eventually("every ticket is closed", || async {
        let tickets = kept.ok("list_tickets", json!({"all": true, "limit": 200})).await;
        let tickets = tickets["tickets"].as_array().cloned().unwrap_or_default();
        let open = tickets.iter().find(|ticket| ticket["state"] != "closed");
        open.map_or(Ok(tickets.clone()), |ticket| Err(ticket.to_string()))
    })
    .await;
    let created = |event: &&Value| event["kind"] == "ticket_created";
    let created = kept.events(None).await.iter().filter(created).count();
    if created != tickets.len() {
        wrong.push(format!("{} tickets and {created} events that tell of one", tickets.len()));
    }
    eventually("every worker is stopped", || async {
        let workers = kept.ok("list_workers", json!({"limit": 200})).await;
        let workers = workers["workers"].as_array().cloned().unwrap_or_default();
        let live = workers.into_iter().find(|worker| worker["state"] != "stopped");
        live.map_or(Ok(()), |worker| Err(worker.to_string()))
    })
    .await;
    if let Some(fired) = fired {
        eventually("the crash point fired", || async {
            kept.up().await;
            if fired.exists() { Ok(()) } else { Err("nothing passed it".to_owned()) }
        })
        .await;
    }
    let left = eventually("no process is left", || async {
        kept.up().await;
        let left = kept.descendants().await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    left.await;
    // Detects what a late death has changed after the first look.
    let again = kept.ok("get_ticket", json!({"ticket_id": ticket})).await;
    if unpriced(&again) != unpriced(&closed) {
        wrong.push(format!("a closed ticket changed: {closed} to {again}"));
    }
    wrong.extend(kept.database_problem().await);
    wrong
        .extend(kept.agents.overlaps().into_iter().map(|two| format!("two agents at once: {two}")));
    let all = kept.events(None).await;
    let seqs: Vec<i64> = all.iter().filter_map(|event| event["seq"].as_i64()).collect();
    if !seqs.is_sorted_by(|a, b| a < b) {
        wrong.push(format!("event numbers out of order: {seqs:?}"));
    }
    wrong.extend(notified(kept, &all).await);
    let told = Told {
        ticket: json!([
            closed["state"],
            closed["resolution"],
            closed["current_stage"],
            closed["rework_laps"],
            closed["hold_reason"],
        ]),
        comments: list(&closed, "comments")
            .iter()
            .map(|comment| json!([comment["author"], comment["stage"], comment["content"]]))
            .collect(),
        attempts: list(&closed, "attempts")
            .iter()
            .map(|attempt| {
                (text(attempt, "attempt_id"), text(attempt, "stage"), text(attempt, "outcome"))
            })
            .collect(),
        tickets: tickets
            .iter()
            .map(|one| {
                json!([one["title"], one["resolution"], one["execution_plan"], one["depends_on"]])
            })
            .collect(),
        events: kept
            .events(Some(ticket))
            .await
            .iter()
            .filter(|event| {
                let kind = text(event, "kind");
                ["ticket_", "gate_", "setup_"].iter().any(|prefix| kind.starts_with(prefix))
            })
            .map(|event| {
                let of = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
                (of("attempt_id"), of("kind"), of("stage"))
            })
            .collect(),
        pauses: kinds_of_pauses(&all),
        marked: marked(&all),
        runs: kept.agents.runs(),
        work: Vec::new(),
        kept: 0,
        wrong,
    };
    with_work(kept, with_records(kept, with_order(kept, told)))
}

fn kinds_of_pauses(events: &[Value]) -> Vec<String> {
    let kinds = events.iter().map(|event| text(event, "kind"));
    kinds.filter(|kind| kind.ends_with("_paused") || kind.ends_with("_resumed")).collect()
}

fn marked(events: &[Value]) -> Vec<i64> {
    let marked = events.iter().filter(|event| event["processed"] == true);
    marked.filter_map(|event| event["seq"].as_i64()).collect()
}

/// The ticket without what limits assume for an attempt that reported no cost: that is known only once nothing of the
/// attempt is left, which may be after its ticket was closed.
fn unpriced(ticket: &Value) -> Value {
    let mut ticket = ticket.clone();
    let mut forget = |value: &mut Value| {
        if let Some(fields) = value.as_object_mut() {
            fields.remove("assumed_usd");
        }
    };
    ticket["attempts"].as_array_mut().into_iter().flatten().for_each(&mut forget);
    forget(&mut ticket);
    ticket
}

/// The kinds of events that the notifier of each story passes on.
pub(crate) const NOTIFIED: [&str; 2] = ["ticket_stage_completed", "ticket_closed"];

/// The file to which the notifier of a story appends its messages, one per line.
pub(crate) fn notified_file(kept: &Kept) -> PathBuf {
    kept.directory.join("notified")
}

/// Every event of the notifier has arrived, in the order of the log.
async fn notified(kept: &Kept, all: &[Value]) -> Option<String> {
    let is_notified = |event: &&Value| NOTIFIED.iter().any(|kind| event["kind"] == *kind);
    let seq = |event: &Value| event["seq"].as_i64();
    let expected: Vec<i64> = all.iter().filter(is_notified).filter_map(seq).collect();
    let file = notified_file(kept);
    let arrived = eventually("the notifier has sent everything", || async {
        kept.up().await;
        let text = fs::read_to_string(&file).unwrap_or_default();
        let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut arrived = Vec::new();
        for event in messages.flat_map(|it| it["events"].as_array().cloned().unwrap_or_default()) {
            arrived.extend(seq(&event).filter(|seq| !arrived.contains(seq)));
        }
        if arrived.len() >= expected.len() { Ok(arrived) } else { Err(format!("{arrived:?}")) }
    })
    .await;
    (arrived != expected).then(|| format!("{arrived:?} arrived of the events {expected:?}"))
}

/// Accepted work is on the base branch, other work is kept, and git finds nothing wrong.
fn with_work(kept: &Kept, mut told: Told) -> Told {
    let repository = Repository { path: kept.directory.join("projects/shop") };
    for file in ["work.txt", "left.txt"] {
        let text = repository.file("main", file).unwrap_or_default();
        told.work.extend(text.lines().map(|line| format!("{file}: {line}")));
    }
    // Numbers of attempts may be skipped.
    let numberless = |subject: String| {
        let (before, after) = subject.split_once(" (A-").unwrap_or((&subject, ""));
        let after = after.split_once(')').map_or(after, |(_, rest)| rest);
        format!("{before}{after}")
    };
    told.work.extend(repository.subjects("main").into_iter().map(numberless));
    for name in repository.refs("refs/vibe-ensemble/attempts/") {
        told.kept += 1;
        let attempt: Vec<&str> = name.splitn(3, '-').take(2).collect();
        let attempt = attempt.join("-");
        let accepted =
            told.attempts.iter().any(|(id, _, end)| *id == attempt && end == "succeeded");
        if accepted {
            told.wrong
                .push(format!("{attempt} was accepted, and its changes are put aside as {name}"));
        }
    }
    told.wrong.extend(repository.problems());
    let status = repository.ask(&["status", "--porcelain"]);
    if !status.is_empty() {
        told.wrong.push(format!("the user's checkout was changed: {status}"));
    }
    told
}

fn list<'v>(value: &'v Value, plural: &str) -> &'v [Value] {
    value[plural].as_array().map_or(&[], Vec::as_slice)
}

/// Every accepted result has its record on disk.
fn with_records(kept: &Kept, mut told: Told) -> Told {
    for (attempt, _, outcome) in &told.attempts {
        let record = kept.state_dir.join("attempts").join(attempt).join("exit.json");
        if outcome == "succeeded" && !record.is_file() {
            told.wrong.push(format!("{attempt} succeeded and has no record"));
        }
    }
    told
}

/// The order of the durable steps, from the trace that all processes wrote: a commit before its
/// ack, a durable file name before anything that depends on it.
fn with_order(kept: &Kept, mut told: Told) -> Told {
    let trace = fs::read_to_string(trace_file(kept)).unwrap_or_default();
    let steps: Vec<(&str, &str)> = trace.lines().filter_map(|line| line.split_once(' ')).collect();
    let first = |step: &str, subject: &str| steps.iter().position(|one| *one == (step, subject));
    for (at, (step, subject)) in steps.iter().enumerate() {
        let run_dir = kept.state_dir.join("attempts").join(subject);
        let dir = run_dir.display().to_string();
        let attempts = kept.state_dir.join("attempts").display().to_string();
        let last_before = |wanted: &str, subject: &str| {
            steps[..at].iter().rposition(|one| *one == (wanted, subject))
        };
        let durable = |name: &str| {
            let path = run_dir.join(name).display().to_string();
            match (last_before("file-synced", &path), last_before("file-named", &path)) {
                (Some(synced), Some(named)) => {
                    synced < named
                        && last_before("directory-synced", &dir).is_some_and(|dir| named < dir)
                        && last_before("directory-synced", &attempts).is_some()
                }
                _ => false,
            }
        };
        let problem = match *step {
            "ack-sent" if first("end-committed", subject).is_none_or(|commit| at < commit) => {
                Some("its ack left before its end was committed")
            }
            "spawning" if !durable("grant.json") => {
                Some("its agent started before its grant was durable")
            }
            "reporting" if !durable("exit.json") => {
                Some("its record was reported before it was durable")
            }
            _ => None,
        };
        told.wrong.extend(problem.map(|problem| format!("{subject}: {problem}")));
    }
    if steps.is_empty() {
        told.wrong.push("no trace was written: the programs lack the feature crash-points".into());
    }
    told
}
