//! What faults and attackers have done to the work: everything that was lost, done twice or left
//! behind.
//!
//! A ticket whose own agent attacked may have been given up, and may have lost the result of the
//! stage in which it attacked. Everything else is judged alike: nothing runs twice at once, nothing
//! stays behind, no forged record is accepted.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use e2e::bed::text;
use e2e::kept::Kept;
use serde_json::Value;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::attacks::FORGED;
use crate::attacks::REMOVED_RUNS;
use crate::load::GATED;
use crate::load::Load;
use crate::load::Promise;
use crate::load::lock;

/// After the last fault, everything ends within this time, or something is stuck.
const DRAIN: Duration = Duration::from_mins(10);
/// Longer than any agent works and any ticket waits: if no ticket has changed for this long, none
/// will.
const STUCK: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(crate) struct Found {
    tickets: usize,
    attempts: usize,
    /// Runs of setup and gates.
    checks: usize,
    killed: usize,
    /// Everything was closed and every process had exited before the rest was examined.
    pub(crate) drained: bool,
    /// How many ends were followed at once by a search for processes of the attempt.
    ended: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) twice: Vec<String>,
    strays: Vec<String>,
    pub(crate) wrong: Vec<String>,
    /// Changes of anything outside the state directory that is not a ticket's own.
    pub(crate) outside: Vec<String>,
    /// Whether an attacker removed run directories of others, which then have no record.
    removed_runs: bool,
    /// By the name of the attack.
    attackers: BTreeMap<&'static str, Attacked>,
}

/// The fate of the tickets that made one kind of attack.
#[derive(Debug, Default)]
struct Attacked {
    tickets: u32,
    completed: u32,
    /// How often agents made it.
    attacks: u32,
}

impl Found {
    pub(crate) fn is_clean(&self) -> bool {
        [&self.lost, &self.twice, &self.strays, &self.outside, &self.wrong]
            .into_iter()
            .all(Vec::is_empty)
    }
}

impl Found {
    fn count_attacks(&mut self, kept: &Kept, promised: &BTreeMap<String, Promise>) {
        let made = kept.agents.attacks();
        for attack in promised.values().filter_map(|promise| promise.attack) {
            let attacked = self.attackers.entry(attack.name).or_default();
            attacked.tickets += 1;
            attacked.attacks = made.get(attack.name).copied().unwrap_or(0);
        }
        self.removed_runs = made.contains_key(REMOVED_RUNS);
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} tickets, {} attempts, {} of them lost or interrupted, {} setups and gates, {} ends with a look for survivors",
            self.tickets, self.attempts, self.killed, self.checks, self.ended
        )?;
        for (name, attacked) in &self.attackers {
            let Attacked { tickets, completed, attacks } = attacked;
            write!(f, "\n{name:>28}: {attacks:3} attacks of {tickets:3} tickets, ")?;
            write!(f, "of which {completed} were completed")?;
        }
        for (name, list) in [
            ("lost", &self.lost),
            ("done twice", &self.twice),
            ("strays", &self.strays),
            ("changed outside", &self.outside),
            ("wrong otherwise", &self.wrong),
        ] {
            write!(f, "\n{name}: {}", list.len())?;
            for one in list.iter().take(20) {
                write!(f, "\n  {one}")?;
            }
        }
        Ok(())
    }
}

/// What the consumer of events saw.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    seqs: Vec<i64>,
    /// Processes of an attempt that were alive when its end was reported.
    survivors: Vec<String>,
    /// How many attempts were examined.
    ended: usize,
}

/// A consumer that reads events and marks them, through every death of the server.
pub(crate) async fn consume(kept: Arc<Kept>, load: Arc<Load>) -> Heard {
    let mut heard = Heard::default();
    loop {
        let arguments = json!({"consumer": "storm", "limit": 200, "wait_seconds": 1});
        let page = kept.ok("list_events", arguments).await;
        let events = page["events"].as_array().cloned().unwrap_or_default();
        heard.look_for_survivors(&kept, &events);
        for event in &events {
            heard.seqs.extend(event["seq"].as_i64());
            if event["kind"] == "ticket_closed" {
                lock(&load.closed).insert(text(event, "ticket_id"));
            }
            if event["kind"] == "ticket_on_hold" {
                let why = (text(event, "hold_kind"), text(event, "summary"));
                lock(&load.held).insert(text(event, "ticket_id"), why);
            }
        }
        load.give_up_held().await;
        let Some(last) = events.last() else {
            if load.is_over() && heard.seqs.last().is_some_and(|last| page["last_seq"] == *last) {
                return heard;
            }
            continue;
        };
        let mark = json!({"consumer": "storm", "up_to_seq": last["seq"]});
        kept.ok("mark_events_processed", mark).await;
    }
}

