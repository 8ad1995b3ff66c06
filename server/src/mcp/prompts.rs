//! Prompts: the three jobs that a person asks a coordinator for, as commands that include the current state.

use std::fmt::Write as _;

use serde_json::Map;
use serde_json::Value;

use crate::domain::project::Project;
use crate::domain::project::TicketCounts;
use crate::domain::refusal::Refusal;
use crate::domain::text;
use crate::domain::text::shortened;
use crate::mcp::page::MAX_LIMIT;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::tools::inbox;
use crate::store::InboxQuery;
use crate::store::Page;
use crate::store::TicketFilter;

// The same texts as the skills of the same names: one thing has one name and one text.
const PLAN: &str = include_str!("../../../packaging/claude-plugin/skills/plan/SKILL.md");
const UNBLOCK: &str = include_str!("../../../packaging/claude-plugin/skills/unblock/SKILL.md");
const REPORT: &str = include_str!("../../../packaging/claude-plugin/skills/report/SKILL.md");

/// How much of a question or reason a prompt repeats; the ticket has it in full.
const SHOWN_CHARS: usize = 600;

/// One argument of a prompt. All are strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Argument {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
}

/// One prompt, as a list shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    /// None is required, so that a command typed without arguments is still useful. Each is one word, because Claude
    /// Code splits what is typed behind a command at spaces.
    pub(crate) arguments: &'static [Argument],
}

const PROJECT: Argument =
    Argument { name: "project", description: "The project's name; default: all projects." };

/// Every prompt, in the order the list shows them.
pub(crate) const PROMPTS: [Prompt; 3] = [
    Prompt {
        name: "plan",
        title: "Plan a project",
        description: "Turn a goal into a project, worker types and tickets that workers can do unattended.",
        arguments: &[PROJECT],
    },
    Prompt {
        name: "unblock",
        title: "Settle what waits",
        description: "Go through everything that waits for somebody, and decide or ask.",
        arguments: &[PROJECT],
    },
    Prompt {
        name: "report",
        title: "Report progress",
        description: "Report in a few sentences what is done, what is running, what waits and what it costs.",
        arguments: &[PROJECT],
    },
];

/// The text of a prompt. `None` when there is no such prompt.
pub(crate) async fn text(
    service: &Service,
    name: &str,
    arguments: &Map<String, Value>,
) -> Result<Option<String>> {
    // As they were called before the skills had the same names.
    let name = match name {
        "plan_project" => "plan",
        "triage_on_hold" => "unblock",
        "report_progress" => "report",
        name => name,
    };
    let Some(prompt) = PROMPTS.iter().find(|prompt| prompt.name == name) else { return Ok(None) };
    let project = given_project(prompt, arguments)?;
    let projects = projects(service, project.as_deref()).await?;
    let text = match prompt.name {
        "plan" => plan(service, &projects).await?,
        "unblock" => triage(service, project).await?,
        _ => report(service, &projects, project).await?,
    };
    Ok(Some(text))
}

/// The project typed behind the command, if any.
fn given_project(
    prompt: &Prompt,
    arguments: &Map<String, Value>,
) -> std::result::Result<Option<String>, Refusal> {
    let mut project = None;
    for (name, value) in arguments {
        let known = prompt.arguments.iter().any(|argument| argument.name == name);
        let Some(text) = value.as_str().filter(|_| known) else {
            let names: Vec<&str> = prompt.arguments.iter().map(|a| a.name).collect();
            let allowed = format!("a string with one of the names {}", names.join(", "));
            return Err(Refusal::invalid(name.as_str(), &value.to_string(), allowed));
        };
        project = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    }
    Ok(project)
}

/// The named project, or all of them.
async fn projects(service: &Service, name: Option<&str>) -> Result<Vec<Project>> {
    if let Some(name) = name {
        return Ok(vec![service.store.project(name).await?]);
    }
    let page = Page { after: None, limit: MAX_LIMIT };
    Ok(service.store.projects(page).await?.items)
}

async fn plan(service: &Service, projects: &[Project]) -> Result<String> {
    if projects.is_empty() {
        return Ok(with_state(PLAN, "There is no project yet: begin with create_project."));
    }
    let mut known = String::from("The current state:\n");
    for project in projects {
        describe(service, &mut known, project).await?;
    }
    Ok(with_state(PLAN, &known))
}

