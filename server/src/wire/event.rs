//! Events.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::event::Event;
use crate::domain::text::Name;
use crate::wire::ticket::hold_kinds;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct EventView {
    pub seq: i64,
    pub kind: String,
    pub at: String,
    pub project: String,
    pub ticket_id: Option<String>,
    pub stage: Option<String>,
    pub attempt_id: Option<String>,
    pub worker_id: Option<String>,
    /// What happened, in one sentence.
    pub summary: String,
    /// What the ticket waits for, when it went on hold.
    #[schemars(extend("enum" = hold_kinds()))]
    pub hold_kind: Option<String>,
    /// Whether this consumer has marked it.
    pub processed: bool,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self {
            seq: event.seq.0,
            kind: event.kind.name().to_owned(),
            at: event.at.to_string(),
            project: event.project.into_string(),
            ticket_id: event.ticket.map(|ticket| ticket.to_string()),
            stage: event.stage.map(Name::into_string),
            attempt_id: event.attempt.map(|attempt| attempt.to_string()),
            worker_id: event.worker.map(|worker| worker.to_string()),
            summary: event.summary,
            hold_kind: event.hold_kind.map(|kind| kind.name().to_owned()),
            processed: event.processed,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct Events {
    pub events: Vec<EventView>,
    /// The newest seq of the whole log.
    pub last_seq: i64,
}
