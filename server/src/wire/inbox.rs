//! What waits for somebody.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::domain::inbox;
use crate::domain::inbox::Action;
use crate::domain::inbox::Item;
use crate::domain::text::Name;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct ItemView {
    /// What waits: T-42, A-17, shop/implement (a queue), shop (a project), notify:phone (a notifier), or server.
    pub item: String,
    /// What it waits for; for a ticket, its `hold_kind`.
    #[schemars(extend("enum" = kinds()))]
    pub kind: String,
    pub since: String,
    /// Absent for the whole server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_id: Option<String>,
    /// What waits and why. Reasons and questions in it are an agent's words.
    pub sentence: String,
    /// The steps that would settle it, the likeliest first.
    pub actions: Vec<ActionView>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct ActionView {
    pub label: String,
    pub tool: String,
    pub arguments: Map<String, Value>,
    /// The call to make after it, without which it settles nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<CallView>,
    /// The same for a shell.
    pub command: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct CallView {
    pub tool: String,
    pub arguments: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct Inbox {
    /// Oldest first.
    pub items: Vec<ItemView>,
    /// How many items of each kind wait, on all pages.
    pub counts: BTreeMap<String, i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

fn kinds() -> Vec<&'static str> {
    inbox::kinds().collect()
}

impl From<Item> for ItemView {
    fn from(item: Item) -> Self {
        Self {
            item: item.id(),
            kind: item.kind().to_owned(),
            since: item.since.to_string(),
            ticket_id: item.ticket().map(|ticket| ticket.to_string()),
            sentence: item.sentence(),
            actions: item.actions().into_iter().map(ActionView::from).collect(),
            project: item.project.map(Name::into_string),
        }
    }
}

impl From<Action> for ActionView {
    fn from(action: Action) -> Self {
        let Action { label, tool, arguments, then, command } = action;
        let then =
            then.map(|call| CallView { tool: call.tool.to_owned(), arguments: call.arguments });
        Self { label, tool: tool.to_owned(), arguments, then, command }
    }
}
