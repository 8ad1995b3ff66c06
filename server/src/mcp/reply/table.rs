//! The table: one arm per refusal, each with what was refused and why, and what the caller can do.

use std::fmt::Display;
use std::fmt::Write as _;

use crate::domain::advice;
use crate::domain::advice::Advice;
use crate::domain::advice::Knob;
use crate::domain::advice::Reader;
use crate::domain::advice::Step;
use crate::domain::attempt::Silence;
use crate::domain::attempt::StopMode;
use crate::domain::refusal::Refusal;
use crate::domain::text;
use crate::domain::text::Invalid;
use crate::domain::text::Name;
use crate::mcp::arguments::Wrong;
use crate::wire::wrong::WrongField;

/// The answer to a client when something broke that it cannot fix.
pub(crate) const INTERNAL_ERROR: &str = "Internal error; the server's log has the details. Read the current state before you repeat the call.";

/// A refusal in the words of its reader.
pub(crate) fn refusal(refusal: &Refusal, reader: Reader) -> String {
    let (what, advice) = parts(refusal);
    advice::told(&what, &advice, reader)
}

/// The argument that a refusal is about, in parts.
pub(crate) fn wrong_field(refusal: &Refusal) -> Option<WrongField> {
    if let Refusal::MissingField { field, allowed } = refusal {
        let (field, allowed) = (field.clone(), Some(allowed.clone()));
        return Some(WrongField { field, allowed, ..WrongField::default() });
    }
    if let Refusal::InvalidField(invalid) = refusal { Some(value(invalid)) } else { None }
}

/// Arguments that do not fit the tool's schema, in parts.
pub(crate) fn wrong_fields(wrong: &[Wrong]) -> Vec<WrongField> {
    let part = |wrong: &Wrong| match wrong {
        Wrong::Unknown { field, nearest, .. } => {
            WrongField { field: field.clone(), nearest: nearest.clone(), ..WrongField::default() }
        }
        Wrong::Missing { field, allowed } => WrongField {
            field: field.clone(),
            allowed: Some(allowed.clone()),
            ..WrongField::default()
        },
        Wrong::Value(invalid) => value(invalid),
    };
    wrong.iter().map(part).collect()
}

fn value(invalid: &Invalid) -> WrongField {
    let Invalid { field, given, allowed } = invalid;
    WrongField {
        field: field.clone(),
        given: Some(given.clone()),
        allowed: Some(allowed.clone()),
        nearest: None,
    }
}

