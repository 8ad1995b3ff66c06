//! Reads what an agent handed in: `structured_output`, against the schema that the agent was given.

use serde_json::Value;

use crate::domain::outcome::StageOutcome;
use crate::domain::outcome::StageResult;
use crate::domain::planned;
use crate::domain::text::LONG_TEXT_BYTES;
use crate::domain::text::first_line;

/// Checks `structured_output` against the schema that the agent was given. People and the next
/// attempt read the sentence of an error.
pub fn stage_result(
    output: Option<&Value>,
    may_create_tickets: bool,
) -> Result<StageResult, String> {
    let Some(output) = output else {
        return Err("the agent ended without calling StructuredOutput".to_owned());
    };
    let Some(fields) = output.as_object() else {
        return Err("structured_output is not an object".to_owned());
    };
    let tickets = fields.get("tickets");
    if tickets.is_some() && !may_create_tickets {
        return Err("structured_output has the field \"tickets\", and workers of this type may not create tickets \
                    (may_create_tickets)"
            .to_owned());
    }
    if let Some(unknown) = fields.keys().find(|k| {
        !matches!(k.as_str(), "outcome" | "report" | "rework_stage" | "question" | "tickets")
    }) {
        return Err(format!("structured_output has the unknown field {:?}", first_line(unknown)));
    }
    let text = |name: &str| match fields.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("structured_output.{name} is not a string")),
    };
    let (outcome, report) = (text("outcome")?, text("report")?);
    let (stage, question) = (text("rework_stage")?, text("question")?);
    let outcome = match outcome.as_deref() {
        Some("completed") => StageOutcome::Completed,
        Some("rework") => StageOutcome::Rework { stage },
        Some("blocked") => StageOutcome::Blocked { question },
        Some(_) | None => {
            return Err(
                "structured_output.outcome is not one of completed, rework, blocked".to_owned()
            );
        }
    };
    let tickets = match tickets {
        None | Some(Value::Null) => Vec::new(),
        Some(tickets) => planned::tickets(tickets)?,
    };
    // A repeated stage would ask for them again.
    if !tickets.is_empty() && outcome != StageOutcome::Completed {
        return Err(
            "structured_output.tickets is allowed with the outcome completed only".to_owned()
        );
    }
    match report {
        Some(report) if !report.is_empty() => {
            Ok(StageResult { outcome, report: storable(report), tickets })
        }
        Some(_) | None => Err("structured_output.report is empty".to_owned()),
    }
}

/// The report has been paid for, so a report that is too long for a comment is cut instead of
/// refused.
fn storable(report: String) -> String {
    let mut report = if report.contains('\0') { report.replace('\0', "\u{fffd}") } else { report };
    if report.len() > LONG_TEXT_BYTES {
        const NOTE: &str = "\n\n(The rest of this report was cut at 1 MiB.)";
        let mut end = LONG_TEXT_BYTES - NOTE.len();
        while !report.is_char_boundary(end) {
            end -= 1;
        }
        report.truncate(end);
        report.push_str(NOTE);
    }
    report
}
