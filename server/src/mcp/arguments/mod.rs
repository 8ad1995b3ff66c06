//! A tool's arguments, checked against the tool's own schema before anything else looks at them.
//!
//! Checking by the schema instead of by serde's error guarantees that what is accepted is what the schema promises, and
//! reports every wrong field at once, each with what was given and what is allowed. If a client writes a value
//! differently from the schema but unambiguously, [`spelling`] returns that value.

use serde_json::Map;
use serde_json::Value;

use crate::domain::nearest::near;
use crate::domain::text::GIVEN_CHARS;
use crate::domain::text::Invalid;
use crate::domain::text::shortened;
use crate::mcp::schema::Schema;
use crate::mcp::spelling;

/// One error in the arguments of a call.
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
    /// A value of the wrong type or out of range.
    Value(Invalid),
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
        /// Whether an empty string has a meaning, such as to remove the present text.
        may_be_empty: bool,
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
    /// Any object; the tool checks its content.
    Object,
}

impl Accepted {
    /// Reads the schema, or names a property of a kind that this module does not know. A test checks this for every
    /// tool.
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

    /// Returns the given arguments, each in the form of the schema, or every error. Null means left out; so does an
    /// empty string where it has no meaning.
    pub(crate) fn check(
        &self,
        mut given: Map<String, Value>,
    ) -> Result<Map<String, Value>, Vec<Wrong>> {
        let mut wrong = Vec::new();
        for field in &self.fields {
            if let Some(value) = given.get_mut(&field.name) {
                field.kind.respell(value);
                if !field.required && field.kind.is_nothing(value) {
                    *value = Value::Null;
                }
            }
        }
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
        let names = self.fields.iter().map(|known| known.name.as_str());
        let nearest = near(field, names).map(str::to_owned);
        let known = self.fields.iter().map(|f| f.name.clone()).collect();
        Wrong::Unknown { field: shortened(field, GIVEN_CHARS), nearest, known }
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
                let may_be_empty = length("minLength") == Some(0);
                Some(Self::Text { one_of: one_of.unwrap_or_default(), may_be_empty })
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

    /// Rewrites a value in the form of the schema if it can mean only one thing. [`Self::check`] judges what is left.
    fn respell(&self, value: &mut Value) {
        let meant = match self {
            Self::Text { .. } => return,
            Self::Whole { .. } => spelling::whole(value),
            Self::Number => spelling::unquoted(value, Value::is_number),
            Self::Truth => spelling::truth(value),
            Self::Object => spelling::unquoted(value, Value::is_object),
            Self::List { item, .. } => {
                let meant = spelling::unquoted(value, Value::is_array);
                let one = || spelling::only(value, matches!(**item, Self::Text { .. }));
                meant.or_else(one)
            }
        };
        if let Some(meant) = meant {
            *value = meant;
        }
        if let (Self::List { item, .. }, Value::Array(items)) = (self, value) {
            for one in items {
                item.respell(one);
            }
        }
    }

    /// Whether a value means the same as a field that is left out.
    fn is_nothing(&self, value: &Value) -> bool {
        match self {
            Self::Text { may_be_empty: true, .. } => false,
            Self::Text { .. } => value.as_str() == Some(""),
            Self::Whole { .. } | Self::Number | Self::Truth | Self::List { .. } | Self::Object => {
                value.as_str().is_some_and(|text| matches!(text.trim(), "" | "null"))
            }
        }
    }

    fn check(&self, field: &str, value: &Value, wrong: &mut Vec<Wrong>) {
        let good = match (self, value) {
            (Self::Text { one_of, .. }, Value::String(text)) => {
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
                Value::Array(items) if matches!(self, Self::List { .. }) && !items.is_empty() => {
                    format!("a list of {} items", items.len())
                }
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_) => value.to_string(),
            };
            wrong.push(Wrong::Value(Invalid::new(field, &given, self.allowed())));
        }
    }

    /// What this kind allows, as the end of "it must be".
    fn allowed(&self) -> String {
        match self {
            Self::Text { one_of, .. } if one_of.is_empty() => "a string".to_owned(),
            Self::Text { one_of, .. } => format!("one of {}", one_of.join(", ")),
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
                    Self::Text { one_of, .. } if one_of.is_empty() => "strings".to_owned(),
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

#[cfg(test)]
mod tests;
