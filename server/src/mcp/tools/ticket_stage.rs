//! Completing a stage: the arguments of `complete_ticket_stage`, as the result that a worker would have given.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::outcome::StageOutcome;
use crate::domain::outcome::StageResult;
use crate::domain::refusal::Refusal;
use crate::domain::text;
use crate::domain::time::Timestamp;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::service::id;
use crate::wire::ticket::TicketView;

const OUTCOMES: [&str; 3] = ["completed", "rework", "blocked"];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Complete {
    /// The ticket's id, such as T-42.
    ticket_id: String,
    /// The stage you complete: the ticket's `current_stage`.
    stage: String,
    /// Where the ticket goes: to the next stage, back to an earlier one, or on hold with a question.
    #[schemars(extend("enum" = OUTCOMES))]
    outcome: String,
    /// What was done and found; the next stage reads it.
    report: String,
    /// With outcome rework: the earlier stage to redo; default: the one before.
    rework_stage: Option<String>,
    /// With outcome blocked: what must be decided.
    question: Option<String>,
}

pub(super) async fn complete(service: Service, given: Complete) -> Result<TicketView> {
    let ticket = id("ticket_id", &given.ticket_id)?;
    let result = stage_result(&given)?;
    let now: Timestamp = service.now();
    Ok(service.store.complete_stage(ticket, &given.stage, result, now).await?.into())
}

/// The result as a worker would have given it. A field that belongs to another outcome is refused, not dropped.
fn stage_result(given: &Complete) -> std::result::Result<StageResult, Refusal> {
    let report = text::required("report", &given.report)?;
    let said = |field, text: &Option<String>| {
        let said = text.as_deref().map(str::trim).filter(|text| !text.is_empty());
        said.map(|text| text::long(field, text)).transpose()
    };
    let rework_stage = said("rework_stage", &given.rework_stage)?;
    let question = said("question", &given.question)?;
    let outcome = match given.outcome.as_str() {
        "completed" => StageOutcome::Completed,
        "rework" => StageOutcome::Rework { stage: rework_stage.clone() },
        "blocked" => StageOutcome::Blocked { question: question.clone() },
        other => {
            let allowed = format!("one of {}", OUTCOMES.join(", "));
            return Err(Refusal::invalid("outcome", other, allowed));
        }
    };
    let misplaced = |field: &str, text: &str, belongs: &str| {
        let allowed = format!("left out unless outcome is {belongs}");
        Err(Refusal::invalid(field, text, allowed))
    };
    match (&outcome, rework_stage, question) {
        (StageOutcome::Completed | StageOutcome::Blocked { .. }, Some(stage), _) => {
            misplaced("rework_stage", &stage, "rework")
        }
        (StageOutcome::Completed | StageOutcome::Rework { .. }, _, Some(question)) => {
            misplaced("question", &question, "blocked")
        }
        (StageOutcome::Completed, None, None)
        | (StageOutcome::Rework { .. }, _, None)
        | (StageOutcome::Blocked { .. }, None, _) => {
            Ok(StageResult { outcome, report, tickets: Vec::new() })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::text::Invalid;

    fn result(given: &serde_json::Value) -> std::result::Result<StageResult, String> {
        let mut whole = json!({"ticket_id": "T-1", "stage": "impl", "report": "Done."});
        for (field, value) in given.as_object().unwrap() {
            whole[field] = value.clone();
        }
        stage_result(&serde_json::from_value(whole).unwrap()).map_err(|refusal| {
            let Refusal::InvalidField(Invalid { field, .. }) = refusal else {
                panic!("expected a wrong field, got {refusal:?}");
            };
            field
        })
    }

    #[test]
    fn a_stage_result_has_the_fields_of_its_outcome_and_no_others() {
        let report = "Done.".to_owned();
        let outcome =
            |outcome| Ok(StageResult { outcome, report: report.clone(), tickets: Vec::new() });
        assert_eq!(result(&json!({"outcome": "completed"})), outcome(StageOutcome::Completed));
        assert_eq!(
            result(&json!({"outcome": "rework", "rework_stage": "impl"})),
            outcome(StageOutcome::Rework { stage: Some("impl".to_owned()) })
        );
        assert_eq!(
            result(&json!({"outcome": "blocked", "question": " "})),
            outcome(StageOutcome::Blocked { question: None })
        );
        let wrong = |given| result(&given).unwrap_err();
        assert_eq!(wrong(json!({"outcome": "completed", "question": "?"})), "question");
        assert_eq!(wrong(json!({"outcome": "blocked", "rework_stage": "a"})), "rework_stage");
        assert_eq!(wrong(json!({"outcome": "done"})), "outcome");
        assert_eq!(wrong(json!({"outcome": "completed", "report": " "})), "report");
    }
}
