//! The rows of `list_tickets`: a model reads the fields that tell tickets apart, the command line reads everything.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use crate::domain::text;
use crate::domain::ticket::Priority;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::wire::ticket::TicketView;

/// What `list_tickets` returns, of whose rows a model gets the fields that tell one from another.
#[derive(Serialize, JsonSchema)]
pub(super) struct Listed {
    #[schemars(with = "Vec<TicketView>", transform = says_what_it_has)]
    pub(super) tickets: Vec<Value>,
    pub(super) next_cursor: Option<String>,
}

/// Only these are in every row.
const ALWAYS: [&str; 5] = ["ticket_id", "project", "title", "state", "current_stage"];

fn says_what_it_has(schema: &mut schemars::Schema) {
    let required = schema.pointer_mut("/items/required").and_then(Value::as_array_mut);
    if let Some(required) = required {
        required.retain(|name| ALWAYS.iter().any(|always| name == always));
    }
}

/// How much of a title a short row has.
const TITLE_CHARS: usize = 80;

/// The row that a model reads.
pub(super) fn short_row(ticket: &Ticket) -> Value {
    let mut row = json!({
        "ticket_id": ticket.id.to_string(),
        "project": ticket.project_name.as_str(),
        "title": text::shortened(&ticket.title, TITLE_CHARS),
        "state": ticket.state.name(),
        "current_stage": ticket.current_stage().as_str(),
    });
    match &ticket.state {
        TicketState::OnHold(hold) => row["hold_kind"] = hold.kind.name().into(),
        TicketState::Closed { resolution, .. } => row["resolution"] = resolution.name().into(),
        TicketState::Blocked
        | TicketState::Scheduled { .. }
        | TicketState::Queued
        | TicketState::Running => {}
    }
    if ticket.priority != Priority::default() {
        row["priority"] = ticket.priority.name().into();
    }
    row
}

/// The row that the command line reads.
pub(super) fn whole_row(ticket: Ticket) -> Value {
    serde_json::to_value(TicketView::listed(ticket)).unwrap_or_default()
}
