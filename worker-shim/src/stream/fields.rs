//! The fields of an object, each read only when it is needed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use shim_protocol::json;

/// The fields of an object. A field's value is not parsed before it is requested, so that an
/// unreadable value costs itself, and megabytes of no interest cost nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Fields<'l>(#[serde(borrow)] BTreeMap<String, &'l RawValue>);

impl<'l> Fields<'l> {
    pub(super) fn of(text: &'l str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// The text of a field's value.
    pub(super) fn raw(&self, name: &str) -> Option<&'l str> {
        self.0.get(name).map(|value| value.get())
    }

    /// A field, if it is of this type.
    pub(super) fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        json::read(self.raw(name)?.as_bytes()).ok()
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name)
    }

    /// Whether a field is exactly this string, in its plain spelling.
    pub(super) fn is(&self, name: &str, expected: &str) -> bool {
        let raw = self.raw(name).and_then(|raw| raw.strip_prefix('"')?.strip_suffix('"'));
        raw == Some(expected)
    }

    /// A field, if it is an object.
    pub(super) fn object(&self, name: &str) -> Option<Self> {
        Self::of(self.raw(name)?).ok()
    }

    /// The objects of a list; other values in it are skipped.
    pub(super) fn objects(&self, name: &str) -> Vec<Self> {
        let list: Option<Vec<&'l RawValue>> =
            self.raw(name).and_then(|raw| serde_json::from_str(raw).ok());
        list.into_iter().flatten().filter_map(|one| Self::of(one.get()).ok()).collect()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = Self> {
        self.0.values().filter_map(|value| Self::of(value.get()).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_cannot_be_read_costs_itself() {
        let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
        let text = format!(
            r#"{{"a":"x \ud83d","b":1e999,"deep":{deep},"c":7,"c":8,"o":{{"p":true}},"l":[1,{{"q":"r"}}]}}"#
        );
        let fields = Fields::of(&text).expect("reads");
        assert_eq!(fields.text("a").as_deref(), Some("x \u{fffd}"));
        assert_eq!(fields.get::<f64>("b"), Some(f64::MAX));
        assert_eq!(fields.get::<u64>("c"), Some(8), "the last of two counts");
        assert_eq!(fields.get::<bool>("a"), None);
        assert!(fields.is("a", "x \\ud83d") && !fields.is("c", "8") && !fields.is("z", ""));
        assert_eq!(fields.object("o").and_then(|o| o.get("p")), Some(true));
        let list = fields.objects("l");
        assert!(list.len() == 1 && list[0].is("q", "r"));
    }
}
