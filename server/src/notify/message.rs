//! What receivers read: always `{"events": [...]}`.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::domain::event::Event;
use crate::domain::text::Name;
use crate::domain::time::Timestamp;
use crate::wire::event::EventView;

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    /// The same at each try.
    pub(super) id: String,
    pub(super) body: String,
}

/// The body for these events, with the fields of `list_events`.
pub(super) fn body(events: Vec<Event>) -> String {
    let events: Vec<Value> =
        events.into_iter().map(|event| shown(EventView::from(event))).collect();
    json!({"events": events}).to_string()
}

/// The body of a test, which is about no event.
pub(super) fn test(name: &Name, now: Timestamp) -> String {
    let view = EventView {
        kind: "test".to_owned(),
        at: now.to_string(),
        summary: format!("This is a test of the notifier {name}."),
        ..EventView::default()
    };
    json!({"events": [shown(view)]}).to_string()
}

/// Without what is absent, and without the mark of a consumer, which a receiver does not have.
fn shown(view: EventView) -> Value {
    let mut fields = match serde_json::to_value(view) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    };
    fields.retain(|name, value| !value.is_null() && name != "processed");
    fields.into()
}