impl Heard {
    /// An attempt ends only once nothing of its tree is left, however it ends.
    fn look_for_survivors(&mut self, kept: &Kept, events: &[Value]) {
        let ends = ["ticket_stage_completed", "ticket_sent_back", "ticket_attempt_failed"];
        let ended: Vec<&str> = events
            .iter()
            .filter(|event| event["kind"].as_str().is_some_and(|kind| ends.contains(&kind)))
            .filter_map(|event| event["attempt_id"].as_str())
            .collect();
        if ended.is_empty() {
            return;
        }
        self.ended += ended.len();
        let alive = kept.family.alive().into_iter();
        let left = alive.filter(|process| {
            process.attempt.as_deref().is_some_and(|attempt| ended.contains(&attempt))
        });
        self.survivors.extend(left.map(|process| format!("{process:?}")));
    }
}

/// Waits until everything has drained, and examines every trace that it left.
pub(crate) async fn judge(
    kept: &Kept,
    load: &Load,
    consuming: JoinHandle<Heard>,
    exactly_once: bool,
) -> Found {
    let mut found = Found::default();
    let promised = load.acknowledged();
    found.drained = drained(kept, load, &mut found).await;
    found.count_attacks(kept, &promised);
    found.lost.extend(lock(&load.lost).iter().cloned());
    if !found.drained {
        // The consumer would wait forever for an end that never comes.
        consuming.abort();
        for (id, promise) in &promised {
            let ticket = kept.whole_ticket(id).await;
            if let Some(ended) = ticket.ok().filter(|ticket| ticket["state"] == "closed") {
                ticket_is_right(kept, &ended, promise, &mut found);
            }
        }
        found.tickets = promised.len();
        return found;
    }
    let runs = kept.agents.runs();
    for (id, promise) in &promised {
        match kept.whole_ticket(id).await {
            Ok(ticket) => ticket_is_right(kept, &ticket, promise, &mut found),
            Err(refusal) => found.lost.push(format!("{id}: {refusal}")),
        }
        for (stage, expected) in promise.plan.iter().zip(promise.runs) {
            let ran = runs.get(&format!("{id}.{stage}")).copied().unwrap_or(0);
            if exactly_once && promise.attack.is_none() && ran != expected {
                found
                    .twice
                    .push(format!("the agent of {id}/{stage} ran {ran} times, not {expected}"));
            }
        }
    }
    found.tickets = promised.len();
    events_are_right(kept, &promised, consuming, &mut found).await;
    found.strays.extend(kept.descendants().await.iter().map(|process| format!("{process:?}")));
    found.twice.extend(kept.agents.overlaps().into_iter().map(|two| format!("overlap {two}")));
    found.wrong.extend(kept.database_problem().await);
    found
}

