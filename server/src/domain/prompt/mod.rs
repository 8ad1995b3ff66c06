//! What a worker starts with: its prompt, its system prompt and its command line.
//!
//! The prompt goes in on standard input and never on the command line, where every user of the machine could read it. Its
//! fixed parts are the Markdown files in `words`, one section each.
//!
//! Invariant: what an agent wrote is fenced ([`said`]); outside of a fence, only the coordinator and this server speak.

mod ready;
mod said;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

pub use self::ready::Ready;
use self::said::Fence;
use super::agent_files;
use super::agent_files::MCP_FILE;
use super::agent_files::OwnServer;
use super::agent_files::SETTINGS_FILE;
use super::comment::COORDINATOR;
use super::comment::Comment;
use super::comment::CommentKind;
use super::gates::message;
use super::project::Project;
use super::text;
use super::text::Name;
use super::text::filled;
use super::ticket::Ticket;
use super::worker_type::WorkerTypeSettings;
use super::worktree::Worktree;

/// The JSON schema that the result of every stage must meet, on one line. `verdict::stage_result` checks the same.
pub static RESULT_SCHEMA: LazyLock<String> =
    LazyLock::new(|| minified(include_str!("words/result.schema.json")));

/// The schema for stages that may create tickets: the same, and `tickets`, which `planned::tickets` checks.
pub static PLANNING_SCHEMA: LazyLock<String> =
    LazyLock::new(|| minified(include_str!("words/planning.schema.json")));

/// A system prompt longer than this goes by file: one argument may hold 128 KiB, and `ps` shows them all.
const INLINE_SYSTEM_PROMPT_BYTES: usize = 4096;
/// The maximum size of earlier reports and comments in a prompt, in bytes. A ticket that was sent back often has more
/// of them than a model reads, and claude accepts no prompt above 10 MB.
const HISTORY_BYTES: usize = 1 << 20;
/// The file in the run directory that holds a long system prompt.
pub const SYSTEM_PROMPT_FILE: &str = "system-prompt.md";

/// Everything from which a prompt is made.
#[derive(Clone, Debug)]
pub struct Assignment<'a> {
    pub project: &'a Project,
    pub ticket: &'a Ticket,
    pub settings: &'a WorkerTypeSettings,
    /// Oldest first: the reports of earlier stages, and the coordinator's comments.
    pub comments: &'a [Comment],
    /// What went wrong in the previous attempt, if this is a retry.
    pub last_failure: Option<&'a str>,
    /// Continue in the session that an earlier attempt began.
    pub resume: bool,
    /// Only ask that session for the outcome that it did not give.
    pub asks_outcome: bool,
    /// Dollars the attempt may spend.
    pub budget_usd: Option<f64>,
    pub claude_session_id: &'a str,
    /// Random and new for each prompt: marks what agents wrote.
    pub mark: &'a str,
    /// How its directory was made ready, and which gates await the stage.
    pub ready: &'a Ready,
    /// Where the run directory will be.
    pub run_dir: &'a str,
    /// Name and description of the worker types that a plan may name, if the stage may create
    /// tickets.
    pub worker_types: &'a [(String, String)],
}

