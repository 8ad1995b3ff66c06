//! Whether a call that changes something changed anything.

use serde_json::Map;
use serde_json::Value;

use crate::cli::act::call::call;
use crate::cli::act::call::worded;
use crate::cli::act::command::Act;
use crate::cli::act::command::Place;
use crate::cli::act::given::Given;
use crate::cli::client::Client;
use crate::config::Environment;

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Changed,
    /// Everything was as it was wanted already.
    Nothing,
}

impl Effect {
    /// The beginning of the sentence that names what was to be changed.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Changed => "Changed",
            Self::Nothing => "Nothing to change in",
        }
    }
}

/// Where an answer has fields besides its top level.
const INNER: [&str; 2] = ["limits", "checks"];

/// What may change besides what was given: a change of a worker type also ends the pause that a failure put on its queue.
const ALSO: [&str; 1] = ["paused"];

/// Makes the call, and compares what the tool `shows` before it and after it.
///
/// # Errors
///
/// Those of [`call`].
pub async fn change<A: Act>(
    given: &Given<A>,
    client: &Client,
    environment: &Environment,
    shows: &str,
) -> anyhow::Result<(Value, Effect)> {
    if given.json {
        // A script compares for itself.
        return Ok((call(given, client, environment).await?, Effect::Changed));
    }
    let place = |place: &Place| (place.field.to_owned(), Value::from(given.text(place.field)));
    let named: Map<String, Value> = A::PLACES.iter().map(place).collect();
    let look = async || client.call(shows, named.clone().into()).await.map_err(worded::<A>);
    let before = look().await?;
    let answer = call(given, client, environment).await?;
    let after = look().await?;
    let fields = given.fields.keys().chain(given.files.keys()).map(String::as_str);
    Ok((answer, effect(fields, &before, &after)))
}

fn effect<'f>(fields: impl Iterator<Item = &'f str>, before: &Value, after: &Value) -> Effect {
    let is_same = |field: &str| of(before, field) == of(after, field);
    if fields.chain(ALSO).all(is_same) { Effect::Nothing } else { Effect::Changed }
}

/// The value of a field, wherever the answer has it.
fn of<'v>(answer: &'v Value, field: &str) -> &'v Value {
    let inner = INNER.iter().map(|inner| &answer[*inner][field]);
    let mut all = std::iter::once(&answer[field]).chain(inner);
    all.find(|value| !value.is_null()).unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mcp;

    #[test]
    fn a_change_is_one_of_what_was_given() {
        let before =
            json!({"name": "shop", "rules": "a", "limits": {"max_workers": 3}, "tickets": 1});
        let told = |fields: &[&str], after: Value| effect(fields.iter().copied(), &before, &after);
        assert_eq!(told(&["rules", "max_workers"], before.clone()), Effect::Nothing);
        // Something else may have happened meanwhile.
        let mut after = before.clone();
        after["tickets"] = json!(2);
        assert_eq!(told(&["rules"], after.clone()), Effect::Nothing);
        after["limits"]["max_workers"] = Value::Null;
        assert_eq!(told(&["max_workers"], after.clone()), Effect::Changed);
        after["paused"] = json!(true);
        assert_eq!(told(&["rules"], after), Effect::Changed);
    }

    #[test]
    fn whatever_can_be_changed_is_shown() {
        for (changes, shows) in [
            ("update_project", "get_project"),
            ("update_worker_type", "get_worker_type"),
            ("update_ticket", "get_ticket"),
        ] {
            let given = mcp::arguments_of(changes).expect("a tool");
            let shown = Value::from(mcp::answer_of(shows).expect("a tool")).to_string();
            for field in given["properties"].as_object().expect("an object").keys() {
                let is_place = ["project", "worker_type", "ticket_id"].contains(&field.as_str());
                assert!(is_place || shown.contains(&format!("\"{field}\":")), "{shows}: {field}");
            }
        }
    }
}
