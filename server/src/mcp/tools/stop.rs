//! `stop`: stops agents and keeps them stopped.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::refusal::Refusal;
use crate::domain::stopping::NO_REASON;
use crate::domain::stopping::StopWhat;
use crate::domain::text;
use crate::domain::text::Name;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::service::id;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::wire::stop::StoppedView;

pub(crate) fn tools() -> Vec<Tool> {
    vec![Tool::new(
        "stop",
        "Stop agents and keep them stopped",
        Effect::Settles,
        "Stops running agents and keeps their work stopped: that of a ticket, of a worker, of a project, or everything \
         (give exactly one). The tickets go on hold, and a project or the server is paused too. What an agent completes \
         before it hears of it is kept. To continue, use resume, and resume_ticket for each ticket. Returns at once, with \
         the tickets and workers concerned.",
        stop,
    )]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Stop {
    /// Stop this ticket, such as T-42, whether or not it is running.
    ticket_id: Option<String>,
    /// Stop this worker, such as W-7, and hold its ticket.
    worker_id: Option<String>,
    /// Stop every agent of this project, and pause it.
    project: Option<String>,
    /// True stops every agent there is, and pauses the server.
    all: Option<bool>,
    /// The reason, in one sentence.
    reason: Option<String>,
}

async fn stop(service: Service, given: Stop) -> Result<StoppedView> {
    let what = what(&given)?;
    let reason = given.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    let reason = reason.map(|reason| text::title("reason", reason)).transpose()?;
    let reason = reason.unwrap_or_else(|| NO_REASON.to_owned());
    Ok(service.store.stop_work(what, reason, service.now()).await?.into())
}

fn what(given: &Stop) -> Result<StopWhat> {
    let all = given.all.unwrap_or(false);
    let one = match (&given.ticket_id, &given.worker_id, &given.project, all) {
        (Some(ticket), None, None, false) => StopWhat::Ticket(id("ticket_id", ticket)?),
        (None, Some(worker), None, false) => StopWhat::Worker(id("worker_id", worker)?),
        (None, None, Some(project), false) => StopWhat::Project(Name::parse("project", project)?),
        (None, None, None, true) => StopWhat::Everything,
        (ticket, worker, project, _) => {
            let count = [ticket, worker, project].into_iter().flatten().count() + usize::from(all);
            let allowed = "true, unless exactly one of ticket_id, worker_id and project is given";
            return Err(Refusal::invalid("all", &format!("{count} of four"), allowed).into());
        }
    };
    Ok(one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exactly_one_thing_is_stopped() {
        let given = |value| what(&serde_json::from_value(value).unwrap());
        assert!(matches!(given(json!({"ticket_id": "T-4"})), Ok(StopWhat::Ticket(_))));
        assert!(matches!(given(json!({"worker_id": "W-4"})), Ok(StopWhat::Worker(_))));
        assert!(matches!(given(json!({"project": "shop"})), Ok(StopWhat::Project(_))));
        assert!(matches!(given(json!({"all": true})), Ok(StopWhat::Everything)));
        for wrong in [json!({}), json!({"all": false}), json!({"all": true, "project": "shop"})] {
            assert!(given(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
