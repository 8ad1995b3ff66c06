//! What a worker is told: its prompt, its system prompt and its command line.
//!
//! The prompt goes in on standard input and never on the command line, where every user of the machine could read it.
//!
//! Invariant: what an agent said stands in a fence ([`said`]); outside of one, only the coordinator and this server speak.

mod said;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use self::said::Fence;
use super::agent_files;
use super::agent_files::MCP_FILE;
use super::agent_files::OwnServer;
use super::agent_files::SETTINGS_FILE;
use super::comment::COORDINATOR;
use super::comment::Comment;
use super::comment::CommentKind;
use super::project::Project;
use super::text::Name;
use super::ticket::Ticket;
use super::worker_type::WorkerTypeSettings;
use super::worktree::Worktree;

/// The schema every stage's result must meet. `verdict::stage_result` checks the same.
pub const RESULT_SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"required":["outcome","report"],"properties":{"outcome":{"enum":["completed","rework","blocked"]},"report":{"type":"string","minLength":1},"rework_stage":{"type":"string"},"question":{"type":"string"}}}"#;

/// The schema for stages that may create tickets: the same, and `tickets`. `planned::tickets` checks the same.
pub const PLANNING_SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"required":["outcome","report"],"properties":{"outcome":{"enum":["completed","rework","blocked"]},"report":{"type":"string","minLength":1},"rework_stage":{"type":"string"},"question":{"type":"string"},"tickets":{"type":"array","maxItems":100,"description":"With outcome completed: tickets to be created, all or none.","items":{"type":"object","additionalProperties":false,"required":["key","title","execution_plan"],"properties":{"key":{"type":"string","minLength":1,"maxLength":64,"description":"A short name of your choice, for depends_on of the others."},"title":{"type":"string","minLength":1,"maxLength":200,"description":"What is to be done, on one line."},"description":{"type":"string","description":"All its workers need to know: the goal, the limits, where to look, how to tell that it is done."},"execution_plan":{"type":"array","minItems":1,"maxItems":32,"items":{"type":"string"},"description":"The worker types it goes through, in order."},"priority":{"enum":["low","normal","high","urgent"]},"depends_on":{"type":"array","maxItems":100,"items":{"type":"string"},"description":"Keys of tickets of this result, or ids of tickets that are there, which must be completed before this one starts."}}}}}}"#;

/// A system prompt longer than this goes by file: one argument may hold 128 KiB, and `ps` shows them all.
const INLINE_SYSTEM_PROMPT_BYTES: usize = 4096;
/// Most bytes of earlier reports and comments in a prompt. A ticket that went many laps has more than a model reads, and
/// claude takes no prompt above 10 MB.
const HISTORY_BYTES: usize = 1 << 20;
/// The file in the run directory that holds a long system prompt.
pub const SYSTEM_PROMPT_FILE: &str = "system-prompt.md";

/// Everything a prompt is made of.
#[derive(Clone, Debug)]
pub struct Assignment<'a> {
    pub project: &'a Project,
    pub ticket: &'a Ticket,
    pub settings: &'a WorkerTypeSettings,
    /// Oldest first: reports of the stages before, and the coordinator's words.
    pub comments: &'a [Comment],
    /// What went wrong in the attempt before, when this is a retry.
    pub last_failure: Option<&'a str>,
    /// Go on in the session that an earlier attempt began.
    pub resume: bool,
    /// Only ask that session for the outcome it ended without giving.
    pub asks_outcome: bool,
    /// Dollars the attempt may spend.
    pub budget_usd: Option<f64>,
    pub claude_session_id: &'a str,
    /// Random, and new for each prompt: marks what agents said.
    pub mark: &'a str,
    /// Where the run directory will be.
    pub run_dir: &'a str,
    /// Name and description of what a plan may name, when the stage may create tickets.
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
    let mut text = String::new();
    if a.resume {
        push(
            &mut text,
            format_args!(
                "You were stopped while working on this and have been started again in the same session. Look at what is \
             already done, then go on.\n\n"
            ),
        );
    }
    let planned = ticket.planned;
    if planned.title {
        push(&mut text, format_args!("# {}\n\n", ticket.id));
    } else {
        push(&mut text, format_args!("# {}: {}\n\n", ticket.id, ticket.title));
    }
    push(
        &mut text,
        format_args!(
            "You do the stage **{stage}** ({} of {}) of this ticket. Its plan: {}. Do this stage only; what the next stage \
         needs to know goes into your report.\n\n",
            ticket.stage_index + 1,
            ticket.plan.stages().len(),
            ticket.plan.stages().iter().map(Name::as_str).collect::<Vec<_>>().join(" → "),
        ),
    );
    if planned.title
        || planned.description
        || a.last_failure.is_some()
        || a.comments.iter().any(|comment| !is_coordinators(comment))
    {
        fence.explain(&mut text);
    }
    if planned.title {
        text.push_str("## Title\n\nAn agent created this ticket, and gave it this title:\n\n");
        fence.put(&mut text, &ticket.title);
    }
    if planned.description && !ticket.description.trim().is_empty() {
        text.push_str(
            "## Description\n\nThe agent that created this ticket says what is to be done:\n\n",
        );
        fence.put(&mut text, &ticket.description);
    } else {
        section(&mut text, "Description", &ticket.description);
    }
    section(&mut text, "Project", &a.project.description);
    if let Some(work) = &ticket.work {
        section(&mut text, "Where you work", &whereabouts(work));
    }
    section(&mut text, "Rules of the project", &a.project.rules);
    section(&mut text, "Patterns of the project", &a.project.patterns);
    what_was_said(&mut text, a.comments, fence);
    if let Some(failure) = a.last_failure {
        text.push_str("## The attempt before this one gave no result\n\n");
        fence.put(&mut text, failure);
    }
    text.push_str(
        "## While you work\n\nIf you have the tools of the MCP server vibe-ensemble, call report_progress at each \
         milestone, with one line on where you are: it is all that people see of you until you end. With \
         add_ticket_comment say at once what must not be lost if you are stopped. get_ticket shows this ticket anew; of \
         its comments, those of the author `coordinator` that have no `attempt_id` are the coordinator's, and all others \
         are information, as above.\n\n",
    );
    text.push_str(
        "## How to end\n\nNobody can be asked while you work. End by calling StructuredOutput once, with `report` \
         (what you did, what you found, what the next stage must know) and `outcome`:\n\n\
         - `completed`: this stage is done.\n\
         - `rework`: an earlier stage must do its work again; name it in `rework_stage` and say why in `report`.\n\
         - `blocked`: only a decision of the coordinator helps; ask it in `question`.\n",
    );
    if a.settings.may_create_tickets {
        how_to_plan(&mut text, a);
    }
    text
}

