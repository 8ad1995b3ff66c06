//! The tools of an attempt's agent: `get_ticket`, `get_project`, `add_ticket_comment`, `report_progress`.
//!
//! Invariant: each first identifies the calling attempt, and returns or changes only what belongs to it. The first
//! three have the names and shapes of the coordinator's tools. Another ticket is refused in the same words whether it
//! exists or not.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::attempt::Attempt;
use crate::domain::id::TicketId;
use crate::domain::refusal::Refusal;
use crate::domain::text;
use crate::mcp::call::Call;
use crate::mcp::call::Caller;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::service::id;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::mcp::tools::tickets;
use crate::mcp::tools::tickets::Get;
use crate::wire::comment::CommentView;
use crate::wire::project::ProjectView;
use crate::wire::ticket::TicketDetailView;

pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::waiting(
            "get_ticket",
            "Get your ticket",
            Effect::Reads,
            "Returns your ticket with its comments (reports of stages and remarks by the coordinator, oldest first) and \
             its attempts. Use it to see what was added since your prompt was written.",
            get_ticket,
        ),
        Tool::waiting(
            "get_project",
            "Get your project",
            Effect::Reads,
            "Returns your project: its directory, its description, and the rules and patterns that apply in it.",
            get_project,
        ),
        Tool::waiting(
            "add_ticket_comment",
            "Comment on your ticket",
            Effect::Adds,
            "Adds a comment to your ticket at once. The coordinator and every later worker of this ticket read it, \
             whatever happens to you. What you did and found belongs in your report at the end; use this for what must \
             not be lost if you are stopped first. Returns the comment.",
            comment,
        ),
        Tool::waiting(
            "report_progress",
            "Report your progress",
            Effect::Settles,
            "Tells people in one line where you are; it replaces your previous line. Call it when you begin, at each \
             milestone, and before anything that takes long. It does not end your stage: your result does.",
            report_progress,
        ),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetProject {
    /// Your project's name; default: yours.
    project: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddComment {
    /// Your ticket's id, as in your prompt.
    ticket_id: String,
    /// What must not be lost.
    content: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReportProgress {
    /// Where you are, on one line of at most 200 characters.
    message: String,
    /// How much of the stage is done, if you can tell.
    #[schemars(range(min = 0, max = 100))]
    percent: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
struct Reported {
    ticket_id: String,
    attempt_id: String,
    message: String,
    percent: Option<i64>,
}

async fn get_ticket(service: Service, given: Get, call: Call) -> Result<TicketDetailView> {
    let own = speaker(&service, &call).await?.ticket;
    let ticket = own_ticket(own, &given.ticket_id)?;
    tickets::detail(&service, ticket, given.history()?).await
}

async fn get_project(service: Service, given: GetProject, call: Call) -> Result<ProjectView> {
    let ticket = speaker(&service, &call).await?.ticket;
    let own = service.store.find_ticket(ticket).await?.project_name.into_string();
    if given.project.is_some_and(|project| project != own) {
        return Err(Refusal::NotYourProject { own }.into());
    }
    Ok(service.store.project(&own).await?.into())
}

async fn comment(service: Service, given: AddComment, call: Call) -> Result<CommentView> {
    let speaker = speaker(&service, &call).await?;
    let ticket = own_ticket(speaker.ticket, &given.ticket_id)?;
    let content = text::required("content", &given.content)?;
    Ok(service.store.add_remark(speaker.id, ticket, content, service.present()).await?.into())
}

async fn report_progress(service: Service, given: ReportProgress, call: Call) -> Result<Reported> {
    let speaker = speaker(&service, &call).await?;
    let said = text::title("message", &given.message)?;
    let percent = given.percent;
    let told = service.store.report_progress(speaker.id, said, percent, service.present()).await?;
    Ok(Reported {
        ticket_id: told.ticket.to_string(),
        attempt_id: told.id.to_string(),
        message: told.progress.map(|progress| progress.said).unwrap_or_default(),
        percent,
    })
}

/// The calling attempt, which must still be live.
async fn speaker(service: &Service, call: &Call) -> Result<Attempt> {
    match call.caller {
        Caller::Worker(attempt) => {
            Ok(service.store.speaking_attempt(attempt, service.present()).await?)
        }
        // The coordinator does not have these tools.
        Caller::Coordinator => {
            Err(Refusal::invalid("caller", "the coordinator", "the agent of an attempt").into())
        }
    }
}

fn own_ticket(own: TicketId, given: &str) -> Result<TicketId> {
    let given: TicketId = id("ticket_id", given)?;
    if given == own { Ok(own) } else { Err(Refusal::NotYourTicket { own }.into()) }
}