/// The prompt of one attempt, as Markdown.
#[must_use]
pub fn prompt(a: &Assignment<'_>) -> String {
    let (ticket, stage) = (a.ticket, a.ticket.current_stage());
    let fence = Fence::with(a.mark);
    if a.asks_outcome {
        return question(ticket, stage, a.last_failure, fence);
    }
    if let Some(red) = ticket.gate_message.as_deref().filter(|_| a.resume) {
        return told_red(a, red, fence);
    }
    let mut text = String::new();
    if a.resume {
        push(&mut text, format_args!("{}\n", include_str!("words/resumed.md")));
    }
    let planned = ticket.planned;
    if planned.title {
        push(&mut text, format_args!("# {}\n\n", ticket.id));
    } else {
        push(&mut text, format_args!("# {}: {}\n\n", ticket.id, ticket.title));
    }
    let plan = ticket.plan.stages().iter().map(Name::as_str).collect::<Vec<_>>().join(" → ");
    let place = [
        ("{stage}", stage.as_str()),
        ("{number}", &(ticket.stage_index + 1).to_string()),
        ("{count}", &ticket.plan.stages().len().to_string()),
        ("{plan}", &plan),
    ];
    push(&mut text, format_args!("{}\n", filled(include_str!("words/stage.md"), &place)));
    if planned.title
        || planned.description
        || a.last_failure.is_some()
        || ticket.gate_message.is_some()
        || a.comments.iter().any(|comment| !is_coordinators(comment))
    {
        fence.explain(&mut text);
    }
    if planned.title {
        text.push_str("## Title\n\nAn agent created this ticket and gave it this title:\n\n");
        fence.put(&mut text, &ticket.title);
    }
    if planned.description && !ticket.description.trim().is_empty() {
        text.push_str(
            "## Description\n\nThe agent that created this ticket describes the work like this:\n\n",
        );
        fence.put(&mut text, &ticket.description);
    } else {
        section(&mut text, "Description", &ticket.description);
    }
    section(&mut text, "Project", &a.project.description);
    if let Some(work) = &ticket.work {
        section(&mut text, "Where you work", &whereabouts(work));
    }
    section(&mut text, "What was made ready", &ready::directory(a.ready, ticket.work.is_some()));
    section(&mut text, "Rules of the project", &a.project.rules);
    section(&mut text, "Patterns of the project", &a.project.patterns);
    what_was_said(&mut text, a.comments, fence);
    if let Some(failure) = a.last_failure {
        text.push_str("## The previous attempt gave no result\n\n");
        fence.put(&mut text, failure);
    }
    if let Some(red) = &ticket.gate_message {
        text.push_str("## What the gates found\n\n");
        text.push_str(
            "Earlier work on this stage was committed and is in your worktree, but gates of the project are red, so its \
             result was not accepted. Fix the cause, then end the stage with your whole result; the gates will run \
             again. This is what they found:\n\n",
        );
        fence.put(&mut text, &with_places(red, a.run_dir));
    }
    push(&mut text, format_args!("{}\n", include_str!("words/while-you-work.md")));
    section(&mut text, "Gates", &ready::gates(&a.ready.checks, stage.as_str()));
    text.push_str(include_str!("words/how-to-end.md"));
    if a.settings.may_create_tickets {
        how_to_plan(&mut text, a);
    }
    text
}

/// One message for the session that did the work: which gates are red, and what the coordinator has said since.
fn told_red(a: &Assignment<'_>, red: &str, fence: Fence<'_>) -> String {
    let (ticket, stage) = (a.ticket.id.to_string(), a.ticket.current_stage().as_str());
    let place = [("{ticket}", ticket.as_str()), ("{stage}", stage)];
    let mut text = filled(include_str!("words/gates-red.md"), &place);
    text.push('\n');
    fence.explain(&mut text);
    fence.put(&mut text, &with_places(red, a.run_dir));
    let since = a.comments.iter().rposition(|comment| !is_coordinators(comment));
    let since = since.map_or(0, |last| last + 1);
    what_was_said(&mut text, a.comments.get(since..).unwrap_or_default(), fence);
    text.push_str(include_str!("words/how-to-end.md"));
    if a.settings.may_create_tickets {
        how_to_plan(&mut text, a);
    }
    text
}

/// What gates found, with the places of their whole output.
fn with_places(red: &str, run_dir: &str) -> String {
    let attempts = run_dir.rsplit_once('/').map_or("", |(attempts, _)| attempts);
    red.replace(message::ATTEMPTS, attempts)
}

/// The reports of earlier stages and all other comments, each under its author.
fn what_was_said(text: &mut String, comments: &[Comment], fence: Fence<'_>) {
    if comments.is_empty() {
        return;
    }
    text.push_str("## What was said so far\n\n");
    let kept = newest(comments);
    if kept.len() < comments.len() {
        let left_out = comments.len() - kept.len();
        push(text, format_args!("(The oldest {left_out} entries are omitted here.)\n\n"));
    }
    for comment in kept {
        if is_coordinators(comment) {
            let said = comment.content.trim_end();
            push(text, format_args!("### The coordinator, {}\n\n{said}\n\n", comment.created_at));
            continue;
        }
        let what = match comment.kind {
            CommentKind::Report => "Report",
            CommentKind::Remark => "Remark",
            CommentKind::Question => "Question",
        };
        let (who, at) = (&comment.author, comment.created_at);
        push(text, format_args!("### {what} of {who}, {at}\n\n"));
        fence.put(text, &comment.content);
    }
}

/// The question for a session that ended without a result. The session knows everything except how
/// it ended: it may have been killed in the middle of a command.
fn question(ticket: &Ticket, stage: &Name, failure: Option<&str>, fence: Fence<'_>) -> String {
    let mut how = String::new();
    if let Some(failure) = failure {
        fence.explain(&mut how);
        how.push_str("How it ended:\n\n");
        fence.put(&mut how, failure);
    }
    let parts =
        [("{stage}", stage.as_str()), ("{ticket}", &ticket.id.to_string()), ("{how}", &how)];
    filled(include_str!("words/asks-outcome.md"), &parts)
}