/// Waits until everything has drained, and returns whether it did. Whatever has not is reported
/// with everything that the server says about it.
async fn drained(kept: &Kept, load: &Load, found: &mut Found) -> bool {
    let begun = Instant::now();
    let (mut seen, mut changed) = (Vec::new(), begun);
    loop {
        let mut open = Vec::new();
        for state in ["blocked", "scheduled", "queued", "running", "on_hold"] {
            let list = kept.ok("list_tickets", json!({"state": state, "limit": 200})).await;
            open.extend(list["tickets"].as_array().cloned().unwrap_or_default());
        }
        let processes = kept.descendants().await;
        if open.is_empty() && processes.is_empty() {
            return true;
        }
        if open != seen {
            (seen, changed) = (open.clone(), Instant::now());
        }
        if begun.elapsed() > DRAIN || changed.elapsed() > STUCK {
            found.wrong.push(format!("{} tickets are open, {processes:?}", open.len()));
            for ticket in &open {
                let id = text(ticket, "ticket_id");
                let why = kept.ok("get_ticket", json!({"ticket_id": id})).await;
                let (is, stage) = (&ticket["state"], &ticket["current_stage"]);
                let agent = load.describe(&id);
                found.wrong.push(format!(
                    "{id} ({agent}) is {is} in {stage}: {} {}",
                    why["waiting_for"], why["hold_reason"]
                ));
            }
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn ticket_is_right(kept: &Kept, ticket: &Value, promise: &Promise, found: &mut Found) {
    let id = text(ticket, "ticket_id");
    let completed = ticket["state"] == "closed" && ticket["resolution"] == "completed";
    if let Some(attack) = promise.attack {
        found.attackers.entry(attack.name).or_default().completed += u32::from(completed);
    } else if !completed && ticket["resolution"] != "cancelled" {
        // Nobody but the oracle closes tickets, and those that it closed are counted already.
        found.lost.push(format!("{id} is {} {}", ticket["state"], ticket["resolution"]));
    }
    let list = |plural: &str| ticket[plural].as_array().cloned().unwrap_or_default();
    let (attempts, comments) = (list("attempts"), list("comments"));
    let (attempts, checks): (Vec<Value>, Vec<Value>) =
        attempts.into_iter().partition(|attempt| attempt["kind"] == "agent");
    found.attempts += attempts.len();
    found.checks += checks.len();
    for check in &checks {
        let outcome = check["outcome"].as_str().unwrap_or_default();
        if !matches!(outcome, "succeeded" | "lost" | "interrupted" | "failed") {
            found.wrong.push(format!("a setup or a gate of {id} is {outcome}: {check}"));
        }
    }
    let mut by_attempt: BTreeMap<String, u32> = BTreeMap::new();
    if comments.iter().any(|comment| text(comment, "content").contains(FORGED)) {
        found.wrong.push(format!("{id} has the report of a forged record: {comments:?}"));
    }
    for comment in comments.iter().filter(|comment| comment["kind"] == "report") {
        *by_attempt.entry(text(comment, "attempt_id")).or_insert(0) += 1;
    }
    let mut passages: BTreeMap<String, u32> = BTreeMap::new();
    let (mut failures, mut killed) = (0, 0);
    for attempt in &attempts {
        let (attempt_id, stage) = (text(attempt, "attempt_id"), text(attempt, "stage"));
        let reports = by_attempt.remove(&attempt_id).unwrap_or(0);
        let succeeded = attempt["outcome"] == "succeeded";
        match attempt["outcome"].as_str().unwrap_or_default() {
            "succeeded" => {
                *passages.entry(stage).or_insert(0) += 1;
                let record = kept.state_dir.join("attempts").join(&attempt_id).join("exit.json");
                // Attackers remove their own records, and some those of others.
                if !record.is_file() && promise.attack.is_none() && !found.removed_runs {
                    found.wrong.push(format!("{attempt_id} succeeded and has no record"));
                }
            }
            "lost" | "interrupted" => killed += 1,
            "failed" => failures += 1,
            // It was running when its ticket was given up.
            "cancelled" if promise.attack.is_some() => killed += 1,
            other => found.wrong.push(format!("{attempt_id} of {id} is {other}")),
        }
        if reports != u32::from(succeeded) {
            found.twice.push(format!("{attempt_id} of {id} has {reports} reports: {attempt}"));
        }
    }
    if !by_attempt.is_empty() {
        found.wrong.push(format!("{id} has reports of nobody's attempts: {by_attempt:?}"));
    }
    // A run that was killed uses up what its script says about it, so less may happen than was
    // planned, never more.
    found.killed += killed;
    let shaken = failures != promise.failures || killed > 0;
    for (stage, runs) in promise.plan.iter().zip(promise.runs) {
        let passed = passages.get(*stage).copied().unwrap_or(0);
        let planned = if *stage == "build" {
            runs - u32::try_from(promise.failures).unwrap_or(0)
        } else {
            runs
        };
        let missing = passed == 0 || (passed != planned && !shaken);
        // Its agent succeeds once more for each time that a killed gate is red.
        if promise.project == GATED && passed > planned {
            continue;
        }
        // A ticket that was given up may never have reached a stage.
        if passed > planned || (missing && completed) {
            found.twice.push(format!("{id}/{stage} was completed {passed} times, not {planned}"));
        }
    }
}

async fn events_are_right(
    kept: &Kept,
    promised: &BTreeMap<String, Promise>,
    consuming: JoinHandle<Heard>,
    found: &mut Found,
) {
    let heard = consuming.await.expect("the consumer does not panic");
    let all = kept.events(None).await;
    let seqs: Vec<i64> = all.iter().filter_map(|event| event["seq"].as_i64()).collect();
    if !seqs.is_sorted_by(|a, b| a < b) {
        found.wrong.push("event numbers are not in order".to_owned());
    }
    // Delivery is at least once: only a mark whose answer was lost explains a repeated event.
    found.ended = heard.ended;
    found.strays.extend(heard.survivors);
    let heard = heard.seqs;
    let last = heard.iter().max().copied().unwrap_or(0);
    let heard: BTreeSet<i64> = heard.into_iter().collect();
    let missed: Vec<&i64> =
        seqs.iter().filter(|seq| **seq <= last && !heard.contains(seq)).collect();
    if !missed.is_empty() {
        found.lost.push(format!("events a consumer never heard: {missed:?}"));
    }
    let mut closed: BTreeMap<String, u32> = BTreeMap::new();
    for event in all.iter().filter(|event| event["kind"] == "ticket_closed") {
        *closed.entry(text(event, "ticket_id")).or_insert(0) += 1;
    }
    for id in promised.keys() {
        match closed.get(id) {
            Some(1) => {}
            Some(times) => found.twice.push(format!("{id} was closed {times} times")),
            None => found.lost.push(format!("{id} has no closing event")),
        }
    }
    let nobody: Vec<&String> = closed.keys().filter(|id| !promised.contains_key(*id)).collect();
    if !nobody.is_empty() {
        found.twice.push(format!("tickets that were created twice: {nobody:?}"));
    }
}
