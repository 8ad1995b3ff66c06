//! Tickets that the result of a stage asks for.
//!
//! The same functions check them as check the coordinator's own, before any of them is created. A
//! result with one invalid ticket is malformed as a whole: half a plan would be worse than none.

use serde_json::Map;
use serde_json::Value;

use super::id::TicketId;
use super::names::Named;
use super::text;
use super::text::Invalid;
use super::text::Name;
use super::ticket;
use super::ticket::Plan;
use super::ticket::Priority;

/// The most tickets that one result may ask for.
pub const MAX_PLANNED: usize = 100;

/// The fields of one such ticket.
const FIELDS: [&str; 6] =
    ["key", "title", "description", "execution_plan", "priority", "depends_on"];

/// A ticket of a result, checked as far as possible without a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTicket {
    /// Its name within the result, which other tickets use to depend on it.
    pub key: Name,
    pub title: String,
    pub description: String,
    pub plan: Plan,
    pub priority: Priority,
    pub depends_on: Vec<Dependency>,
}

impl PlannedTicket {
    /// The ticket as a result has it, and as [`tickets`] reads it.
    pub(super) fn to_json(&self) -> Value {
        let depends_on = self.depends_on.iter().map(|dependency| match dependency {
            Dependency::Planned(key) => key.to_string(),
            Dependency::Existing(id) => id.to_string(),
        });
        let stages = self.plan.stages().iter().map(Name::as_str);
        serde_json::json!({
            "key": self.key.as_str(),
            "title": self.title,
            "description": self.description,
            "execution_plan": stages.collect::<Vec<_>>(),
            "priority": self.priority.name(),
            "depends_on": depends_on.collect::<Vec<_>>(),
        })
    }
}

/// What a planned ticket waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// Another ticket of the same result.
    Planned(Name),
    /// A ticket that already exists.
    Existing(TicketId),
}

/// Reads `tickets` of a result, and sorts each behind those that it waits for: a ticket can only
/// wait for an older one.
///
/// The sentence of an error names the key and the field; people and the next attempt read it.
pub fn tickets(given: &Value) -> Result<Vec<PlannedTicket>, String> {
    let Some(items) = given.as_array() else {
        return Err("structured_output.tickets is not a list".to_owned());
    };
    if items.len() > MAX_PLANNED {
        let count = items.len();
        return Err(format!(
            "structured_output.tickets has {count} tickets; the maximum is {MAX_PLANNED}"
        ));
    }
    let keys = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            key(item).map_err(|why| format!("structured_output.tickets[{index}]: {why}"))
        })
        .collect::<Result<Vec<Name>, String>>()?;
    for (index, key) in keys.iter().enumerate() {
        if keys[..index].contains(key) {
            return Err(about(key, "key is used by an earlier ticket of the same result"));
        }
    }
    let read = items
        .iter()
        .zip(&keys)
        .map(|(item, key)| ticket(item, key, &keys).map_err(|why| about(key, &why)))
        .collect::<Result<Vec<PlannedTicket>, String>>()?;
    in_order(read)
}

/// The sentence for one ticket of the result, `why` beginning with the field.
pub(super) fn about(key: &Name, why: &str) -> String {
    format!("structured_output.tickets: ticket {:?}: {why}", key.as_str())
}

/// The clause for an invalid value.
pub(super) fn sentence(invalid: &Invalid) -> String {
    let Invalid { field, given, allowed } = invalid;
    format!("{field} cannot be {given:?}; it must be {allowed}")
}

fn key(item: &Value) -> Result<Name, String> {
    let Some(fields) = item.as_object() else { return Err("it is not an object".to_owned()) };
    let given = string(fields, "key")?.ok_or("key is missing")?;
    let key = Name::parse("key", given).map_err(|invalid| sentence(&invalid))?;
    // `depends_on` must be able to distinguish a key from the id of a ticket.
    if given.parse::<TicketId>().is_ok() {
        return Err(format!("key cannot be {given:?}; it looks like the id of a ticket"));
    }
    Ok(key)
}