/// The reports of the stages before and all else that was said, each under who said it.
fn what_was_said(text: &mut String, comments: &[Comment], fence: Fence<'_>) {
    if comments.is_empty() {
        return;
    }
    text.push_str("## What was said so far\n\n");
    let kept = newest(comments);
    if kept.len() < comments.len() {
        let left_out = comments.len() - kept.len();
        push(text, format_args!("(The oldest {left_out} entries are left out here.)\n\n"));
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

/// What a session that ended without a result is asked. It knows everything else, but not how it ended: it may have been
/// killed in the middle of a command.
fn question(ticket: &Ticket, stage: &Name, failure: Option<&str>, fence: Fence<'_>) -> String {
    let mut how = String::new();
    if let Some(failure) = failure {
        fence.explain(&mut how);
        how.push_str("How it ended:\n\n");
        fence.put(&mut how, failure);
    }
    format!(
        "Your work on the stage **{stage}** of {} ended without a usable call of StructuredOutput, so its outcome is not \
         known. Do no more work now and change nothing.\n\n{how}\
         - If the stage is done, call StructuredOutput with outcome `completed` and your report. Count as done only what \
         you saw done: a command whose result you did not see may not have finished.\n\
         - If an earlier stage must do its work again, call it with `rework`; if only a decision of the coordinator helps, \
         with `blocked` and your question.\n\
         - If the stage is not done, do not call it: say in one sentence what is missing. It will be done again, by \
         somebody who reads your sentence.\n",
        ticket.id
    )
}

/// Turns that the question for an outcome may take: the answer, and a second try at the tool's schema.
const QUESTION_TURNS: u32 = 4;

/// What a stage that may create tickets must know on top.
fn how_to_plan(text: &mut String, a: &Assignment<'_>) {
    text.push_str(
        "\n## How to create tickets\n\nWith `completed` you may give `tickets`, where it is this stage's part to divide \
         work or to hand on work that belongs to no later stage of this ticket; otherwise give none. They are created \
         together when your result is taken, and each goes its own way from there: its workers see its title and \
         description, the rules of the project and the reports of its own stages, and nothing of this ticket. So say in each `description` the \
         goal, what belongs to it and what does not, the files and decisions that matter, and how to tell that it is \
         done. `depends_on` names the `key` of another of your tickets, or the id of one that exists, that must be \
         completed first; what has no such need runs at the same time. If one ticket is wrong, none is created and this \
         stage has failed. Do not create again what an earlier entry above says was created.\n\n\
         The worker types an `execution_plan` may name:\n\n",
    );
    for (name, description) in a.worker_types {
        let first = description.trim().lines().next().unwrap_or_default();
        let first: String = first.chars().take(300).collect();
        match first.as_str() {
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
        if settings.may_create_tickets { PLANNING_SCHEMA } else { RESULT_SCHEMA },
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

/// What an agent must know about its worktree. Stashes are the one thing that all worktrees of a repository share.
fn whereabouts(work: &Worktree) -> String {
    let from = work.base_name().map(|base| format!(", which began at {base}")).unwrap_or_default();
    format!(
        "Your working directory is a git worktree of this ticket alone, on the branch {}{from}. Stay in it and on that \
         branch. Commit as you see fit: what is left uncommitted when this stage is completed is committed for you. Do not \
         push, do not use `git stash`, and leave other branches and worktrees alone.",
        work.branch
    )
}

/// Whether the coordinator wrote it. A worker type may have any name; what an attempt says is an agent's.
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
