//! Reading an answer of a server that may be of another version.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads an answer as a type of this folder. A null reads like a field that is not there.
///
/// # Errors
///
/// When a field has another type than it has here.
pub fn read<T: DeserializeOwned>(mut answer: Value) -> serde_json::Result<T> {
    drop_nulls(&mut answer);
    serde_json::from_value(answer)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::json;

    use super::*;
    use crate::wire::event::Events;
    use crate::wire::pause::PausedView;
    use crate::wire::project::ProjectWithCounts;
    use crate::wire::queue::QueueStatus;
    use crate::wire::queue::Queues;
    use crate::wire::status::ServerStatus;
    use crate::wire::ticket::TicketDetailView;
    use crate::wire::usage::UsageSums;
    use crate::wire::worker::WorkerStatus;
    use crate::wire::worker::Workers;

    /// Reads what no version would write: nothing, only unknown fields, only nulls, and what this version writes of
    /// nothing.
    fn reads<T: Default + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned>() {
        let none = T::default();
        let own = serde_json::to_value(&none).unwrap();
        let mut nulls = own.clone();
        nulls.as_object_mut().unwrap().values_mut().for_each(|member| *member = Value::Null);
        let mut more = own.clone();
        more["field_of_tomorrow"] = json!({"a": [null, 1]});
        for answer in [json!({}), json!({"field_of_tomorrow": [1]}), nulls, own, more] {
            assert_eq!(read::<T>(answer.clone()).unwrap(), none, "{answer}");
        }
    }

    #[test]
    fn an_answer_may_lack_fields_and_have_others() {
        reads::<Events>();
        reads::<PausedView>();
        reads::<ProjectWithCounts>();
        reads::<QueueStatus>();
        reads::<Queues>();
        reads::<ServerStatus>();
        reads::<TicketDetailView>();
        reads::<UsageSums>();
        reads::<WorkerStatus>();
        reads::<Workers>();
    }

    #[test]
    fn the_items_of_a_list_may_lack_fields_and_have_others() {
        let answer = json!({
            "ticket_id": "T-1", "title": null, "colour": "red",
            "attempts": [{"attempt_id": "A-1", "outcome": null, "colour": 1}],
            "comments": [{"author": "build", "cut": null}],
        });
        let ticket: TicketDetailView = read(answer).unwrap();
        assert_eq!((ticket.ticket.ticket_id.as_str(), ticket.ticket.title.as_str()), ("T-1", ""));
        assert_eq!(ticket.attempts[0].attempt_id, "A-1");
        assert_eq!(ticket.attempts[0].outcome, None);
        assert_eq!(ticket.comments[0].comment.author, "build");
        assert!(read::<TicketDetailView>(json!({"ticket_id": 1})).is_err());
    }
}
