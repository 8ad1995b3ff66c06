//! The table: one arm per refusal.

use std::fmt::Display;
use std::fmt::Write as _;

use crate::domain::attempt::Silence;
use crate::domain::attempt::StopMode;
use crate::domain::refusal;
use crate::domain::refusal::Refusal;
use crate::mcp::arguments::Wrong;

/// What a client is told when something broke that it cannot mend.
pub(crate) const INTERNAL_ERROR: &str =
    "Internal error, see the server's log. Read the state again before you repeat the call.";

/// The text of a refusal.
#[expect(clippy::too_many_lines, reason = "one table, one place")]
pub(crate) fn refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::InvalidField { field, .. } => {
            format!("{} Correct {field} and call again.", invalid(refusal))
        }
        Refusal::UnknownProject { project } => format!(
            "There is no project {}. List them with list_projects, or create it with create_project.",
            quoted(project)
        ),
        Refusal::UnknownWorkerType { project, worker_type, known } if known.is_empty() => format!(
            "Project {project} has no worker type {}; it has none yet. Create it with create_worker_type.",
            quoted(worker_type)
        ),
        Refusal::UnknownWorkerType { project, worker_type, known } => format!(
            "Project {project} has no worker type {}; it has {}. Use one of those, or create it with \
             create_worker_type.",
            quoted(worker_type),
            listed(known)
        ),
        Refusal::UnknownTicket { ticket } => {
            format!("There is no ticket {ticket}. Find tickets with list_tickets.")
        }
        Refusal::UnknownWorker { worker } => {
            format!("There is no worker {worker}. Find workers with list_workers.")
        }
        Refusal::UnknownComment { comment, ticket } => {
            format!(
                "{ticket} has no comment {comment}. Read its comments with get_ticket, and the older ones with its \
                 comments_cursor."
            )
        }
        Refusal::ProjectExists { project } => format!(
            "A project named {project} exists already. Change it with update_project, or choose another name."
        ),
        Refusal::WorkerTypeExists { project, worker_type } => format!(
            "Project {project} has a worker type {worker_type} already. Change it with update_worker_type, or choose \
             another name."
        ),
        Refusal::RepositoryRefused { path, why } => format!(
            "{why}. Mend that first: where git doubts its owner, run git config --system --add safe.directory {path}; where \
             it is damaged, see git fsck. Or use isolation \"shared\", with which attempts take turns in the directory and \
             git is left alone."
        ),
        Refusal::NoWorktrees { path, why } => format!(
            "isolation cannot be \"worktree\" for {path}: {why}. Make it a git repository with a commit, or use isolation \
             \"shared\"."
        ),
        Refusal::ProjectInUse { project, open_tickets, live_workers } => format!(
            "Project {project} was not deleted: it has {} and {}. End them with close_ticket and stop_worker, or call \
             again with force: true.",
            counted(*open_tickets, "open ticket"),
            counted(*live_workers, "live worker")
        ),
        Refusal::WorkerTypeInUse { worker_type, tickets } => format!(
            "Worker type {worker_type} was not deleted: the plans of open tickets name it: {}. End those with \
             close_ticket, or call again with force: true.",
            listed(tickets)
        ),
        Refusal::QueueBusy { project, worker_type, workers } => format!(
            "The queue {worker_type} of project {project} was not deleted: {} busy on it. Wait for the end with \
             list_events, stop with stop_worker, or call again with force: true.",
            are(workers)
        ),
        Refusal::TicketClosed { ticket, resolution } => format!(
            "{ticket} is closed as {}, which is final. Read it with get_ticket, or go on in a new ticket with \
             create_ticket.",
            resolution.name()
        ),
        Refusal::TicketNotOnHold { ticket, state } => format!(
            "{ticket} is {state}, not on_hold, so there is nothing to resume. Read what it waits for with get_ticket."
        ),
        Refusal::TicketRunning { ticket, attempt, worker } => format!(
            "{ticket} is running: {worker} works on it as {attempt}. Wait for its end with list_events, or stop it with \
             stop_worker and call again."
        ),
        Refusal::TicketLanding { ticket } => format!(
            "Every stage of {ticket} is completed and its branch is being merged. Wait for the end with list_events."
        ),
        Refusal::TicketBlocked { ticket, by } => format!(
            "{ticket} is blocked by {}. Wait for that with list_events, or complete it with close_ticket and \
             resolution completed.",
            listed(by)
        ),
        Refusal::StageNotCurrent { ticket, given, current } => format!(
            "{ticket} is at stage {current}, not {}. Read it with get_ticket, then call again with stage \
             {current} if that is what you mean.",
            quoted(given)
        ),
        Refusal::NotAnEarlierStage { ticket, earlier, .. } if earlier.is_empty() => format!(
            "{ticket} is at its first stage, so there is no earlier one to send it back to. Use outcome blocked with a \
             question, or completed."
        ),
        Refusal::NotAnEarlierStage { ticket, given, earlier } => format!(
            "{} is not an earlier stage of {ticket}; earlier are {}. Name one of those in rework_stage, or leave \
             it out for the stage before.",
            quoted(given),
            listed(earlier)
        ),
        Refusal::NotInPlan { ticket, given, plan } => format!(
            "The plan of {ticket} has no stage {}; it is {}. Name one of those in stage, or leave it out to go \
             on where the ticket stands.",
            quoted(given),
            listed(plan)
        ),
        Refusal::UnknownDependency { ticket } => format!(
            "depends_on names {ticket}, which does not exist. Find tickets with list_tickets, then call again."
        ),
        Refusal::DependencyCancelled { ticket } => format!(
            "depends_on names {ticket}, which was cancelled and will never complete. Leave it out, or create that work \
             anew with create_ticket and name the new ticket."
        ),
        Refusal::StagesBegun { ticket, begun, given } => format!(
            "The plan of {ticket} was not changed: it would be {}, and must begin with the stages that have begun, {}, \
             and go on to the stage the ticket is at. Give the whole plan in execution_plan and change only what comes \
             after them.",
            listed(given),
            if begun.is_empty() { "none yet".to_owned() } else { listed(begun) }
        ),
        Refusal::PausedByBudget { what, reason } => format!(
            "{what} is paused by a limit in dollars and was not resumed: {}. It goes on by itself when the limit is raised.",
            reason.trim_end_matches('.')
        ),
        Refusal::AttemptSilenced { attempt, why } => {
            let why = match why {
                Silence::Ended => "has ended, and nothing it does counts any more",
                Silence::Stopped => "was told to stop",
                Silence::TimedOut => "has used up its time",
            };
            format!("{attempt} {why}. Stop here: nothing was changed by this call.")
        }
        Refusal::NotYourTicket { own } => format!(
            "A worker may read and comment on its own ticket only, which is {own}. Call again with that one; what \
             belongs to other tickets goes into your report."
        ),
        Refusal::NotYourProject { own } => format!(
            "A worker may read its own project only, which is {own}. Call again with that one."
        ),
        Refusal::TooManyRemarks { attempt, most } => format!(
            "{attempt} has made {most} comments, the most one attempt may make. Put what is left into your report."
        ),
        Refusal::UnknownTemplate { template, known } => format!(
            "There is no template {}; there are {}. Name one of those in template, or give a system_prompt \
             instead.",
            quoted(template),
            listed(known)
        ),
        Refusal::TemplateBroken { template, problem } => format!(
            "The template {template} cannot be used: {problem}. Have the operator mend that file, or give a \
             system_prompt instead."
        ),
        Refusal::WorkerStopped { worker } => format!(
            "{worker} has stopped already. Start another with spawn_worker, or find live ones with list_workers."
        ),
        Refusal::WorkerStopping { worker, mode } => {
            let stronger: Vec<&str> =
                StopMode::ALL.into_iter().filter(|m| m > mode).map(StopMode::name).collect();
            let told = format!(
                "{worker} was told to stop before, by {}. Follow it with get_worker_status",
                mode.name()
            );
            if stronger.is_empty() {
                return format!("{told}.");
            }
            format!("{told}, or call again with a stronger mode: {}.", listed(&stronger))
        }
        Refusal::TooManyWorkers { worker_type, live, asked, max_workers } => format!(
            "Worker type {worker_type} may have {}. {} max_workers with update_worker_type.",
            too_many(*max_workers, *live, *asked),
            fewer(*max_workers, *live, "raise"),
        ),
        Refusal::TooManyWorkersInProject { project, live, asked, max_workers } => format!(
            "Project {project} may have {}. {} max_workers with update_project.",
            too_many(*max_workers, *live, *asked),
            fewer(*max_workers, *live, "raise"),
        ),
        Refusal::TooManyWorkersOnServer { live, asked, max_workers } => format!(
            "This server may have {}. {} one with stop_worker; the operator sets the limit with --max-workers.",
            too_many(*max_workers, *live, *asked),
            fewer(*max_workers, *live, "stop"),
        ),
        Refusal::TooManyWaiting { most } => format!(
            "{most} calls of yours wait already, which is as many as may. Let one of them end, or wait in a single call \
             that leaves out project, ticket_id and kinds; the operator sets the limit with --max-waiting-calls."
        ),
    }
}