/// How many turns the question for an outcome may take: the answer, and a second try at the tool's
/// schema.
const QUESTION_TURNS: u32 = 4;

/// What a stage that may create tickets must know in addition.
fn how_to_plan(text: &mut String, a: &Assignment<'_>) {
    push(text, format_args!("\n{}\n", include_str!("words/how-to-create-tickets.md")));
    for (name, description) in a.worker_types {
        match text::first_line(description).as_str() {
            "" => push(text, format_args!("- `{name}`\n")),
            first => push(text, format_args!("- `{name}`: {first}\n")),
        }
    }
}

/// The arguments of claude for one attempt.
#[must_use]
pub fn arguments(a: &Assignment<'_>) -> Vec<String> {
    let settings = a.settings;
    let mut args: Vec<String> =
        ["-p", "--output-format", "stream-json", "--verbose"].map(str::to_owned).to_vec();
    let mut option = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
    option(if a.resume { "--resume" } else { "--session-id" }, a.claude_session_id);
    if settings.system_prompt.len() <= INLINE_SYSTEM_PROMPT_BYTES {
        option("--append-system-prompt", &settings.system_prompt);
    } else {
        option("--append-system-prompt-file", &format!("{}/{SYSTEM_PROMPT_FILE}", a.run_dir));
    }
    option(
        "--json-schema",
        if settings.may_create_tickets { &PLANNING_SCHEMA } else { &RESULT_SCHEMA },
    );
    option("--permission-mode", &settings.permission_mode);
    if let Some(model) = &settings.model {
        option("--model", model);
    }
    if !settings.allowed_tools.is_empty() {
        option("--allowedTools", &settings.allowed_tools.join(","));
    }
    option("--disallowedTools", &settings.disallowed().join(","));
    if let Some(budget) = a.budget_usd {
        option("--max-budget-usd", &budget.to_string());
    }
    if a.asks_outcome {
        option("--max-turns", &QUESTION_TURNS.to_string());
    } else if let Some(turns) = settings.max_turns {
        option("--max-turns", &turns.to_string());
    }
    option("--mcp-config", &format!("{}/{MCP_FILE}", a.run_dir));
    option("--settings", &format!("{}/{SETTINGS_FILE}", a.run_dir));
    args.push("--strict-mcp-config".to_owned());
    args
}

/// Files the run directory must hold before the child starts.
#[must_use]
pub fn files(settings: &WorkerTypeSettings, own: &OwnServer) -> BTreeMap<String, String> {
    let mut files = BTreeMap::from([
        (MCP_FILE.to_owned(), agent_files::mcp_config(own, &settings.mcp_servers)),
        (SETTINGS_FILE.to_owned(), agent_files::settings(&settings.claude_settings)),
    ]);
    if settings.system_prompt.len() > INLINE_SYSTEM_PROMPT_BYTES {
        files.insert(SYSTEM_PROMPT_FILE.to_owned(), settings.system_prompt.clone());
    }
    files
}

/// What an agent must know about its worktree. The stash is the one thing that all worktrees of a repository share.
fn whereabouts(work: &Worktree) -> String {
    let from = work.base_name().map(|base| format!(", which began at {base}")).unwrap_or_default();
    filled(include_str!("words/worktree.md"), &[("{branch}", &work.branch), ("{from}", &from)])
}

/// Whether the coordinator wrote it. A worker type may have any name, so a comment of an attempt is
/// always an agent's.
fn is_coordinators(comment: &Comment) -> bool {
    comment.author == COORDINATOR && comment.attempt.is_none()
}

/// The newest comments that fit; always at least one.
fn newest(comments: &[Comment]) -> &[Comment] {
    let mut left = HISTORY_BYTES;
    let fitting = comments.iter().rev().take_while(|comment| {
        let fits = comment.content.len() <= left;
        left = left.saturating_sub(comment.content.len());
        fits
    });
    let count = fitting.count().max(1).min(comments.len());
    &comments[comments.len() - count..]
}

/// JSON without the white space between its tokens: the schema is an argument of claude, and reads better as a file.
fn minified(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let is_kept = |c: &char| {
        let is_kept = in_string || !c.is_ascii_whitespace();
        in_string ^= *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        is_kept
    };
    json.chars().filter(is_kept).collect()
}

fn section(text: &mut String, heading: &str, body: &str) {
    let body = body.trim();
    if !body.is_empty() {
        push(text, format_args!("## {heading}\n\n{body}\n\n"));
    }
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part).expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests;