/// What was refused and why, as sentences, and what the caller can do: any one of these.
#[expect(clippy::too_many_lines, reason = "one table, one place")]
fn parts(refusal: &Refusal) -> (String, Vec<Advice>) {
    let take = |step: Step, to: &str| Advice::take(step, to);
    let with = |step: Step, to: &str, arguments: &str| Advice::take_with(step, to, arguments);
    match refusal {
        Refusal::InvalidField(wrong) => (
            format!("{}.", invalid(wrong)),
            vec![Advice::again(format!("correct {} and call again", wrong.field), "correct it")],
        ),
        Refusal::MissingField { field, allowed } => (
            format!("{field} is missing; it must be {allowed}."),
            vec![Advice::again(format!("add {field} and call again"), "add it")],
        ),
        Refusal::UnknownProject { project } => {
            let mut advice = vec![take(Step::ListProjects, "list the projects")];
            // No project can have any other name.
            if Name::parse("project", project).is_ok() {
                advice.push(with(Step::CreateProject, "create it", project));
            }
            (format!("There is no project {}.", quoted(project)), advice)
        }
        Refusal::UnknownWorkerType { project, worker_type, known } => {
            let none = format!("Project {project} has no worker type {}", quoted(worker_type));
            let mut advice = Vec::new();
            if !known.is_empty() {
                advice.push(Advice::just("use one of those"));
            }
            if known.is_empty() || Name::parse("worker_type", worker_type).is_ok() {
                advice.push(Advice::create_type("create it", project, worker_type));
            }
            let known = if known.is_empty() { "none yet".to_owned() } else { text::listed(known) };
            (format!("{none}; it has {known}."), advice)
        }
        Refusal::UnknownTicket { ticket } => {
            (format!("There is no ticket {ticket}."), vec![take(Step::ListTickets, "find tickets")])
        }
        Refusal::UnknownWorker { worker } => {
            (format!("There is no worker {worker}."), vec![take(Step::ListWorkers, "find workers")])
        }
        Refusal::UnknownComment { comment, ticket } => (
            format!("{ticket} has no comment {comment}."),
            vec![Advice::again(
                "read its comments, and the older ones by its comments_cursor, with get_ticket",
                format!("read its comments with `vibe-ensemble ticket show {ticket}`"),
            )],
        ),
        Refusal::ProjectExists { project } => (
            format!("A project named {project} already exists."),
            vec![
                with(Step::UpdateProject, "change it", project),
                Advice::just("choose another name"),
            ],
        ),
        Refusal::WorkerTypeExists { project, worker_type } => (
            format!("Project {project} already has a worker type {worker_type}."),
            vec![
                with(Step::UpdateWorkerType, "change it", &format!("{project} {worker_type}")),
                Advice::just("choose another name"),
            ],
        ),
        Refusal::RepositoryRefused { path, why } => (
            format!(
                "{why}. Fix that first: if git doubts its owner, run git config --system --add safe.directory {path}; if \
                 it is damaged, run git fsck."
            ),
            vec![Advice::just(
                "alternatively, choose the isolation shared, with which attempts take turns in the directory and git is \
                 left alone",
            )],
        ),
        Refusal::NoWorktrees { path, why } => (
            format!("The tickets of {path} cannot have worktrees: {why}."),
            vec![
                Advice::just("make it a git repository with a commit"),
                Advice::just("choose the isolation shared"),
            ],
        ),
        Refusal::SettingsUnusable { ticket, why } => {
            (format!("{ticket} stays on hold: {}", text::sentence(why)), vec![])
        }
        Refusal::ProjectInUse { project, open_tickets, live_workers } => (
            format!(
                "Project {project} was not deleted: it has {}.",
                [(*open_tickets, "open ticket"), (*live_workers, "live worker")]
                    .into_iter()
                    .filter(|(count, _)| *count > 0)
                    .map(|(count, noun)| text::counted(count, noun))
                    .collect::<Vec<_>>()
                    .join(" and ")
            ),
            {
                let close = with(Step::CloseTicket, "close the tickets", "T-N");
                let stop = with(Step::StopWorker, "stop the workers", "W-N");
                let first = [(*open_tickets, close), (*live_workers, stop)];
                let first = first.into_iter().filter(|(count, _)| *count > 0);
                vec![Advice::Then(first.map(|(_, step)| step).collect()), Advice::Force]
            },
        ),
        Refusal::WorkerTypeInUse { worker_type, tickets } => (
            format!(
                "Worker type {worker_type} was not deleted: it is in the plans of open tickets: {}.",
                text::listed(tickets)
            ),
            vec![with(Step::CloseTicket, "close those tickets", "T-N"), Advice::Force],
        ),
        Refusal::QueueBusy { project, worker_type, workers } => (
            format!(
                "The queue {worker_type} of project {project} was not emptied: {} busy on it.",
                are(workers)
            ),
            vec![
                take(Step::AwaitEvents, "wait for the end"),
                with(Step::StopWorker, "stop the workers", &first(workers)),
                Advice::Force,
            ],
        ),
        Refusal::TicketClosed { ticket, resolution } => (
            format!("{ticket} is closed as {}, which is final.", resolution.name()),
            vec![
                Advice::take_with(Step::GetTicket, "read it", ticket.to_string()),
                take(Step::CreateTicket, "continue in a new ticket"),
            ],
        ),
        Refusal::TicketNotOnHold { ticket, state } => (
            format!(
                "{ticket} is {state}, not on hold: it waits for no answer, and there is nothing to resume."
            ),
            vec![with(Step::ReadWait, "read what it waits for", &ticket.to_string())],
        ),
        Refusal::TicketRunning { ticket, attempt, worker } => (
            format!("{ticket} is running: {worker} is working on it as {attempt}."),
            vec![
                take(Step::AwaitEvents, "wait for the end"),
                Advice::Then(vec![
                    with(Step::StopWorker, "stop it", &worker.to_string()),
                    Advice::again("call again", "repeat the command"),
                ]),
            ],
        ),
        Refusal::UnknownGate { ticket, given, known } => (
            format!(
                "{ticket} has no gate {}; its gates are {}.",
                quoted(given),
                text::listed(known)
            ),
            vec![with(Step::GetTicket, "see its gates", &ticket.to_string())],
        ),
        Refusal::UnknownNotifier { given, known } => {
            let known = if known.is_empty() { "none yet".to_owned() } else { text::listed(known) };
            (
                format!("The configuration has no notifier {}; it has {known}.", quoted(given)),
                vec![take(Step::Configure, "add it")],
            )
        }
        Refusal::NotifierFailed { notifier, why } => (
            format!(
                "The message did not arrive through {notifier}: {}.",
                why.trim_end_matches('.')
            ),
            vec![take(Step::Configure, "fix that")],
        ),
        Refusal::NoGates { ticket } => (
            format!("{ticket} has no gates that can be run."),
            vec![take(Step::UpdateProject, "set gates for new tickets")],
        ),
        Refusal::TicketChecking { ticket } => (
            format!("The setup of the worktree of {ticket}, or its gates, are under way."),
            vec![take(Step::AwaitEvents, "wait for the end")],
        ),
        Refusal::TicketLanding { ticket } => (
            format!("Every stage of {ticket} is completed, and its branch is being merged."),
            vec![take(Step::AwaitEvents, "wait for the end")],
        ),
        Refusal::TicketBlocked { ticket, by } => (
            format!("{ticket} is blocked by {}.", text::listed(by)),
            vec![
                take(Step::AwaitEvents, "wait for that"),
                with(
                    Step::CloseTicket,
                    "close that as completed",
                    &format!("{} --resolution completed", first(by)),
                ),
            ],
        ),
        Refusal::StageNotCurrent { ticket, given, current } => (
            format!("{ticket} is at stage {current}, not {}.", quoted(given)),
            vec![
                Advice::take_with(Step::GetTicket, "read it", ticket.to_string()),
                Advice::again(
                    format!("call again with stage {current} if that is the one you mean"),
                    format!(
                        "repeat the command with --stage {current} if that is the one you mean"
                    ),
                ),
            ],
        ),
        Refusal::NotAnEarlierStage { ticket, earlier, .. } if earlier.is_empty() => (
            format!(
                "{ticket} is at its first stage, so there is no earlier stage to send it back to."
            ),
            vec![Advice::again(
                "use outcome blocked with a question, or completed",
                "use --outcome blocked with --question, or --outcome completed",
            )],
        ),
        Refusal::NotAnEarlierStage { ticket, given, earlier } => (
            format!(
                "{} is not an earlier stage of {ticket}; the earlier ones are {}.",
                quoted(given),
                text::listed(earlier)
            ),
            vec![
                Advice::again(
                    "name one of those in rework_stage",
                    "name one of those with --rework-stage",
                ),
                Advice::just("leave it out for the stage before"),
            ],
        ),
        Refusal::NotInPlan { ticket, given, plan } => (
            format!(
                "The plan of {ticket} has no stage {}; it is {}.",
                quoted(given),
                text::listed(plan)
            ),
            vec![
                Advice::again("name one of those in stage", "name one of those with --stage"),
                Advice::just("leave it out to continue at the current one"),
            ],
        ),
        Refusal::UnknownDependency { ticket } => (
            format!("There is no ticket {ticket} to depend on."),
            vec![Advice::Then(vec![
                take(Step::ListTickets, "find tickets"),
                Advice::again("call again", "repeat the command"),
            ])],
        ),
        Refusal::DependencyCancelled { ticket } => (
            format!(
                "{ticket} was cancelled and will never complete, so no ticket can depend on it."
            ),
            vec![
                Advice::just("leave it out"),
                Advice::Then(vec![
                    take(Step::CreateTicket, "create that work anew"),
                    Advice::just("name the new ticket"),
                ]),
            ],
        ),
        Refusal::StagesBegun { ticket, begun, given } => (
            format!(
                "The plan of {ticket} was not changed: it would be {}, but it must begin with the stages that have begun, \
                 {}, and continue to the ticket's current stage.",
                text::listed(given),
                if begun.is_empty() { "none yet".to_owned() } else { text::listed(begun) }
            ),
            vec![Advice::again(
                "give the whole plan in execution_plan and change only the stages that come later",
                "give the whole plan with --plan and change only the stages that come later",
            )],
        ),
        Refusal::PausedByBudget { what, reason } => (
            format!(
                "{what} is paused by a dollar limit and was not resumed: {}. It resumes by itself when the limit is raised.",
                text::clause(reason)
            ),
            Vec::new(),
        ),
        Refusal::AttemptSilenced { attempt, why } => {
            let why = match why {
                Silence::Ended => "has ended, and nothing it does has an effect any more",
                Silence::Stopped => "was asked to stop",
                Silence::TimedOut => "has used up its time",
            };
            (format!("{attempt} {why}. Stop here: this call changed nothing."), Vec::new())
        }
        Refusal::NotYourTicket { own } => (
            format!("A worker may read and comment on its own ticket only, which is {own}."),
            vec![
                Advice::just(format!("call again with {own}")),
                Advice::just("put what belongs to other tickets into your report"),
            ],
        ),
        Refusal::NotYourProject { own } => (
            format!("A worker may read its own project only, which is {own}."),
            vec![Advice::just(format!("call again with {own}"))],
        ),
        Refusal::TooManyRemarks { attempt, most } => (
            format!("{attempt} has made {most} comments, the maximum of one attempt."),
            vec![Advice::just("put the rest into your report")],
        ),
        Refusal::UnknownTemplate { template, known } => (
            format!(
                "There is no template {}; there are {}.",
                quoted(template),
                text::listed(known)
            ),
            vec![
                Advice::again("name one of those in template", "name one of those with --template"),
                prompt(),
            ],
        ),
        Refusal::TemplateBroken { template, problem } => (
            format!("The template {template} cannot be used: {problem}."),
            vec![take(Step::Configure, "fix that file"), prompt()],
        ),
        Refusal::WorkerStopped { worker } => (
            format!("{worker} has already stopped."),
            vec![
                with(Step::SpawnWorker, "start another one", "PROJECT WORKER_TYPE"),
                take(Step::ListWorkers, "find workers that are running"),
            ],
        ),
        Refusal::WorkerStopping { worker, mode } => {
            let mut advice = vec![with(Step::WatchWorker, "follow it", &worker.to_string())];
            let stronger: Vec<&str> =
                StopMode::ALL.into_iter().filter(|m| m > mode).map(StopMode::name).collect();
            if !stronger.is_empty() {
                let stronger = text::listed(&stronger);
                advice.push(Advice::again(
                    format!("call again with a stronger mode: {stronger}"),
                    format!("repeat the command with a stronger --mode: {stronger}"),
                ));
            }
            (format!("{worker} was already asked to stop, with mode {}.", mode.name()), advice)
        }
        Refusal::TooManyWorkers { worker_type, live, asked, max_workers } => {
            let whose = format!("worker type {worker_type}");
            let raise = Knob::TypeWorkers.raise_of(&whose, &format!("PROJECT {worker_type}"));
            too_many(&format!("Worker type {worker_type}"), *max_workers, *live, *asked, raise)
        }
        Refusal::TooManyWorkersInProject { project, live, asked, max_workers } => {
            let raise = Knob::ProjectWorkers.raise_of(&format!("project {project}"), project);
            too_many(&format!("Project {project}"), *max_workers, *live, *asked, raise)
        }
        Refusal::TooManyWorkersOnServer { live, asked, max_workers } => {
            let raise = Knob::ServerWorkers.raise();
            let (what, mut advice) = too_many("This server", *max_workers, *live, *asked, raise);
            advice.push(with(Step::StopWorker, "stop one", "W-N"));
            (what, advice)
        }
        Refusal::TooManyWaiting { most } => (
            format!(
                "{most} of your calls {} already waiting, the maximum for one client.",
                if *most == 1 { "is" } else { "are" }
            ),
            vec![
                Advice::just("let one of them end"),
                Advice::just("wait in a single call that leaves out project, ticket_id and kinds"),
                Knob::WaitingCalls.raise(),
            ],
        ),
    }
}

