//! A tool's arguments, checked against the tool's own schema before anything else looks at them.
//!
//! Checking by schema and not by serde's error keeps what the model was promised and what is accepted the same, names
//! every wrong field at once, and says of each what was given and what is allowed.

use serde_json::Map;
use serde_json::Value;

use crate::domain::refusal::Refusal;
use crate::mcp::schema::Schema;

/// One thing that is wrong with the arguments of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A field the tool does not have.
    Unknown {
        field: String,
        nearest: Option<String>,
        known: Vec<String>,
    },
    Missing {
        field: String,
        allowed: String,
    },
    /// A value of the wrong type or out of range; always [`Refusal::InvalidField`].
    Value(Refusal),
}

/// What a tool accepts, read from its schema once.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    required: bool,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Text {
        one_of: Vec<String>,
    },
    Whole {
        least: Option<i64>,
        most: Option<i64>,
    },
    Number,
    Truth,
    List {
        item: Box<Kind>,
        least: Option<u64>,
        most: Option<u64>,
    },
    /// Any object; the tool looks into it.
    Object,
}

impl Accepted {
    /// Reads the schema, or names the property that is of no kind this module knows. A test holds every tool to it.
    pub(crate) fn from_schema(schema: &Schema) -> Result<Self, String> {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let field = |(name, property): (&String, &Value)| {
            let kind = Kind::from_schema(property).ok_or_else(|| name.clone())?;
            Ok(Field { name: name.clone(), required: required.contains(&name.as_str()), kind })
        };
        properties.iter().map(field).collect::<Result<_, _>>().map(|fields| Self { fields })
    }

    /// Returns the arguments that are there, or everything that is wrong. A null counts as left out.
    pub(crate) fn check(
        &self,
        given: Map<String, Value>,
    ) -> Result<Map<String, Value>, Vec<Wrong>> {
        let mut wrong = Vec::new();
        for name in given.keys() {
            if !self.fields.iter().any(|field| field.name == *name) {
                wrong.push(self.unknown(name));
            }
        }
        for field in &self.fields {
            match given.get(&field.name) {
                None | Some(Value::Null) if field.required => wrong.push(Wrong::Missing {
                    field: field.name.clone(),
                    allowed: field.kind.allowed(),
                }),
                None | Some(Value::Null) => {}
                Some(value) => field.kind.check(&field.name, value, &mut wrong),
            }
        }
        if wrong.is_empty() {
            return Ok(given.into_iter().filter(|(_, value)| !value.is_null()).collect());
        }
        Err(wrong)
    }

    fn unknown(&self, field: &str) -> Wrong {
        let nearest = self
            .fields
            .iter()
            .map(|known| (strsim::damerau_levenshtein(&known.name, field), &known.name))
            .min_by_key(|(distance, _)| *distance)
            .filter(|(distance, name)| *distance <= name.len().max(3) / 3 + 1)
            .map(|(_, name)| name.clone());
        let known = self.fields.iter().map(|f| f.name.clone()).collect();
        Wrong::Unknown { field: shown(field), nearest, known }
    }
}

impl Kind {
    fn from_schema(schema: &Value) -> Option<Self> {
        let bound = |name: &str| schema.get(name).and_then(Value::as_i64);
        let length = |name: &str| schema.get(name).and_then(Value::as_u64);
        match schema.get("type")?.as_str()? {
            "string" => {
                let names = schema.get("enum").and_then(Value::as_array);
                let one_of = names.map(|names| {
                    names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
                });
                Some(Self::Text { one_of: one_of.unwrap_or_default() })
            }
            "integer" => Some(Self::Whole { least: bound("minimum"), most: bound("maximum") }),
            "number" => Some(Self::Number),
            "boolean" => Some(Self::Truth),
            "array" => Some(Self::List {
                item: Box::new(Self::from_schema(schema.get("items")?)?),
                least: length("minItems"),
                most: length("maxItems"),
            }),
            "object" if schema.get("properties").is_none() => Some(Self::Object),
            _ => None,
        }
    }