fn ticket(item: &Value, key: &Name, keys: &[Name]) -> Result<PlannedTicket, String> {
    let no_fields = Map::new();
    let fields = item.as_object().unwrap_or(&no_fields);
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let unknown = text::shortened(unknown, text::GIVEN_CHARS);
        return Err(format!("there is no field {unknown:?}; the fields are {}", FIELDS.join(", ")));
    }
    let refused = |invalid: Invalid| sentence(&invalid);
    let title = string(fields, "title")?.ok_or("title is missing")?;
    let description = string(fields, "description")?.unwrap_or_default();
    let stages = strings(fields, "execution_plan")?.ok_or("execution_plan is missing")?;
    let stages: Result<Vec<Name>, Invalid> =
        stages.into_iter().map(|stage| Name::parse("execution_plan", stage)).collect();
    let priority =
        string(fields, "priority")?.map(|name| Priority::parse("priority", name)).transpose();
    let depends_on = strings(fields, "depends_on")?.unwrap_or_default();
    let depends_on = depends_on
        .into_iter()
        .map(|given| dependency(given, key, keys))
        .collect::<Result<Vec<Dependency>, String>>()?;
    Ok(PlannedTicket {
        key: key.clone(),
        title: text::title("title", title).map_err(refused)?,
        description: text::long("description", description).map_err(refused)?,
        plan: stages.and_then(Plan::new).map_err(refused)?,
        priority: priority.map_err(refused)?.unwrap_or_default(),
        depends_on: ticket::dependencies(depends_on).map_err(refused)?,
    })
}

fn dependency(given: &str, own: &Name, keys: &[Name]) -> Result<Dependency, String> {
    if let Some(key) = keys.iter().find(|key| key.as_str() == given) {
        if key == own {
            return Err("depends_on names the ticket itself".to_owned());
        }
        return Ok(Dependency::Planned(key.clone()));
    }
    given.parse().map(Dependency::Existing).map_err(|_| {
        let shown = text::shortened(given, text::GIVEN_CHARS);
        format!(
            "depends_on names {shown:?}, which is neither a key of this result nor the id of a ticket, such as T-42"
        )
    })
}

/// A field that must be a string if it is present; null means absent, as it does for the
/// coordinator.
fn string<'v>(fields: &'v Map<String, Value>, name: &str) -> Result<Option<&'v str>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name} is not a string")),
    }
}

fn strings<'v>(fields: &'v Map<String, Value>, name: &str) -> Result<Option<Vec<&'v str>>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().ok_or_else(|| format!("{name} is not a list of strings")))
            .collect::<Result<_, _>>()
            .map(Some),
        Some(_) => Err(format!("{name} is not a list of strings")),
    }
}

/// Sorts each ticket behind those that it waits for, and otherwise keeps the order of the result.
fn in_order(mut left: Vec<PlannedTicket>) -> Result<Vec<PlannedTicket>, String> {
    let mut sorted: Vec<PlannedTicket> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |ticket: &PlannedTicket| waits_for(ticket, &left).is_some();
        let Some(next) = left.iter().position(|ticket| !waits(ticket)) else {
            return Err(circle(&left));
        };
        sorted.push(left.remove(next));
    }
    Ok(sorted)
}

/// The first of `others` that the ticket waits for.
fn waits_for<'t>(ticket: &PlannedTicket, others: &'t [PlannedTicket]) -> Option<&'t PlannedTicket> {
    ticket.depends_on.iter().find_map(|dependency| match dependency {
        Dependency::Planned(key) => others.iter().find(|other| other.key == *key),
        Dependency::Existing(_) => None,
    })
}