async fn describe(service: &Service, text: &mut String, project: &Project) -> Result<()> {
    line(
        text,
        format_args!(
            "- Project {} in {}. {}",
            project.name,
            project.path,
            counts(service, project).await?
        ),
    );
    if !project.description.is_empty() {
        line(text, format_args!("  {}", shortened(&project.description, SHOWN_CHARS)));
    }
    let page = Page { after: None, limit: MAX_LIMIT };
    let kinds = service.store.worker_types(project.name.as_str(), page).await?.items;
    for kind in kinds {
        let paused = if kind.pause.is_some() { " (its queue is paused)" } else { "" };
        let about = shortened(&kind.settings.description, SHOWN_CHARS);
        line(text, format_args!("  - worker type {}{paused}: {about}", kind.name));
    }
    Ok(())
}

async fn triage(service: &Service, project: Option<String>) -> Result<String> {
    let inbox =
        inbox::inbox(service, InboxQuery { project, limit: MAX_LIMIT, ..InboxQuery::default() })
            .await?;
    if inbox.items.is_empty() {
        return Ok("Nothing waits for anybody. Say so.".to_owned());
    }
    let mut listed = String::from("What waits now:\n");
    for item in &inbox.items {
        let sentence = shortened(&item.sentence, SHOWN_CHARS);
        let project = item.project.as_deref().unwrap_or("all projects");
        let (item, kind) = (&item.item, &item.kind);
        line(&mut listed, format_args!("- {item} of {project} ({kind}): {sentence}"));
    }
    if inbox.next_cursor.is_some() {
        line(&mut listed, format_args!("… and more: list_inbox."));
    }
    Ok(with_state(UNBLOCK, &listed))
}

async fn report(
    service: &Service,
    projects: &[Project],
    project: Option<String>,
) -> Result<String> {
    if projects.is_empty() {
        return Ok(
            "There is no Vibe-Ensemble project yet. Say so, and offer to plan one.".to_owned()
        );
    }
    let mut known = String::new();
    for project in projects {
        line(
            &mut known,
            format_args!("- Project {}: {}", project.name, counts(service, project).await?),
        );
    }
    let filter = TicketFilter { open: true, project, ..TicketFilter::default() };
    let page = Page { after: None, limit: MAX_LIMIT };
    let open = service.store.tickets(filter, page).await?;
    for ticket in &open.items {
        line(
            &mut known,
            format_args!(
                "- {} \"{}\" of {} is {} at {}; {} at this stage, sent back {}, {:.2} USD so far",
                ticket.id,
                ticket.title,
                ticket.project_name,
                ticket.state.name(),
                ticket.current_stage(),
                text::counted(ticket.attempts_used, "attempt"),
                text::counted(ticket.rework_laps, "time"),
                ticket.cost_usd
            ),
        );
    }
    if open.next.is_some() {
        line(&mut known, format_args!("… and more open tickets: list_tickets."));
    }
    Ok(with_state(REPORT, &known))
}

async fn counts(service: &Service, project: &Project) -> Result<String> {
    let TicketCounts { blocked, scheduled, queued, running, on_hold, closed } =
        service.store.ticket_counts(project.key).await?;
    Ok(format!(
        "Tickets: {running} running, {queued} queued, {scheduled} scheduled, {blocked} blocked, {on_hold} on hold, \
         {closed} closed."
    ))
}

/// The text of a skill, and how things are now.
fn with_state(skill: &str, known: &str) -> String {
    let (_, body) = skill.split_once("\n---\n").unwrap_or(("", skill));
    format!("{}\n\n{}", body.trim(), known.trim_end())
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    text.write_fmt(words).expect("writing to a String cannot fail");
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(arguments: Value) -> std::result::Result<Option<String>, Refusal> {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        given_project(&PROMPTS[0], &arguments)
    }

    #[test]
    fn arguments_are_texts_with_known_names_and_may_be_empty() {
        assert_eq!(read(json!({"project": " shop "})).unwrap(), Some("shop".to_owned()));
        assert_eq!(read(json!({"project": ""})).unwrap(), None);
        assert_eq!(read(json!({})).unwrap(), None);
        assert!(read(json!({"project": 7})).is_err());
        assert!(read(json!({"colour": "red"})).is_err());
    }

    #[test]
    fn prompts_are_described_and_their_names_are_commands() {
        for prompt in PROMPTS {
            let command = prompt.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(command && prompt.description.len() > 20, "{}", prompt.name);
        }
    }
}
