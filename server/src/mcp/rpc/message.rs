//! The head of a message, read beside the SDK: its method and its ids.
//!
//! Clients whose numbers are doubles write the id of a request as `7.0`. The SDK accepts only whole numbers, so the
//! head is rewritten before the SDK sees it.

use axum::body::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::mcp::spelling;

/// The part of a message that is read here; empty for a body that is not a message.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Head {
    /// The id of a request; a notification has none.
    pub(crate) id: Option<Value>,
    pub(crate) method: Option<String>,
    params: Option<Params>,
    #[serde(skip)]
    /// The request that a notification is about.
    pub(crate) request_id: Option<Value>,
    /// Whether its progress token has a type that a token cannot have. The SDK would treat it as a request without a
    /// token.
    #[serde(skip)]
    pub(crate) has_wrong_token: bool,
    /// What the request calls, gets or reads by its name.
    #[serde(skip)]
    name: Option<String>,
}

impl Head {
    /// Whether its answer may be large. A call that waits for events is excepted by its name, and what it can list is
    /// bounded.
    pub(crate) fn may_be_answered_at_length(&self) -> bool {
        const WAITS: &str = "list_events";
        const BRIEF: &str = "report_progress";
        let name = self.name.as_deref();
        match self.method.as_deref() {
            Some("tools/call") => name.is_none_or(|name| name != WAITS && name != BRIEF),
            Some("resources/read") => true,
            Some(_) | None => false,
        }
    }
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Params {
    name: Option<Value>,
    #[serde(rename = "requestId")]
    request_id: Option<Value>,
    #[serde(rename = "_meta")]
    meta: Option<Meta>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Meta {
    #[serde(rename = "progressToken")]
    progress_token: Option<Value>,
}

/// Reads the head of a message and returns the body as the SDK should read it.
pub(crate) fn read(body: Bytes) -> (Bytes, Head) {
    let Ok(mut head) = serde_json::from_slice::<Head>(&body) else {
        return (body, Head::default());
    };
    let params = head.params.take().unwrap_or_default();
    head.name = params.name.and_then(|name| name.as_str().map(str::to_owned));
    let progress = params.meta.and_then(|meta| meta.progress_token);
    head.request_id = params.request_id;
    let names = |token: &Value| token.is_string() || spelling::whole(token).is_some();
    let names = |token: &Value| names(token) || token.is_i64() || token.is_u64();
    head.has_wrong_token = progress.as_ref().is_some_and(|token| !names(token));
    let whole = |value: &Option<Value>| {
        value.as_ref().filter(|value| value.is_f64()).and_then(spelling::whole)
    };
    let respelt = [
        ("/id", whole(&head.id)),
        ("/params/requestId", whole(&head.request_id)),
        ("/params/_meta/progressToken", whole(&progress)),
    ];
    if respelt.iter().all(|(_, whole)| whole.is_none()) {
        return (body, head);
    }
    let Ok(mut message) = serde_json::from_slice::<Value>(&body) else { return (body, head) };
    for (pointer, whole) in respelt {
        if let (Some(at), Some(whole)) = (message.pointer_mut(pointer), whole) {
            *at = whole;
        }
    }
    head.id = whole(&head.id).or(head.id);
    head.request_id = whole(&head.request_id).or(head.request_id);
    (Bytes::from(message.to_string()), head)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_json(body: &Value) -> (Value, Head) {
        let (body, head) = read(Bytes::from(body.to_string()));
        (serde_json::from_slice(&body).unwrap(), head)
    }

    #[test]
    fn doubles_that_name_a_request_become_whole_numbers_and_nothing_else_does() {
        let params = json!({"_meta": {"progressToken": 2.0}, "arguments": {"limit": 5.0}});
        let (body, head) = read_json(
            &json!({"jsonrpc": "2.0", "id": 7.0, "method": "tools/call", "params": params}),
        );
        assert_eq!(head.id, Some(json!(7)));
        assert!(body["id"].is_i64() && body["params"]["_meta"]["progressToken"].is_i64(), "{body}");
        assert!(body["params"]["arguments"]["limit"].is_f64(), "{body}");
    }

    #[test]
    fn a_notification_names_the_request_it_is_about() {
        let (_, head) = read_json(
            &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3.0}}),
        );
        assert_eq!((head.id, head.request_id), (None, Some(json!(3))));
    }

    #[test]
    fn the_answers_of_calls_and_of_resources_may_be_long() {
        let long = |method: &str, params: Value| {
            let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            read_json(&message).1.may_be_answered_at_length()
        };
        assert!(long("tools/call", json!({"name": "get_ticket", "arguments": {}})));
        assert!(long("tools/call", json!({"name": 7})) && long("resources/read", json!({})));
        assert!(!long("tools/call", json!({"name": "list_events"})));
        assert!(!long("tools/list", json!({})) && !long("ping", json!({"name": "get_ticket"})));
    }

    #[test]
    fn a_body_that_is_not_a_message_is_left_as_it_is() {
        for body in ["", "{", "[]", "7", "{\"id\": 1.5}", "{\"params\": []}"] {
            let (left, _) = read(Bytes::from(body));
            assert_eq!(left, body);
        }
    }
}
