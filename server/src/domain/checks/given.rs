//! A value as somebody wrote it, in the file or in a call, before it is checked.

use serde_json::Value;
use toml::de::DeTable;
use toml::de::DeValue;

use super::place::Lines;
use super::place::Position;

/// A value and, in a file, where it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Given {
    pub(super) at: Option<Position>,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// JSON only: the same as a key that is not there.
    Null,
    Text(String),
    Whole(i64),
    Truth(bool),
    List(Vec<Given>),
    Table(Vec<Row>),
    /// A kind of value that no key takes, as words.
    Other(&'static str),
}

/// A key of a table with its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) at: Option<Position>,
    pub(super) value: Given,
}

impl Given {
    pub(super) fn from_toml(lines: &Lines<'_>, offset: usize, value: &DeValue<'_>) -> Self {
        let kind = match value {
            DeValue::String(string) => Kind::Text(string.to_string()),
            DeValue::Integer(digits) => {
                let plain = digits.as_str().replace('_', "");
                i64::from_str_radix(&plain, digits.radix())
                    .map_or(Kind::Other("a number that is too large"), Kind::Whole)
            }
            DeValue::Boolean(truth) => Kind::Truth(*truth),
            DeValue::Array(items) => {
                let item = |item: &toml::Spanned<DeValue<'_>>| {
                    Self::from_toml(lines, item.span().start, item.get_ref())
                };
                Kind::List(items.iter().map(item).collect())
            }
            DeValue::Table(table) => Kind::Table(rows(lines, table)),
            DeValue::Float(_) => Kind::Other("a number with a fraction"),
            DeValue::Datetime(_) => Kind::Other("a date"),
        };
        Self { at: Some(lines.at(offset)), kind }
    }

    pub(super) fn from_json(value: &Value) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(truth) => Kind::Truth(*truth),
            Value::Number(number) => {
                number.as_i64().map_or(Kind::Other("a number that is not whole"), Kind::Whole)
            }
            Value::String(text) => Kind::Text(text.clone()),
            Value::Array(items) => Kind::List(items.iter().map(Self::from_json).collect()),
            Value::Object(fields) => {
                let row = |(key, value): (&String, &Value)| Row {
                    key: key.clone(),
                    at: None,
                    value: Self::from_json(value),
                };
                Kind::Table(fields.iter().map(row).collect())
            }
        };
        Self { at: None, kind }
    }

    /// The value as a message repeats it. Values of a table may be secrets, so only its keys are.
    pub(super) fn words(&self) -> String {
        match &self.kind {
            Kind::Null => "null".to_owned(),
            Kind::Text(text) => format!("{:?}", crate::domain::text::shown(text)),
            Kind::Whole(number) => number.to_string(),
            Kind::Truth(truth) => truth.to_string(),
            Kind::List(items) if items.is_empty() => "an empty list".to_owned(),
            Kind::List(items) => format!("a list of {}", items.len()),
            Kind::Table(rows) if rows.is_empty() => "an empty table".to_owned(),
            Kind::Table(rows) => {
                let keys = rows.iter().map(|row| crate::domain::text::shown(&row.key));
                format!("a table of {}", keys.collect::<Vec<_>>().join(", "))
            }
            Kind::Other(kind) => (*kind).to_owned(),
        }
    }
}

impl Given {
    /// What it is, without its value, which may be a secret.
    pub(super) fn sort(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "null",
            Kind::Text(_) => "a string",
            Kind::Whole(_) => "a number",
            Kind::Truth(_) => "true or false",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
            Kind::Other(kind) => kind,
        }
    }
}

/// The rows of a table in the order of the text.
pub(super) fn rows(lines: &Lines<'_>, table: &DeTable<'_>) -> Vec<Row> {
    let mut rows: Vec<Row> = table
        .iter()
        .map(|(key, value)| Row {
            key: key.get_ref().to_string(),
            at: Some(lines.at(key.span().start)),
            value: Given::from_toml(lines, value.span().start, value.get_ref()),
        })
        .collect();
    rows.sort_by_key(|row| row.at);
    rows
}
