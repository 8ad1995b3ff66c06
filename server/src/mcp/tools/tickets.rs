//! Tickets: `create_ticket`, `update_ticket`, `get_ticket`, `list_tickets`, `add_ticket_comment`, `complete_ticket_stage`,
//! `close_ticket`, `resume_ticket`. What they return is in [`super::ticket_view`].

use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::advice::Reader;
use crate::domain::hold::HoldKind;
use crate::domain::id::AttemptId;
use crate::domain::id::CommentId;
use crate::domain::id::TicketId;
use crate::domain::limits;
use crate::domain::names::Named;
use crate::domain::refusal::Refusal;
use crate::domain::text;
use crate::domain::text::Invalid;
use crate::domain::text::Name;
use crate::domain::ticket::NewTicket;
use crate::domain::ticket::Plan;
use crate::domain::ticket::Priority;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::TicketChange;
use crate::domain::ticket::TicketState;
use crate::domain::ticket::dependencies;
use crate::mcp::page::List;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::service::id;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::mcp::tools::gates;
use crate::mcp::tools::settings_file;
use crate::mcp::tools::ticket_rows::Listed;
use crate::mcp::tools::ticket_rows::short_row;
use crate::mcp::tools::ticket_rows::whole_row;
use crate::mcp::tools::ticket_stage::complete;
use crate::store;
use crate::store::History;
use crate::store::TicketFilter;
use crate::wire::comment::CommentView;
use crate::wire::ticket::TicketDetailView;
use crate::wire::ticket::TicketView;

pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            "create_ticket",
            "Create a ticket",
            Effect::Adds,
            "Creates a unit of work, queued at once, or blocked until those in `depends_on` are completed. The worker of \
             each stage reads the title, the description, the project's rules and the reports of earlier stages.",
            create,
        ),
        Tool::new(
            "update_ticket",
            "Change a ticket",
            Effect::Replaces,
            "Changes only the fields given, in any state but closed. `execution_plan` is the whole new plan: it must \
             begin with the stages that have already begun, and the rest may be anything. An attempt that is already \
             running keeps the old texts; the next one gets the new ones. A ticket on hold stays on hold until \
             resume_ticket. Returns the ticket.",
            update,
        ),
        Tool::new(
            "get_ticket",
            "Get a ticket",
            Effect::Reads,
            "Returns a ticket with its newest comments (reports, questions, remarks) and attempts, each oldest first, \
             and `waiting_for`: why it is not running and what would move it.",
            get,
        ),
        Tool::new(
            "list_tickets",
            "List tickets",
            Effect::Reads,
            "Lists open tickets, newest first; closed ones with `all` or state closed. Rows are short.",
            list,
        ),
        Tool::new(
            "add_ticket_comment",
            "Comment on a ticket",
            Effect::Adds,
            "Adds a comment by the coordinator to a ticket. Every later attempt reads it in its prompt; an attempt that \
             is already running does not see it. Returns the comment.",
            comment,
        ),
        Tool::new(
            "complete_ticket_stage",
            "Complete a stage yourself",
            Effect::Adds,
            "Completes the ticket's current stage as the coordinator, in place of a worker: the report becomes a \
             comment and the ticket moves, in one step. outcome completed moves it to the next stage (after the last \
             one it closes as completed), rework sends it back, blocked puts it on hold with a question. Refused if \
             `stage` is not the current one or a worker is running it. Returns the ticket.",
            complete,
        ),
        Tool::new(
            "close_ticket",
            "Close a ticket",
            Effect::Replaces,
            "Closes a ticket for good, as cancelled unless `resolution` says completed. A running attempt is cancelled \
             first. Tickets that depend on it are unblocked if it is completed, and go on hold if it is cancelled. \
             Cannot be undone. Returns the ticket.",
            close,
        ),
        Tool::new(
            "resume_ticket",
            "Resume a ticket",
            Effect::Adds,
            "Sends a ticket on hold back to its queue, its attempts counted afresh. First fix what hold_reason says, \
             or answer the question in `comment`.",
            resume,
        ),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// The project.
    project: String,
    /// What to do, in at most 200 characters.
    title: String,
    /// Its worker types, in order. The name of a template (planning, research, design, implementation, testing, review,
    /// documentation, deployment) makes the type.
    #[schemars(length(min = 1, max = 32))]
    execution_plan: Vec<String>,
    /// What workers cannot find out: the goal, the limits, how to tell that it is done.
    description: Option<String>,
    /// Its place in a queue; default normal.
    #[schemars(extend("enum" = Priority::NAMES))]
    priority: Option<String>,
    /// Tickets to complete first, such as T-41; it begins with their results.
    #[schemars(length(max = 100))]
    depends_on: Option<Vec<String>>,
    /// The same key again returns the same ticket.
    idempotency_key: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Update {
    /// The ticket's id, such as T-42.
    ticket_id: String,
    /// The new title, on one line of at most 200 characters.
    title: Option<String>,
    /// The new description; an empty string removes it.
    #[schemars(length(min = 0))]
    description: Option<String>,
    /// The new priority. A waiting ticket takes its new place immediately.
    #[schemars(extend("enum" = Priority::NAMES))]
    priority: Option<String>,
    /// The whole new plan. It must begin with the stages that have already begun.
    #[schemars(length(min = 1, max = 32))]
    execution_plan: Option<Vec<String>>,
    /// Dollars this ticket may cost over its whole life, in place of its project's limit; 0 restores that limit.
    max_budget_usd: Option<f64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Get {
    /// The ticket's id, such as T-42.
    pub(crate) ticket_id: String,
    /// That of an answer, for older ones.
    comments_cursor: Option<String>,
    /// That of an answer, for older ones.
    attempts_cursor: Option<String>,
    /// Only this comment, in full, such as C-3.
    comment_id: Option<String>,
}

impl Get {
    /// The part of the history that is asked for.
    pub(crate) fn history(&self) -> Result<History> {
        let comments = self.comments_cursor.as_deref().map(|text| List::Comments.read(text));
        let attempts = self.attempts_cursor.as_deref().map(|text| List::Attempts.read(text));
        Ok(History {
            comments_before: comments.transpose()?.map(CommentId::from_key),
            attempts_before: attempts.transpose()?.map(AttemptId::from_key),
            comment: self.comment_id.as_deref().map(|text| id("comment_id", text)).transpose()?,
        })
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListAll {
    /// Only those of this project.
    project: Option<String>,
    /// Only those in these states.
    state: Option<Vec<StateName>>,
    /// Also list closed tickets.
    all: Option<bool>,
    /// Only those now at this stage.
    stage: Option<String>,
    /// Only those on hold for this, such as question.
    #[schemars(extend("enum" = HoldKind::NAMES))]
    hold_kind: Option<String>,
    /// Default 50, at most 200.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = TicketState::NAMES))]
struct StateName(String);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddComment {
    /// The ticket's id, such as T-42.
    ticket_id: String,
    /// What later workers should know.
    content: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Close {
    /// The ticket's id, such as T-42.
    ticket_id: String,
    /// How it ends; default cancelled.
    #[schemars(extend("enum" = Resolution::NAMES))]
    resolution: Option<String>,
    /// The reason, as a comment on the ticket.
    comment: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resume {
    /// The ticket's id, such as T-42.
    ticket_id: String,
    /// The stage to continue with; default the current one.
    stage: Option<String>,
    /// The answer, or an instruction.
    #[schemars(length(min = 0))]
    comment: Option<String>,
}

async fn create(service: Service, given: Create) -> Result<TicketView> {
    let new = new_ticket(&given)?;
    let file = settings_file::for_new_ticket(&service, new.project.as_str()).await?;
    let mut created =
        service.store.create_ticket_with(new.clone(), file.clone(), service.now()).await;
    // Most plans name worker types that the project has, so only a refusal leads to the templates.
    if let Err(store::Error::Refused(Refusal::UnknownWorkerType { .. })) = created {
        types_of_templates(&service, &new).await?;
        created = service.store.create_ticket_with(new, file, service.now()).await;
    }
    Ok(created?.into())
}

/// Makes the worker types that the plan names and the project has not, where there are templates of their names. When one
/// of them is neither, none is made, and the ticket is refused.
async fn types_of_templates(service: &Service, new: &NewTicket) -> Result<()> {
    let project = service.store.project(new.project.as_str()).await?;
    let mut missing = Vec::new();
    for stage in new.plan.stages() {
        if missing.iter().any(|(known, _)| known == stage)
            || service.store.has_worker_type(project.key, stage.as_str()).await?
        {
            continue;
        }
        let name = stage.to_string();
        let Ok(template) = service.templates(move |all| all.get(&name)).await else {
            // Refused here: the store would name the first stage without a type, which may be a template.
            service.store.worker_type(new.project.as_str(), stage.as_str()).await?;
            continue;
        };
        missing.push((stage.clone(), template.settings));
    }
    for (stage, settings) in missing {
        let made =
            service.store.create_worker_type(new.project.as_str(), stage, settings, service.now());
        match made.await {
            // Another call was faster.
            Ok(_) | Err(store::Error::Refused(Refusal::WorkerTypeExists { .. })) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn new_ticket(given: &Create) -> Result<NewTicket> {
    let waits_for = given.depends_on.iter().flatten();
    let depends_on: Result<Vec<TicketId>> =
        waits_for.map(|ticket| id("depends_on", ticket)).collect();
    let key = given.idempotency_key.as_deref();
    Ok(NewTicket {
        project: Name::parse("project", &given.project)?,
        title: text::title("title", &given.title)?,
        description: text::long("description", given.description.as_deref().unwrap_or(""))?,
        plan: plan(&given.execution_plan)?,
        priority: Priority::parse_given("priority", given.priority.as_deref())?.unwrap_or_default(),
        depends_on: dependencies(depends_on?)?,
        idempotency_key: key.map(|key| text::title("idempotency_key", key)).transpose()?,
    })
}

async fn update(service: Service, given: Update) -> Result<TicketView> {
    let ticket = id("ticket_id", &given.ticket_id)?;
    let plan = given.execution_plan.as_deref().map(plan).transpose()?;
    let max_budget_usd = given.max_budget_usd.map(|usd| Some(usd).filter(|usd| *usd != 0.0));
    limits::dollars("max_budget_usd", max_budget_usd.flatten())?;
    let change = TicketChange {
        title: given.title.as_deref().map(|title| text::title("title", title)).transpose()?,
        description: given
            .description
            .as_deref()
            .map(|description| text::long("description", description))
            .transpose()?,
        priority: Priority::parse_given("priority", given.priority.as_deref())?,
        plan,
        max_budget_usd,
    };
    Ok(service.store.update_ticket(ticket, change, service.now()).await?.into())
}

fn plan(stages: &[String]) -> std::result::Result<Plan, Invalid> {
    let stages: std::result::Result<Vec<Name>, Invalid> =
        stages.iter().map(|stage| Name::parse("execution_plan", stage)).collect();
    Plan::new(stages?)
}

async fn get(service: Service, given: Get) -> Result<TicketDetailView> {
    detail(&service, id("ticket_id", &given.ticket_id)?, given.history()?).await
}

/// What `get_ticket` returns.
pub(crate) async fn detail(
    service: &Service,
    ticket: TicketId,
    history: History,
) -> Result<TicketDetailView> {
    let mut detail = service.store.ticket_at(ticket, history, service.now()).await?;
    detail.surroundings.brakes = service.brakes();
    detail.surroundings.git = service.git_step(ticket);
    let view = TicketDetailView::of(detail, service.reader);
    let gates = gates::of_ticket(service, ticket, &view.ticket.execution_plan).await?;
    Ok(TicketDetailView { gates, copied: gates::copied(service, ticket).await?, ..view })
}

async fn list(service: Service, given: ListAll) -> Result<Listed> {
    let page = List::Tickets.page(given.limit, given.cursor.as_deref())?;
    let states: Vec<String> =
        given.state.into_iter().flatten().map(|StateName(name)| name).collect();
    let filter = TicketFilter {
        open: states.is_empty() && !given.all.unwrap_or(false),
        project: given.project,
        states,
        stage: given.stage,
        hold_kind: HoldKind::parse_given("hold_kind", given.hold_kind.as_deref())?,
        newest_first: true,
    };
    let listed = service.store.tickets(filter, page).await?;
    let reader = service.reader;
    let (tickets, next_cursor) = List::Tickets.show(listed, |ticket| match reader {
        Reader::Model => short_row(&ticket),
        Reader::Shell | Reader::Page => whole_row(ticket),
    });
    Ok(Listed { tickets, next_cursor })
}

async fn comment(service: Service, given: AddComment) -> Result<CommentView> {
    let ticket = id("ticket_id", &given.ticket_id)?;
    let content = text::required("content", &given.content)?;
    Ok(service.store.add_comment(ticket, content, service.now()).await?.into())
}

async fn close(service: Service, given: Close) -> Result<TicketView> {
    let ticket = id("ticket_id", &given.ticket_id)?;
    let resolution = Resolution::parse_given("resolution", given.resolution.as_deref())?
        .unwrap_or(Resolution::Cancelled);
    let comment = said(given.comment.as_deref())?;
    Ok(service.store.close_ticket(ticket, resolution, comment, service.now()).await?.into())
}

async fn resume(service: Service, given: Resume) -> Result<TicketView> {
    let ticket = id("ticket_id", &given.ticket_id)?;
    // The store refuses an empty answer to a question; elsewhere, an empty comment means none.
    let comment = match given.comment.as_deref() {
        Some(blank) if blank.trim().is_empty() => Some(String::new()),
        comment => said(comment)?,
    };
    let file = settings_file::for_resumed_ticket(&service, ticket).await?;
    let resumed =
        service.store.resume_ticket_with(ticket, given.stage, comment, file, service.now());
    Ok(resumed.await?.into())
}

/// A comment that is part of another call; an empty one means none.
fn said(comment: Option<&str>) -> std::result::Result<Option<String>, Invalid> {
    let comment = comment.filter(|comment| !comment.trim().is_empty());
    comment.map(|comment| text::long("comment", comment)).transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mcp::service::Error;

    #[test]
    fn a_new_ticket_is_parsed_once_and_names_what_is_wrong() {
        let given = |depends_on: serde_json::Value| -> Create {
            serde_json::from_value(json!({
                "project": "p", "title": " Build ", "execution_plan": ["impl", "test"], "depends_on": depends_on,
            }))
            .unwrap()
        };
        let new = new_ticket(&given(json!(["T-2", "T-1", "T-2"]))).unwrap();
        assert_eq!(new.depends_on, [TicketId::from_key(2), TicketId::from_key(1)]);
        assert_eq!((new.title.as_str(), new.priority), ("Build", Priority::Normal));
        assert!(matches!(
            new_ticket(&given(json!(["2"]))),
            Err(Error::Refused(Refusal::InvalidField(Invalid { field, allowed, .. })))
                if field == "depends_on" && allowed == "the id of a ticket, such as T-42"
        ));
    }
}