    fn check(&self, field: &str, value: &Value, wrong: &mut Vec<Wrong>) {
        let good = match (self, value) {
            (Self::Text { one_of }, Value::String(text)) => {
                one_of.is_empty() || one_of.contains(text)
            }
            (Self::Whole { least, most }, Value::Number(number)) => {
                number.as_i64().is_some_and(|n| {
                    least.is_none_or(|least| n >= least) && most.is_none_or(|most| n <= most)
                })
            }
            (Self::Number, Value::Number(_))
            | (Self::Truth, Value::Bool(_))
            | (Self::Object, Value::Object(_)) => true,
            (Self::List { item, least, most }, Value::Array(items)) => {
                let count = items.len() as u64;
                let fits = least.is_none_or(|n| count >= n) && most.is_none_or(|n| count <= n);
                if fits {
                    for (index, one) in items.iter().enumerate() {
                        item.check(&format!("{field}[{index}]"), one, wrong);
                    }
                }
                fits
            }
            (
                Self::Text { .. }
                | Self::Whole { .. }
                | Self::Number
                | Self::Truth
                | Self::List { .. }
                | Self::Object,
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_),
            ) => false,
        };
        if !good {
            let given = match value {
                Value::String(text) => text.clone(),
                Value::Array(items) if matches!(self, Self::List { .. }) => {
                    format!("a list of {}", items.len())
                }
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_) => value.to_string(),
            };
            wrong.push(Wrong::Value(Refusal::invalid(field, &given, self.allowed())));
        }
    }

    /// What this kind allows, to be read after "allowed is".
    fn allowed(&self) -> String {
        match self {
            Self::Text { one_of } if one_of.is_empty() => "a text".to_owned(),
            Self::Text { one_of } => format!("one of {}", one_of.join(", ")),
            Self::Whole { least: Some(least), most: Some(most) } => {
                format!("a whole number from {least} to {most}")
            }
            Self::Whole { least: Some(least), most: None } => {
                format!("a whole number, {least} or more")
            }
            Self::Whole { least: None, most: Some(most) } => {
                format!("a whole number, at most {most}")
            }
            Self::Whole { least: None, most: None } => "a whole number".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Truth => "true or false".to_owned(),
            Self::Object => "an object".to_owned(),
            Self::List { item, least, most } => {
                let what = match item.as_ref() {
                    Self::Text { one_of } if one_of.is_empty() => "texts".to_owned(),
                    Self::Whole { .. } => "whole numbers".to_owned(),
                    Self::Text { .. }
                    | Self::Number
                    | Self::Truth
                    | Self::List { .. }
                    | Self::Object => {
                        format!("items, each {}", item.allowed())
                    }
                };
                match (least, most) {
                    (Some(least), Some(most)) => format!("a list of {least} to {most} {what}"),
                    (Some(least), None) => format!("a list of at least {least} {what}"),
                    (None, Some(most)) => format!("a list of at most {most} {what}"),
                    (None, None) => format!("a list of {what}"),
                }
            }
        }
    }
}

/// A name from outside, cut so that it cannot fill the answer.
fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mcp::reply;

    fn accepted() -> Accepted {
        let schema = json!({
            "type": "object",
            "required": ["title", "execution_plan"],
            "properties": {
                "title": {"type": "string"},
                "priority": {"type": "string", "enum": ["low", "high"]},
                "limit": {"type": "integer", "minimum": 1, "maximum": 200},
                "budget": {"type": "number"},
                "force": {"type": "boolean"},
                "execution_plan": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
            },
        });
        Accepted::from_schema(schema.as_object().unwrap()).unwrap()
    }

    fn told(given: &Value) -> String {
        let given = given.as_object().unwrap().clone();
        match accepted().check(given) {
            Ok(_) => "good".to_owned(),
            Err(wrong) => reply::wrong_arguments("create_ticket", &wrong),
        }
    }

    #[test]
    fn good_arguments_pass_and_nulls_are_left_out() {
        let given = json!({"title": "a", "execution_plan": ["b"], "limit": 200, "force": null});
        let kept = accepted().check(given.as_object().unwrap().clone()).unwrap();
        assert_eq!(
            Value::Object(kept),
            json!({"title": "a", "execution_plan": ["b"], "limit": 200})
        );
    }

    #[test]
    fn every_wrong_field_is_named_with_what_was_given_and_what_is_allowed() {
        assert_eq!(
            told(&json!({"titel": "a", "priority": "hgh", "limit": 201, "execution_plan": "b"})),
            "create_ticket was not called: its arguments are wrong.\n\
             - There is no field titel. Did you mean title?\n\
             - execution_plan cannot be \"b\"; allowed is a list of 1 to 2 texts.\n\
             - limit cannot be \"201\"; allowed is a whole number from 1 to 200.\n\
             - priority cannot be \"hgh\"; allowed is one of low, high.\n\
             - title is missing; allowed is a text.\n\
             Correct them and call create_ticket again."
        );
    }

    #[test]
    fn wrong_types_are_named_down_to_the_item() {
        let wrong = |given: Value| told(&given).lines().nth(1).unwrap_or_default().to_owned();
        let base = |field: &str, value: Value| {
            let mut given = json!({"title": "a", "execution_plan": ["b"]});
            given[field] = value;
            wrong(given)
        };
        assert_eq!(base("title", json!(7)), "- title cannot be \"7\"; allowed is a text.");
        assert_eq!(
            base("limit", json!(1.5)),
            "- limit cannot be \"1.5\"; allowed is a whole number from 1 to 200."
        );
        assert_eq!(
            base("force", json!("yes")),
            "- force cannot be \"yes\"; allowed is true or false."
        );
        assert_eq!(
            base("execution_plan", json!(["a", 2])),
            "- execution_plan[1] cannot be \"2\"; allowed is a text."
        );
        assert_eq!(
            base("execution_plan", json!([])),
            "- execution_plan cannot be \"a list of 0\"; allowed is a list of 1 to 2 texts."
        );
        assert_eq!(
            base("colour", json!("red")),
            "- There is no field colour. The fields are: budget, execution_plan, force, limit, priority, title."
        );
    }
}
