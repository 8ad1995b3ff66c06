//! From rows to domain values. A row that makes no sense is an error naming table, key and column, never a default.

use serde::Deserialize as _;
use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde::de::Error as _;
use serde_json::Map;
use serde_json::Value;

use super::error::StoreError;
use crate::domain::bill;
use crate::domain::names::Named;
use crate::domain::text::Name;
use crate::domain::time::Timestamp;

/// Decodes one column of one row, with its place for the error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) table: &'static str,
    pub(crate) key: i64,
}

impl Place {
    pub(crate) fn need<T>(self, value: Option<T>, column: &'static str) -> Result<T, StoreError> {
        value.ok_or_else(|| self.bad(column, "NULL"))
    }

    /// A stored name of an enum's value.
    pub(crate) fn named<T: Named>(self, name: &str, column: &'static str) -> Result<T, StoreError> {
        T::from_name(name).ok_or_else(|| self.bad(column, name))
    }

    /// A list stored as a JSON array of strings.
    pub(crate) fn list(self, json: &str, column: &'static str) -> Result<Vec<String>, StoreError> {
        serde_json::from_str(json).map_err(|_| self.bad(column, json))
    }

    /// A JSON object.
    pub(crate) fn object(
        self,
        json: &str,
        column: &'static str,
    ) -> Result<Map<String, Value>, StoreError> {
        serde_json::from_str(json).map_err(|_| self.bad(column, json))
    }

    /// A value that a statement built as JSON; `None` for NULL.
    pub(crate) fn json<T: DeserializeOwned>(
        self,
        json: Option<&str>,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        json.map(|json| serde_json::from_str(json).map_err(|_| self.bad(column, json))).transpose()
    }

    pub(crate) fn index(self, value: i64, column: &'static str) -> Result<usize, StoreError> {
        usize::try_from(value).map_err(|_| self.bad(column, &value.to_string()))
    }

    pub(crate) fn bad(self, column: &'static str, found: &str) -> StoreError {
        let found = found.chars().take(100).collect();
        StoreError::BadRow { table: self.table, key: self.key, column, found }
    }
}

pub(crate) fn name(text: String) -> Name {
    Name::from_row(text)
}

pub(crate) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Dollars. Rows that are older than the bounds, or were written manually, may hold a value that is not a number in
/// JSON.
pub(crate) fn dollars(usd: f64) -> f64 {
    usd.min(bill::MOST_USD_IN_ALL)
}

/// A list as the JSON array that is stored.
pub(crate) fn json_list<T: AsRef<str>>(items: &[T]) -> String {
    serde_json::Value::from(items.iter().map(AsRef::as_ref).collect::<Vec<&str>>()).to_string()
}

/// A flag inside SQLite's JSON, which has no booleans: 0 or 1.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(i64::deserialize(deserializer)? != 0)
}

/// A real inside SQLite's JSON, written by `format('%!.17g', …)`: JSON alone keeps fifteen digits, and a double needs
/// seventeen. Not for NULL, which that turns into 0.0.
pub(crate) fn real<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

pub(crate) fn json_keys(keys: &[i64]) -> String {
    serde_json::Value::from(keys).to_string()
}
