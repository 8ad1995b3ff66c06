//! What faults and attackers have done to the repository: exactly the accepted work is merged, in
//! order, and git finds it undamaged.

use std::time::Duration;
use std::time::Instant;

use e2e::bed::text;
use e2e::kept::Kept;
use e2e::repository::Repository;
use serde_json::Value;

use crate::attacks::Own;
use crate::canary;
use crate::load;
use crate::load::Load;
use crate::oracle::Found;

const SETTLING: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(500);

/// The attempt whose work a success accepts: its own, or that of the session that it only asked for
/// the outcome.
fn who_worked(attempts: &[Value], succeeded: &Value) -> String {
    // Those after it may continue its session: its gates were red.
    let at = attempts.iter().position(|attempt| attempt["attempt_id"] == succeeded["attempt_id"]);
    let until = at.map_or(attempts.len(), |at| at + 1);
    let worked = attempts[..until].iter().rfind(|attempt| {
        attempt["claude_session_id"] == succeeded["claude_session_id"]
            && attempt["asks_outcome"] != true
    });
    text(worked.unwrap_or(succeeded), "attempt_id")
}

/// The lines that attempts may have left which were stopped and resumed in their session: their
/// files are those of the session, and the attempt that succeeded in it had them accepted.
fn of_continued_sessions(attempts: &[Value]) -> Vec<String> {
    let succeeded = |session: &Value| {
        attempts.iter().any(|attempt| {
            attempt["outcome"] == "succeeded" && attempt["claude_session_id"] == *session
        })
    };
    attempts
        .iter()
        .filter(|attempt| attempt["outcome"] == "interrupted")
        .filter(|attempt| succeeded(&attempt["claude_session_id"]))
        .map(|attempt| format!("{} {}", text(attempt, "stage"), text(attempt, "attempt_id")))
        .collect()
}

/// Adds everything that is wrong with the repository to what was found.
pub(crate) async fn judge(kept: &Kept, load: &Load, project: &str, found: &mut Found) {
    let repository = load::repository_of(kept, project);
    if !repository.path.join(".git").is_dir() {
        // Nothing else can be checked in it.
        found.outside.push("the .git of the user's own repository is gone".to_owned());
        return;
    }
    let mut accepted = Vec::new();
    let mut lines = 0;
    let mut spoilt = Vec::new();
    let all = load.acknowledged().into_iter();
    for (id, promise) in all.filter(|(_, promise)| promise.project == project) {
        let Ok(ticket) = kept.whole_ticket(&id).await else { continue };
        let mut attempts = ticket["attempts"].as_array().cloned().unwrap_or_default();
        attempts.retain(|attempt| attempt["kind"] == "agent");
        let expected: Vec<String> = attempts
            .iter()
            .filter(|attempt| attempt["outcome"] == "succeeded")
            .map(|attempt| format!("{} {}", text(attempt, "stage"), who_worked(&attempts, attempt)))
            .collect();
        let continued = of_continued_sessions(&attempts);
        let merged = ticket["merged_commit"] != Value::Null;
        let may_be_spoilt = promise.attack.is_some_and(|attack| attack.own == Own::WorkMayBeLost);
        if may_be_spoilt {
            spoilt.push(format!("/{id}\n"));
        }
        for file in [format!("{id}.txt"), format!("left-{id}.txt")] {
            let there = repository.file("main", &file).unwrap_or_default();
            let right = match promise.attack {
                // What was given up is merged nowhere.
                Some(_) if !merged => there.is_empty(),
                // Only the work that its agent did before the attack is certain to be there.
                Some(_) if may_be_spoilt => {
                    there.lines().next() == expected.first().map(String::as_str)
                }
                Some(_) | None => there
                    .lines()
                    .filter(|line| !continued.iter().any(|known| known == line))
                    .eq(expected.iter().map(String::as_str)),
            };
            if !right {
                found.wrong.push(format!(
                    "{file} has {there:?}, accepted were {expected:?}; its attempts: {attempts:?}"
                ));
            }
            lines += there.lines().count();
        }
        let completed = ticket["resolution"] == "completed";
        for field in ["branch", "base_commit", "head_commit", "merged_commit"] {
            if completed && ticket[field] == Value::Null {
                found.wrong.push(format!("{id} has no {field}"));
            }
        }
        if let (Some(base), Some(head)) =
            (ticket["base_commit"].as_str(), ticket["head_commit"].as_str())
        {
            let subjects = repository.subjects(&format!("{base}..{head}"));
            let strange: Vec<&String> =
                subjects.iter().filter(|subject| !subject.starts_with(&format!("{id} "))).collect();
            if !strange.is_empty() {
                found.wrong.push(format!("the branch of {id} has the work of others: {strange:?}"));
            }
        }
        let succeeded = attempts.iter().filter(|attempt| attempt["outcome"] == "succeeded");
        accepted.extend(succeeded.map(|attempt| text(attempt, "attempt_id")));
    }
    let kept_aside = repository.refs("refs/vibe-ensemble/attempts/");
    for name in &kept_aside {
        let attempt = name.splitn(3, '-').take(2).collect::<Vec<_>>().join("-");
        if accepted.contains(&attempt) {
            found.wrong.push(format!("{attempt} was accepted, and {name} has changes of it"));
        }
    }
    let worktrees = repository.worktrees().len();
    println!(
        "{lines} accepted lines are merged, {} attempts were put aside, {worktrees} worktrees",
        kept_aside.len()
    );
    let status = repository.ask(&["status", "--porcelain"]);
    if !status.is_empty() {
        found.wrong.push(format!("the user's checkout was changed: {status}"));
    }
    let canaries = repository.ask_quietly(&["grep", "-l", canary::CONTENT, "main"]);
    if !canaries.is_empty() {
        found.outside.push(format!("main has files of the canary: {canaries}"));
    }
    // Git may know a worktree that its own agent took apart; nobody uses it until somebody looks at
    // it.
    let mut problems = settled(&repository).await;
    problems.retain(|problem| !spoilt.iter().any(|worktree| problem.contains(worktree)));
    found.wrong.extend(problems);
}

/// What git finds wrong at the end. A lock that a killed agent left at the last moment is the
/// server's to remove, once it is certain that nobody holds it.
async fn settled(repository: &Repository) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let problems = repository.problems();
        if problems.is_empty() || begun.elapsed() > SETTLING {
            return problems;
        }
        tokio::time::sleep(LOOK).await;
    }
}