/// To do without a template.
fn prompt() -> Advice {
    Advice::again("give a system_prompt instead", "give a --system-prompt instead")
}

/// The first of several, for a command that takes one.
fn first<T: Display>(items: &[T]) -> String {
    items.first().map(T::to_string).unwrap_or_default()
}

/// The refusal of more workers than a limit allows; `raise` raises it.
fn too_many(whose: &str, may: i64, live: i64, asked: i64, raise: Advice) -> (String, Vec<Advice>) {
    let are = if asked == 1 { "is" } else { "are" };
    let what = format!(
        "{whose} may have {} and has {live}, so {asked} more {are} refused.",
        text::counted(may, "worker")
    );
    let fewer = Some(may - live).filter(|left| *left > 0);
    let fewer = fewer.map(|left| Advice::just(format!("ask for at most {left}")));
    (what, fewer.into_iter().chain([raise]).collect())
}

/// The text for arguments that do not fit the tool's schema.
pub(crate) fn wrong_arguments(tool: &str, wrong: &[Wrong], reader: Reader) -> String {
    if reader != Reader::Model {
        let said = wrong_fields(wrong).into_iter().map(|wrong| wrong.said(&wrong.field));
        return format!("{}.", said.collect::<Vec<_>>().join("; "));
    }
    let mut text = format!("{tool} was not called: its arguments are wrong.\n");
    for one in wrong {
        let line = match one {
            Wrong::Unknown { field, nearest: Some(nearest), .. } => {
                format!("There is no field {field}. Did you mean {nearest}?")
            }
            Wrong::Unknown { field, nearest: None, known } => {
                format!("There is no field {field}. The fields are: {}.", text::listed(known))
            }
            Wrong::Missing { field, allowed } => {
                format!("{field} is missing; it must be {allowed}.")
            }
            Wrong::Value(wrong) => format!("{}.", invalid(wrong)),
        };
        writeln!(text, "- {line}").expect("writing to a String cannot fail");
    }
    write!(text, "Correct them and call {tool} again.").expect("writing to a String cannot fail");
    text
}

fn invalid(wrong: &Invalid) -> String {
    let Invalid { field, given, allowed } = wrong;
    format!("{field} cannot be {given:?}; it must be {allowed}")
}

/// What the caller gave, shortened.
fn quoted(given: &str) -> String {
    format!("{:?}", text::shortened(given, text::GIVEN_CHARS))
}

fn are<T: Display>(items: &[T]) -> String {
    format!("{} {}", text::listed(items), if items.len() == 1 { "is" } else { "are" })
}