fn too_many(may: i64, live: i64, asked: i64) -> String {
    let are = if asked == 1 { "is" } else { "are" };
    format!("{} and has {live}, so {asked} more {are} refused", counted(may, "worker"))
}

/// The step after that: to ask for fewer where any may be had, or what `verb` says.
fn fewer(may: i64, live: i64, verb: &str) -> String {
    match may - live {
        left if left > 0 => format!("Ask for at most {left}, or {verb}"),
        _ => verb[..1].to_uppercase() + &verb[1..],
    }
}

/// The text for arguments that do not fit the tool's schema.
pub(crate) fn wrong_arguments(tool: &str, wrong: &[Wrong]) -> String {
    let mut text = format!("{tool} was not called: its arguments are wrong.\n");
    for one in wrong {
        let line = match one {
            Wrong::Unknown { field, nearest: Some(nearest), .. } => {
                format!("There is no field {field}. Did you mean {nearest}?")
            }
            Wrong::Unknown { field, nearest: None, known } => {
                format!("There is no field {field}. The fields are: {}.", listed(known))
            }
            Wrong::Missing { field, allowed } => {
                format!("{field} is missing; allowed is {allowed}.")
            }
            Wrong::Value(refusal) => invalid(refusal),
        };
        writeln!(text, "- {line}").expect("writing to a String cannot fail");
    }
    write!(text, "Correct them and call {tool} again.").expect("writing to a String cannot fail");
    text
}

fn invalid(refusal: &Refusal) -> String {
    if let Refusal::InvalidField { field, given, allowed } = refusal {
        return format!("{field} cannot be {given:?}; allowed is {allowed}.");
    }
    self::refusal(refusal)
}

/// What somebody gave, as far as anybody will read it.
fn quoted(given: &str) -> String {
    format!("{:?}", refusal::shown(given))
}

fn listed<T: Display>(items: &[T]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = items.iter().take(SHOWN).map(T::to_string).collect();
    match items.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn are<T: Display>(items: &[T]) -> String {
    format!("{} {}", listed(items), if items.len() == 1 { "is" } else { "are" })
}

fn counted(count: i64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
