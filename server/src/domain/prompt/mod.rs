//! What a worker is told: its prompt, its system prompt and its command line.
//!
//! The prompt goes in on standard input and never on the command line, where every user of the machine could read it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::comment::COORDINATOR;
use super::comment::Comment;
use super::project::Project;
use super::text::Name;
use super::ticket::Ticket;
use super::worker_type::ALWAYS_DISALLOWED_TOOLS;
use super::worker_type::WorkerTypeSettings;

/// The schema every stage's result must meet. `verdict::stage_result` checks the same.
pub const RESULT_SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"required":["outcome","report"],"properties":{"outcome":{"enum":["completed","rework","blocked"]},"report":{"type":"string","minLength":1},"rework_stage":{"type":"string"},"question":{"type":"string"}}}"#;

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
    /// Where the run directory will be.
    pub run_dir: &'a str,
}

/// The prompt of one attempt, as Markdown.
#[must_use]
pub fn prompt(a: &Assignment<'_>) -> String {
    let (ticket, stage) = (a.ticket, a.ticket.current_stage());
    if a.asks_outcome {
        return question(ticket, stage);
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
    push(&mut text, format_args!("# {}: {}\n\n", ticket.id, ticket.title));
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
    section(&mut text, "Description", &ticket.description);
    section(&mut text, "Project", &a.project.description);
    section(&mut text, "Rules of the project", &a.project.rules);
    section(&mut text, "Patterns of the project", &a.project.patterns);
    if !a.comments.is_empty() {
        text.push_str("## What was said so far\n\n");
        let kept = newest(a.comments);
        if kept.len() < a.comments.len() {
            let left_out = a.comments.len() - kept.len();
            push(&mut text, format_args!("(The oldest {left_out} entries are left out here.)\n\n"));
        }
        for comment in kept {
            let who = if comment.author == COORDINATOR {
                "The coordinator".to_owned()
            } else {
                format!("Report of {}", comment.author)
            };
            push(
                &mut text,
                format_args!(
                    "### {who}, {}\n\n{}\n\n",
                    comment.created_at,
                    comment.content.trim_end()
                ),
            );
        }
    }
    if let Some(failure) = a.last_failure {
        section(&mut text, "The attempt before this one gave no result", failure);
    }
    text.push_str(
        "## How to end\n\nNobody can be asked while you work. End by calling StructuredOutput once, with `report` \
         (what you did, what you found, what the next stage must know) and `outcome`:\n\n\
         - `completed`: this stage is done.\n\
         - `rework`: an earlier stage must do its work again; name it in `rework_stage` and say why in `report`.\n\
         - `blocked`: only a decision of the coordinator helps; ask it in `question`.\n",
    );
    text
}

/// What a session that ended without a result is asked. It knows everything else.
fn question(ticket: &Ticket, stage: &Name) -> String {
    format!(
        "Your work on the stage **{stage}** of {} ended without a call of StructuredOutput, so its outcome is not known. \
         Do no more work now and change nothing.\n\n\
         - If the stage is done, call StructuredOutput with outcome `completed` and your report.\n\
         - If an earlier stage must do its work again, call it with `rework`; if only a decision of the coordinator helps, \
         with `blocked` and your question.\n\
         - If the stage is not done, do not call it: say in one sentence what is missing. It will be done again.\n",
        ticket.id
    )
}

/// Turns that the question for an outcome may take: the answer, and a second try at the tool's schema.
const QUESTION_TURNS: u32 = 4;

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
    option("--json-schema", RESULT_SCHEMA);
    option("--permission-mode", &settings.permission_mode);
    if let Some(model) = &settings.model {
        option("--model", model);
    }
    if !settings.allowed_tools.is_empty() {
        option("--allowedTools", &settings.allowed_tools.join(","));
    }
    option("--disallowedTools", &disallowed(settings).join(","));
    if let Some(budget) = a.budget_usd {
        option("--max-budget-usd", &budget.to_string());
    }
    if a.asks_outcome {
        option("--max-turns", &QUESTION_TURNS.to_string());
    } else if let Some(turns) = settings.max_turns {
        option("--max-turns", &turns.to_string());
    }
    args
}

/// Files the run directory must hold before the child starts.
#[must_use]
pub fn files(settings: &WorkerTypeSettings) -> BTreeMap<String, String> {
    let long = settings.system_prompt.len() > INLINE_SYSTEM_PROMPT_BYTES;
    let file = (SYSTEM_PROMPT_FILE.to_owned(), settings.system_prompt.clone());
    long.then_some(file).into_iter().collect()
}

/// The type's own list and the tools no headless worker may have.
fn disallowed(settings: &WorkerTypeSettings) -> Vec<&str> {
    let mut tools: Vec<&str> = settings.disallowed_tools.iter().map(String::as_str).collect();
    tools.extend(
        ALWAYS_DISALLOWED_TOOLS
            .into_iter()
            .filter(|t| !settings.disallowed_tools.iter().any(|d| d == t)),
    );
    tools
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
