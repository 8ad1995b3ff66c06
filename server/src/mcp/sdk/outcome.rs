//! What a call comes to, in the words of the protocol: a result that a model reads, or an error of the protocol.

use rmcp::ErrorData;
use rmcp::model::CallToolResult;
use rmcp::model::ContentBlock;
use serde_json::Value;
use serde_json::json;

use crate::domain::advice::Reader;
use crate::mcp::counts::Ended;
use crate::mcp::reply;
use crate::mcp::service::Error;
use crate::mcp::tool::CallError;
use crate::telemetry;
use crate::wire::wrong::WRONG;
use crate::wire::wrong::WrongField;

/// The error of a request that is not a tool call: there is no result that could carry a refusal.
pub(super) fn refused(method: &'static str, error: Error) -> ErrorData {
    match error {
        Error::Refused(refusal) => {
            ErrorData::invalid_params(reply::refusal(&refusal, Reader::Model), None)
        }
        Error::Failed(failure) => {
            tracing::error!(method, error = telemetry::chain(&failure), "request failed");
            ErrorData::internal_error(reply::INTERNAL_ERROR, None)
        }
    }
}

/// The result of a call, and what it counts as. Failures are logged here and not described to the client.
pub(super) fn answered(
    tool: &'static str,
    answer: Result<Value, CallError>,
    reader: Reader,
) -> (Ended, CallToolResult) {
    let text = |text: String| vec![ContentBlock::text(text)];
    match answer {
        Ok(value) => {
            let mut result = CallToolResult::success(text(value.to_string()));
            result.structured_content = Some(value);
            (Ended::Answered, result)
        }
        Err(CallError::Arguments(wrong)) => {
            let said = text(reply::wrong_arguments(tool, &wrong, reader));
            (
                Ended::Refused,
                in_parts(CallToolResult::error(said), &reply::wrong_fields(&wrong), reader),
            )
        }
        Err(CallError::Refused(refusal)) => {
            let wrong: Vec<WrongField> = reply::wrong_field(&refusal).into_iter().collect();
            let said = text(reply::refusal(&refusal, reader));
            (Ended::Refused, in_parts(CallToolResult::error(said), &wrong, reader))
        }
        Err(CallError::Failed(error)) => {
            tracing::error!(tool, error, "tool failed");
            (Ended::Failed, CallToolResult::error(text(reply::INTERNAL_ERROR.to_owned())))
        }
    }
}

/// Adds what was wrong with the arguments in parts, which the command line words by its own options. A model needs no more
/// than the sentences.
fn in_parts(mut result: CallToolResult, wrong: &[WrongField], reader: Reader) -> CallToolResult {
    if reader == Reader::Shell && !wrong.is_empty() {
        result.structured_content = Some(json!({WRONG: wrong}));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::TicketId;
    use crate::domain::refusal::Refusal;

    #[test]
    fn answers_carry_the_same_value_twice_and_refusals_are_errors() {
        let value = serde_json::json!({"ticket_id": "T-1"});
        let (ended, result) = answered("get_ticket", Ok(value.clone()), Reader::Model);
        assert_eq!(ended, Ended::Answered);
        let wire = serde_json::to_value(&result).unwrap();
        assert_eq!(wire["structuredContent"], value);
        assert_eq!(wire["content"][0]["text"], value.to_string());
        assert_eq!(wire["isError"], false);

        let refusal = Refusal::UnknownTicket { ticket: TicketId::from_key(9) };
        let (ended, result) =
            answered("get_ticket", Err(CallError::Refused(refusal)), Reader::Model);
        assert_eq!(ended, Ended::Refused);
        let wire = serde_json::to_value(&result).unwrap();
        assert_eq!(wire["isError"], true);
        assert_eq!(
            wire["content"][0]["text"],
            "There is no ticket T-9. Find tickets with list_tickets."
        );

        let secret = "no such table: ticket".to_owned();
        let (_, result) = answered("get_ticket", Err(CallError::Failed(secret)), Reader::Model);
        let wire = serde_json::to_value(&result).unwrap();
        assert_eq!(wire["content"][0]["text"], reply::INTERNAL_ERROR);
    }
}