/// The sentence for tickets that all wait for each other.
fn circle(left: &[PlannedTicket]) -> String {
    let mut path: Vec<&Name> = Vec::new();
    let mut at = left.first();
    while let Some(ticket) = at {
        if let Some(begin) = path.iter().position(|key| **key == ticket.key) {
            let mut names: Vec<&str> = path[begin..].iter().map(|key| key.as_str()).collect();
            names.push(ticket.key.as_str());
            return about(
                &ticket.key,
                &format!("depends_on makes a circle: {}", names.join(" waits for ")),
            );
        }
        path.push(&ticket.key);
        at = waits_for(ticket, left);
    }
    "structured_output.tickets: depends_on makes a circle".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys(given: &Value) -> Vec<String> {
        let read = tickets(given).unwrap_or_else(|why| panic!("{why}"));
        read.into_iter().map(|ticket| ticket.key.into_string()).collect()
    }

    fn wrong(given: &Value) -> String {
        match tickets(given) {
            Err(why) => why,
            Ok(read) => panic!("accepted as {read:?}"),
        }
    }

    /// A valid ticket with other fields inserted.
    fn one(more: &Value) -> Value {
        let mut ticket = json!({"key": "api", "title": "Build", "execution_plan": ["impl"]});
        for (field, value) in more.as_object().expect("fields") {
            ticket[field] = value.clone();
        }
        ticket
    }

    #[test]
    fn tickets_are_put_behind_those_they_wait_for() {
        let given = json!([
            one(&json!({"key": "ui", "depends_on": ["api", "T-7", "api"]})),
            one(&json!({"key": "docs", "depends_on": ["ui"], "priority": "high"})),
            one(&json!({"key": "api", "description": "All of it.", "depends_on": null})),
            one(&json!({"key": "alone"})),
        ]);
        assert_eq!(keys(&given), ["api", "ui", "docs", "alone"]);
        let read = tickets(&given).unwrap();
        assert_eq!(read[0].description, "All of it.");
        assert_eq!(
            read[1].depends_on,
            [
                Dependency::Planned(Name::from_row("api".into())),
                Dependency::Existing(TicketId::from_key(7))
            ]
        );
        assert_eq!((read[2].priority, read[3].priority), (Priority::High, Priority::Normal));
        assert_eq!(keys(&json!([])), Vec::<String>::new());
    }

    #[test]
    fn an_error_names_the_key_and_the_field() {
        for (more, field) in [
            (json!({"title": ""}), "title"),
            (json!({"title": null}), "title"),
            (json!({"title": 7}), "title"),
            (json!({"description": ["a"]}), "description"),
            (json!({"description": "a\u{0}b"}), "description"),
            (json!({"execution_plan": []}), "execution_plan"),
            (json!({"execution_plan": null}), "execution_plan"),
            (json!({"execution_plan": "impl"}), "execution_plan"),
            (json!({"execution_plan": ["a b"]}), "execution_plan"),
            (json!({"execution_plan": vec!["impl"; 33]}), "execution_plan"),
            (json!({"priority": "asap"}), "priority"),
            (json!({"depends_on": ["ux"]}), "depends_on"),
            (json!({"depends_on": ["api"]}), "depends_on"),
            (json!({"depends_on": [1]}), "depends_on"),
            (json!({"dependencies": []}), "dependencies"),
        ] {
            let why = wrong(&json!([one(&more)]));
            assert!(why.contains("\"api\"") && why.contains(field), "{more}: {why}");
        }
    }

    #[test]
    fn keys_are_present_plain_and_different() {
        assert!(wrong(&json!([one(&json!({"key": null}))])).contains("[0]: key is missing"));
        for bad in ["", "a b", "T-7"] {
            let why = wrong(&json!([one(&json!({})), one(&json!({"key": bad}))]));
            assert!(why.contains("[1]: key cannot be"), "{why}");
        }
        let why = wrong(&json!([one(&json!({})), one(&json!({}))]));
        assert!(why.contains("\"api\": key is used by an earlier ticket"), "{why}");
        assert!(wrong(&json!({})).contains("not a list"));
        assert!(wrong(&json!(["a"])).contains("[0]: it is not an object"));
        let many: Vec<Value> = (0..=MAX_PLANNED).map(|n| one(&json!({"key": n}))).collect();
        assert!(wrong(&json!(many)).contains("101 tickets"));
    }

    #[test]
    fn a_circle_is_refused_and_shown() {
        let given = json!([
            one(&json!({"key": "free"})),
            one(&json!({"key": "out", "depends_on": ["a"]})),
            one(&json!({"key": "a", "depends_on": ["free", "b"]})),
            one(&json!({"key": "b", "depends_on": ["c"]})),
            one(&json!({"key": "c", "depends_on": ["a"]})),
        ]);
        let why = wrong(&given);
        assert!(why.contains("a waits for b waits for c waits for a"), "{why}");
    }
}
